"""What tells whether the files of a run are what they were. Only the kernel sets a ctime, so `touch -d` hides nothing."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Hashable, Iterator
from functools import cache
from itertools import compress
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
_ALL = (*FILES, *TABLES)  # eight: the last byte of a stamp says which of them are there


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
    text, facts, changed, there = f"{path}/", list[int](), found.st_ctime, 0
    for bit, name in enumerate(_ALL):
        if name == TABLES[0] and there & 1 << FILES.index("metrics.jsonl"):
            break  # they are read instead of it
        try:
            one = os.stat(text + name)  # noqa: PTH116
        except (OSError, ValueError):
            there |= os.path.lexists(text + name) << bit  # a link: its end may come without a word
            continue
        there |= 1 << bit
        facts += (one.st_mtime_ns, one.st_ctime_ns, one.st_size, one.st_ino)
        changed = max(changed, one.st_ctime)
    return folder_stamp(found), _stamp(facts, there), changed


def unchanged(results: int, name: str, folder: int, files: int) -> bool:
    """Whether a run still has these stamps. Where its directory has, only the files that were there can have changed.

    Raises:
        OSError: it is not there.
    """
    if folder_stamp(os.stat(name, dir_fd=results)) != folder:
        return False
    facts = list[int]()
    for file in _names(files & 0xFF):
        try:
            one = os.stat(f"{name}/{file}", dir_fd=results)
        except OSError:
            return False
        facts += (one.st_mtime_ns, one.st_ctime_ns, one.st_size, one.st_ino)
    return _stamp(facts, files & 0xFF) == files


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """The descriptor of a directory; -1, by which nothing is found, where it cannot be opened."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield -1
        return
    try:
        yield fd
    finally:
        os.close(fd)


def folder_stamp(found: os.stat_result) -> int:
    """Of a directory: it changes when a name in it is made, removed or replaced."""
    return hash((found.st_mtime_ns, found.st_ctime_ns, found.st_ino))


def _stamp(facts: list[int], there: int) -> int:
    return hash(tuple(facts)) & ~0xFF | there


@cache
def _names(there: int) -> tuple[str, ...]:
    return tuple(compress(_ALL, (there >> bit & 1 for bit in range(len(_ALL)))))
