"""The log of the run on the screen: its index, its filter and what is searched in it. For the bridge's threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from exptui.core.monitor.index import LogIndex, LogWindow
from exptui.core.monitor.search import Search

P = ParamSpec("P")
R = TypeVar("R")
AROUND = 400


def _locked(method: Callable[Concatenate[LogReader, P], R]) -> Callable[Concatenate[LogReader, P], R]:
    """One thread at a time; none takes long."""

    def inner(self: LogReader, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return inner


class LogReader:
    """Answers for one file at a time; another path is another log."""

    def __init__(self) -> None:
        self._index: LogIndex | None = None
        self.filtering: Search | None = None
        """What lets lines through; only these are searched."""
        self.searching: Search | None = None
        self._lines: dict[int, bytes] = {}
        """What the filter showed last."""
        self._generations = count(1)
        self._generation = 0
        self._seen: tuple[object, ...] = ()
        self._moved = 0
        self.lock = threading.RLock()
        self.size = 0

    @_locked
    def latest(self, path: Path, place: tuple[int, int] | None = None) -> LogWindow:
        """The log as it is now: the lines at a place (first, how many), or its end."""
        if self._index is None or self._index.path != path:
            self.close()
            self._index = LogIndex(path)
        return self.more(place)

    @_locked
    def more(self, place: tuple[int, int] | None = None) -> LogWindow:
        """The same log again, after indexing further."""
        index = self._known()
        generation, numbered, moved = index.generation, index.numbered, index.moved
        index.grow()
        if index.generation != generation:
            self._rewritten()
        elif index.size != self.size:
            for search in self.searches:
                search.go_on()
        self.size = index.size
        if place and numbered is not None and place[0] >= numbered:
            place = place[0] + index.moved - moved, place[1]
        return self.window(*place or (self._total() - AROUND, AROUND))

    @_locked
    def window(self, first: int, lines: int) -> LogWindow:
        """Some lines of what the filter shows."""
        index = self._known()
        seen = (index.path, index.generation, self.filtering)
        if seen != self._seen:
            self._seen, self._generation, self._moved = seen, next(self._generations), index.moved
        total = self._total()
        first = max(0, min(first, total))
        if self.filtering:
            return self._filtered(self.filtering, index, first, lines)
        moved, self._moved = index.moved - self._moved, index.moved
        first = index.reach(first)
        return LogWindow(
            self._generation,
            index.count,
            first,
            tuple(index.lines(first, lines)),
            complete=index.complete,
            numbered=index.numbered,
            moved=moved,
        )

    @_locked
    def filter(self, pattern: str) -> Search | None:
        """Show only lines that match, as they are found; all of them for an empty pattern."""
        for search in self.searches:
            search.kill()
        self.searching, self._lines = None, {}
        self.filtering = Search(self._known().path, pattern) if pattern else None
        return self.filtering

    @_locked
    def search(self, pattern: str) -> Search:
        """Look for lines that match, of those that the filter shows."""
        patterns = (*(self.filtering.patterns if self.filtering else ()), pattern)
        if self.searching is None or self.searching.patterns != patterns or self.searching.progress.ended:
            if self.searching:
                self.searching.kill()
            self.searching = Search(self._known().path, *patterns)
        return self.searching

    @property
    def searches(self) -> tuple[Search, ...]:
        """Filter and search."""
        return tuple(search for search in (self.filtering, self.searching) if search)

    def found(self, start: int, step: int) -> tuple[int | None, int] | None:
        """The next match, as a line of what the filter shows, and which match that is; None while not known."""
        search, kept = self.searching, self.filtering
        if search is None or (kept and kept.progress.running):
            return None
        if kept:
            lines = kept.slice(0, kept.progress.count)
            beyond = -1 if start < 0 else lines[-1] + 1 if lines else 0
            start = lines[start] if 0 <= start < len(lines) else beyond
        if not search.settled(start, step):
            return None
        at = search.place(start, step)
        if at is None:
            return None, 0
        line = search.hits[at]
        return kept.before(line) if kept else line, at + 1

    def close(self) -> None:
        """End every process that works for this log."""
        for search in self.searches:
            search.kill()
        self.filtering = self.searching = None
        if self._index:
            self._index.close()

    def _rewritten(self) -> None:
        """It is another file: what was found in the one before means nothing."""
        kept = self.filtering.patterns[0] if self.filtering else ""
        self.filter(kept)

    def _filtered(self, kept: Search, index: LogIndex, first: int, lines: int) -> LogWindow:
        numbers = kept.slice(first, lines)
        last = index.count - 1  # may still be growing
        here = {number: self._lines[number] for number in numbers if number in self._lines and number != last}
        here |= index.pick([number for number in numbers if number not in here])
        self._lines = here
        known = [number for number in numbers if number in here]
        return LogWindow(
            self._generation,
            self._total(),
            first,
            tuple(here[number] for number in known),
            complete=index.complete,
            numbers=tuple(known),
        )

    def _total(self) -> int:
        index = self._known()
        return self.filtering.before(index.known) if self.filtering else index.count

    def _known(self) -> LogIndex:
        assert self._index is not None  # `latest` came first: the screen asks it when a run is selected
        return self._index
