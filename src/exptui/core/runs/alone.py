"""One command at a time does something with a run: archive, remove, resume, copy it, or write how it ended."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from exptui.core.errors import RunError
from exptui.core.files import Cancel, Lock, storage_errors

POLL = 0.1


def lock_path(archive_dir: Path, run_id: str) -> Path:
    """Held by whoever works on that run; what a crash leaves of it is cleared by `recover`."""
    return archive_dir / f".{run_id}.lock"


def known(archive_dir: Path) -> set[str]:
    """The runs of which there is such a lock."""
    if not archive_dir.is_dir():
        return set()
    with os.scandir(archive_dir) as entries:
        names = (entry.name for entry in entries)
        return {name[1:-5] for name in names if name[0] == "." and name.endswith(".lock")}


@contextlib.contextmanager
def alone(archive_dir: Path, run_id: str, wait: Cancel | None = None) -> Iterator[None]:
    """Keep all other commands away from a run; look at its state inside. With `wait` wait for one that is at it.

    Raises:
        RunError: another command is at it.
        StorageError: no lock can be made.
        Cancelled: while it waited.
    """
    with storage_errors("lock the run"):
        archive_dir.mkdir(parents=True, exist_ok=True)
        while (lock := Lock.take(lock_path(archive_dir, run_id), wait=False)) is None:
            if wait is None:
                raise RunError(
                    f"another command is at work on {run_id}", "Look again when it is done: exptui ls"
                )
            wait.check()
            time.sleep(POLL)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.path.unlink()
        lock.release()
