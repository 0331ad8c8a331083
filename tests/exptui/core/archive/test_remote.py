"""Archives kept elsewhere: nothing counts before it was read back, and nothing here goes before it counts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exptui import cli
from exptui.core.archive import check as checking
from exptui.core.archive import ledger, remote
from exptui.core.archive.listing import list_archives
from exptui.core.audit.report import Verdict
from exptui.core.audit.request import Options
from exptui.core.errors import ArchiveError, Cancelled, ConfigError, CorruptError, ExptuiError, UsageError
from exptui.core.files import Cancel, sha256_file
from exptui.core.workspace import Workspace
from support import finished, toy, until, verified

PUT, GET = 'cp "$1" "$3/$2"', 'cp "$3/$2" "$1"'


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def using(space: Workspace, put: str = PUT, get: str = GET, *, allow: bool = True) -> None:
    """These shell words as the commands: $1 is the file, $2 the name, $3 the place."""
    place = space.root.parent / "lab"
    place.mkdir(exist_ok=True)
    text = (space.root / "exptui.toml").read_text().partition("[archive.remote]")[0]
    words = {
        name: ["sh", "-c", script, name, "{file}", "{name}", str(place)]
        for name, script in (("put", put), ("get", get))
    }
    lines = "".join(f"{name} = {json.dumps(command)}\n" for name, command in words.items())
    (space.root / "exptui.toml").write_text(f"{text}[archive.remote]\n{lines}")
    if allow:
        space.store.allow()


def sealed(tmp_path: Path, put: str = PUT, get: str = GET) -> tuple[Workspace, str]:
    space = toy(tmp_path)
    run_id = finished(space)
    space.archive(run_id)
    using(space, put, get)
    return space, run_id


def tarball(space: Workspace, run_id: str) -> Path:
    return space.archives / f"{run_id}.tar.gz"


def left(space: Workspace) -> list[str]:
    return [
        path.name for path in space.archives.iterdir() if path.name[0] == "." and path.name != ledger.LOCK
    ]


def test_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space, run_id = sealed(tmp_path)
    words = ["--workspace", str(space.root)]
    path, digest = tarball(space, run_id), sha256_file(tarball(space, run_id))[0]
    assert cli.main([*words, "push", run_id]) == 0
    assert f"sha256 {digest}; here and there" in capsys.readouterr().out
    assert path.exists()
    assert cli.main([*words, "push", run_id, "--drop"]) == 0
    assert not path.exists()
    assert [e["event"] for e in ledger.read(space.archives)[0]] == ["archived", "stored"]
    assert ledger.read(space.archives)[0][-1]["place"] == f"{run_id}.tar.gz"
    assert space.recover() == []
    for more, word in (([], "remote: "), (["--read-data"], "intact, remote: ")):
        assert cli.main([*words, "check", *more]) == 0
        assert f"{run_id}  {word}{run_id}.tar.gz" in capsys.readouterr().out
    assert not path.exists()
    assert cli.main([*words, "ls", "archive", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["place"], row["metrics"]["cycles"]) == (f"{run_id}.tar.gz", 8)
    assert cli.main([*words, "push", run_id, "--drop"]) == 0  # it is so already
    assert cli.main([*words, "fetch", run_id]) == 0
    assert sha256_file(path)[0] == digest
    assert [one.problems for one in space.check_all(read_data=True)] == [[], []]
    assert left(space) == []


def test_restore_and_verify_fetch_what_they_need(tmp_path: Path) -> None:
    space, run_id = sealed(tmp_path)
    space.push(run_id, drop=True)
    cost = space.cost(space.request(run_id, Options()))
    assert (cost.problem, cost.size > 0, tarball(space, run_id).exists()) == ("", True, False)
    assert verified(space, run_id).verdict is Verdict.REPRODUCED
    space.push(run_id, drop=True)
    assert space.restore(run_id).name == run_id
    assert verified(space, run_id).verdict is Verdict.REPRODUCED


def test_what_is_kept_elsewhere_is_not_archived_over(tmp_path: Path) -> None:
    space = toy(tmp_path)
    run_id = finished(space)
    space.archive(run_id, keep=True)
    using(space)
    space.push(run_id, drop=True)
    with pytest.raises(ArchiveError, match="kept elsewhere"):
        space.archive(run_id)
    assert (space.results / run_id).exists()
    space.fetch(run_id)
    assert space.archive(run_id).already


FAULTS: dict[str, tuple[str, str, str]] = {
    "put fails": ("echo no quota >&2; exit 7", GET, "ended with 7: no quota"),
    "put does nothing": ("true", GET, "ended with 1"),
    "put truncates silently": ('head -c 100 "$1" > "$3/$2"', GET, "other bytes came back"),
    "get gives other bytes": (PUT, 'cp "$3/$2" "$1"; printf x >> "$1"', "other bytes came back"),
    "get changes one byte": (PUT, 'cp "$3/$2" "$1"; printf x | dd of="$1" bs=1 seek=50 conv=notrunc 2>/dev/null', "other bytes"),
    "get gives nothing": (PUT, "true", "nothing came back"),
    "get gives a link": (PUT, 'ln -s "$3/$2" "$1"', "nothing came back"),
    "get fails": (PUT, "exit 9", "ended with 9"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("drop", [False, True])
def test_a_store_that_fails_or_lies_changes_nothing_here(tmp_path: Path, name: str, *, drop: bool) -> None:
    put, get, says = FAULTS[name]
    space, run_id = sealed(tmp_path, put, get)
    before = {path.name: path.read_bytes() for path in space.archives.iterdir()}
    with pytest.raises(ArchiveError, match=says):
        space.push(run_id, drop=drop)
    assert {path.name: path.read_bytes() for path in space.archives.iterdir()} == before
    assert [one.problems for one in space.check_all(read_data=True)] == [[], []]


@pytest.mark.parametrize("name", [name for name in FAULTS if name.startswith("get")])
def test_a_store_that_begins_to_lie_is_found_and_nothing_of_it_gets_in(tmp_path: Path, name: str) -> None:
    space, run_id = sealed(tmp_path)
    space.push(run_id, drop=True)
    sidecars = {path.name: path.read_bytes() for path in space.archives.iterdir()}
    using(space, PUT, FAULTS[name][1])
    (result,) = list(space.check_all([run_id], read_data=True))[:1]
    assert FAULTS[name][2] in "".join((*result.problems, result.unread))
    assert result.identity is None
    request = space.request(run_id)
    for act in (partial(space.fetch, run_id), partial(space.restore, run_id), partial(space.verify, request)):
        with pytest.raises(ArchiveError, match=FAULTS[name][2]):
            act()
    assert space.recover() == []
    assert {path.name: path.read_bytes() for path in space.archives.iterdir() if path.is_file()} == sidecars
    assert not space.run_directories()
    using(space)  # the store is well again
    assert space.restore(run_id).is_dir()


def test_a_copy_that_was_lost_there_is_put_again_while_it_is_here(tmp_path: Path) -> None:
    space, run_id = sealed(tmp_path)
    space.push(run_id)
    for content in (b"", b"other bytes"):
        (tmp_path / f"lab/{run_id}.tar.gz").unlink()
        (tmp_path / f"lab/{run_id}.tar.gz").write_bytes(content)
        space.push(run_id, drop=True)
        assert space.check(run_id, read_data=True).identity
        space.fetch(run_id)
    (tmp_path / f"lab/{run_id}.tar.gz").unlink()
    using(space, "exit 5")
    with pytest.raises(ArchiveError, match="ended with 5"):
        space.push(run_id, drop=True)
    assert tarball(space, run_id).exists()
    assert not remote.is_stored(space.archives, run_id)


def test_a_damaged_archive_is_not_stored(tmp_path: Path) -> None:
    space, run_id = sealed(tmp_path)
    path = tarball(space, run_id)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptError, match="not intact"):
        space.push(run_id, drop=True)
    assert path.exists()
    assert not (tmp_path / f"lab/{run_id}.tar.gz").exists()


def test_commands_are_shown_before_they_are_executed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = toy(tmp_path)
    run_id = finished(space)
    space.archive(run_id)
    words = ["--workspace", str(space.root)]
    assert cli.main([*words, "push", run_id]) == 2
    assert "no place to keep archives" in capsys.readouterr().err
    using(space, f"touch ran; {PUT}", allow=False)
    assert cli.main([*words, "push", run_id]) == 2
    said = capsys.readouterr().err
    assert "touch ran; cp" in said
    assert 'cp "$3/$2" "$1"' in said
    assert not (tmp_path / "ran").exists()
    assert cli.main([*words, "push", run_id, "--yes"]) == 0
    assert cli.main([*words, "push", run_id, "--drop"]) == 0  # and remembered
    using(space, PUT, f"touch ran2; {GET}", allow=False)  # until they change
    for command in (["push", run_id], ["fetch", run_id], ["restore", run_id], ["verify", run_id]):
        assert cli.main([*words, *command]) == 2
        assert "touch ran2" in capsys.readouterr().err
    assert cli.main([*words, "check", "--read-data"]) == 3
    assert "NOT CHECKED" in capsys.readouterr().out
    assert not (tmp_path / "ran2").exists()


def test_sidecars_of_what_is_elsewhere_have_to_agree(tmp_path: Path) -> None:
    space, run_id = sealed(tmp_path)
    space.push(run_id, drop=True)
    for suffix in (".manifest.json", ".sha256", ".card.json", ".remote.json"):
        path = space.archives / f"{run_id}{suffix}"
        good = path.read_bytes()
        for bad in (b"{}", good.replace(b"0", b"1").replace(b"a", b"b"), b""):
            path.write_bytes(bad)
            assert space.check(run_id).problems, (suffix, bad)
        path.unlink()
        assert list(space.check_all())[-1].problems or space.check(run_id).problems
        path.write_bytes(good)
        assert not space.check(run_id).problems
    shutil.move(space.archives / ledger.NAME, tmp_path / "ledger")
    assert space.recover() == []  # what is elsewhere is not taken for a left-over
    shutil.move(tmp_path / "ledger", space.archives / ledger.NAME)
    assert [one.problems for one in space.check_all(read_data=True)] == [[], []]


STAGES = ("put", "get", "recorded", "written", "dropped")


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_at(stage: str) -> None:
    """From now on this process ends where a kill would end it."""
    run, unlink = remote.Store.execute, Path.unlink

    def execute(store: remote.Store, words: Sequence[str], *more: Any) -> None:
        run(store, words, *more)
        if words == getattr(store.commands, stage, None):
            _die()

    def unlinked(path: Path, *, missing_ok: bool = False) -> None:
        if path.name.endswith(".tar.gz") and stage == "written":
            _die()
        unlink(path, missing_ok=missing_ok)

    patches: Any = remote
    patches.Store.execute, patches.Path.unlink = execute, unlinked
    if stage == "recorded":
        patches.write_atomic = _die
    if stage == "dropped":
        patches.fsync_dir = _die


@pytest.mark.parametrize("stage", STAGES)
def test_killed_anywhere_nothing_is_lost(tmp_path: Path, stage: str) -> None:
    space, run_id = sealed(tmp_path)
    pid = os.fork()
    if pid == 0:  # pragma: no cover - killed
        _die_at(stage)
        try:
            space.push(run_id, drop=True)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    space.recover()
    assert left(space) == []
    assert tarball(space, run_id).exists() == (stage != "dropped")
    assert [one.problems for one in space.check_all(read_data=True)] == [[], []]
    space.push(run_id, drop=True)
    assert space.check(run_id, read_data=True).identity
    assert space.restore(run_id).is_dir()


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    space, run_id = sealed(tmp_path, "sleep 600 & echo $! > hanging; wait")
    cancel, ended = Cancel(), list[type[ExptuiError]]()

    def push() -> None:
        try:
            space.push(run_id, cancel=cancel)
        except ExptuiError as error:
            ended.append(type(error))

    thread = threading.Thread(target=push)
    thread.start()
    hanging = tmp_path / "hanging"
    until(lambda: hanging.exists() and hanging.read_text().strip())
    cancel.ask()
    thread.join()
    assert ended == [Cancelled]
    until(lambda: not Path("/proc", hanging.read_text().strip()).exists())
    assert tarball(space, run_id).exists()
    assert left(space) == []


@pytest.mark.parametrize(
    "lines",
    ['put = ["cp", "{file}", "x"]', 'put = ["cp", "x"]\nget = ["cp", "{name}", "{file}"]', 'put = ["cp", "{file}"]\nget = ["cp", "{file}"]', 'put = ["cp", "{file}", "{run}"]\nget = ["cp", "{name}", "{file}"]'],
)  # fmt: skip
def test_commands_that_cannot_work_are_refused(tmp_path: Path, lines: str) -> None:
    space = toy(tmp_path)
    (space.root / "exptui.toml").write_text(f"[archive.remote]\n{lines}\n")
    with pytest.raises(ConfigError, match=r"archive\.remote"):
        _ = space.settings


def test_listing_does_not_need_the_place(tmp_path: Path) -> None:
    space, run_id = sealed(tmp_path)
    space.push(run_id, drop=True)
    (space.archives / f"{run_id}.remote.json").write_text("{")
    (one,) = list_archives(space.archives)
    assert (one.run_id, one.place) == (run_id, "elsewhere")
    with pytest.raises((CorruptError, UsageError)):
        space.fetch(run_id)
    assert checking.check(one.path).problems
