"""What tells whether the files of a run are what they were. Only the kernel sets a ctime, so `touch -d` hides nothing."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Hashable, Iterator
from functools import cache
from itertools import compress
from pathlib import Path
from zlib import crc32

from exptui.core.runs.run import directory_of

FILES = (
    "run.json",
    "config.toml",
    "metrics.jsonl",
    "metrics.json",
    "chronicle.cmeta",
    "chronicle.cmeta.open",
)
METRIC_FILES = FILES[2:]
_ROWS = 1 << FILES.index("metrics.jsonl")  # the last byte of a stamp says which of the files are there


def file_stamp(path: Path) -> Hashable:
    """What tells whether a file changed; None for one that is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def changes(path: Path | str) -> tuple[int, int, int]:
    """What tells whether names came or went in a directory, or a file was written; zeros where it is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116  of many
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def beside(path: Path) -> list[tuple[int, ...]]:
    """Of a run without metrics.jsonl: what its numbers may be read from. Of each file its name, times, size and inode."""
    from exptui.core.monitor.readers import declared, find

    facts: list[tuple[int, ...]] = [(crc32("\n".join(declared.patterns(path)).encode()), 0, 0, 0, 0)]
    for name in find.candidates(path):
        with contextlib.suppress(OSError):
            one = (path / name).stat()
            number = crc32(os.fsencode(name))  # the same in every process, as a hash of text is not
            facts.append((number, one.st_mtime_ns, one.st_ctime_ns, one.st_size, one.st_ino))
    return facts


def folders(path: Path) -> set[Path]:
    """The directories below such a run's own that hold such files."""
    from exptui.core.monitor.readers import find

    if os.path.lexists(path / "metrics.jsonl"):
        return set()
    return {(path / name).parent for name in find.candidates(path)} - {path}


def stamps(path: Path) -> tuple[int, int, float]:
    """Of a run's directory, of the files it is read from, and when the last of them changed.

    Raises:
        OSError: it is not there, or no directory.
    """
    found = os.stat(path)  # noqa: PTH116  of 100,000 runs
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(path)
    text, facts, changed, there = f"{path}/", list[int](), found.st_ctime, 0
    for bit, name in enumerate(FILES):
        try:
            one = os.stat(text + name)  # noqa: PTH116
        except (OSError, ValueError):
            there |= os.path.lexists(text + name) << bit  # a link: its end may come without a word
            continue
        there |= 1 << bit
        facts += (one.st_mtime_ns, one.st_ctime_ns, one.st_size, one.st_ino)
        changed = max(changed, one.st_ctime)
    for other in () if there & _ROWS else beside(path):
        facts += other
        changed = max(changed, other[2] / 1e9)
    return folder_stamp(found), _stamp(facts, there), changed


def unchanged(results: int, where: Path, name: str, folder: int, files: int) -> bool:
    """Whether a run still has these stamps; `results` is `where` opened. Where its directory has, only the files that were there can have changed.

    Raises:
        OSError: it is not there.
    """
    if "/" in name:  # elsewhere: the descriptor does not count
        name = str(directory_of(where, name))
    if folder_stamp(os.stat(name, dir_fd=results)) != folder:
        return False
    facts = list[int]()
    for file in _names(files & 0xFF):
        try:
            one = os.stat(f"{name}/{file}", dir_fd=results)
        except OSError:
            return False
        facts += (one.st_mtime_ns, one.st_ctime_ns, one.st_size, one.st_ino)
    for other in () if files & _ROWS else beside(where / name):
        facts += other
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
    return tuple(compress(FILES, (there >> bit & 1 for bit in range(len(FILES)))))
