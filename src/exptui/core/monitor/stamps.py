"""What tells whether the files of a run are what they were. Only the kernel sets a ctime, so `touch -d` hides nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Hashable
from pathlib import Path

TABLES = ("metrics.csv", "progress.csv")
FILES = (
    "run.json",
    "config.toml",
    "metrics.jsonl",
    "metrics.json",
    "chronicle.cmeta",
    "chronicle.cmeta.open",
)
METRIC_FILES = (*FILES[2:], *TABLES)


def file_stamp(path: Path) -> Hashable:
    """What tells whether a file changed; None for one that is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def stamps(path: Path) -> tuple[int, int, float]:
    """Of a run's directory, of the files it is read from, and when the last of them changed.

    Raises:
        OSError: it is not there, or no directory.
    """
    found = os.stat(path)  # noqa: PTH116  of 100,000 runs
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(path)
    text, facts, changed = f"{path}/", list[int](), found.st_ctime
    names = [*FILES]
    for name in names:
        try:
            one = os.stat(text + name)  # noqa: PTH116
        except (OSError, ValueError):
            facts.append(0)
            names += TABLES if name == "metrics.jsonl" else ()  # what is read instead
            continue
        facts += (one.st_mtime_ns, one.st_ctime_ns, one.st_size, one.st_ino)
        changed = max(changed, one.st_ctime)
    return folder_stamp(found), hash(tuple(facts)), changed


def folder_stamp(found: os.stat_result) -> int:
    """Of a directory: it changes when a name in it is made, removed or replaced."""
    return hash((found.st_mtime_ns, found.st_ctime_ns, found.st_ino))
