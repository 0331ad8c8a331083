"""Remove what a killed launcher, supervisor or editor left in a workspace. Leaves live processes alone."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from exptui.core.errors import CorruptError
from exptui.core.files import PARTIAL, remove_abandoned, storage_errors
from exptui.core.runs import alone, queue, run
from exptui.core.runs.adopt import CLAIM
from exptui.core.runs.launch import discard, is_abandoned
from exptui.core.runs.process import boot_id
from exptui.core.runs.run import RunState

EMPTY_FOR = 60.0  # seconds
DAY = 86_400.0
STORE = ".code"  # below results/: the code of runs
ALL_SEEN = "all-seen"  # among the locks: when every directory was looked into, and since which boot it counts


def recover(root: Path, results: Path) -> list[str]:
    """What was done, one message each. What belongs to somebody else is theirs to recover.

    Whoever is about to change a run leaves a note of it where the locks are: only the runs noted there are looked
    into. All are after a boot (a note may be lost with the power), and once a day.

    Raises:
        StorageError: the disk said no; run it again once that is solved.
    """
    messages: list[str] = []
    with storage_errors("recover the runs"):
        for folder in (root, root / "configs", results / "comparisons", results / STORE):
            with contextlib.suppress(PermissionError, FileNotFoundError):
                messages += remove_abandoned(folder)
        locks = queue.lock_directory(results)
        every = not _all_seen(locks)
        with queue.decide(locks):  # no launcher is between its note and its claim
            noted = queue.known(locks) | alone.known(root / "archive")
            dead = {name for name in noted if queue.abandoned(locks, name)}
            for name in sorted(noted):
                messages += _noted(results / name, locks)
        if every:
            messages += _all(results)
            with contextlib.suppress(OSError):  # then all are looked into again
                say_all_seen(locks)
        if (results / STORE).is_dir():
            from exptui.core.source.snapshot import prune

            messages += prune(results)
        messages += queue.sweep(locks, dead)  # not those that ended since we looked into their directories
    return messages


def _all_seen(locks: Path) -> bool:
    try:
        seen = locks / ALL_SEEN
        return 0 <= time.time() - seen.stat().st_mtime < DAY and seen.read_text() == boot_id()
    except (OSError, UnicodeDecodeError):
        return False


def say_all_seen(locks: Path) -> None:
    """From now on what is noted suffices.

    Raises:
        OSError: it cannot be said.
    """
    (locks / ALL_SEEN).write_text(boot_id())


def _all(results: Path) -> list[str]:
    if not results.is_dir():
        return []
    messages: list[str] = []
    with os.scandir(results) as entries:
        for entry in entries:
            if entry.name[0] != "." and entry.is_dir(follow_symlinks=False):
                messages += _look_into(entry.path)
    return sorted(messages)


def _noted(path: Path, locks: Path) -> list[str]:
    messages = [] if path.is_symlink() else _look_into(str(path))
    with contextlib.suppress(PermissionError):
        if not path.is_dir() or ((path / "run.json").exists() and not (path / CLAIM).exists()):
            (locks / f"{path.name}{queue.CLAIMED}").unlink(missing_ok=True)
    return messages


def _look_into(path: str) -> list[str]:
    try:
        return _run(Path(path), os.listdir(path))  # noqa: PTH208
    except (PermissionError, FileNotFoundError, NotADirectoryError):  # somebody else's, or gone meanwhile
        return []


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
    """Whether a process of another host may be writing into it just now."""
    try:
        record, state = run.observe(directory)
    except CorruptError:
        return True
    return state is RunState.REMOTE or (record is not None and record.launcher is not None and state.live)


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
