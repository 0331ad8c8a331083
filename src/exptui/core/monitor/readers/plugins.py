"""Readers of other packages, by the entry point group `exptui.readers`. What goes wrong in one is named, and no more."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol, TypeVar

from exptui.core.monitor.readers.find import Reader
from exptui.core.monitor.readers.protocol import Format, Problems, Sink, Unit

GROUP = "exptui.readers"
WRONG = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError, SyntaxError,
         TypeError, ValueError)  # fmt: skip
T = TypeVar("T")


class Made(Reader, Protocol):
    """What an entry point names: a class that is a Format. `files` are patterns of the names it wants to look into."""

    files: tuple[str, ...]


class Other:
    """One of them, held at arm's length."""

    def __init__(self, name: str, made: Made) -> None:
        self.name, self.files, self._made = name, tuple(map(str, made.files)), made

    def probe(self, head: bytes) -> bool:
        """Whether a file is one of its own; not where it cannot say."""
        try:
            return bool(self._made.probe(head))
        except WRONG:
            return False

    def __call__(self, file: str) -> Format:
        """A reader of one file."""
        return _Guarded(self.name, self._made, file)


class _Guarded:
    """A Format whose errors are problems."""

    def __init__(self, name: str, made: Made, file: str) -> None:
        self.problems, self.lines, self.header, self.unit = Problems(file), 0, list[str](), Unit.FILE
        self._name, self._inner = name, self._try(lambda: made(file), otherwise=None)
        if self._inner is not None:
            self.problems, self.unit = self._inner.problems, self._inner.unit

    def read(self, block: bytes, sink: Sink) -> int:
        """Decode; a block that it fails at is left out."""
        if (inner := self._inner) is None:
            return len(block)
        return max(0, self._try(lambda: int(inner.read(block, _Checked(sink))), otherwise=len(block)))

    def is_whole(self, line: bytes) -> bool:
        """Whether a last line cannot go on."""
        inner = self._inner
        return bool(inner and self._try(lambda: inner.is_whole(line), otherwise=False))

    def _try(self, do: Callable[[], T], *, otherwise: T) -> T:
        try:
            return do()
        except WRONG as error:
            self.problems.say(f": the reader {self._name} failed: {type(error).__name__}: {error}")
            return otherwise


class _Checked:
    """A Sink that refuses what would spoil the columns."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def add(self, steps: list[float], values: Mapping[str, list[float]]) -> None:
        """Take rows."""
        rows, columns = list(map(float, steps)), {str(n): list(map(float, v)) for n, v in values.items()}
        if any(len(column) != len(rows) for column in columns.values()):
            raise ValueError("columns of different lengths")
        if not all(map(math.isfinite, rows)):
            raise ValueError("a step that is not finite")
        if rows and columns:
            self._sink.add(rows, columns)


@lru_cache(maxsize=1)
def others() -> tuple[dict[str, Other], tuple[str, ...]]:
    """All of them by name, imported now; and what is wrong with the rest."""
    from importlib.metadata import entry_points

    found, problems = dict[str, Other](), list[str]()
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            found[point.name] = Other(point.name, point.load())
        except WRONG as error:
            problems.append(f"the reader {point.name} cannot be loaded: {type(error).__name__}: {error}")
    return found, tuple(problems)
