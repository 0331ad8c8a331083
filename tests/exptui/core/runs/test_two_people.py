"""Two people on one workspace: what is somebody else's is shown as it is, and refused; shared directories stay shared."""

from __future__ import annotations

import json
import os
import signal
import stat
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import exptui
from exptui.core.audit.report import AuditReport, Verdict
from exptui.core.runs import run
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from support import until, workspace

NOBODY, GROUP = 65534, 54321
SRC = Path(exptui.__file__).parents[1]
WAIT = 'echo $$ > "$EXPTUI_OUTPUT/pid"; exec sleep 60'


class Other:
    """The command line as another user, who belongs to GROUP too."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.python = next(
            (p for p in (sys.executable, f"/usr/bin/python3.{sys.version_info[1]}") if self.can(p)), ""
        )
        if not self.python:
            pytest.skip("no interpreter here that another user may execute")

    def can(self, python: str) -> bool:
        try:
            return not self.call([python, "-c", "import exptui.core.workspace"]).returncode
        except OSError:
            return False

    def call(self, command: list[str], umask: int = 0o022) -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join((str(SRC), sysconfig.get_path("purelib")))
        return subprocess.run(
            command,
            cwd=self.home,
            env={"PATH": os.defpath, "HOME": str(self.home), "USER": "nobody", "PYTHONPATH": paths},
            user=NOBODY,
            group=NOBODY,
            extra_groups=[GROUP],
            umask=umask,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def __call__(self, space: Workspace, *words: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
        return self.call([self.python, "-m", "exptui", "--workspace", str(space.root), *words], umask)

    def sees(self, space: Workspace) -> dict[str, str]:
        """State by run id, as `ls --json` says."""
        done = self(space, "ls", "--json")
        assert done.returncode == 0, done.stderr
        return {row["run_id"]: row["state"] for row in json.loads(done.stdout)}


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def other(shared: Path) -> Other:
    if os.getuid():
        pytest.skip("only root can be two people")
    home = shared / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    return Other(home)


def shared_workspace(parent: Path, script: str = WAIT) -> Workspace:
    space = workspace(parent, script)
    for directory in (space.results, space.archives):
        directory.mkdir()
        os.chown(directory, 0, GROUP)
        directory.chmod(0o2775)
    return space


def running(space: Workspace) -> tuple[Path, int, int]:
    """A run that waits: its directory, the trainer's pid, the supervisor's."""
    directory = space.run("a")
    until(lambda: (directory / "pid").exists() and (directory / "pid").read_text().strip())
    record = run.read(directory)
    assert record is not None
    assert record.supervisor is not None
    until(lambda: str(record.supervisor) and (directory / "attempts/1.json").exists())
    return directory, int((directory / "pid").read_text()), record.supervisor.pid


def test_another_users_runs_are_listed_as_they_are_and_refused(shared: Path, other: Other) -> None:
    space = shared_workspace(shared)
    directory, trainer, supervisor = running(space)
    name, queued = directory.name, space.run("a").name
    assert other.sees(space) == {name: "RUNNING", queued: "QUEUED"}
    for words in (["stop", name], ["stop", queued]):
        done = other(space, *words)
        assert (done.returncode, done.stdout) == (3, ""), done.stderr
        assert "belongs to root" in done.stderr
    for words in (["archive", "--incomplete", name], ["rm", name], ["archive", "--incomplete", queued]):
        done = other(space, *words)
        assert (done.returncode, done.stdout) == (3, ""), done.stderr
        assert "still at work" in done.stderr
    space.stop(queued)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: space.show(name).state is RunState.ORPHANED)
    assert other.sees(space)[name] == "ORPHANED"
    done = other(space, "stop", name)
    assert done.returncode == 3
    assert "belongs to root" in done.stderr
    assert space.show(name).state is RunState.ORPHANED
    os.kill(trainer, signal.SIGKILL)
    until(lambda: space.show(name).state is RunState.LOST)
    assert other.sees(space) == {name: "LOST", queued: "STOPPED"}


def test_another_users_left_over_processes_are_seen(shared: Path, other: Other) -> None:
    space = shared_workspace(shared, "sleep 60 & true")
    name = space.run("a").name
    until(lambda: space.show(name).state is RunState.FINISHED)
    assert space.show(name).leftovers
    done = other(space, "archive", name)
    assert "still at work" in done.stderr, done
    assert "belongs to root" in other(space, "stop", name).stderr
    space.stop(name)
    assert not space.show(name).leftovers


def test_a_setgid_directory_is_followed_whatever_the_umask(shared: Path, other: Other) -> None:
    space = shared_workspace(shared, 'umask > "$EXPTUI_OUTPUT/umask"; mkdir "$EXPTUI_OUTPUT/deep"')
    done = other(space, "run", "--wait", "a", umask=0o077)
    assert done.returncode == 0, done.stderr
    directory = space.run_directories()[0]
    for path in (directory, directory / "deep", directory / "attempts"):
        made = path.stat()
        assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode) & 0o2770) == (NOBODY, GROUP, 0o2770), (
            path
        )
    assert (directory / "umask").read_text() == "0002\n"
    for name in ("config.toml", "run.json", "umask", "trainer.log"):
        made = (directory / name).stat()
        assert (made.st_gid, made.st_mode & 0o060) == (GROUP, 0o060), name


def test_a_default_acl_is_followed(shared: Path, other: Other) -> None:
    space = shared_workspace(shared, 'true > "$EXPTUI_OUTPUT/model"')
    space.results.chmod(0o777)
    # Version 2, then (tag, permissions, id): owner, group, the named group, mask, others; acl(5), linux/posix_acl_xattr.h.
    entries = ((1, 7, -1), (4, 0, -1), (8, 7, GROUP), (16, 7, -1), (32, 0, -1))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(space.results, "system.posix_acl_default", acl)
    except OSError as error:
        pytest.skip(f"no ACL here: {error.strerror}")
    assert other(space, "run", "--wait", "a", umask=0o077).returncode == 0
    directory = space.run_directories()[0]
    assert b"\x08\x00\x07\x00" in os.getxattr(directory, "system.posix_acl_access")
    assert stat.S_IMODE((directory / "model").stat().st_mode) == 0o660


def test_two_people_take_turns_in_the_archive(shared: Path, other: Other) -> None:
    """Neither the lock of a run nor that of the ledger stays the first one's."""
    space = shared_workspace(shared, "true")
    first = space.run("a").name
    until(lambda: space.show(first).state is RunState.FINISHED)
    space.archive(first)
    (space.archives / "ledger.jsonl").chmod(0o664)
    assert (space.archives / "ledger.jsonl").stat().st_gid == GROUP
    assert other(space, "run", "--wait", "a", umask=0o002).returncode == 0
    done = other(space, "archive", "a", umask=0o002)
    assert done.returncode == 0, done.stderr


def test_another_users_verification_is_left_alone(shared: Path, other: Other) -> None:
    space = shared_workspace(
        shared, f'echo 1 > "$EXPTUI_OUTPUT/model"; while [ -e {shared}/wait ]; do sleep 0.1; done'
    )
    name = space.run("a").name
    until(lambda: space.show(name).state is RunState.FINISHED)
    (shared / "wait").touch()
    verification = space.verify(space.request(name))
    until(lambda: (state := space.verification_states().get(verification.name)) and state.worker)
    for directory in (verification, verification.parent):
        directory.chmod(0o2775)
    assert other(space, "archive", "nothing").returncode == 2  # after it recovered what a crash left
    assert verification.name in space.verification_states()
    (shared / "wait").unlink()
    report = list(space.follow(verification))[-1]
    assert isinstance(report, AuditReport)
    assert report.verdict is Verdict.REPRODUCED
