"""What a reader is: it gets the bytes of one file in order, and puts rows into a sink."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from itertools import groupby
from typing import Any, Protocol

import msgspec

STEPS = (
    "step",
    "epoch",
    "cycle",
    "iteration",
    "global_step",
    "training_iteration",
    "total_timesteps",
    "time/total_timesteps",
)
NAMED = 8  # problems that are named one by one
Batch = tuple[list[float], dict[str, list[float]]]


class Sink(Protocol):
    """What takes rows: every metric of a batch has a value for each of its steps."""

    def add(self, steps: list[float], values: Mapping[str, list[float]], /) -> None:
        """Take rows; there is at least one."""


class Unit(Enum):
    """What a reader is given at a time."""

    LINES = "whole lines"
    TAIL = "whole lines, of a long file only those near its end"
    RECORDS = "bytes from where it was"
    FILE = "the whole file, whenever it changed"


class Format(Protocol):
    """A reader of one file. `lines` counts those it was given; `header` is what the others depend on."""

    unit: Unit
    problems: Problems
    lines: int
    header: list[str]

    def read(self, block: bytes, sink: Sink, /) -> int:
        """Decode; how many bytes are done with. Of records that may be more than were given: the next are left out."""

    def is_whole(self, line: bytes, /) -> bool:
        """Whether a last line that lacks its newline cannot go on."""


class Last:
    """Of every metric only the value at its greatest step."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[float, float]] = {}

    def add(self, steps: list[float], values: Mapping[str, list[float]]) -> None:
        """Look at more rows."""
        step = max(steps)
        at = len(steps) - 1 - steps[::-1].index(step)
        for name, column in values.items():
            if name not in self.found or step >= self.found[name][0]:
                self.found[name] = (step, column[at])


class Problems:
    """What could not be read of a file: the first ones are named, the others counted."""

    def __init__(self, file: str) -> None:
        self.file, self.named, self.more = file, list[str](), 0

    def add(self, line: int, what: str) -> None:
        """Note a line."""
        self.say(f" line {line} {what}")

    def say(self, what: str) -> None:
        """Note something else, said behind the file's name."""
        if len(self.named) < NAMED:
            self.named.append(f"{self.file}{what}")
        else:
            self.more += 1

    def texts(self) -> tuple[str, ...]:
        """All of them, as they are shown."""
        return (*self.named, *([f"{self.file}: {self.more} lines more like these"] if self.more else ()))


def decoded(line: bytes) -> dict[str, Any] | None:
    """A JSON object; NaN and the infinities, which Python's own json writes, are understood too."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    import json

    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def numbers(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numeric leaves, nested ones under dotted names; lists and booleans are not metrics."""
    found: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            found |= numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[prefix + key] = as_float(value)
    return found


def as_float(value: float) -> float:
    """A number as a float; an integer that is too large for one is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def row_of(row: Mapping[str, Any], number: int) -> tuple[float, dict[str, float]]:
    """The step of a row, or its number, and its metrics."""
    found = numbers(row)
    usable = (found[name] for name in STEPS if name in found and math.isfinite(found[name]))
    step = next(usable, float(number))
    return step, {name: value for name, value in found.items() if name not in STEPS}


def batches(rows: Sequence[tuple[float, dict[str, float]]]) -> Iterable[Batch]:
    """Rows with the same metrics behind each other, as columns; none of rows without."""
    for names, run in groupby(rows, lambda row: tuple(row[1])):
        if names:
            members = list(run)
            yield [step for step, _ in members], {n: [row[n] for _, row in members] for n in names}
