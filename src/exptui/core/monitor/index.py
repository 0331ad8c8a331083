"""Any line of a log of any size: an index of how many lines each block of the file holds, and search through it."""

from __future__ import annotations

import os
import re
import stat
import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

BLOCK = 1 << 16
LINE_CAP = 1 << 16
"""Of a longer line this many bytes are read: its beginning, or its end when it is a redrawn progress bar."""
SPAN = 1 << 20
"""So much is read at a time; lines longer than that are never read whole."""
GROUP = 1 << 20
"""So much is searched between two looks at whether the search is still wanted."""
TAIL_CAP = 8 << 20
SGR = re.compile(rb"\x1b\[[0-9;:]{0,64}m")


def regex_flags(text: str) -> int:
    """Case matters only to a pattern that has a capital."""
    literal = re.sub(r"\\.", "", text)
    return 0 if literal != literal.lower() else re.IGNORECASE


def compile_pattern(text: str) -> re.Pattern[str]:
    """A pattern as a person types it; re.error whatever is wrong with it."""
    try:
        return re.compile(text, regex_flags(text))
    except (OverflowError, RecursionError) as error:
        raise re.error(str(error)) from error


def last_state(line: bytes) -> bytes:
    """Of a line redrawn with carriage returns the last state that shows anything."""
    if b"\r" not in line:
        return line
    return next((state for state in reversed(line.split(b"\r")) if SGR.sub(b"", state)), b"")


def plain(line: bytes) -> bytes:
    """The line as it is shown: its last state, without colours."""
    state = last_state(line)
    return SGR.sub(b"", state) if b"\x1b" in state else state


@dataclass(frozen=True)
class LogWindow:
    """Some lines of a log, and how many there are: what a worker hands to whoever shows them."""

    generation: int
    """Another one means another file or another filter: line numbers of before mean nothing."""
    count: int
    first: int
    lines: tuple[bytes, ...]
    complete: bool
    """Whether `count` is all there is; False while the log is being indexed."""
    numbers: tuple[int, ...] = ()
    """The lines' own numbers, when a filter has taken lines out between them."""

    def at(self, line: int) -> tuple[bytes | None, int]:
        """What it holds of a line, if anything, and the line's own number."""
        at = line - self.first
        if not 0 <= at < len(self.lines):
            return None, line
        return self.lines[at], self.numbers[at] if at < len(self.numbers) else line


