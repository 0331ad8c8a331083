"""What is known of a run: `run.json`, and the state that follows from it and from two locks."""

from __future__ import annotations

import contextlib
import enum
import os
import re
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from exptui.core.files import LockId, is_held, pretty_json, read_json, write_atomic

STAMP = re.compile(r"_\d{8}T\d{6}Z(-\d+)?$")
POLL = 0.1


class RunState(enum.StrEnum):
    """The states a run is shown in (contract §4)."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    ORPHANED = "ORPHANED"
    LOST = "LOST"
    REMOTE = "REMOTE"
    EXTERNAL = "EXTERNAL"

    @property
    def live(self) -> bool:
        """Whether something may still be writing into its directory."""
        return self in (RunState.QUEUED, RunState.RUNNING, RunState.ORPHANED, RunState.REMOTE)


class Phase(enum.StrEnum):
    """What run.json says; the state shown also depends on the locks."""

    QUEUED = "queued"
    RUNNING = "running"
    EXITED = "exited"


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How the trainer is started, frozen at launch."""

    trainer: str
    command: tuple[str, ...]
    argv: tuple[str, ...]
    cwd: str
    cwd_setting: str = "."
    resume: tuple[str, ...]
    checkpoints: str
    code: tuple[str, ...]
    passed: tuple[str, ...]
    set: dict[str, str]
    secret: tuple[str, ...]
    preset: str
    threads: int
    stop_grace: float
    observational: tuple[str, ...]
    slots: int
    volatile: dict[str, tuple[str, ...]] = {}
    adopts: bool = False  # not told where to write: a directory it makes in results/ is taken over


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    start_time: float
    boot_id: str


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How the trainer ended: a code or a signal, or the reason why it never started."""

    code: int | None = None
    signal: int | None = None
    stop_requested: bool = False
    error: str = ""


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """run.json, schema 1. Times are ISO 8601 in UTC."""

    run_id: str
    config_name: str
    config_sha256: str
    settings_digest: str
    user: str
    host: str
    queued_at: str
    recipe: Recipe
    phase: Phase = Phase.QUEUED
    schema: int = 1
    attempts: int = 1
    started_at: str = ""
    ended_at: str = ""
    supervisor: Process | None = None
    supervisor_lock: LockId | None = None
    run_lock: LockId | None = None
    exit: Exit | None = None
    fingerprint: dict[str, object] | None = None
    code_changed: bool = False
    resumed_from: str = ""
    argv: tuple[str, ...] = ()  # of this attempt, where it is not the recipe's
    adopted: str = ""  # name in results/ of the directory the trainer made itself, until it is merged


@dataclass(frozen=True)
class RunView:
    """A run as it is shown: its directory, its record where there is one, and its state at the time of looking."""

    run_id: str
    path: Path
    state: RunState
    record: RunRecord | None
    problem: str = ""
    leftovers: bool = False

    @property
    def stem(self) -> str:
        """The name of the experiment: its config's, where that is known."""
        return Path(self.record.config_name).stem if self.record else stem_of(self.run_id)

    @property
    def files(self) -> Path:
        """Where the trainer's files are now: the directory it made itself while it runs, else the run's own."""
        own = self.path.parent / self.record.adopted if self.record and self.record.adopted else self.path
        return own if own.is_dir() else self.path


def stem_of(run_id: str) -> str:
    """The experiment's name in a run id; the whole of a name that is not one."""
    return STAMP.sub("", run_id) or run_id


def write(directory: Path, record: RunRecord) -> None:
    """Replace run.json atomically and durably."""
    write_atomic(directory / "run.json", pretty_json(record))


def read(directory: Path) -> RunRecord | None:
    """The record of a run, None for a directory that exptui did not make.

    Raises:
        CorruptError: run.json is there but cannot be read as one.
    """
    try:
        return read_json(directory / "run.json", RunRecord)
    except FileNotFoundError:
        return None


def observe(directory: Path) -> tuple[RunRecord | None, RunState]:
    """The record and the state, consistent with each other.

    A supervisor writes "exited" before it lets go of its lock, so a free lock beside an older record is looked at again.

    Raises:
        CorruptError: run.json is there but cannot be read as one.
    """
    record = read(directory)
    while (state := state_of(record)) in (RunState.LOST, RunState.ORPHANED):
        again = read(directory)
        if again == record:
            break
        record = again
    return record, state


def state_of(record: RunRecord | None) -> RunState:
    """The state to show now (the table of contract §4). Never FINISHED without a recorded exit code 0."""
    if record is None:
        return RunState.EXTERNAL
    if record.phase is Phase.EXITED:
        return _ended(record.exit or Exit(error="no exit was recorded"))
    if record.host != socket.gethostname():
        return RunState.REMOTE
    supervised = record.supervisor_lock is not None and is_held(record.supervisor_lock)
    if record.phase is Phase.QUEUED:
        return RunState.QUEUED if supervised else RunState.LOST
    if supervised:
        return RunState.RUNNING
    return RunState.ORPHANED if has_leftovers(record) else RunState.LOST


def _ended(end: Exit) -> RunState:
    if end.stop_requested:
        return RunState.STOPPED
    return RunState.FINISHED if end.code == 0 else RunState.FAILED


def has_leftovers(record: RunRecord) -> bool:
    """Whether some process of the trainer's tree still holds the run's lock."""
    return record.run_lock is not None and is_held(record.run_lock)


def terminate(process: Process) -> None:
    """SIGTERM to that very process; a number used again by another one is left alone.

    Raises:
        PermissionError: it is somebody else's.
    """
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        if abs(psutil.Process(process.pid).create_time() - process.start_time) < 1:
            os.kill(process.pid, signal.SIGTERM)


def end(directory: Path) -> None:
    """Stop a run of ours and wait until nothing of it works any more; returns at once where nothing does."""
    while True:
        record, state = observe(directory)
        leftovers = record is not None and has_leftovers(record)
        if record is None or state is RunState.REMOTE or not (state.live or leftovers):
            return
        if state in (RunState.QUEUED, RunState.RUNNING):
            if record.supervisor:
                terminate(record.supervisor)
        else:
            stop_processes(directory, record)
        time.sleep(POLL)


def stop_processes(directory: Path, record: RunRecord) -> None:
    """TERM, the grace, KILL to whatever carries the run's id and directory in its environment."""
    ours = marked(record.run_id, directory)
    for process in ours:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(ours, timeout=record.recipe.stop_grace)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def marked(run_id: str, directory: Path) -> list[psutil.Process]:
    """The processes that carry a run's id and directory in their environment."""
    # The directory too: a run of another workspace may have begun in the same second under the same id.
    marks = {f"EXPTUI_RUN_ID={run_id}".encode(), b"EXPTUI_OUTPUT=" + os.fsencode(directory)}
    return [p for p in psutil.process_iter() if marks <= set(_environ(p.pid).split(b"\0"))]


def _environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
