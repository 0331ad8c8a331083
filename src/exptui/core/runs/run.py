"""What is known of a run: `run.json`, and the state that follows from it and from two locks."""

from __future__ import annotations

import enum
import socket
from dataclasses import dataclass
from pathlib import Path

import msgspec

from exptui.core.files import LockId, is_held, pretty_json, read_json, write_atomic


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


@dataclass(frozen=True)
class RunView:
    """A run as it is shown: its directory, its record where there is one, and its state at the time of looking."""

    run_id: str
    path: Path
    state: RunState
    record: RunRecord | None
    problem: str = ""
    leftovers: bool = False


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
