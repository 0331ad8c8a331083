"""Any line of a log of any size: its end at once, everything else as soon as an index has been made from its start."""

from __future__ import annotations

import os
import stat
import threading
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exptui.core.monitor.lines import BLOCK, LINE_CAP, Lines, before
from exptui.core.monitor.scan import CAUGHT_UP
from exptui.core.monitor.search import Scan

__all__ = ["LINE_CAP", "LogIndex", "LogWindow"]

APART = 64 << 20
"""More than this is counted by a process of its own, as no thread of this one can work meanwhile."""
END = 500
"""So many lines of the end are known before the index is complete."""
NEAR = 10_000
"""As many lines further up they are read when they are wanted."""
CLOSE = 64
"""Lines with fewer others between them are read at once."""


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
    numbered: int | None = None
    """From this line on numbers are not known yet, only the order; None when all are."""
    moved: int = 0
    """So much further down than before are the lines whose numbers were not known then."""

    def at(self, line: int) -> tuple[bytes | None, int]:
        """What it holds of a line, if anything, and the line's own number."""
        at = line - self.first
        if not 0 <= at < len(self.lines):
            return None, line
        return self.lines[at], self.numbers[at] if at < len(self.numbers) else line


class LogIndex:
    """The lines of a growing file. Calls may come from any thread, and none takes long; `grow` belongs in a worker.

    Until the index is complete the lines of the end lie behind those known from the start, with a gap of a guessed
    number of lines between them.
    """

    def __init__(self, path: Path, block: int = BLOCK) -> None:
        self.path = path
        self.block = block
        self.generation = 0
        """Goes up when the file was cut or replaced and numbers from before mean nothing any more."""
        self.complete = False
        """Whether everything there was at the last `grow` is indexed."""
        self.size = 0
        """Bytes there were at the last `grow`."""
        self.moved = 0
        """How much further down than guessed the lines of the end turned out to be."""
        self._lock = threading.RLock()
        self._scan: Scan | None = None
        self._reset()

    def _reset(self) -> None:
        self._head = Lines(0, self.block)
        self._end: Lines | None = None
        self._end_at = 0
        """The guessed number of the first line of the end."""
        self._identity: tuple[int, int] | None = None
        self._here = False
        """Whether counting is left to this process, as another one died of it."""
        self.close()

    def close(self) -> None:
        """End the process that counts."""
        with self._lock:
            if self._scan:
                self._scan.close()
                self._scan = None

    @property
    def known(self) -> int:
        """So many lines from the start are known by their numbers."""
        with self._lock:
            return min(self._head.newlines, self._end_at) if self._end else self._head.count

    @property
    def count(self) -> int:
        """Lines there are. An unfinished last line is one, when it is not empty."""
        with self._lock:
            return self._end_at + self._end.count if self._end else self._head.count

    @property
    def numbered(self) -> int | None:
        """The first line of the end while numbers from there on are guessed."""
        with self._lock:
            return self._end_at if self._end else None

    def grow(self, budget: int = 8 << 20, patience: float = 0.0) -> bool:
        """Index more, at most `budget` bytes in this process; True while there is more to do.

        Another process is waited for with `patience`, in seconds; meanwhile nobody reads.
        """
        with self._lock, _opened(self.path) as fd:
            if fd is None:
                self._restart(None)
                self.complete, self.size = True, 0
                return False
            status = os.fstat(fd)
            identity, size = (status.st_dev, status.st_ino), status.st_size
            self.size = size
            if identity != self._identity or not all(part.continues(fd) for part in self._parts()):
                self._restart(identity)
            if self._scan or (size - self._head.end > APART and not self._here):
                self._grow_apart(fd, patience)
            else:
                self._head.grow(fd, min(size, self._head.end + budget))
            self.complete = self._head.end >= size
            self._see_end(fd, size)
            return not self.complete

    def _parts(self) -> list[Lines]:
        return [self._head, self._end] if self._end else [self._head]

    def _grow_apart(self, fd: int, patience: float) -> None:
        head = self._head
        if self._scan is None:
            head.adopt(fd, array("Q"))
            self._scan = Scan(self.path, start=head.end, newlines=head.newlines, block=self.block)
        for frame in self._scan.frames(patience):
            head.adopt(fd, frame.numbers)
            if frame.kind == CAUGHT_UP:
                self.close()
                return
        if self._scan.code is not None:
            self._scan, self._here = None, True

    def _see_end(self, fd: int, size: int) -> None:
        """The end as it is now, until the index has come to it."""
        if self.complete:
            if self._end:
                self._end.grow(fd, self._head.end)
                self.moved += self._head.count - self._end.count - self._end_at
                self._end = None
            return
        if self._end is None:
            self._end = Lines(before(fd, size, END), self.block)
            self._end.grow(fd, size)
            self._end_at = self._end.start * self._end.count // (size - self._end.start) + END
        self._end.grow(fd, size)

    def _restart(self, identity: tuple[int, int] | None) -> None:
        if self._head.end or self._end:
            self.generation += 1
        self._reset()
        self._identity = identity

    def reach(self, first: int) -> int:
        """Which line can be read when `first` is wanted: another one only where that is not known yet."""
        with self._lock, self._same_file() as fd:
            if fd is None or self._end is None or first < self.known:
                return first
            if self._end_at - NEAR < first < self._end_at:
                more = min(self._end_at, self._end_at - first + END)
                longer = Lines(before(fd, self._end.start, more), self.block)
                longer.grow(fd, self._end.end)
                self._end_at -= longer.count - self._end.count
                self._end = longer
            return max(first, self._end_at)

    def lines(self, first: int, count: int) -> list[bytes]:
        """Up to `count` lines from line `first` (0 is the first) on, without newlines, each cut to LINE_CAP bytes."""
        with self._lock, self._same_file() as fd:
            if fd is None:
                return []
            if self._end and first >= self.known:
                at = first - self._end_at
                return self._end.read(fd, at, at + count) if at >= 0 else []
            return self._head.read(fd, first, min(first + count, self.known))

    def pick(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """Those of these lines, in ascending order, that are known."""
        found: dict[int, bytes] = {}
        with self._lock, self._same_file() as fd:
            for first, last in _runs([number for number in numbers if number < self.known]):
                if fd is not None:
                    found.update(enumerate(self._head.read(fd, first, last + 1), first))
        return {number: found[number] for number in numbers if number in found}

    @contextmanager
    def _same_file(self) -> Iterator[int | None]:
        """The file, if it is the one that is indexed."""
        with _opened(self.path) as fd:
            status = os.fstat(fd) if fd is not None else None
            yield fd if status and (status.st_dev, status.st_ino) == self._identity else None


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of the numbers that are close together."""
    first = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] - numbers[at - 1] > CLOSE:
            yield numbers[first], numbers[at - 1]
            first = at


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
