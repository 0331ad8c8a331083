"""The numbers that a run's files gain while its supervisor watches.

Those of metrics.jsonl by a short way; where it has none, of what the screens read, by the same readers.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from exptui.core.curves.follow import Follower
    from exptui.core.monitor.readers.find import Part
    from exptui.core.monitor.readers.log import Row

BLOCK = 1 << 20  # bytes of a file that a look reads
SOON, LATER = 5.0, 60.0  # seconds after which files of numbers are looked for, first and at last
Rows = list[dict[str, float]]


class Readings:
    """What is new in the numbers of one run."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._pause, self._next = clock, SOON, clock() + SOON
        self._lines = Lines()
        self._followers: list[Follower[Fresh]] = []
        self.own = False  # whether metrics.jsonl has rows: then nothing else is looked for

    @property
    def files(self) -> list[Path]:
        """Those that have numbers, but for metrics.jsonl."""
        return [one.path for one in self._followers]

    def read(self, directory: Path) -> Rows:
        """The rows of about the next block of each file; empty at their ends."""
        rows = self._lines.read(directory / "metrics.jsonl")
        self.own = self.own or bool(rows)
        if not self.own and self._clock() >= self._next:
            self.look(directory)
        for one in self._followers if not self.own else ():
            _grow(one)
            rows += one.sink.rows
            one.sink.rows = []
        return rows

    def look(self, directory: Path) -> None:
        """Find the files that have numbers: those of the first source that has any."""
        from exptui.core.curves.follow import Follower
        from exptui.core.monitor.readers.find import sources

        known = {one.path: one for one in self._followers}
        for source in sources(directory):
            followers = [
                known.get(part.path) or Follower(part.path, Fresh, _maker(part, source.name), part.label)
                for part in source.parts
            ]
            for one in followers:
                _grow(one)
            if any(one.sink.found for one in followers):
                self._followers = followers
                break
        self._pause = LATER if self._followers else min(2 * self._pause, LATER)
        self._next = self._clock() + self._pause


class Fresh:
    """Rows that nobody looked at yet. `found`: whether there ever were any."""

    def __init__(self) -> None:
        self.rows, self.found = Rows(), False

    def add(self, steps: list[float], values: Mapping[str, list[float]]) -> None:
        """Take rows."""
        self.found = True
        self.rows += [
            {"step": step, **{name: column[at] for name, column in values.items()}}
            for at, step in enumerate(steps)
        ]


def _grow(one: Follower[Fresh]) -> None:
    with contextlib.suppress(OSError):  # it went away; the screens say what cannot be read
        one.grow(BLOCK)


def _maker(part: Part, source: str) -> Callable[[str], Any]:
    """What makes the reader of a file. Declared patterns are at work here: a process of theirs would be one of the run."""
    from exptui.core.monitor.readers.find import LOG

    if part.label != LOG or source == "log":
        return part.make
    from exptui.core.monitor.readers.declared import patterns
    from exptui.core.monitor.readers.log import LogLines

    return partial(LogLines, match=_matcher(patterns(part.path.parent)))


def _matcher(patterns: Iterable[str]) -> Callable[[list[str], object], list[Row]]:
    """What finds the named numbers of lines; a pattern that took too long is not used again."""
    from exptui.core.monitor.readers.matching import answer

    usable = list(patterns)

    def match(lines: list[str], _: object) -> list[Row]:
        reply = answer(usable, lines)
        usable[:] = [one for one in usable if one not in reply["slow"]]
        return list(reply["rows"])

    return match


class Lines:
    """The rows appended to a metrics.jsonl; one that was cut or replaced is read from its start."""

    def __init__(self) -> None:
        self._offset, self._inode, self._rest = 0, 0, b""

    def read(self, path: Path) -> Rows:
        """The numbers of the whole lines in the next block; empty at its end."""
        try:
            with path.open("rb", buffering=0) as file:
                seen = os.fstat(file.fileno())
                if seen.st_ino != self._inode or seen.st_size < self._offset:
                    self._offset, self._inode, self._rest = 0, seen.st_ino, b""
                file.seek(self._offset)
                data = file.read(BLOCK)
        except OSError:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > BLOCK:
            self._rest = b""  # no line of numbers is that long
        return [numbers(row) for line in lines if (row := decode(line)) is not None]


def report(path: Path) -> dict[str, float]:
    """The numbers of a metrics.json; none of what is none, or is too large for one."""
    try:
        row = decode(path.read_bytes()) if path.stat().st_size <= BLOCK else None
    except OSError:
        row = None
    return numbers(row or {})


def decode(line: bytes) -> dict[str, Any] | None:
    """A JSON object. Python's own json too, as that writes NaN and the infinities; anything else is none."""
    for decoder in _DECODERS:
        try:
            row = decoder(line)
        except (ValueError, RecursionError):  # msgspec's own are ValueErrors
            continue
        return row if isinstance(row, dict) else None
    return None


_DECODERS: tuple[Callable[[bytes], Any], ...] = (msgspec.json.Decoder(dict[str, Any]).decode, json.loads)


def numbers(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Its numbers, nested ones under dotted names."""
    found: dict[str, float] = {}
    for key, value in row.items():
        kind = type(value)
        if kind is float:
            found[prefix + key] = value
        elif kind is int:
            with contextlib.suppress(OverflowError):
                found[prefix + key] = float(value)
        elif kind is dict:
            found |= numbers(value, f"{prefix}{key}.")
    return found
