"""Slots without a daemon: every queued run has its own waiting supervisor, and one lock decides.

The lock directory of a workspace holds `<run id>.supervisor` (held while it is supervised) and `<run id>.run`
(inherited by the trainer's process tree; it holds the run's directory, and its GPU where it was given one). A file
`<run id>.hold` lets the others go first. Everything is decided under `queue.lock`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from exptui.core.errors import CorruptError, RunError, StorageError
from exptui.core.files import Lock, LockId, is_held, sha256_bytes, storage_errors
from exptui.core.runs import run

SUPERVISOR, RUN = ".supervisor", ".run"
SCRATCH, HOLD = ".scratch", ".hold"
CLAIMED = ".claimed"  # its launcher is at work on the directory of that name, or was killed
_OF_A_RUN = (RUN, SUPERVISOR, SCRATCH, HOLD)
ADOPTING = "adopting.lock"


def lock_directory(results: Path) -> Path:
    """The private directory for the locks of one results directory, on this host.

    Raises:
        StorageError: the directory belongs to somebody else or is open to others.
    """
    base = Path(f"/var/tmp/exptui-{os.getuid()}")  # noqa: S108  created 0700 and checked below
    base.mkdir(mode=0o700, exist_ok=True)
    stat = base.lstat()
    if stat.st_uid != os.getuid() or stat.st_mode & 0o077 or not base.is_dir() or base.is_symlink():
        raise StorageError(f"{base} is not a private directory of yours", "Remove it, or ask who made it.")
    directory = base / sha256_bytes(os.fsencode(results.resolve()))[:16]
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def decide(directory: Path) -> Lock:
    """Take the queue's lock; whoever holds it may look at the others and start or give up.

    Raises:
        StorageError: the file system of the locks has none.
    """
    with storage_errors("lock the queue"):
        lock = Lock.take(directory / "queue.lock")
    assert lock is not None  # waited for
    return lock


def take_slot(directory: Path, ticket: str, run_dir: Path, gpu: str = "") -> Lock:
    """The run's own lock, and with it a slot and a GPU; call it under `decide`."""
    lock = Lock.take(directory / f"{ticket}{RUN}")
    assert lock is not None  # nobody else takes it
    os.pwrite(lock.fd, os.fsencode(run_dir) + b"\0" + gpu.encode(), 0)
    return lock


def busy(directory: Path) -> int:
    """How many slots are taken: by runs whose lock is held, and by orphans of which something works without it.

    Raises:
        StorageError: the file system of the locks has none.
    """
    with storage_errors("look at the locks"):
        return sum(1 for _ in _at_work(directory))


def free_gpus(directory: Path, gpus: Iterable[str]) -> list[str]:
    """Those of the GPUs that no run at work was given; call it under `decide`."""
    given = set()
    with storage_errors("look at the locks"):
        for path in _at_work(directory):
            with contextlib.suppress(FileNotFoundError):  # it has just ended
                given.add(_noted(path)[1])
    return [gpu for gpu in gpus if gpu not in given]


def _at_work(directory: Path) -> Iterator[Path]:
    return (path for path in directory.glob(f"*{RUN}") if held(path) or _orphaned(path))


def _noted(path: Path) -> tuple[Path, str]:
    """The directory of the run that has a lock, and its GPU."""
    run_dir, _, gpu = path.read_bytes().partition(b"\0")
    return Path(os.fsdecode(run_dir)), gpu.decode()


def _orphaned(path: Path) -> bool:
    """Its supervisor was killed, as the lock's file is still there."""
    try:
        run_dir, _ = _noted(path)
        record = run.read(run_dir)
    except (OSError, CorruptError):
        return False
    return record is not None and run.is_working(run_dir, record)


def known(directory: Path) -> set[str]:
    """The runs of which there is a lock, a scratch directory or a claim."""
    return {
        path.name.removesuffix(path.suffix)
        for path in directory.iterdir()
        if path.suffix in (*_OF_A_RUN, CLAIMED)
    }


def abandoned(directory: Path, name: str) -> bool:
    """Whether no process is left of a run that has locks; call it under `decide`."""
    lock = directory / f"{name}{RUN}"
    return not (held(lock) or held(directory / f"{name}{SUPERVISOR}") or _orphaned(lock))


def sweep(directory: Path, names: Iterable[str]) -> list[str]:
    """Remove the locks and scratch directories of those of these runs of which no process is left; a message each."""
    messages = []
    with decide(directory):  # locks are taken under it: one that nobody holds now is nobody's
        for name in sorted(names):
            lock, supervisor, scratch, hold = (directory / f"{name}{suffix}" for suffix in _OF_A_RUN)
            there = lock.exists() or supervisor.exists() or scratch.exists() or hold.exists()
            if there and abandoned(directory, name):
                if scratch.is_dir():
                    shutil.rmtree(scratch)
                lock.unlink(missing_ok=True)
                supervisor.unlink(missing_ok=True)
                hold.unlink(missing_ok=True)
                messages.append(f"removed the locks of {name}, which is not at work")
    return messages


def may_start(directory: Path, ticket: str, slots: int) -> bool:
    """Whether the queued run of that ticket is next and a slot is free; call it under `decide`."""
    if busy(directory) >= slots:
        return False
    for other in _line(directory):
        name = other.name.removesuffix(SUPERVISOR)
        on_hold = (directory / f"{name}{HOLD}").exists()
        if name == ticket:
            return not on_hold
        if not on_hold and held(other):
            return False
    return True


def waiting(directory: Path) -> list[tuple[str, bool]]:
    """The tickets that wait for a slot, the next one first, and whether each is on hold."""
    with storage_errors("look at the locks"):
        names = [path.name.removesuffix(SUPERVISOR) for path in _line(directory) if held(path)]
        return [(name, (directory / f"{name}{HOLD}").exists()) for name in names]


def move(directory: Path, ticket: str, how: Literal["first", "hold", "release"]) -> None:
    """Let a waiting run be the next one, or let the others go first until it is released.

    Raises:
        RunError: it does not wait.
    """
    with storage_errors("change the queue"), decide(directory):
        line = [name for name, _ in waiting(directory)]
        if ticket not in line:
            raise RunError(f"{ticket} does not wait for a slot", "See what does with: exptui queue")
        own, hold = directory / f"{ticket}{SUPERVISOR}", directory / f"{ticket}{HOLD}"
        if how == "hold":
            hold.touch()
            return
        hold.unlink(missing_ok=True)
        if how == "first":
            at = _age(directory / f"{line[0]}{SUPERVISOR}") - 1
            os.utime(own, ns=(at, at))


def _line(directory: Path) -> list[Path]:
    """The locks of the supervisors that may wait, in the order in which they are to start."""
    found = sorted(directory.glob(f"*{SUPERVISOR}"), key=_age)
    return [path for path in found if not path.with_suffix(RUN).exists()]


def _age(waiting: Path) -> int:
    """When it was queued, in ns; 0 for one whose supervisor has just ended and removed it."""
    try:
        return waiting.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def held(path: Path) -> bool:
    """Whether some process holds the lock of that name."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return False
    return is_held(LockId(str(path), stat.st_dev, stat.st_ino))
