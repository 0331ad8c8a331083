"""Process trees that want to be overlooked: wrappers that die first, workers without the lock, in sessions of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from exptui.core.errors import ArchiveError, RunError
from exptui.core.files import is_held
from exptui.core.runs import process, queue, run
from exptui.core.runs.run import RunState, RunView
from exptui.core.workspace import Workspace
from soak.supervision import is_gone
from support import until, workspace

# Python closes what it does not pass on: the worker, in a session of its own, does not have the lock.
WRAPPER = """
import os, subprocess, sys
worker = subprocess.Popen(["sleep", "60"], start_new_session=True, env={} if "bare" in sys.argv else None)
open(os.environ["EXPTUI_OUTPUT"] + "/new", "w").write(f"{os.getpid()} {worker.pid}")
os.rename(os.environ["EXPTUI_OUTPUT"] + "/new", os.environ["EXPTUI_OUTPUT"] + "/pids")
"""


def wrapped(parent: Path, more: str = "worker.wait()", *words: str) -> tuple[Workspace, Path, int, int]:
    """A run whose trainer started a worker: its directory, the trainer's pid, the worker's."""
    command = [sys.executable, "-c", WRAPPER + more, *words]
    space = workspace(parent, command=command, stop_grace=5.0)
    directory = space.run("a")
    until((directory / "pids").exists)
    trainer, worker = map(int, (directory / "pids").read_text().split())
    return space, directory, trainer, worker


def supervisor(directory: Path) -> int:
    record = run.read(directory)
    assert record is not None
    assert record.supervisor is not None
    return record.supervisor.pid


def state(space: Workspace, directory: Path) -> RunState:
    return space.show(directory.name).state


def ended(space: Workspace, directory: Path) -> RunView:
    until(lambda: not state(space, directory).live)
    return space.show(directory.name)


def test_a_worker_that_outlives_its_trainer_is_said_keeps_the_slot_and_is_stopped(tmp_path: Path) -> None:
    space, directory, _, worker = wrapped(tmp_path, "")
    view = ended(space, directory)
    assert (view.state, view.leftovers) == (RunState.FINISHED, True)
    with pytest.raises(ArchiveError, match="still at work"):
        space.archive(directory.name)
    with pytest.raises(RunError, match="still at work"):
        space.remove(directory.name)
    waiting = space.run("a")
    assert state(space, waiting) is RunState.QUEUED
    assert space.stop(waiting.name).state is RunState.STOPPED
    view = space.stop(directory.name)
    assert (view.state, view.leftovers) == (RunState.FINISHED, False)
    assert is_gone(worker)
    assert space.archive(directory.name).path.is_file()


def test_left_over_processes_that_end_by_themselves_free_the_slot(tmp_path: Path) -> None:
    space, directory, _, worker = wrapped(tmp_path, "")
    assert ended(space, directory).leftovers
    record = run.read(directory)
    assert record is not None
    assert record.run_lock is not None
    os.kill(worker, signal.SIGKILL)
    until(lambda: not space.show(directory.name).leftovers)
    lock = record.run_lock
    until(lambda: not is_held(lock))


@pytest.mark.parametrize("words", [(), ("bare",)], ids=["by its environment", "by what was noted of it"])
def test_an_orphaned_worker_without_the_lock_is_an_orphan_and_is_stopped(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    space, directory, trainer, worker = wrapped(tmp_path, "worker.wait()", *words)
    if words:  # its environment names no run: only the note of its supervisor tells
        until(lambda: str(worker) in (directory / "attempts/1.json").read_text())
    holders = supervisor(directory), trainer
    for pid in holders:
        os.kill(pid, signal.SIGKILL)
    until(lambda: all(map(is_gone, holders)))  # until then they have the lock
    record = run.read(directory)
    assert record is not None
    assert record.run_lock is not None
    assert not is_held(record.run_lock)
    assert state(space, directory) is RunState.ORPHANED
    with pytest.raises(ArchiveError, match="still at work"):
        space.archive(directory.name, incomplete=True)
    assert queue.busy(Path(record.run_lock.path).parent) == 1
    assert space.stop(directory.name).state is RunState.STOPPED
    assert is_gone(worker)
    assert queue.busy(Path(record.run_lock.path).parent) == 0


def test_a_killed_guardian_leaves_what_it_guarded_in_sight(tmp_path: Path) -> None:
    space, directory, _, worker = wrapped(tmp_path, "")
    assert ended(space, directory).leftovers
    os.kill(supervisor(directory), signal.SIGKILL)
    until(lambda: is_gone(supervisor(directory)))
    assert space.show(directory.name).leftovers
    view = space.stop(directory.name)
    assert (view.state, view.leftovers) == (RunState.FINISHED, False)
    assert is_gone(worker)


def test_stop_reaches_the_worker_in_its_own_session(tmp_path: Path) -> None:
    space, directory, trainer, worker = wrapped(tmp_path)
    assert space.stop(directory.name).state is RunState.STOPPED
    assert is_gone(trainer)
    assert is_gone(worker)


def test_a_finished_run_costs_no_look_at_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = workspace(tmp_path)
    directory = space.run("a")
    ended(space, directory)

    def scan(*_: object) -> None:
        raise AssertionError("a finished run was looked for among the processes")

    for name in ("is_held", "alive", "marked"):
        monkeypatch.setattr(run, name, scan)
    assert space.show(directory.name).leftovers is False


def test_a_process_whose_main_thread_has_ended_works(tmp_path: Path) -> None:
    """A main thread that has ended leaves a zombie whose other threads work."""
    code = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start()"
    code += "; ctypes.CDLL(None).pthread_exit(None)"
    child = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert [p.pid for p in process.descendants(os.getpid()) if p.pid == child.pid] == [child.pid]
    child.kill()
    child.wait()
