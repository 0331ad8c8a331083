"""Signatures: plain ssh-keygen agrees, whoever changes something is named, and no key is ever waited for."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exptui import cli
from exptui.core import user
from exptui.core.archive import ledger, recovery, restore, seal, signature
from exptui.core.archive.check import CheckResult, Subset
from exptui.core.errors import ArchiveError, ConfigError, CorruptError
from exptui.core.files import sha256_bytes
from exptui.core.settings import load as load_settings
from exptui.core.workspace import Workspace
from support import workspace

ME = "me@example.org"


def make_key(path: Path, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path], check=True)
    return path


def settings(folder: Path, **values: object) -> None:
    """Write the user's own settings."""
    (folder / "exptui").mkdir(exist_ok=True)
    lines = "".join(f"{name} = {json.dumps(str(value))}\n" for name, value in values.items())
    (folder / "exptui/config.toml").write_text(f"[signing]\n{lines}")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's settings directory, with a key of theirs that they allow."""
    made = tmp_path / "home"
    made.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(made))
    public = make_key(made / "key").with_suffix(".pub").read_text()
    (made / "allowed").write_text(f"{ME} {public}")
    settings(made, key=made / "key", allowed_signers=made / "allowed")
    return made


@pytest.fixture
def space(tmp_path: Path, home: Path) -> Workspace:
    return workspace(tmp_path)


def finished(space: Workspace) -> str:
    run_id = space.run("a").name
    list(space.wait(run_id))
    return run_id


def checked(space: Workspace, run_id: str) -> CheckResult:
    return space.check(run_id, read_data=True)


def test_plain_ssh_keygen_agrees(space: Workspace, home: Path) -> None:
    run_id = finished(space)
    sealed = space.archive(run_id)
    command = f"ssh-keygen -Y verify -f {home}/allowed -I {ME} -n exptui-archive-v1 -s {run_id}.sig"
    manifest = (space.archives / f"{run_id}.manifest.json").read_bytes()
    plain = subprocess.run(command.split(), input=manifest, cwd=space.archives, capture_output=True)
    assert plain.returncode == 0
    fingerprint = subprocess.run(["ssh-keygen", "-lf", home / "key.pub"], capture_output=True, text=True)
    key = fingerprint.stdout.split()[1]
    assert ledger.read(space.archives)[0][0]["signed_by"] == key
    assert checked(space, run_id) == CheckResult(run_id, sealed.identity, [], f"{ME} ({key})")
    assert restore.allowed_signer(sealed.path) == ME
    assert restore.restore(sealed.path, space.results / run_id).signer == ME


def other_signer(space: Workspace, run_id: str, home: Path) -> None:
    manifest = (space.archives / f"{run_id}.manifest.json").read_bytes()
    (space.archives / f"{run_id}.sig").write_bytes(signature.sign(manifest, str(make_key(home / "other"))))


def another_run(space: Workspace, run_id: str, home: Path) -> None:
    (space.archives / f"{run_id}.sig").write_bytes(signature.sign(b"another manifest", str(home / "key")))


def line_end(space: Workspace, run_id: str, home: Path) -> None:
    path = space.archives / f"{run_id}.sig"
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def gone(space: Workspace, run_id: str, home: Path) -> None:
    (space.archives / f"{run_id}.sig").unlink()


def empty(space: Workspace, run_id: str, home: Path) -> None:
    (space.archives / f"{run_id}.sig").write_bytes(b"")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other_signer, "the ledger says SHA256:"),
        (another_run, "does not fit the manifest"),
        (line_end, "not an SSH signature"),
        (gone, "is missing: the ledger says"),
        (empty, "not an SSH signature"),
    ],
    ids=["another signer", "another run's", "a byte that ssh-keygen ignores", "gone", "empty"],
)
def test_what_became_of_a_signature_is_named(
    space: Workspace, home: Path, change: Callable[[Workspace, str, Path], None], says: str
) -> None:
    run_id = finished(space)
    path = space.archive(run_id).path
    change(space, run_id, home)
    (problem,) = checked(space, run_id).problems
    assert f"{run_id}.sig" in problem
    assert says in problem
    with pytest.raises(CorruptError, match=says):
        restore.restore(path, space.results / run_id)
    assert not (space.results / run_id).exists()


def test_a_changed_file_is_found_whatever_the_digests_around_it_say(space: Workspace, home: Path) -> None:
    run_id = finished(space)
    path = space.archive(run_id).path
    before, word, after = gzip.decompress(path.read_bytes()).rpartition(b"trained\n")
    tar = before + word.upper() + after
    path.write_bytes(gzip.compress(tar, mtime=0))
    digest = sha256_bytes(path.read_bytes())
    sums = space.archives / f"{run_id}.sha256"
    sums.write_text(f"{digest}{sums.read_text()[64:]}")
    (event,) = ledger.read(space.archives)[0]
    (space.archives / ledger.NAME).unlink()
    ledger.append(space.archives, {**event, "identity": sha256_bytes(tar), ledger.GZ: digest})
    found = checked(space, run_id)
    assert found.problems == [f"{run_id}.tar.gz: trainer.log is not the file that was sealed"]