class LogIndex:
    """The lines of a growing file. Calls may come from any thread; `grow` and `search` belong in a worker."""

    def __init__(self, path: Path, block: int = BLOCK) -> None:
        self.path = path
        self.block = block
        self.generation = 0
        """Goes up when the file was cut or replaced and numbers from before mean nothing any more."""
        self.complete = False
        """Whether everything there was at the last `grow` is indexed."""
        self._lock = threading.RLock()
        self._reset()

    def _reset(self) -> None:
        self._marks = array("Q", [0])
        """Newlines before the end of each whole block, after a leading 0."""
        self._newlines = 0
        self._scanned = 0
        self._last = b""
        """The end of what was scanned: what tells a file that was rewritten from one that grew."""
        self._identity: tuple[int, int] | None = None

    @property
    def count(self) -> int:
        """Lines known so far. An unfinished last line is one, when it is not empty."""
        with self._lock:
            return self._newlines + (self._scanned > 0 and not self._last.endswith(b"\n"))

    def grow(self, budget: int = 32 << 20) -> bool:
        """Index at most `budget` more bytes; True while there is more to do."""
        with self._lock, _opened(self.path) as fd:
            if fd is None:
                self._restart(None)
                self.complete = True
                return False
            status = os.fstat(fd)
            identity = (status.st_dev, status.st_ino)
            if identity != self._identity or not self._continues(fd):
                self._restart(identity)
            end = min(status.st_size, self._scanned + budget)
            while self._scanned < end:
                room = self.block - self._scanned % self.block
                data = os.pread(fd, min(room, end - self._scanned), self._scanned)
                if not data:
                    break
                self._newlines += data.count(b"\n")
                self._scanned += len(data)
                self._last = (self._last + data[-64:])[-64:]
                if self._scanned % self.block == 0:
                    self._marks.append(self._newlines)
            self.complete = self._scanned >= status.st_size
            return not self.complete

    def _continues(self, fd: int) -> bool:
        return os.pread(fd, len(self._last), self._scanned - len(self._last)) == self._last

    def _restart(self, identity: tuple[int, int] | None) -> None:
        if self._scanned:
            self.generation += 1
            self._reset()
        self._identity = identity

    def lines(self, first: int, count: int) -> list[bytes]:
        """Up to `count` lines from line `first` (0 is the first) on, without newlines, each cut to LINE_CAP bytes."""
        with self._lock, _opened(self.path) as fd:
            first, last = max(first, 0), min(first + count, self.count)
            if fd is None or first >= last:
                return []
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != self._identity:
                return []
            return self._read(fd, first, last)

    def _read(self, fd: int, first: int, last: int) -> list[bytes]:
        start, end = self._offset(fd, first), self._offset(fd, last)
        if end - start <= SPAN:
            return _split(os.pread(fd, max(0, end - start), start))
        if last - first > 1:
            middle = (first + last) // 2
            return self._read(fd, first, middle) + self._read(fd, middle, last)
        end -= os.pread(fd, 1, end - 1) == b"\n"
        return [_capped(os.pread(fd, LINE_CAP, start), os.pread(fd, LINE_CAP, end - LINE_CAP))]

    def _offset(self, fd: int, line: int) -> int:
        """Where a line begins; the end of the file for the line after the last."""
        if line <= 0:
            return 0
        if line > self._newlines:
            return self._scanned
        block = bisect_left(self._marks, line) - 1
        start = block * self.block
        data = os.pread(fd, min(self.block, self._scanned - start), start)
        rest = data.split(b"\n", line - self._marks[block])[-1]
        return start + len(data) - len(rest)

    def tail(self, count: int) -> list[bytes]:
        """The last lines at once, without the index."""
        with _opened(self.path) as fd:
            size = os.fstat(fd).st_size if fd is not None else 0
            if fd is None or not size or count <= 0:
                return []
            span = BLOCK
            while True:
                start = max(0, size - span)
                data = os.pread(fd, size - start, start)
                if not start or span >= TAIL_CAP or data.count(b"\n") > count:
                    return _split(data)[-count:]
                span = min(span * 4, TAIL_CAP)

    def search(
        self, pattern: re.Pattern[bytes] | str, start: int, step: int, cancelled: Callable[[], bool]
    ) -> int | None:
        """The first line with a match, from line `start` on (step 1) or back (step -1); None when there is none."""
        for first, last in self._groups(start, step):
            found = self._matches(pattern, first, last, cancelled)
            if found is None:
                return None
            if found:
                return found[0 if step > 0 else -1]
        return None

    def matches(
        self, pattern: re.Pattern[bytes] | str, cancelled: Callable[[], bool], start: int = 0
    ) -> array[int]:
        """The numbers of all lines with a match, from line `start` on; those found so far when cancelled."""
        found = array("Q")
        for first, last in self._groups(start, 1):
            more = self._matches(pattern, first, last, cancelled)
            if more is None:
                break
            found.extend(more)
        return found

    def _matches(
        self, pattern: re.Pattern[bytes] | str, first: int, last: int, cancelled: Callable[[], bool]
    ) -> list[int] | None:
        if cancelled():
            return None
        lines = self.lines(first, last - first)
        data = b"\n".join(lines)
        if b"\r" in data or b"\x1b" in data:
            lines = [plain(line) for line in lines]
            data = b"\n".join(lines)
        hits: Iterator[object]
        if isinstance(pattern, str):
            hits = map(compile_pattern(pattern).search, data.decode(errors="replace").split("\n"))
        else:
            hits = map(pattern.search, lines)
        return [number for number, hit in enumerate(hits, first) if hit and number < first + len(lines)]

    def _groups(self, start: int, step: int) -> Iterator[tuple[int, int]]:
        """Runs of lines of about GROUP bytes each, in the order of the search; they end when the file is replaced."""
        with self._lock:
            generation = self.generation
            edges = sorted({*self._marks[:: max(1, GROUP // self.block)], self.count})
        pairs = list(pairwise(edges))
        for first, last in pairs if step > 0 else reversed(pairs):
            if self.generation != generation:
                return
            if step > 0 and last > start:
                yield max(first, start), last
            elif step < 0 and first <= start:
                yield first, min(last, start + 1)


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """The file open for reading; None when there is none, or no regular one."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield fd if stat.S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)


def _split(data: bytes) -> list[bytes]:
    if not data:
        return []
    lines = data.removesuffix(b"\n").split(b"\n")
    return [_capped(line[:LINE_CAP], line[-LINE_CAP:]) if len(line) > LINE_CAP else line for line in lines]


def _capped(head: bytes, tail: bytes) -> bytes:
    return tail if b"\r" in tail.rstrip(b"\r") else head
