"""What is not kept: listed with its digest, never called present, and still compared."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exptui import cli
from exptui.core.archive import attested, ledger, manifest, seal
from exptui.core.archive.manifest import RECORD, Attested
from exptui.core.audit.report import Verdict, headline
from exptui.core.errors import ArchiveError, CorruptError, RunError
from exptui.core.files import sha256_bytes
from exptui.core.workspace import Workspace
from support import finished, toy, verified, workspace, wrong

NAMES = [f"checkpoints/epoch_{epoch:04d}.ckpt" for epoch in range(1, 5)]


def keeping(space: Workspace, what: str) -> Workspace:
    """With `[archive] checkpoints`."""
    with (space.root / "exptui.toml").open("a") as file:
        file.write(f'[archive]\ncheckpoints = "{what}"\n')
    return space


def sealed(space: Workspace, run_id: str) -> manifest.Manifest:
    return manifest.decode((space.archives / f"{run_id}.manifest.json").read_bytes())


@pytest.mark.parametrize(("what", "gone"), [("all", []), ("last", NAMES[:3]), ("none", NAMES)])
def test_which_checkpoints_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, gone: list[str]
) -> None:
    space = keeping(toy(tmp_path), what)
    run_id = finished(space)
    digests = {name: sha256_bytes((space.results / run_id / name).read_bytes()) for name in NAMES}
    words = ["--workspace", str(space.root)]
    assert cli.main([*words, "archive", run_id]) == 0
    assert (attested.words(len(gone)) in capsys.readouterr().err) == bool(gone)
    found = sealed(space, run_id)
    assert (found.schema, [one.path for one in found.absent]) == (2 if gone else 1, gone)
    assert {one.path: one.sha256 for one in found.absent} == {name: digests[name] for name in gone}
    assert not {one.path for one in found.files} & set(gone)
    assert space.check(run_id, read_data=True).attested == len(gone)
    for command in (["check"], ["check", "--read-data"], ["ls", "archive"]):
        assert cli.main([*words, *command]) == 0
        assert (attested.words(len(gone)) in capsys.readouterr().out) == bool(gone)
    assert cli.main([*words, "restore", run_id]) == 0
    said = capsys.readouterr().err
    assert [name in said for name in NAMES] == [name in gone for name in NAMES]
    assert [one.path for one in attested.read(space.results / run_id)] == gone
    assert [(space.results / run_id / name).exists() for name in NAMES] == [
        name not in gone for name in NAMES
    ]
    assert space.archive(run_id).already  # with the same identity
    assert [one.problems for one in space.check_all(read_data=True)] == [[], []]


@pytest.mark.parametrize("segments", [0, 4])
def test_a_rerun_is_compared_with_what_is_attested(tmp_path: Path, segments: int) -> None:
    space = keeping(toy(tmp_path), "last" if segments else "none")
    wrong(epochs=6)(space)
    run_id = finished(space)
    space.archive(run_id)
    if segments:  # they have nothing to start from
        assert verified(space, run_id, segments=segments).reason.startswith("segments need two checkpoints")
        return
    report = verified(space, run_id)
    assert (report.verdict, report.is_identical) == (Verdict.REPRODUCED, True)
    assert report.run_a_hash == report.run_b_hash
    assert [file.status for file in report.files if "ckpt" in file.path] == ["equal to attested"] * 6
    assert "6 of them to an attested digest alone" in headline(report)
    wrong(epochs=6, write={NAMES[1]: "other"})(space)  # another checkpoint, and nothing else
    report = verified(space, run_id, keep_going=True)
    assert report.verdict is Verdict.DIVERGED
    assert [(file.path, file.status) for file in report.diverged_files] == [(NAMES[1], "differs")]


def test_a_run_of_which_only_digests_are_left_is_not_reproduced_by_nothing(tmp_path: Path) -> None:
    script = 'cd "$EXPTUI_OUTPUT"; echo weights > ck_1'
    space = keeping(workspace(tmp_path, script, checkpoints="ck_{epoch}"), "none")
    run_id = finished(space)
    space.archive(run_id)
    report = verified(space, run_id)
    assert (report.verdict, headline(report)) == (
        Verdict.REPRODUCED,
        "REPRODUCED  2 of 2 files equal, 1 of them to an attested digest alone",
    ), report
    text = (space.root / "exptui.toml").read_text()
    (space.root / "exptui.toml").write_text(text.replace("echo weights > ck_1", "true"))
    assert verified(space, run_id).verdict is Verdict.FAILED  # it wrote nothing
    (space.root / "exptui.toml").write_text(text.replace("echo weights", "echo other"))
    assert verified(space, run_id).verdict is Verdict.DIVERGED


def test_what_is_there_is_present_whatever_the_record_says(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "ck/1").mkdir(parents=True)
    for name in ("ck/1/weights", "ck/2", "log"):
        (run / name).write_text(name)
    assert attested.remove(run, ["ck/1/weights", "ck/2"]) == 2
    assert [one.path for one in attested.read(run)] == ["ck/1/weights", "ck/2"]
    assert sorted(path.name for path in run.iterdir()) == [RECORD, "log"]
    (run / "ck").mkdir()
    (run / "ck/2").write_text("again")
    assert [one.path for one in attested.read(run)] == ["ck/1/weights"]
    assert attested.remove(run, ["ck/2"]) == 1
    assert [one.sha256 for one in attested.read(run)] == [
        sha256_bytes(b"ck/1/weights"),
        sha256_bytes(b"again"),
    ]


def test_a_verify_of_a_pruned_run(tmp_path: Path) -> None:
    space = toy(tmp_path)
    run_id = finished(space)
    attested.remove(space.results / run_id, NAMES[:2])
    report = verified(space, run_id)
    assert (report.verdict, report.run_a_hash) == (Verdict.REPRODUCED, report.run_b_hash), report
    assert [file.status for file in report.files if "ckpt" in file.path] == ["equal to attested"] * 2 + [
        "equal"
    ] * 2
    assert RECORD not in {file.path for file in report.files}
    identity = space.archive(run_id).identity
    assert [one.path for one in sealed(space, run_id).absent] == NAMES[:2]
    space.restore(run_id)
    assert space.archive(run_id).identity == identity
    assert verified(space, run_id).verdict is Verdict.REPRODUCED


def test_nothing_is_removed_that_was_written_to_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "a").write_bytes(b"1")
    (run / "b").write_bytes(b"2")
    write = attested.write

    def meanwhile(*given: Any) -> None:
        write(*given)
        (run / "b").write_bytes(b"3")
        os.utime(run / "b", (1, 1))

    monkeypatch.setattr(attested, "write", meanwhile)
    with pytest.raises(RunError, match="b was written to"):
        attested.remove(run, ["a", "b"])
    assert (run / "b").read_bytes() == b"3"
    assert [(one.path, one.sha256) for one in attested.read(run)] == [("a", sha256_bytes(b"1"))]


def test_an_omitted_file_that_changes_while_it_is_archived_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = keeping(toy(tmp_path), "none")
    run_id = finished(space)
    path, real = space.results / run_id / NAMES[0], seal.read_back

    def meanwhile(*given: Any) -> Any:
        path.write_bytes(path.read_bytes() + b"more")
        return real(*given)

    monkeypatch.setattr(seal, "read_back", meanwhile)
    with pytest.raises(ArchiveError, match=f"{NAMES[0]} changed"):
        space.archive(run_id)
    assert path.exists()
    assert ledger.read(space.archives)[0] == []
    assert not list(space.archives.glob("*"))


def test_a_damaged_record_is_not_taken_for_none(tmp_path: Path) -> None:
    space = toy(tmp_path)
    run_id = finished(space)
    for text in ("{", '{"schema":1,"files":[{"path":"../x","size":1,"sha256":"0","class":"identity"}]}'):
        (space.results / run_id / RECORD).write_text(text)
        with pytest.raises(CorruptError):
            space.archive(run_id)
        assert verified(space, run_id).verdict is Verdict.UNKNOWN


ENTRY = {"class": "identity", "path": "b", "sha256": "0" * 64, "size": 3}


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"attested": [ENTRY]},
        {"schema": 2, "attested": []},
        {"attested": []},
        {"schema": 3, "attested": [ENTRY]},
        {"schema": 2, "attested": [{**ENTRY, "path": "a"}]},
        {"schema": 2, "attested": [{**ENTRY, "path": "A"}]},
        {"schema": 2, "attested": [{**ENTRY, "path": "a/b"}]},
        {"schema": 2, "attested": [{**ENTRY, "path": "../a"}]},
        {"schema": 2, "attested": [{**ENTRY, "path": RECORD}]},
        {"schema": 2, "attested": [{**ENTRY, "size": -1}]},
        {"schema": 2, "attested": [{**ENTRY, "sha256": "x"}]},
        {"schema": 2, "attested": [{**ENTRY, "path": "c"}, ENTRY]},
        {"schema": 2, "attested": [ENTRY], "total_bytes": 4},
    ],
)
def test_a_manifest_that_attests_wrongly_is_refused(changes: dict[str, Any]) -> None:
    plain = {
        "attempts": 1, "config_sha256": "", "files": [{**ENTRY, "path": "a", "size": 1}], "fingerprint": None,
        "incomplete": False, "recipe": None, "run_id": "r", "schema": 1, "settings_digest": "", "total_bytes": 1,
    }  # fmt: skip

    def write(value: dict[str, Any]) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    assert manifest.decode(write(plain)).absent == []
    assert manifest.decode(write({**plain, "schema": 2, "attested": [ENTRY]})).absent == [
        msgspec.convert(ENTRY, Attested)
    ]
    with pytest.raises(CorruptError):
        manifest.decode(write({**plain, **changes}))