def test_a_signer_that_is_not_allowed(space: Workspace, home: Path) -> None:
    run_id = finished(space)
    path = space.archive(run_id).path
    (home / "allowed").write_text(f"somebody@else {make_key(home / 'other').with_suffix('.pub').read_text()}")
    (problem,) = checked(space, run_id).problems
    assert "whom you do not allow" in problem
    assert restore.allowed_signer(path) == ""
    settings(home)  # no word of who is allowed: the signature fits, and its key is shown
    assert checked(space, run_id).problems == []
    assert checked(space, run_id).signer.startswith("SHA256:")
    settings(home, allowed_signers=home / "nothing")
    with pytest.raises(ConfigError, match="nothing"):
        checked(space, run_id)


def test_a_locked_or_missing_key_refuses_before_anything_is_there(space: Workspace, home: Path) -> None:
    run_id = finished(space)
    before = sorted((space.results / run_id).rglob("*"))
    for key in (make_key(home / "locked", "a passphrase"), home / "nowhere"):
        settings(home, key=key)
        with pytest.raises(ArchiveError, match="cannot sign with") as refused:
            space.archive(run_id)
        assert "ssh-add" in refused.value.hint
        assert list(space.archives.iterdir()) == []
        assert sorted((space.results / run_id).rglob("*")) == before
    assert space.archive(run_id, sign=False).run_id == run_id
    assert not (space.archives / f"{run_id}.sig").exists()


