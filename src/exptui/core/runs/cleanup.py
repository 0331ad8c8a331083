"""Remove what a killed launcher, supervisor or editor left in a workspace. Leaves live processes alone."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from exptui.core.errors import CorruptError
from exptui.core.files import PARTIAL, remove_abandoned, storage_errors
from exptui.core.runs import queue, run
from exptui.core.runs.adopt import CLAIM
from exptui.core.runs.launch import discard, is_abandoned
from exptui.core.runs.run import RunState

EMPTY_FOR = 60.0  # seconds


def recover(root: Path, results: Path) -> list[str]:
    """What was done, one message each. What belongs to somebody else is theirs to recover.

    Raises:
        StorageError: the disk said no; run it again once that is solved.
    """
    messages: list[str] = []
    with storage_errors("recover the runs"):
        for folder in (root, root / "configs", results / "comparisons"):
            with contextlib.suppress(PermissionError, FileNotFoundError):
                messages += remove_abandoned(folder)
        for name in sorted(os.listdir(results)) if results.is_dir() else ():  # noqa: PTH208
            path = results / name
            if name[0] != "." and path.is_dir() and not path.is_symlink():
                with contextlib.suppress(PermissionError):
                    messages += _run(path, os.listdir(path))  # noqa: PTH208
        messages += queue.sweep(queue.lock_directory(results))
    return messages


def _run(directory: Path, names: list[str]) -> list[str]:
    """Finish or undo the start of a run; remove the temporary files of one on this host."""
    if "run.json" not in names:
        return _unfinished(directory, names)
    messages: list[str] = []
    if CLAIM in names and is_abandoned(directory):
        (directory / CLAIM).unlink()
        messages.append(f"removed the {CLAIM} of {directory.name}, which was queued")
    inner = os.listdir(directory / "attempts") if "attempts" in names else []  # noqa: PTH208
    for folder, there in ((directory, names), (directory / "attempts", inner)):
        if any(name.endswith(PARTIAL) for name in there) and not _elsewhere(directory):
            messages += remove_abandoned(folder)
    return messages


def _elsewhere(directory: Path) -> bool:
    try:
        return run.observe(directory)[1] is RunState.REMOTE
    except CorruptError:
        return True


def _unfinished(directory: Path, names: list[str]) -> list[str]:
    """A directory claimed for a run that was never queued.

    Without a claim only an empty one is taken for that, after a while: a trainer may just have made it.
    """
    if CLAIM in names:
        if not is_abandoned(directory):
            return []
        discard(directory)
        return [f"removed {directory.name}, which was never queued"]
    if not run.STAMP.search(directory.name):
        return []
    fresh = time.time() - directory.stat().st_mtime < EMPTY_FOR
    messages = remove_abandoned(directory)  # a claim half written says whose it was
    if (fresh and not messages) or any(directory.iterdir()):
        return messages
    directory.rmdir()
    return [*messages, f"removed the empty {directory.name}"]
