"""metrics.jsonl: one JSON object a line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from exptui.core.monitor.readers.protocol import STEPS, Batch, Problems, Sink, Unit, batches, decoded, row_of

ENOUGH = 64  # lines in a block from which a decoder of their own pays
SHAPES = 8  # such decoders at most for one file
TOKENS = {  # what Python's json writes and JSON does not know, and numbers that stand for it meanwhile
    b"-Infinity": (-math.inf, b"-6.9314718055994531e-301"),
    b"Infinity": (math.inf, b"6.9314718055994531e-302"),
    b"NaN": (math.nan, b"6.9314718055994531e-303"),
}
_TOKEN = re.compile(rb"(?<=[:\s])(-Infinity|Infinity|NaN)(?=\s*[,}])")


class JsonLines:
    """Rows of any keys; an object in an object counts under dotted names."""

    unit = Unit.LINES

    @staticmethod
    def probe(head: bytes) -> bool:
        """Whether the first line is a row with a step."""
        row = decoded(head.partition(b"\n")[0])
        return row is not None and any(name in row for name in STEPS)

    def __init__(self, file: str) -> None:
        self.problems, self.lines, self.header = Problems(file), 0, list[str]()
        self._shapes: dict[tuple[str, ...], _Shape | None] = {}
        self._shape: _Shape | None = None

    def read(self, block: bytes, sink: Sink) -> int:
        """Decode a block in one go where all rows have one shape, else line by line."""
        lines = block.split(b"\n")
        lines.pop()
        batch = self._at_once(lines, block) if len(lines) >= ENOUGH else None
        for steps, values in [batch] if batch else self._one_by_one(lines):
            if values:
                sink.add(steps, values)
        self.lines += len(lines)
        return len(block)

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
                rows.append(row_of(row, number))
            elif line.strip():
                self.problems.add(number, "is not a JSON object")
        return batches(rows)


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
