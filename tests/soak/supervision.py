"""What a run must survive, as often as is asked for. Each returns how often it was seen; a broken promise is an AssertionError."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
from functools import partial
from pathlib import Path
from unittest import mock

import msgspec
import psutil
import pytest

from exptui.core.errors import ExptuiError, RunError
from exptui.core.files import pretty_json
from exptui.core.runs import process, run
from exptui.core.runs.process import Process
from exptui.core.runs.run import Attempt, Phase, RunRecord, RunState
from exptui.core.workspace import Workspace
from support import until, workspace

WAIT = (
    'trap "" TERM; echo $$ > "$EXPTUI_OUTPUT/pid"; while [ ! -e "$EXPTUI_OUTPUT/go" ]; do sleep 0.05; done; '
    'rm "$EXPTUI_OUTPUT/go"'
)


def fresh(parent: Path, **trainer: object) -> Workspace:
    """A workspace whose trainer works until a file `go` appears, and ignores SIGTERM."""
    parent.mkdir()
    return workspace(parent, WAIT, **{"stop_grace": 0.1, **trainer})


def record_of(directory: Path) -> RunRecord:
    """Its run.json."""
    record = run.read(directory)
    assert record is not None
    return record


def is_gone(pid: int) -> bool:
    """Whether a process is not there, or a zombie."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # asked in one step: it may go between two
        return True


def is_stopped(pid: int) -> bool:
    """Whether SIGSTOP holds it."""
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def trainer_of(directory: Path) -> int:
    """The trainer's pid, once it works."""
    until(lambda: (directory / "pid").exists() and (directory / "pid").read_text().strip())
    return int((directory / "pid").read_text())


def ended(space: Workspace, directory: Path) -> RunState:
    """The state of a run once it is over."""
    until(lambda: not space.view(directory).state.live)
    return space.view(directory).state


def running(space: Workspace) -> tuple[Path, int, int]:
    """A run that waits: its directory, the trainer's pid, the supervisor's."""
    directory = space.run("a")
    trainer = trainer_of(directory)
    supervisor = record_of(directory).supervisor
    assert supervisor is not None
    return directory, trainer, supervisor.pid


def hang_ups(parent: Path, times: int) -> int:
    """SIGHUP to a supervisor and to all of its session: while it starts, while it works, while it is stopped."""
    space = fresh(parent)
    for _ in range(times):
        known = {child.pid for child in psutil.Process().children()}
        directory = space.run("a")
        (supervisor,) = {child.pid for child in psutil.Process().children()} - known
        for _ in range(5):
            os.killpg(supervisor, signal.SIGHUP)
        trainer = trainer_of(directory)
        os.kill(trainer, signal.SIGSTOP)  # of a stopped group the kernel takes a lost session for a hang-up
        for _ in range(5):
            os.killpg(supervisor, signal.SIGHUP)
        assert space.show(directory.name).state is RunState.RUNNING
        os.kill(trainer, signal.SIGCONT)
        (directory / "go").touch()
        assert ended(space, directory) is RunState.FINISHED
    return times


def killed_supervisors(parent: Path, times: int) -> int:
    """kill -9 of the supervisor, every second time of a stopped trainer's: an orphan, which is stopped and resumed."""
    space = fresh(parent, resume=["--from", "{checkpoint}"], checkpoints="pid")
    for number in range(times):
        directory, trainer, supervisor = running(space)
        if stopped := number % 2:
            os.kill(trainer, signal.SIGSTOP)
            until(partial(is_stopped, trainer))
        os.kill(supervisor, signal.SIGKILL)
        while (state := space.view(directory).state) is RunState.RUNNING:
            pass  # it has been killed, and is not gone yet
        assert state is RunState.ORPHANED
        until(partial(is_gone, supervisor))
        assert not is_gone(trainer), "a trainer was lost with its supervisor"
        assert not stopped or is_stopped(trainer)
        with pytest.raises(RunError, match="ORPHANED"):
            space.resume(directory.name)
        assert space.stop(directory.name).state is RunState.STOPPED
        assert is_gone(trainer)
        (directory / "go").touch()
        space.resume(directory.name)
        assert ended(space, directory) is RunState.FINISHED
        assert record_of(directory).attempts == 2
    return times


def mistaken(parent: Path, times: int, *, boot: bool) -> int:
    """The record's numbers belong to another process now, or to another boot: LOST, and nobody is signalled."""
    space = fresh(parent)
    directory, _, supervisor = running(space)
    space.stop(directory.name)
    until(partial(is_gone, supervisor))
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        (real,) = (p for p in process.descendants(os.getpid()) if p.pid == bystander.pid)
        for number in range(1, times + 1):
            false = (
                Process(pid=real.pid, start_time=real.start_time, boot_id=f"another-{number}")
                if boot
                else Process(pid=real.pid, start_time=real.start_time - number / 100, boot_id=real.boot_id)
            )
            _forge(directory, false)
            assert not process.alive(false)
            process.send(false, signal.SIGKILL)
            assert space.show(directory.name).state is RunState.LOST
            with pytest.raises(RunError, match="LOST"):
                space.stop(directory.name)
            assert bystander.poll() is None, "a bystander was signalled"
        _forge(directory, real)
        assert space.show(directory.name).state is RunState.RUNNING
    finally:
        bystander.kill()
        bystander.wait()
    return times


def _forge(directory: Path, holder: Process) -> None:
    old = record_of(directory)
    lock = old.supervisor_lock
    forged = msgspec.structs.replace(old, phase=Phase.RUNNING, exit=None, supervisor=holder, run_lock=lock)
    run.write(directory, forged)
    attempt = Attempt(attempt=old.attempts, pid=holder.pid, processes=(holder,))
    run.attempt_file(directory, old.attempts).write_bytes(pretty_json(attempt))


def no_locks(parent: Path, times: int) -> int:
    """A file system without locks: a launch is refused and says so, a live run is seen by its processes."""
    space = fresh(parent)
    directory, _, supervisor = running(space)
    for number in range(times):
        reason = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)[number % 3]
        with mock.patch.object(fcntl, "flock", side_effect=OSError(reason, os.strerror(reason))):
            assert space.show(directory.name).state is RunState.RUNNING
            before = space.run_directories()
            with pytest.raises(ExptuiError, match="lock") as caught:
                space.run("a")
            assert "local_lock" in caught.value.hint
            assert space.run_directories() == before
    os.kill(supervisor, signal.SIGKILL)
    until(partial(is_gone, supervisor))
    with mock.patch.object(fcntl, "flock", side_effect=OSError(errno.ENOLCK, "No locks available")):
        assert space.show(directory.name).state is RunState.ORPHANED
    (directory / "go").touch()
    assert ended(space, directory) is RunState.LOST
    with mock.patch.object(fcntl, "flock", side_effect=OSError(errno.ENOLCK, "No locks available")):
        assert space.show(directory.name).state is RunState.LOST
    return times
