"""The log of the run on the screen: its index and its filter. Used on the bridge's threads alone."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from exptui.core.monitor.index import LogIndex, compile_pattern
from exptui.tui.widgets.log_view import LogWindow

P = ParamSpec("P")
R = TypeVar("R")
AROUND = 400
FIRST_LOOK = 8 << 20


def _locked(method: Callable[Concatenate[LogReader, P], R]) -> Callable[Concatenate[LogReader, P], R]:
    """One thread at a time: a filter over a huge log runs on a thread of its own."""

    def inner(self: LogReader, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return inner


class LogReader:
    """Answers for one file at a time; another path is another log."""

    def __init__(self) -> None:
        self._index: LogIndex | None = None
        self._pattern = ""
        self._kept: array[int] = array("Q")
        self._kept_until = 0
        self._generations = count(1)
        self._generation = 0
        self._seen: tuple[object, ...] = ()
        self.lock = threading.RLock()

    @_locked
    def latest(self, path: Path) -> LogWindow:
        """The end of the log as it is now; of a huge one at first only what was indexed."""
        if self._index is None or self._index.path != path:
            self._index, self._pattern = LogIndex(path), ""
        return self._end(self._index)

    @_locked
    def more(self) -> LogWindow:
        """The end again, after indexing further."""
        return self._end(self._known())

    def _end(self, index: LogIndex) -> LogWindow:
        index.grow(FIRST_LOOK)
        self._extend(index)
        total = self._total(index)
        return self.window(max(0, total - AROUND), AROUND)

    @_locked
    def window(self, first: int, lines: int) -> LogWindow:
        """Some lines of what the filter shows."""
        index = self._known()
        self._mark(index)
        total = self._total(index)
        first = max(0, min(first, total))
        complete = index.complete
        if not self._pattern:
            return LogWindow(
                self._generation, total, first, tuple(index.lines(first, lines)), complete=complete
            )
        wanted = self._kept[first : first + lines]
        found = tuple(line for at in wanted for line in index.lines(at, 1))
        return LogWindow(self._generation, total, first, found, complete=complete, numbers=tuple(wanted))

    @_locked
    def filter(self, pattern: str) -> LogWindow:
        """Show only lines that match; all of them for an empty pattern."""
        index = self._known()
        self._pattern, self._kept, self._kept_until = pattern, array("Q"), 0
        while index.grow(FIRST_LOOK):
            pass
        return self._end(index)

    def search(self, pattern: str, start: int, step: int) -> int | None:
        """The line, as the filter counts them, of the next match."""
        with self.lock:
            index, kept, filtered = self._known(), array("Q", self._kept), bool(self._pattern)
        if not filtered:
            return index.search(pattern, start, step, lambda: False)
        lit = compile_pattern(pattern)
        order = range(start, len(kept)) if step > 0 else range(min(start, len(kept) - 1), -1, -1)
        texts = ((at, b"".join(index.lines(kept[at], 1)).decode(errors="replace")) for at in order)
        return next((at for at, text in texts if lit.search(text)), None)

    def _known(self) -> LogIndex:
        assert self._index is not None  # `latest` came first: the screen asks it when a run is selected
        return self._index

    def _total(self, index: LogIndex) -> int:
        return len(self._kept) if self._pattern else index.count

    def _extend(self, index: LogIndex) -> None:
        """What the filter lets through of what is new."""
        self._mark(index)
        if self._pattern:
            # The last line may still have been growing when it was looked at.
            start = max(0, self._kept_until - 1)
            while self._kept and self._kept[-1] >= start:
                self._kept.pop()
            self._kept.extend(index.matches(self._pattern, lambda: False, start))
            self._kept_until = index.count

    def _mark(self, index: LogIndex) -> None:
        """A new generation whenever line numbers of before mean nothing any more."""
        seen = (index.path, index.generation, self._pattern)
        if seen != self._seen:
            self._seen, self._generation = seen, next(self._generations)
