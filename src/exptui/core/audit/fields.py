"""JSON, JSON Lines and CSV with holes: what is declared volatile, and numbers that have a tolerance, are cut out.

What is left must be the same in every byte.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

LARGEST = 64 << 20
LINES, TABLES = (".jsonl", ".ndjson"), (".csv", ".tsv")

SUFFIXES = (".json", *LINES, *TABLES)
Treat = Literal["kept", "volatile", "leaf", "number"]


class Hole(NamedTuple):
    """What was cut out: its dotted name, as it was written, and whether it is a number that is compared."""

    name: str
    text: str
    number: bool


@dataclass
class Cut:
    """A text with holes. `kept`: how many of its values will be compared."""

    parts: list[str | None] = field(default_factory=list)  # None: a hole
    holes: list[Hole] = field(default_factory=list)
    kept: int = 0

    def take(self, hole: Hole) -> None:
        """Leave a hole."""
        self.holes.append(hole)
        self.parts.append(None)


def named(name: str, fields: Iterable[str]) -> bool:
    """Whether a field is declared, by its name or a pattern."""
    return any(name == one or fnmatchcase(name, one) for one in fields)


def cut(data: bytes, suffix: str, volatile: Iterable[str], numbers: Callable[[str], bool]) -> Cut:
    """Cut out the volatile fields, and the numbers that `numbers` wants. Elements of a list are named as the list.

    Raises:
        ValueError: not what its suffix says, or a field is there twice.
    """
    fields = tuple(volatile)
    return _cut(
        data,
        suffix,
        lambda name: "volatile" if named(name, fields) else "number" if numbers(name) else "kept",
    )


def leaves(data: bytes, suffix: str) -> list[Hole]:
    """Every value that holds no other, with its name. Raises what `cut` raises."""
    return _cut(data, suffix, lambda _: "leaf").holes


def _cut(data: bytes, suffix: str, treat: Callable[[str], Treat]) -> Cut:
    if len(data) > LARGEST:
        raise ValueError(f"{len(data):,} bytes are too many")
    text = data.decode()
    if suffix in TABLES:
        return _Table(treat, "\t" if suffix == ".tsv" else ",").cut(text)
    json_ = _Json(treat)
    try:
        for line in io.StringIO(text, newline="\n") if suffix in LINES else [text]:
            json_.document(line)
    except (IndexError, RecursionError) as error:
        raise ValueError("cut off, or nested too deeply") from error
    return json_.found


class _Json:
    def __init__(self, treat: Callable[[str], Treat]) -> None:
        self.treat, self.found = treat, Cut()
        self._decode = json.JSONDecoder().raw_decode

    def document(self, text: str) -> None:
        if text.strip():
            json.loads(text)
        at = self._space(text, 0)
        if at < len(text):
            self._space(text, self._value(text, at, ""))

    def _space(self, text: str, at: int) -> int:
        end = at
        while end < len(text) and text[end] in " \t\r\n":
            end += 1
        self.found.parts.append(text[at:end])
        return end

    def _value(self, text: str, at: int, name: str) -> int:
        how = self.treat(name)
        if text[at] in "{[" and how != "volatile":
            return self._members(text, at, name)
        value, end = self._decode(text, at)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if how in ("volatile", "leaf") or (how == "number" and number):
            self.found.take(Hole(name, text[at:end], how == "number"))
        else:
            self.found.parts.append(text[at:end])
        self.found.kept += how != "volatile"
        return end

    def _members(self, text: str, at: int, name: str) -> int:
        """An object or a list, member by member."""
        parts, close, seen = self.found.parts, {"{": "}", "[": "]"}[text[at]], set[str]()
        while text[at] != close:
            parts.append(text[at])
            at = self._space(text, at + 1)
            if text[at] == close:
                break
            below = name
            if close == "}":
                key, end = self._decode(text, at)
                if key in seen:
                    raise ValueError(f"{key} is there twice")
                seen.add(key)
                below = f"{name}.{key}" if name else key
                parts.append(text[at:end])
                at = self._space(text, end)
                parts.append(text[at])
                at = self._space(text, at + 1)
            at = self._space(text, self._value(text, at, below))
        parts.append(close)
        return at + 1


class _Table:
    def __init__(self, treat: Callable[[str], Treat], comma: str) -> None:
        self.treat, self.comma = treat, comma
        cell = rf'("[^"]*(?:""[^"]*)*"|[^"\r\n{comma}]*)({comma}|\r\n|\n|\r|\Z)'
        self._cell = re.compile(cell)

    def cut(self, text: str) -> Cut:
        """The first row names the columns."""
        found, names, how = Cut(), list[str](), list[Treat]()
        at = column = row = 0
        while at < len(text):
            if not (match := self._cell.match(text, at)):
                raise ValueError(f"row {row + 1} has a quote out of place")
            cell, end = match.groups()
            if row == 0:
                names.append(cell.strip('"'))
                found.parts.append(cell)
            elif column >= len(names):
                raise ValueError(f"row {row + 1} has more cells than the first")
            else:
                self._take(found, names[column], how[column], cell)
            found.parts.append(end)
            at, column = match.end(), column + 1
            if end != self.comma:
                if row == 0:
                    if len(set(names)) < len(names):
                        raise ValueError("a column is there twice")
                    how = [self.treat(name) for name in names]
                row, column = row + 1, 0
        return found

    def _take(self, found: Cut, name: str, how: Treat, cell: str) -> None:
        if how in ("volatile", "leaf") or (how == "number" and number_of(cell) is not None):
            found.take(Hole(name, cell, how == "number"))
        else:
            found.parts.append(cell)
        found.kept += how != "volatile" and cell != ""


def number_of(text: str) -> int | float | None:
    """The number that a text is; None where it is none."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None
