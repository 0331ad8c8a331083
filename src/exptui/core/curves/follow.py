"""Reading a file of metrics on from where it was, for as long as it is the same file and only grows."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar
from zlib import crc32

import msgspec

from exptui.core.files import open_regular
from exptui.core.monitor.readers.protocol import Format, Sink, Unit

BLOCK = 1 << 18
LONGEST = 16 << 20  # bytes; a longer line is no row
LARGEST = 256 << 20  # bytes of a file that is read as a whole
NEAR = 8 << 20  # bytes that are near the end
FIRST = 4  # times what is looked at of a log that grew, where it is looked at first
TAIL = 512

S = TypeVar("S", bound=Sink)
Stamp = tuple[int, int, int, int, int]


class Place(msgspec.Struct):
    """How far a file was read: `offset` bytes, their checksum, and the last few of them."""

    offset: int = 0
    crc: int = 0
    tail: bytes = b""
    open_line: bool = False  # the last line was taken without its newline
    too_long: bool = False  # within a line that is left out
    skip: int = 0  # bytes from here on that are left out


class Follower(Generic[S]):
    """Decodes what is new in a file into a sink; begins again with a new sink when the file is another one."""

    def __init__(
        self,
        path: Path,
        sink: Callable[[], S],
        make: Callable[[str], Format],
        label: str = "",
        near: int | None = None,
    ) -> None:
        """`make`: the format, by the name for its problems: `label`, or the file's own.

        `near`: of a log that grew by more, the rest is left out: for a sink to which only the last values count.
        """
        self.path, self._new_sink, self._near = path, sink, near
        self._make = partial(make, label or path.name)
        self.format: Format
        self.size = 0
        self.stamp: Stamp | None = None  # of the file when its end was last reached
        self._inode: tuple[int, int] | None = None
        self.again()

    def again(self) -> None:
        """Forget everything."""
        self.format, self.sink, self.place = self._make(), self._new_sink(), Place()
        self.stamp = self._inode = None
        self._doubted = False  # only a checksum of all of it will do

    @property
    def share(self) -> float:
        """How much of the file was read, 0 to 1."""
        return 1.0 if self.stamp or not self.size else min(self.place.offset / self.size, 0.99)

    def grow(self, limit: int | None = None) -> None:
        """Read on, to the end as it is now or about `limit` bytes.

        Raises:
            OSError: it cannot be read, or is not there.
        """
        with open_regular(self.path) as file:
            self._grow(file.fileno(), limit)

    def _grow(self, fd: int, limit: int | None) -> None:
        found = os.fstat(fd)
        try:
            if self.stamp == (stamp := stamp_of(found)):
                return
            self.size = found.st_size
            if not self._same(fd, found):
                self.again()
            self.stamp = None
            if self.format.unit is Unit.FILE:
                self._whole(fd)
                self.stamp = stamp
                return
            if self.format.unit is Unit.TAIL:
                self._near_the_end()
            # Who writes faster than this reads is not followed for ever.
            stop = min(self.size, self.place.offset + limit) if limit is not None else self.size
            while self.place.offset < stop:
                if not self._block(fd):
                    self.stamp = stamp
                    return
            if self.place.offset >= self.size:
                self.stamp = stamp
        finally:
            self._inode = (found.st_dev, found.st_ino)

    def resume(self, place: Place, stamp: Stamp, *, trusted: bool) -> None:
        """Go on where another follower was, whose format and sink were taken over."""
        self.place, self._inode, self._doubted = place, stamp[:2], True
        self.stamp = stamp if trusted else None

    def _same(self, fd: int, found: os.stat_result) -> bool:
        """Whether what was read is still what the file begins with."""
        place = self.place
        if self._inode is None or not place.offset:
            return True
        if self._inode != (found.st_dev, found.st_ino) or found.st_size < place.offset:
            return False
        if self._doubted or (self.stamp is not None and self.stamp[2] == found.st_size):
            self._doubted = False
            return _checksum(fd, place.offset) == place.crc  # written to, and no longer than before
        return os.pread(fd, len(place.tail), place.offset - len(place.tail)) == place.tail

    def _whole(self, fd: int) -> None:
        """Take all of a file that is written anew."""
        self.again()
        if self.size > LARGEST:
            self.format.problems.say(f" is larger than {LARGEST >> 20} MB")
            return
        data = bytearray()
        while len(data) <= LARGEST and (some := os.pread(fd, BLOCK * 4, len(data))):
            data += some
        if data:
            self.format.read(bytes(data), self.sink)

    def _near_the_end(self) -> None:
        """Leave out what is far from the end, and the line that is cut by it."""
        first = NEAR if self._near is None else min(NEAR, FIRST * self._near)
        near = self._near if self.place.offset else first
        if near is not None and self.size - self.place.offset > near:
            if not self.place.offset:
                self.format.problems.say(f": only the last {near >> 10:,} kB were looked at")
            self.place.offset, self.place.too_long = self.size - near, True

    def _records(self, fd: int) -> bool:
        """Take the next records; False when there is none that is whole."""
        place = self.place
        data = os.pread(fd, min(place.skip, BLOCK) or BLOCK, place.offset)
        done = place.skip or self.format.read(data, self.sink)
        place.skip = max(0, done - len(data))
        self._advance(data[:done])
        return bool(data and done)

    def _block(self, fd: int) -> bool:
        """Take what is next; False when nothing is whole."""
        if self.format.unit is Unit.RECORDS:
            return self._records(fd)
        place = self.place
        size = max(1, min(BLOCK, self.size - place.offset))
        data = os.pread(fd, size, place.offset)
        while b"\n" not in data and len(data) == size and size < LONGEST:
            size *= 4
            data = os.pread(fd, size, place.offset)
        line, newline, _ = data.partition(b"\n")
        if place.open_line or place.too_long:
            if place.open_line and line.strip():
                self.again()  # it was not the end of that line: its row does not count
                return True
            if newline or place.too_long:
                self._advance(line + newline)
            place.open_line, place.too_long = place.open_line and not newline, place.too_long and not newline
            return bool(newline or (place.too_long and data))
        if newline:
            whole = data[: data.rfind(b"\n") + 1]
            self.format.read(whole, self.sink)
            self._advance(whole)
            return True
        if len(data) >= LONGEST:
            self.format.lines += 1
            self.format.problems.add(self.format.lines, f"is longer than {LONGEST >> 20} MB")
            place.too_long = True
            self._advance(data)
            return True
        if data.strip() and self.format.is_whole(data):
            self.format.read(data + b"\n", self.sink)
            self._advance(data)
            place.open_line = True
        return False

    def _advance(self, data: bytes) -> None:
        place = self.place
        place.offset += len(data)
        place.crc = crc32(data, place.crc)
        place.tail = (place.tail + data)[-TAIL:]


def stamp_of(found: os.stat_result) -> Stamp:
    """What changes when a file does."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _checksum(fd: int, size: int) -> int:
    value = at = 0
    while at < size and (data := os.pread(fd, min(BLOCK * 4, size - at), at)):
        value, at = crc32(data, value), at + len(data)
    return value if at == size else -1
