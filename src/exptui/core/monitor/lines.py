"""The lines of a file, or of its end, by an index of how many newlines come before each block."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left

BLOCK = 1 << 16
LINE_CAP = 1 << 16
"""Of a longer line this many bytes are read: its beginning, or its end when it is a redrawn progress bar."""
SPAN = 1 << 20
"""So much is read at a time; lines longer than that are never read whole."""
READ = 1 << 19
TAIL_CAP = 8 << 20


class Lines:
    """Lines from the offset `start` on, where one begins. Not for two threads at once."""

    def __init__(self, start: int = 0, block: int = BLOCK) -> None:
        self.start = self.end = start
        """What lies between them is indexed."""
        self.block = block
        self._marks = array("Q", [0])
        """Newlines before the end of each whole block, after a leading 0."""
        self.newlines = 0
        """Whole lines: all but one that is unfinished."""
        self._last = b""
        """The end of what was indexed: what tells a file that was rewritten from one that grew."""

    @property
    def count(self) -> int:
        """Lines known. An unfinished last line is one, when it is not empty."""
        return self.newlines + (self.end > self.start and not self._last.endswith(b"\n"))

    def grow(self, fd: int, until: int) -> None:
        """Index up to the offset `until`."""
        buffer = bytearray(max(0, min(READ, until - self.end)))
        while self.end < until:
            got = os.preadv(fd, [memoryview(buffer)[: until - self.end]], self.end)
            if not got:
                return
            at = 0
            while at < got:
                step = min(self.block - (self.end - self.start) % self.block, got - at)
                self.newlines += buffer.count(b"\n", at, at + step)
                self.end += step
                at += step
                if (self.end - self.start) % self.block == 0:
                    self._marks.append(self.newlines)
            self._last = (self._last + buffer[max(0, got - 64) : got])[-64:]

    def adopt(self, fd: int, marks: array[int]) -> None:
        """Go on behind the last whole block with those that another process counted."""
        self._marks.extend(marks)
        self.newlines = self._marks[-1]
        self.end = self.start + (len(self._marks) - 1) * self.block
        self._last = os.pread(fd, min(64, self.end - self.start), max(self.start, self.end - 64))

    def continues(self, fd: int) -> bool:
        """Whether the file still holds what was indexed last."""
        return os.pread(fd, len(self._last), self.end - len(self._last)) == self._last

    def read(self, fd: int, first: int, last: int) -> list[bytes]:
        """The lines from `first` up to `last`, without newlines, each cut to LINE_CAP bytes."""
        first, last = max(first, 0), min(last, self.count)
        return self._read(fd, first, last) if first < last else []

    def _read(self, fd: int, first: int, last: int) -> list[bytes]:
        start, end = self._offset(fd, first), self._offset(fd, last)
        if end - start <= SPAN:
            return split(os.pread(fd, max(0, end - start), start))
        if last - first > 1:
            middle = (first + last) // 2
            return self._read(fd, first, middle) + self._read(fd, middle, last)
        end -= os.pread(fd, 1, end - 1) == b"\n"
        return [capped(os.pread(fd, LINE_CAP, start), os.pread(fd, LINE_CAP, end - LINE_CAP))]

    def _offset(self, fd: int, line: int) -> int:
        """Where a line begins; the end of what is indexed for the line after the last."""
        if line <= 0:
            return self.start
        if line > self.newlines:
            return self.end
        block = bisect_left(self._marks, line) - 1
        start = self.start + block * self.block
        data = os.pread(fd, min(self.block, self.end - start), start)
        rest = data.split(b"\n", line - self._marks[block])[-1]
        return start + len(data) - len(rest)


def before(fd: int, end: int, count: int, within: int = TAIL_CAP) -> int:
    """The offset where `count` lines begin that end at `end`, looked for in so many bytes."""
    position, lowest = end, max(0, end - within)
    while position > lowest and count > 0:
        start = max(lowest, position - BLOCK)
        data = os.pread(fd, position - start, start)
        at = len(data) - (position == end and data.endswith(b"\n"))
        while (at := data.rfind(b"\n", 0, at)) >= 0:
            count -= 1
            if not count:
                return start + at + 1
        position = start
    return position


def split(data: bytes) -> list[bytes]:
    """The lines of `data`, each cut to LINE_CAP bytes."""
    if not data:
        return []
    lines = data.removesuffix(b"\n").split(b"\n")
    return [capped(line[:LINE_CAP], line[-LINE_CAP:]) if len(line) > LINE_CAP else line for line in lines]


def capped(head: bytes, tail: bytes) -> bytes:
    """What is kept of a line that begins with `head` and ends with `tail`."""
    return tail if b"\r" in tail.rstrip(b"\r") else head
