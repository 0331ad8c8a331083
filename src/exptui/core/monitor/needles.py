"""What a line must hold for a pattern to match it, read from the parsed pattern: a few strings to look for.

Looking for a string goes through a gigabyte in half a second, where a regular expression needs a minute; only the
lines that hold one are then held against the expression itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from re import _constants as ops  # type: ignore[attr-defined]  # private, but one grammar is better than two
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, TypeAlias

Byte: TypeAlias = frozenset[int]
"""What one byte may be."""
Run: TypeAlias = tuple[Byte, ...]
LONGEST = 32
MANY = 16
ENOUGH = 512
SHARP = 24.0
"""So many bits single out few enough lines."""
_CATEGORIES = {
    ops.CATEGORY_DIGIT: frozenset(b"0123456789"),
    ops.CATEGORY_WORD: frozenset(c for c in range(128) if chr(c).isalnum() or chr(c) == "_"),
    ops.CATEGORY_SPACE: frozenset(c for c in range(128) if chr(c).isspace()),
}


@dataclass(frozen=True)
class Needles:
    """A line that matches holds at least one of these."""

    runs: tuple[Run, ...]
    exact: bool
    """Whether every line that holds one matches."""


def needles(pattern: re.Pattern[str], *, ascii: bool) -> Needles | None:  # noqa: A002  as bytes.isascii
    """What to look for in text that is ASCII, or in any; None where nothing sure can be said."""
    parsed = parser.parse(pattern.pattern, pattern.flags)
    runs = _Reading(ignore=bool(pattern.flags & re.IGNORECASE), ascii=ascii).best(parsed)
    if runs is None:
        return None
    literal = all(op is ops.LITERAL for op, _ in parsed) and len(runs[0]) == len(parsed)
    return Needles(runs, exact=literal)


@dataclass(frozen=True)
class _Reading:
    ignore: bool
    ascii: bool

    def best(self, parsed: Iterable[Any]) -> tuple[Run, ...] | None:
        """The runs of which one is in everything that matches, as telling as can be."""
        found: list[tuple[Run, ...]] = []
        run: list[Byte] = []
        for piece in (*islice(self._pieces(parsed), ENOUGH), None):
            if isinstance(piece, frozenset):
                run.append(piece)
                continue
            if run:
                found.append((tuple(run),))
                run = []
            if piece is not None and len(piece) <= MANY:
                found.append(piece)
        return max(found, key=_worth, default=None)

    def _pieces(self, parsed: Iterable[Any]) -> Iterator[Byte | tuple[Run, ...] | None]:
        """In order: what the next byte is, one of which runs comes somewhere, or None for whatever."""
        for op, value in parsed:
            if op in {ops.LITERAL, ops.IN}:
                yield from self._bytes(op, value)
            elif op is ops.SUBPATTERN:
                _, added, removed, inner = value
                yield from [None] if added or removed else self._pieces(inner)
            elif op is ops.ATOMIC_GROUP:
                yield from self._pieces(value)
            elif op in {ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT}:
                low, high, inner = value
                for _ in range(min(low, LONGEST)):
                    yield from self._pieces(inner)
                if high != low or low > LONGEST:
                    yield None
            elif op is ops.BRANCH:
                bests = [self.best(branch) for branch in value[1]]
                yield tuple(run for best in bests for run in best or ()) if all(bests) else None
            elif op not in {ops.AT, ops.ASSERT, ops.ASSERT_NOT}:  # which take no room
                yield None

    def _bytes(self, op: Any, value: Any) -> Iterator[Byte | None]:
        if op is ops.LITERAL and value > 127:
            # The case of what is not ASCII, and what stands for wrong bytes, is left to the pattern.
            unsure = self.ignore or value == 0xFFFD or 0xD800 <= value < 0xE000
            yield from [None] if unsure else (frozenset([byte]) for byte in chr(value).encode())
            return
        wanted: set[int] = set()
        for kind, what in [(op, value)] if op is ops.LITERAL else value:
            if kind is ops.LITERAL:
                wanted.add(what)
            elif kind is ops.RANGE and what[1] < 128:
                wanted.update(range(what[0], what[1] + 1))
            elif kind is ops.CATEGORY and what in _CATEGORIES and self.ascii:
                wanted |= _CATEGORIES[what]
            else:
                wanted.add(128)
        if self.ignore:
            wanted |= {ord(chr(code).swapcase()) for code in wanted if code < 128}
        # Beyond ASCII there are letters that are a k, an s or an i when case does not matter.
        foreign = self.ignore and not self.ascii and not wanted.isdisjoint(b"kis")
        yield None if foreign or max(wanted) > 127 or ord("\n") in wanted else frozenset(wanted)


def _worth(runs: tuple[Run, ...]) -> tuple[bool, int, float]:
    """Sharp ones first, of these few, then the sharpest."""
    bits = min((sum(8 - math.log2(len(one)) for one in run) for run in runs), default=0.0)
    sharp = bits >= SHARP
    return sharp, -len(runs) if sharp else 0, bits
