"""Slots without a daemon: every queued run has its own waiting supervisor, and one lock decides.

The lock directory of a workspace holds `<run id>.supervisor` (held while it is supervised) and `<run id>.run`
(inherited by the trainer's process tree; it holds the run's directory). Everything is decided under `queue.lock`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from exptui.core.errors import CorruptError, StorageError
from exptui.core.files import Lock, LockId, is_held, sha256_bytes, storage_errors
from exptui.core.runs import run

SUPERVISOR, RUN = ".supervisor", ".run"
SCRATCH = ".scratch"
CLAIMED = ".claimed"  # its launcher is at work on the directory of that name, or was killed
_OF_A_RUN = (RUN, SUPERVISOR, SCRATCH)
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


def take_slot(directory: Path, ticket: str, run_dir: Path) -> Lock:
    """The run's own lock, and with it a slot; call it under `decide`."""
    lock = Lock.take(directory / f"{ticket}{RUN}")
    assert lock is not None  # nobody else takes it
    os.pwrite(lock.fd, os.fsencode(run_dir), 0)
    return lock


def busy(directory: Path) -> int:
    """How many slots are taken: by runs whose lock is held, and by orphans of which something works without it.

    Raises:
        StorageError: the file system of the locks has none.
    """
    with storage_errors("look at the locks"):
        return sum(held(path) or _orphaned(path) for path in directory.glob(f"*{RUN}"))


def _orphaned(path: Path) -> bool:
    """Its supervisor was killed, as the lock's file is still there."""
    try:
        run_dir = Path(os.fsdecode(path.read_bytes()))
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
            lock, supervisor, scratch = (directory / f"{name}{suffix}" for suffix in _OF_A_RUN)
            there = lock.exists() or supervisor.exists() or scratch.exists()
            if there and abandoned(directory, name):
                if scratch.is_dir():
                    shutil.rmtree(scratch)
                lock.unlink(missing_ok=True)
                supervisor.unlink(missing_ok=True)
                messages.append(f"removed the locks of {name}, which is not at work")
    return messages


def may_start(directory: Path, ticket: str, slots: int) -> bool:
    """Whether the queued run of that ticket is next and a slot is free; call it under `decide`."""
    if busy(directory) >= slots:
        return False
    for waiting in sorted(directory.glob(f"*{SUPERVISOR}"), key=_age):
        name = waiting.name.removesuffix(SUPERVISOR)
        if name == ticket:
            return True
        if not (directory / f"{name}{RUN}").exists() and held(waiting):
            return False
    return True


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
