"""Columns of big files, kept in the user's cache directory: a file there is right, or it is not used."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from array import array
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from exptui.core.archive.codec import crc32
from exptui.core.curves.columns import Columns, Group
from exptui.core.curves.follow import Follower, Place, Stamp
from exptui.core.curves.series import Column, Kind
from exptui.core.files import replace_quickly, sha256_bytes

WORTH = 4 << 20  # bytes of a file from which its columns are kept
MOST = 1 << 30  # bytes kept in all; the oldest are removed
SETTLED = (
    2 * 10**9
)  # ns: a file that was written to less long before may change without a change of its times
MAGIC = f"exptui columns 1 {sys.byteorder}\n".encode()
KINDS = (Kind.LOW, Kind.HIGH)
A = TypeVar("A", bound="array[Any]")


class Held(msgspec.Struct, frozen=True):
    """One column: its name, how many holes it has, and the lengths of its levels, least and greatest."""

    name: str
    holes: int
    levels: tuple[tuple[int, ...], tuple[int, ...]]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before the arrays."""

    path: str
    stamp: Stamp
    settled: bool
    place: Place
    lines: int
    header: list[str]
    named: list[str]
    more: int
    order: list[str]
    groups: list[tuple[int, list[Held]]]
    crc: int


class Cache:
    """A directory of columns, one file a path."""

    def __init__(self, directory: Path, most: int = MOST) -> None:
        self.directory, self.most = directory, most

    def save(self, follower: Follower[Columns]) -> None:
        """Keep what a follower has at the end of its file. That it cannot be kept is no harm."""
        stamp, form, groups = follower.stamp, follower.format, follower.sink.groups()
        assert stamp is not None  # it is at the end
        for group in groups:
            group.settle()
        arrays = list(_arrays(groups))
        head = msgspec.msgpack.encode(
            Head(
                path=str(follower.path),
                stamp=stamp,
                settled=time.time_ns() - stamp[3] > SETTLED,
                place=follower.place,
                lines=form.lines,
                header=form.header,
                named=form.problems.named,
                more=form.problems.more,
                order=list(follower.sink.home),
                groups=[_held(group) for group in groups],
                crc=_checksum(arrays),
            )
        )
        start = len(head).to_bytes(8, "little") + crc32(head, 0).to_bytes(4, "little")
        with contextlib.suppress(OSError):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_quickly(self._file(follower.path), (MAGIC, start, head, *arrays))
            self._evict()

    def load(self, follower: Follower[Columns]) -> bool:
        """Give a follower what was kept of its file; False when there is nothing, or nothing that is right."""
        file = self._file(follower.path)
        try:
            with file.open("rb", buffering=0) as opened:
                head = _head(opened)
                columns = _columns(head, opened)
            os.utime(file)
        except (OSError, EOFError, ValueError, msgspec.DecodeError):
            return False
        if head.path != str(follower.path):
            return False
        form = follower.format
        form.lines, form.header, follower.sink = head.lines, head.header, columns
        form.problems.named, form.problems.more = head.named, head.more
        follower.resume(head.place, head.stamp, trusted=head.settled)
        return True

    def _file(self, path: Path) -> Path:
        return self.directory / f"{sha256_bytes(os.fsencode(path))[:32]}.columns"

    def _evict(self) -> None:
        found = [(one, one.stat()) for one in self.directory.glob("*.columns")]
        total = sum(stat.st_size for _, stat in found)
        for one, stat in sorted(found, key=lambda pair: pair[1].st_mtime):
            if total <= self.most:
                return
            one.unlink(missing_ok=True)
            total -= stat.st_size


def _arrays(groups: list[Group]) -> Iterator[array[float] | array[int]]:
    """All that is kept, in the order in which it is."""
    for group in groups:
        yield group.steps
        for column in group.columns.values():
            yield column.values
            yield column.holes
            for levels in column.pyramid().values():
                yield from levels


def _held(group: Group) -> tuple[int, list[Held]]:
    columns = []
    for name, column in group.columns.items():
        low, high = (tuple(map(len, levels)) for levels in column.pyramid().values())
        columns.append(Held(name, len(column.holes), (low, high)))
    return len(group.steps), columns


def _checksum(arrays: list[array[float] | array[int]]) -> int:
    value = 0
    for one in arrays:
        value = crc32(memoryview(one), value)
    return value


def _head(opened: FileIO) -> Head:
    """What the file says of itself, checked."""
    if opened.read(len(MAGIC)) != MAGIC:
        raise ValueError("not such a file")
    start = opened.read(12)
    size = int.from_bytes(start[:8], "little")
    if size > os.fstat(opened.fileno()).st_size:
        raise ValueError("cut")
    data = opened.read(size)
    if crc32(data, 0) != int.from_bytes(start[8:], "little"):
        raise ValueError("damaged")
    return msgspec.msgpack.decode(data, type=Head)


def _columns(head: Head, opened: FileIO) -> Columns:
    """The columns behind the head, checked."""
    arrays: list[array[float] | array[int]] = []

    def floats(count: int) -> array[float]:
        arrays.append(found := _filled(array("d", (0.0,)) * count, opened))
        return found

    def ints(count: int) -> array[int]:
        arrays.append(found := _filled(array("q", (0,)) * count, opened))
        return found

    home: dict[str, Group] = {}
    for rows, held in head.groups:
        steps, columns = floats(rows), dict[str, Column]()
        for one in held:
            values, holes = floats(rows), ints(one.holes)
            levels = {k: [floats(n) for n in counts] for k, counts in zip(KINDS, one.levels, strict=True)}
            columns[one.name] = Column.kept(values, holes, levels)
        home |= dict.fromkeys(columns, Group.settled(steps, columns))
    if _checksum(arrays) != head.crc:
        raise ValueError("damaged")
    found = Columns()
    found.home = {name: home[name] for name in head.order}
    return found


def _filled(found: A, opened: FileIO) -> A:
    if opened.readinto(memoryview(found)) != len(found) * found.itemsize:
        raise EOFError
    return found
