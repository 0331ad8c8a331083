"""What is known of a run: `run.json`, and the state that follows from it and from two locks."""

from __future__ import annotations

import enum
import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from exptui.core.configs.style import Flags
from exptui.core.errors import CorruptError
from exptui.core.files import LockId, is_held, pretty_json, read_json, sha256_bytes, write_atomic
from exptui.core.launchers.options import Launching
from exptui.core.runs.process import Process, alive, boot_id, marked
from exptui.core.tolerance import Tolerances

BLOCK = 1 << 15  # bytes: more would be mapped anew for each file
STAMP = re.compile(r"_\d{8}T\d{6}Z(-\d+)?$")


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


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The code that was captured for a run: `digest` is the SHA-256 of its `code.tar`."""

    digest: str
    files: int
    size: int
    git: dict[str, object] | None = None  # the commit, and whether the code differs from it
    left: tuple[str, ...] = ()  # what was not taken, and why
    roots: tuple[str, ...] = ()  # where Python finds the project's own packages in it
    packages: tuple[str, ...] = ()  # those, by name


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
    tensors: tuple[str, ...] = ()
    tolerance: Tolerances = Tolerances()
    compare: Literal["files", "metrics"] = "files"
    metrics: tuple[str, ...] = ()  # patterns for its log
    flags: Flags = Flags()
    prepare: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()  # one of which it is given
    progress: str = ""
    adopts: bool = False  # not told where to write: a directory it makes in results/ is taken over
    isolation: Literal["none", "auto", "required"] = "none"  # of a re-run
    masked: tuple[str, ...] = ()  # what an isolated re-run must not see
    network: bool = True
    inputs: dict[str, str] = {}  # name → absolute path
    snapshot: Snapshot | None = None  # what it works from, where that is not the project itself


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How the trainer ended: a code or a signal, or the reason why it never started."""

    code: int | None = None
    signal: int | None = None
    stop_requested: bool = False
    error: str = ""
    lost: bool = False  # the word of a cluster: nobody of the run was there to say more


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """attempts/N.json: how far an attempt is, and after its end what is left of it. `processes`: all that worked."""

    attempt: int
    at: str = ""
    heartbeat: int = 0
    pid: int = 0
    code: int | None = None
    stop_requested: bool = False
    processes: tuple[Process, ...] = ()
    traceback: str = ""
    oom_kills: int = 0  # processes of its cgroup that the kernel killed for want of memory meanwhile
    node: str = ""  # of a cluster
    job: str = ""  # its number there
    signals: tuple[str, ...] = ()  # that the cluster sent
    over: bool = False  # nothing of it works any more: the next attempt may begin


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
    gpu: str = ""  # the one it was given last
    isolation: str = ""  # what came of the recipe's
    launcher: Launching | None = None  # None: this machine
    adopted: str = ""  # name in results/ of the directory the trainer made itself, until it is merged

    @property
    def waits_elsewhere(self) -> bool:
        """Whether a cluster has yet to start it: until then nothing of it changes."""
        return self.launcher is not None and self.phase is Phase.QUEUED

    @property
    def seconds(self) -> float | None:
        """How long its one attempt took; None where that is not known."""
        from datetime import datetime

        try:
            begin, end = (datetime.fromisoformat(at) for at in (self.started_at, self.ended_at))
        except ValueError:
            return None
        return (end - begin).total_seconds() if self.attempts == 1 and end >= begin else None


class RunView(msgspec.Struct, frozen=True):
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


def log_of(view: RunView) -> Path:
    """The log to show: the trainer's, or where that is empty what the cluster itself wrote of the run."""
    own = view.files / "trainer.log"
    if not own.exists():
        own = view.path / "trainer.log"
    if view.record is None or view.record.launcher is None or (own.exists() and own.stat().st_size):
        return own
    written = [path for path in (view.path / "attempts").glob("slurm-*.out") if path.stat().st_size]
    return max(written, key=lambda path: path.stat().st_mtime, default=own)


def config_problem(directory: Path, record: RunRecord | None) -> str:
    """Why config.toml is not what the run was started with; empty where it is, or where that was not recorded."""
    if record is None:
        return ""
    try:
        same = sha256_bytes((directory / "config.toml").read_bytes()) == record.config_sha256
    except OSError as error:
        return f"config.toml: {error.strerror}"
    return "" if same else "config.toml was changed after the run was started with it"


def stem_of(run_id: str) -> str:
    """The experiment's name in a run id; the whole of a name that is not one."""
    return STAMP.sub("", run_id) or run_id


