"""JSON, JSON Lines and CSV in pieces: what is declared volatile, numbers that may have a tolerance, and all else as it is."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Literal, NamedTuple

LARGEST = 64 << 20
LINES, TABLES = (".jsonl", ".ndjson"), (".csv", ".tsv")
SUFFIXES = (".json", *LINES, *TABLES)
How = Literal["text", "value", "number", "volatile"]
"""Of a piece: what is between values; a value; a number that is compared as one; a value that is not compared."""


class Piece(NamedTuple):
    """A part of a text, and the dotted name of the value it is."""

    how: How
    text: str
    name: str = ""


def named(name: str, fields: Iterable[str]) -> bool:
    """Whether a field is declared, by its name or a pattern."""
    return any(name == one or fnmatchcase(name, one) for one in fields)


def pieces(
    data: bytes, suffix: str, volatile: Iterable[str], numbers: Callable[[str], bool]
) -> Iterator[Piece]:
    """All of a text, one piece after the other. Elements of a list are named as the list.

    Of two texts the pieces are the same where the texts are.

    Raises:
        ValueError: not what its suffix says, or a field is there twice.
    """
    if len(data) > LARGEST:
        raise ValueError(f"{len(data):,} bytes are too many")
    text, fields = data.decode(), tuple(volatile)

    @cache
    def how(name: str) -> How:
        return "volatile" if named(name, fields) else "number" if numbers(name) else "value"

    if suffix in TABLES:
        yield from _table(text, "\t" if suffix == ".tsv" else ",", how)
        return
    try:
        for line in io.StringIO(text, newline="\n") if suffix in LINES else [text]:
            yield from _Json(line, how).document()
    except (IndexError, RecursionError) as error:
        raise ValueError("cut off, or nested too deeply") from error


class _Json:
    """One document; `at`: how far it is."""

    def __init__(self, text: str, how: Callable[[str], How]) -> None:
        self.text, self.how, self.at = text, how, 0
        self._decode = json.JSONDecoder().raw_decode

    def document(self) -> Iterator[Piece]:
        if self.text.strip():
            json.loads(self.text)
        yield self._space()
        if self.at < len(self.text):
            yield from self._value("")
            yield self._space()

    def _space(self, sign: int = 0) -> Piece:
        """A sign, and the space behind it."""
        end = self.at + sign
        while end < len(self.text) and self.text[end] in " \t\r\n":
            end += 1
        return Piece("text", self._upto(end))

    def _upto(self, end: int) -> str:
        start, self.at = self.at, end
        return self.text[start:end]

    def _value(self, name: str) -> Iterator[Piece]:
        how = self.how(name)
        if self.text[self.at] in "{[" and how != "volatile":
            yield from self._members(name)
            return
        value, end = self._decode(self.text, self.at)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        yield Piece("value" if how == "number" and not number else how, self._upto(end), name)

    def _members(self, name: str) -> Iterator[Piece]:
        """An object or a list, member by member."""
        close, seen = {"{": "}", "[": "]"}[self.text[self.at]], set[str]()
        yield self._space(1)
        while self.text[self.at] != close:
            below = name
            if close == "}":
                key, end = self._decode(self.text, self.at)
                if key in seen:
                    raise ValueError(f"{key} is there twice")
                seen.add(key)
                below = f"{name}.{key}" if name else key
                yield Piece("text", self._upto(end))
                yield self._space()
                yield self._space(1)  # the colon
            yield from self._value(below)
            yield self._space()
            if self.text[self.at] == ",":
                yield self._space(1)
        yield Piece("text", self._upto(self.at + 1))


def _table(text: str, comma: str, how: Callable[[str], How]) -> Iterator[Piece]:
    """The first row names the columns."""
    cells = re.compile(rf'("[^"]*(?:""[^"]*)*"|[^"\r\n{comma}]*)({comma}|\r\n|\n|\r|\Z)')
    names = list[str]()
    at = column = row = 0
    while at < len(text):
        if not (match := cells.match(text, at)):
            raise ValueError(f"row {row + 1} has a quote out of place")
        cell, end = match.groups()
        if row == 0:
            names.append(cell.strip('"'))
            yield Piece("text", cell)
        elif column >= len(names):
            raise ValueError(f"row {row + 1} has more cells than the first")
        else:
            kind = how(names[column])
            yield Piece(
                "value" if kind == "number" and number_of(cell) is None else kind, cell, names[column]
            )
        yield Piece("text", end)
        at, column = match.end(), column + 1
        if end != comma:
            row, column = row + 1, 0
            if len(set(names)) < len(names):
                raise ValueError("a column is there twice")


def number_of(text: str) -> int | float | None:
    """The number that a text is; None where it is none."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None
