"""Remove what a killed launcher, supervisor or editor left in a workspace. Leaves live processes alone."""

from __future__ import annotations

import os
from pathlib import Path

from exptui.core.errors import CorruptError
from exptui.core.files import remove_abandoned, storage_errors
from exptui.core.runs import queue, run
from exptui.core.runs.adopt import CLAIM
from exptui.core.runs.launch import discard, is_abandoned
from exptui.core.runs.run import RunState


def recover(root: Path, results: Path) -> list[str]:
    """What was done, one message each.

    Raises:
        StorageError: the disk said no; run it again once that is solved.
    """
    messages: list[str] = []
    with storage_errors("recover the runs"):
        locks = queue.lock_directory(results)
        for folder in (root, root / "configs", results / "comparisons"):
            messages += remove_abandoned(folder) if folder.is_dir() else []
        for name in sorted(os.listdir(results)) if results.is_dir() else ():  # noqa: PTH208
            path = results / name
            if name[0] == "." or path.is_symlink() or not path.is_dir():
                continue
            if (path / "run.json").exists():
                messages += _temporaries(path)
            else:
                with queue.decide(locks):  # a launcher makes its directory and its claim under it
                    messages += _unfinished(path)
        messages += queue.sweep(locks)
    return messages


def _temporaries(directory: Path) -> list[str]:
    """Of a run of this host: its files that were being replaced, and the claim of a launcher that is gone."""
    messages: list[str] = []
    for folder in (directory, directory / "attempts"):
        if folder.is_dir() and any(name.endswith(".partial") for name in os.listdir(folder)):  # noqa: PTH208
            messages += remove_abandoned(folder) if not _elsewhere(directory) else []
    if (directory / CLAIM).exists() and is_abandoned(directory):
        (directory / CLAIM).unlink()
    return messages


def _elsewhere(directory: Path) -> bool:
    try:
        return run.observe(directory)[1] is RunState.REMOTE
    except CorruptError:
        return True


def _unfinished(directory: Path) -> list[str]:
    """A directory claimed for a run that was never queued. Without a claim only an empty one is taken for that."""
    if not (directory / CLAIM).exists():
        if not run.STAMP.search(directory.name):
            return []
        messages = remove_abandoned(directory)
        if any(directory.iterdir()):
            return messages
        directory.rmdir()
        return [*messages, f"removed the empty {directory.name}"]
    if not is_abandoned(directory):
        return []
    discard(directory)
    return [f"removed {directory.name}, which was never queued"]
