"""What lines of metrics look like. A reader gets whole lines in blocks and puts columns into a sink."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import msgspec

STEPS = ("step", "epoch", "cycle", "iteration", "global_step")
NAMED = 8  # problems that are named one by one
ENOUGH = 64  # lines in a block from which a decoder of their own pays
SHAPES = 8  # such decoders at most for one file
TOKENS = {  # what Python's json writes and JSON does not know, and numbers that stand for it meanwhile
    b"-Infinity": (-math.inf, b"-6.9314718055994531e-301"),
    b"Infinity": (math.inf, b"6.9314718055994531e-302"),
    b"NaN": (math.nan, b"6.9314718055994531e-303"),
}
_TOKEN = re.compile(rb"(?<=[:\s])(-Infinity|Infinity|NaN)(?=\s*[,}])")
Batch = tuple[list[float], dict[str, list[float]]]


class Sink(Protocol):
    """What takes rows: every metric of a batch has a value for each of its steps."""

    def add(self, steps: list[float], values: Mapping[str, list[float]], /) -> None:
        """Take rows; there is at least one."""


class Format(Protocol):
    """A reader of one file. `lines` counts those it was given; `header` is what the others depend on."""

    problems: Problems
    lines: int
    header: list[str]

    def read(self, block: bytes, sink: Sink) -> None:
        """Decode whole lines."""

    def is_whole(self, line: bytes) -> bool:
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
    """Lines that could not be read: the first ones are named, the others counted."""

    def __init__(self, file: str) -> None:
        self.file, self.named, self.more = file, list[str](), 0

    def add(self, line: int, what: str) -> None:
        """Note one."""
        if len(self.named) < NAMED:
            self.named.append(f"{self.file} line {line} {what}")
        else:
            self.more += 1

    def texts(self) -> tuple[str, ...]:
        """All of them, as they are shown."""
        return (*self.named, *([f"{self.file}: {self.more} lines more like these"] if self.more else ()))


class JsonLines:
    """One JSON object a line."""

    def __init__(self, file: str) -> None:
        self.problems, self.lines, self.header = Problems(file), 0, list[str]()
        self._shapes: dict[tuple[str, ...], _Shape | None] = {}
        self._shape: _Shape | None = None

    def read(self, block: bytes, sink: Sink) -> None:
        """Decode a block in one go where all rows have one shape, else line by line."""
        lines = block.split(b"\n")
        lines.pop()
        batch = self._at_once(lines, block) if len(lines) >= ENOUGH else None
        for steps, values in [batch] if batch else self._one_by_one(lines):
            if values:
                sink.add(steps, values)
        self.lines += len(lines)

    def is_whole(self, line: bytes) -> bool:
        """An object that is closed is all there is."""
        return decoded(line) is not None

    def _at_once(self, lines: list[bytes], block: bytes) -> Batch | None:
        if self._shape and (rows := self._shape.rows(lines)):
            return self._shape.batch(rows, self.lines + 1)
        stood_for: dict[bytes, int] = {}
        if b"NaN" in block or b"Infinity" in block:
            if any(number in block for _, number in TOKENS.values()):
                return None
            tokens = [match[1] for match in _TOKEN.finditer(block)]
            stood_for = {token: tokens.count(token) for token in TOKENS if token in tokens}
            lines = _TOKEN.sub(lambda match: TOKENS[match[1]][1], block).split(b"\n")[:-1]
        for shape in (self._shape, self._learned(lines[0])):
            if shape and (rows := shape.rows(lines)):
                self._shape = shape
                return _restored(shape.batch(rows, self.lines + 1), stood_for)
        return None

    def _learned(self, line: bytes) -> _Shape | None:
        """The shape of a row, unless it was tried already or there are too many."""
        row = decoded(line)
        key = tuple(f"{name}:{type(value).__name__}" for name, value in row.items()) if row else ()
        if not row or key in self._shapes or len(self._shapes) >= SHAPES:
            known = self._shapes.get(key)
            return known if known is not self._shape else None
        self._shapes[key] = _Shape.of(row)
        return self._shapes[key]

    def _one_by_one(self, lines: list[bytes]) -> Iterable[Batch]:
        rows: list[tuple[float, dict[str, float]]] = []
        for number, line in enumerate(lines, self.lines + 1):
            row = decoded(line)
            if row is not None:
                rows.append(_row(row, number))
            elif line.strip():
                self.problems.add(number, "is not a JSON object")
        return _batches(rows)


class _Shape:
    """A decoder for rows with the same keys and kinds of values."""

    def __init__(self, decoder: msgspec.json.Decoder[Any], step: str, fields: dict[str, str]) -> None:
        self.decoder, self.step, self.fields = decoder, step, fields

    @classmethod
    def of(cls, row: dict[str, Any]) -> _Shape | None:
        kinds = {float: float, int: float, str: str, bool: bool, type(None): None, list: list[Any]}
        if any(type(value) not in kinds for value in row.values()):
            return None  # nested
        names = {f"f{at}": key for at, key in enumerate(row)}
        fields = [(f"f{at}", kinds[type(value)]) for at, value in enumerate(row.values())]
        try:
            struct = msgspec.defstruct(
                "Row", fields, rename=names, forbid_unknown_fields=True, gc=False, frozen=True
            )
        except ValueError:
            return None  # a key with a quote or a control character
        numeric = {names[field]: field for field, kind in fields if kind is float}
        step = next((numeric[name] for name in STEPS if name in numeric), "")
        metrics = {key: field for key, field in numeric.items() if key not in STEPS}
        return cls(msgspec.json.Decoder(struct), step, metrics)

    def rows(self, lines: list[bytes]) -> list[Any] | None:
        """The decoded lines, or None where one is of another shape."""
        try:
            return list(map(self.decoder.decode, lines))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def batch(self, rows: Sequence[Any], first: int) -> Batch:
        steps = _column(rows, self.step) if self.step else [float(n) for n in range(first, first + len(rows))]
        return steps, {key: _column(rows, field) for key, field in self.fields.items()}


def _column(rows: Sequence[Any], field: str) -> list[float]:
    return list(map(attrgetter(field), rows))


def _restored(batch: Batch, stood_for: dict[bytes, int]) -> Batch | None:
    """The batch with what its stand-ins stand for; None where they are not where they should be."""
    steps, values = batch
    for token, count in stood_for.items():
        value, number = TOKENS[token][0], float(TOKENS[token][1])
        if count != sum(column.count(number) for column in values.values()):
            return None  # one was a step, or inside of a text
        for name, column in values.items():
            if number in column:
                values[name] = [value if one == number else one for one in column]
    return steps, values


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


def _row(row: dict[str, Any], number: int) -> tuple[float, dict[str, float]]:
    found = numbers(row)
    usable = (found[name] for name in STEPS if name in found and math.isfinite(found[name]))
    step = next(usable, float(number))
    return step, {name: value for name, value in found.items() if name not in STEPS}


def _batches(rows: Sequence[tuple[float, dict[str, float]]]) -> Iterable[Batch]:
    """Rows with the same metrics behind each other, as columns."""
    for names, run in groupby(rows, lambda row: tuple(row[1])):
        members = list(run)
        yield [step for step, _ in members], {n: [row[n] for _, row in members] for n in names}


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


class Csv:
    """A table with a header; an empty cell is no value, and what is not a number is no metric."""

    def __init__(self, file: str) -> None:
        self.problems, self.lines, self.header = Problems(file), 0, list[str]()

    def read(self, block: bytes, sink: Sink) -> None:
        """Decode lines; a cell cannot hold a line break."""
        lines = block.decode(errors="replace").removeprefix("\ufeff").split("\n")[:-1]
        rows = [row for row in self._rows(lines) if self._fits(*row)]
        self.lines += len(lines)
        for _, run in groupby(rows, lambda row: tuple(map(bool, row[1]))):
            members = list(run)
            batch = self._at_once(members)
            for steps, values in [batch] if batch else self._one_by_one(members):
                if values:
                    sink.add(steps, values)

    def is_whole(self, line: bytes) -> bool:  # noqa: ARG002  the protocol's
        """A number may always have another digit."""
        return False

    def _rows(self, lines: Sequence[str]) -> Iterable[tuple[int, list[str]]]:
        import csv

        for number, line in enumerate(lines, self.lines + 1):
            if not line.strip():
                continue
            plain = line.rstrip("\r")
            if '"' not in plain:
                yield number, plain.split(",")
                continue
            try:
                yield number, next(csv.reader([plain], strict=True))
            except csv.Error as error:
                self.problems.add(number, f"is not CSV: {error}")

    def _fits(self, number: int, cells: list[str]) -> bool:
        """Whether it is a row of the table: neither the header nor of another width."""
        if not self.header:
            self.header = [cell.strip() for cell in cells]
            return False
        if len(cells) != len(self.header):
            self.problems.add(number, f"has {len(cells)} cells, not {len(self.header)}")
        return len(cells) == len(self.header)

    def _at_once(self, rows: Sequence[tuple[int, list[str]]]) -> Batch | None:
        """Rows with the same cells filled as columns; None where not every column is all numbers or all text."""
        found: dict[str, list[float]] = {}
        for name, cells in zip(self.header, zip(*(cells for _, cells in rows), strict=True), strict=True):
            try:
                found |= {name: list(map(float, cells))} if cells[0] else {}
            except ValueError:
                if any(_number(cell) is not None for cell in cells):
                    return None
        step = next((name for name in STEPS if name in found), "")
        if not math.isfinite(sum(found.get(step, ()))):
            return None
        steps = found[step] if step else [float(number - 1) for number, _ in rows]
        return steps, {name: values for name, values in found.items() if name not in STEPS}

    def _one_by_one(self, rows: Sequence[tuple[int, list[str]]]) -> Iterable[Batch]:
        pairs = [(number - 1, zip(self.header, map(_number, cells), strict=True)) for number, cells in rows]
        return _batches([_row({n: v for n, v in row if v is not None}, number) for number, row in pairs])


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


FORMATS: dict[str, Callable[[str], Format]] = {
    "metrics.jsonl": JsonLines,
    "metrics.csv": Csv,
    "progress.csv": Csv,
}
"""Where the series of a run may be; the first file that has any counts."""

CHRONICLES = ("chronicle.cmeta", "chronicle.cmeta.open")


def source(directory: Path) -> Path | None:
    """The file that holds the series of a run, if one is there."""
    return next((path for name in FORMATS if os.path.lexists(path := directory / name)), None)