@pytest.fixture
def agent(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An ssh-agent that holds the locked key."""
    (home / "ask").write_text("#!/bin/sh\necho a passphrase\n")
    (home / "ask").chmod(0o700)
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", home / "socket"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.readline()  # printed once it listens
    monkeypatch.setenv("SSH_AUTH_SOCK", str(home / "socket"))
    ask = {**os.environ, "SSH_ASKPASS": str(home / "ask"), "SSH_ASKPASS_REQUIRE": "force"}
    key = make_key(home / "locked", "a passphrase")
    subprocess.run(["ssh-add", "-q", key], env=ask, check=True, capture_output=True)
    yield
    process.terminate()
    process.wait()


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("name", ["locked", "locked.pub"])
def test_an_agent_signs(space: Workspace, home: Path, name: str) -> None:
    settings(home, key=home / name)
    run_id = finished(space)
    space.archive(run_id)
    assert checked(space, run_id).signer


def test_without_ssh_keygen_nothing_is_passed_over(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_id = finished(space)
    space.archive(run_id)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ArchiveError, match="need ssh-keygen"):
        checked(space, run_id)


def test_a_key_that_never_answers_is_given_up(
    space: Workspace, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = finished(space)
    (home / "bin").mkdir()
    (home / "bin/ssh-keygen").write_text("#!/bin/sh\nexec sleep 60\n")
    (home / "bin/ssh-keygen").chmod(0o700)
    monkeypatch.setenv("PATH", f"{home / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(signature, "SECONDS", 0.2)
    with pytest.raises(ArchiveError, match="no answer"):
        space.archive(run_id)
    assert list(space.archives.iterdir()) == []


def test_sign_and_no_sign(space: Workspace, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = finished(space)
    at = ["--workspace", str(space.root)]
    settings(home)
    assert cli.main([*at, "archive", "--sign", run_id]) == 2
    assert "no key to sign with" in capsys.readouterr().err
    assert cli.main([*at, "archive", "--keep", run_id]) == 0
    settings(home, key="../key")  # beside the settings file
    assert cli.main([*at, "archive", "--no-sign", "--keep", run_id]) == 0
    assert checked(space, run_id).signer == ""
    assert cli.main([*at, "archive", "--keep", run_id]) == 0  # already archived: signed now, says the ledger
    assert checked(space, run_id).signer.startswith("SHA256:")
    for suffix in (".sig", ".sha256"):
        (space.archives / f"{run_id}{suffix}").unlink()
        assert (
            cli.main([*at, "archive", "--no-sign", "--keep", run_id]) == 0
        )  # once more: the loss stays known
        assert cli.main([*at, "check", run_id]) == 4
    assert cli.main([*at, "archive", "--keep", run_id]) == 0
    assert cli.main([*at, "check", run_id]) == 0
    (space.archives / f"{run_id}.card.json").write_text("{}")
    assert cli.main([*at, "archive", run_id]) == 0
    assert cli.main([*at, "check", run_id]) == 4


def test_no_workspace_says_who_is_trusted(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (space.root / "exptui.toml").write_text('[signing]\nkey = "theirs"\n')
    with pytest.raises(ConfigError, match="signing"):
        load_settings(space.root / "exptui.toml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", "home")  # relative: would be found in the current directory
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    assert user.load() == user.User()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (tmp_path / "home/exptui/config.toml").write_text("[signing]\nkeys = 1\n")
    with pytest.raises(ConfigError, match="keys"):
        user.load()


def test_a_crash_before_the_commit_leaves_no_signature_and_one_after_is_known(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = finished(space)
    space.archives.mkdir()
    (space.archives / "mine.sig").write_text("not of an archive")
    pid = os.fork()
    if pid == 0:
        monkeypatch.setattr(seal, "_publish", lambda *_: os._exit(9))
        try:
            space.archive(run_id)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert (space.archives / f"{run_id}.sig").exists()
    assert recovery.recover(space.archives, space.results)
    assert [path.name for path in space.archives.iterdir()] == ["mine.sig"]
    space.archive(run_id)
    (space.archives / ledger.NAME).unlink()
    assert recovery.recover(space.archives, space.results) == [f"entered {run_id}.tar.gz in the ledger"]
    (space.archives / f"{run_id}.sig").unlink()
    assert "is missing" in checked(space, run_id).problems[0]


def test_parts_of_all_archives() -> None:
    names = [f"run_{number}" for number in range(200)]
    for of in (1, 3, 7):
        parts = [[name for name in names if name in Subset(n, of)] for n in range(1, of + 1)]
        assert sorted(name for part in parts for name in part) == sorted(names)
        assert all(parts)


def test_the_ledger_as_a_whole(space: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--workspace", str(space.root), "check"]
    assert cli.main(at) == 0
    assert "no archives yet" in capsys.readouterr().out
    one, two, three = finished(space), finished(space), finished(space)
    for run_id in (one, two, three):
        space.archive(run_id, sign=run_id == two)
    assert cli.main([*at, "--subset", "1/2"]) == 2
    with pytest.raises(SystemExit, match="2"):
        cli.main([*at, "--read-data", "--subset", "3/2"])
    capsys.readouterr()
    assert cli.main([*at, "--read-data", "--subset", "1/2"]) == 0
    out = capsys.readouterr().out
    read = sum(run_id in Subset(1, 2) for run_id in (one, two, three))
    assert f"read every byte of {read} of 3 archives" in out
    assert f"{two}  intact  signed by {ME}" in out
    head = out.split("head ")[1].split()[0]
    path = space.archives / ledger.NAME
    whole = path.read_bytes()
    ledger.append(space.archives, ledger.event("removed", "other", ""))
    assert cli.main([*at, "--head", head]) == 0
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))  # the chain alone does not see this
    capsys.readouterr()
    assert cli.main([*at, "--head", head, "--json"]) == 4
    results = json.loads(capsys.readouterr().out)
    assert {r["run_id"]: r["problems"] for r in results if r["problems"]} == {
        three: [f"{three} is not in the ledger"],
        ledger.NAME: [
            f"ledger.jsonl: no line has the digest {head}: the end was cut, or it was written anew"
        ],
    }
    path.write_bytes(whole)
    (space.archives / f"{one}.tar.gz").unlink()
    assert cli.main(at) == 4
    assert f"{one}.tar.gz is missing: the ledger knows it" in capsys.readouterr().out


def test_a_changed_line_is_named_and_nothing_is_restored(space: Workspace) -> None:
    run_id = finished(space)
    path = space.archive(run_id).path
    ledger.append(space.archives, ledger.event("restored", run_id, "0" * 64))
    book = space.archives / ledger.NAME
    good = book.read_bytes()
    lines = good.splitlines(keepends=True)
    for at in range(2):  # the last line too, which no other one follows
        book.write_bytes(
            b"".join(
                line.replace(b'"host":"', b'"host":"x') if n == at else line for n, line in enumerate(lines)
            )
        )
        assert checked(space, run_id).problems == [f"ledger.jsonl:{at + 1}: not the line that was written"]
        with pytest.raises(CorruptError, match=f"ledger.jsonl:{at + 1}"):
            restore.restore(path, space.results / run_id)
    book.write_bytes(lines[1])
    assert "does not follow" in checked(space, run_id).problems[0]
    book.write_bytes(good[:-3])
    assert checked(space, run_id).problems == [ledger.TORN]
    restore.restore(path, space.results / run_id)  # as a crash leaves it: no reason to withhold anything


def test_a_changed_card_is_named(space: Workspace) -> None:
    run_id = finished(space)
    space.archive(run_id)
    card = space.archives / f"{run_id}.card.json"
    card.write_bytes(card.read_bytes().replace(b"7", b"8"))
    (problem,) = space.check(run_id).problems
    assert f"{run_id}.card.json is not the one" in problem