def directory_of(results: Path, run_id: str) -> Path:
    """Where a run is: in results/, or by its path where it is none of exptui's (`[results] also`)."""
    return results.parent.parent / run_id if "/" in run_id else results / run_id


def id_of(results: Path, directory: Path) -> str:
    """What a run is called: its name in results/, elsewhere its path from the project, with a slash in any case."""
    if directory.parent == results:
        return directory.name
    project = results.parent.parent
    if not directory.is_relative_to(project):
        return str(directory)
    path = str(directory.relative_to(project))
    return path if "/" in path else f"./{path}"


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


def read_bytes(path: str, folder: int | None = None) -> bytes:
    """The bytes of a small file, from that open directory where one is given: the way there is not gone each time.

    Raises:
        OSError: it cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        data = block = os.read(fd, BLOCK)
        while len(block) == BLOCK:  # a short one is the end
            data += (block := os.read(fd, BLOCK))
        return data
    finally:
        os.close(fd)


def stamp(directory: Path) -> tuple[int, int, int] | None:
    """What changes whenever run.json does; None where there is none."""
    try:
        found = (directory / "run.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def attempt_file(directory: Path, number: int) -> Path:
    """Where the facts of one attempt are."""
    return directory / "attempts" / f"{number}.json"


def observe(directory: Path) -> tuple[RunRecord | None, RunState]:
    """The record and the state, consistent with each other.

    A supervisor writes "exited" before it lets go of its lock, so a free lock beside an older record is looked at again.

    Raises:
        CorruptError: run.json is there but cannot be read as one.
    """
    record = read(directory)
    while (state := state_of(directory, record)) in (RunState.LOST, RunState.ORPHANED):
        again = read(directory)
        if again == record:
            break
        record = again
    return record, state


def state_of(directory: Path, record: RunRecord | None) -> RunState:
    """The state to show now (the table of contract §4). Never FINISHED without a recorded exit code 0."""
    if record is None:
        return RunState.EXTERNAL
    if record.phase is Phase.EXITED:
        return _ended(record.exit or Exit(error="no exit was recorded"))
    if (
        record.launcher is not None
    ):  # no lock reaches across nodes: until an end is written it is what it says
        return RunState.QUEUED if record.phase is Phase.QUEUED else RunState.RUNNING
    if record.host != os.uname().nodename:
        return RunState.REMOTE
    if is_supervised(record):
        return RunState.QUEUED if record.phase is Phase.QUEUED else RunState.RUNNING
    return RunState.ORPHANED if is_working(directory, record) else RunState.LOST


def _ended(end: Exit) -> RunState:
    if end.lost:
        return RunState.LOST
    if end.stop_requested:
        return RunState.STOPPED
    return RunState.FINISHED if end.code == 0 else RunState.FAILED


def is_supervised(record: RunRecord) -> bool:
    """Whether its supervisor is at work."""
    return record.supervisor_lock is not None and is_there(record.supervisor_lock, record.supervisor)


def is_there(lock: LockId, holder: Process | None) -> bool:
    """Whether who took a lock is there: by the lock, or by the process where that was cleaned away or is not ours."""
    held = _held(lock)
    if held is None and holder is None:
        return True  # just started: it says who it is a moment later
    return bool(held) or (holder is not None and alive(holder))


def is_working(directory: Path, record: RunRecord) -> bool:
    """Whether something of the trainer's tree works: it, or a supervisor that waits for it, holds the run's lock."""
    if record.run_lock is None or record.launcher is not None:
        return False
    return bool(_held(record.run_lock)) or bool(processes(directory, record))


def _held(lock: LockId) -> bool | None:
    """None where it cannot be asked."""
    try:
        return is_held(lock)
    except OSError:
        return None


def processes(directory: Path, record: RunRecord) -> list[Process]:
    """What works of a run: of those its supervisor noted, and of those with the run's name in their environment."""
    if record.supervisor is None or record.supervisor.boot_id != boot_id():
        return []
    try:
        noted = read_json(attempt_file(directory, record.attempts), Attempt).processes
    except (OSError, CorruptError):
        noted = ()
    return list(dict.fromkeys((*filter(alive, noted), *named(record.run_id, directory))))


def named(run_id: str, directory: Path) -> list[Process]:
    """What works with the run's id and directory in its environment."""
    # The directory too: a run of another workspace may have begun in the same second under the same id.
    return marked({f"EXPTUI_RUN_ID={run_id}".encode(), b"EXPTUI_OUTPUT=" + os.fsencode(directory)})
