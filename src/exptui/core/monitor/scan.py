"""A process of its own that goes through a log: counts its lines, or finds those that match. It can be killed.

`python -P -m exptui.core.monitor.scan` reads one line of JSON, answers with frames, and waits for a byte each time
it has come to the end of the file. It ends with its input, and when who started it has gone.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import time
from array import array
from collections.abc import Callable
from types import FrameType

from exptui.core.monitor.lines import LINE_CAP, READ, capped, split
from exptui.core.monitor.matcher import Matcher
from exptui.core.monitor.pattern import TooSlow

HEAD = struct.Struct("<cIQQQ")
"""Kind, how many numbers of eight bytes follow, first line, line after the last, bytes gone through."""
MOVED, CAUGHT_UP, STUCK = b"M", b"E", b"S"
EVERY = 0.05
FULL = 4096
BEAT = 0.2
NUMPY_PAYS = 256 << 20
"""Only more than this is counted sooner when numpy is imported first."""


def send(kind: bytes, numbers: array[int], first: int, after: int, offset: int) -> None:
    """One frame to whoever started this process."""
    data = memoryview(HEAD.pack(kind, len(numbers), first, after, offset) + numbers.tobytes())
    while data:
        data = data[os.write(1, data) :]


def count(path: str, start: int, newlines: int, block: int) -> None:
    """The newlines before the end of every whole block from `start` on, where there were some already."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    newlines_in = _counter(os.fstat(fd).st_size - start)
    marks, told = array("Q"), time.monotonic()
    buffer = memoryview(bytearray(max(READ // block, 1) * block))
    while got := os.preadv(fd, [buffer], start) // block:
        for at in range(0, got * block, block):
            newlines += newlines_in(buffer[at : at + block])
            marks.append(newlines)
        start += got * block
        if time.monotonic() - told > EVERY or len(marks) >= FULL:
            send(MOVED, marks, 0, newlines, start)
            marks, told = array("Q"), time.monotonic()
    send(CAUGHT_UP, marks, 0, newlines, start)


def _counter(size: int) -> Callable[[memoryview], int]:
    """Counts newlines; with numpy, which takes a while to import, where there is much to count."""
    if size < NUMPY_PAYS:
        return lambda data: bytes(data).count(b"\n")
    import numpy as np

    return lambda data: int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))


class Search:
    """Finds the lines that match all patterns, from the first to the last and then those that are appended."""

    def __init__(self, path: str, patterns: list[str]) -> None:
        self._path = path
        self._fd = -1
        self._matchers = [Matcher(pattern) for pattern in patterns]
        self._offset = self._line = 0
        self._endless = 0
        """How far the unfinished line at the offset, longer than what is read at a time, is known."""
        self._hits, self._first, self._told = array("Q"), 0, time.monotonic()
        self._matching: int | None = None
        """While a pattern is at work: on which line, or -1 for some line of a block."""
        self._beat = self._seen = 0

    def run(self) -> None:
        """To the end, and on with every byte that says there is more, until nobody is there to say so."""
        signal.signal(signal.SIGVTALRM, self._tick)
        signal.setitimer(signal.ITIMER_VIRTUAL, BEAT, BEAT)
        try:
            more = b"+"
            while more:
                while self._step():
                    if time.monotonic() - self._told > EVERY or len(self._hits) >= FULL:
                        self._send(MOVED, self._line)
                more = os.read(0, READ)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _step(self) -> bool:
        """The next lines; False at the end of the file, where the last line may be unfinished."""
        if self._fd < 0:
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
            except FileNotFoundError:
                self._send(CAUGHT_UP, 0)
                return False
        data = os.pread(self._fd, READ, self._offset)
        whole = data.rfind(b"\n")
        if whole >= 0:  # what is behind it comes again: to cut it off would be to copy the rest
            hits, count = self._match(data)
            self._took(
                hits[:-1] if hits and hits[-1] == self._line + count - 1 else hits, count - 1, whole + 1
            )
        if len(data) < READ:
            line = data[whole + 1 :]
        elif whole >= 0:
            return True
        else:
            line, end, finished = self._long_line()
            if finished:
                self._took(*self._match(line), end + 1 - self._offset)
                return True
        if line:
            self._hits.extend(self._match(line)[0])
        self._send(CAUGHT_UP, self._line + bool(line))
        return False

    def _took(self, hits: list[int], count: int, length: int) -> None:
        """So many whole lines, that are as many bytes of the file, and those of them that match."""
        self._hits.extend(hits)
        self._line += count
        self._offset += length

    def _long_line(self) -> tuple[bytes, int, bool]:
        """What is kept of the line at the offset, where it ends, and whether it does."""
        at = max(self._endless, self._offset)
        while data := os.pread(self._fd, READ, at):
            found = data.find(b"\n")
            if found >= 0:
                break
            at += len(data)
            self._beat += 1
        end = self._endless = at + data.find(b"\n") if data else at
        head, tail = (os.pread(self._fd, LINE_CAP, place) for place in (self._offset, end - LINE_CAP))
        return capped(head, tail), end, bool(data)

    def _match(self, data: bytes) -> tuple[list[int], int]:
        """The numbers of the lines that match, and how many were looked at."""
        if _has_long(data):
            data = b"\n".join(split(data + b"\n"))
        self._beat += 1
        try:
            self._matching = -1
            found, count = zip(*(matcher.lines(data) for matcher in self._matchers), strict=True)
        except TooSlow:
            self._matching = self._line
            found = tuple(matcher.one_by_one(data, self._at) for matcher in self._matchers)
            count = (data.count(b"\n") + 1,)
        finally:
            self._matching = None
        hits = found[0] if len(found) == 1 else sorted(set(found[0]).intersection(*found[1:]))
        return [self._line + number for number in hits], count[0]

    def _at(self, number: int) -> None:
        self._matching = self._line + number
        self._beat += 1

    def _tick(self, _signal: int, _frame: FrameType | None) -> None:
        """Now and then, even from within a pattern: has anything moved since? Said to nobody, it ends the process."""
        before, self._seen = self._seen, self._beat
        if before != self._beat or self._matching is None:
            return
        if self._matching < 0:
            raise TooSlow
        send(STUCK, array("Q"), self._matching, self._matching, self._offset)

    def _send(self, kind: bytes, after: int) -> None:
        send(kind, self._hits, self._first, after, self._offset)
        self._hits, self._first, self._told = array("Q"), self._line, time.monotonic()


def _has_long(data: bytes) -> bool:
    """Whether a line is longer than LINE_CAP."""
    at = 0
    while len(data) - at > LINE_CAP:
        newline = data.rfind(b"\n", at, at + LINE_CAP + 1)
        if newline < 0:
            return True
        at = newline + 1
    return False


def main() -> None:
    """Do what the first line of the input asks for."""
    request = json.loads(sys.stdin.buffer.readline())
    try:
        if request.get("patterns"):
            Search(request["path"], request["patterns"]).run()
        else:
            count(request["path"], request["start"], request["newlines"], request["block"])
    except (BrokenPipeError, FileNotFoundError):
        sys.exit(1)


if __name__ == "__main__":
    main()
