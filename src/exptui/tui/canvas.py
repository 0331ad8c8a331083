"""Cells of braille, two by four dots each: whole columns of dots are numbers, and rows of cells are made in one go."""

from __future__ import annotations

import re
from codecs import charmap_decode
from collections.abc import Sequence

from exptui.tui.strokes import Axis, Strokes

Segment = tuple[
    str, int | None
]  # text and a colour of the palette; None is the muted colour of axes and words

_WORDS = 255  # the code of muted colour; a curve has its number and one, and the last ones share theirs
_LEFT, _RIGHT = (
    (0x01, 0x02, 0x04, 0x40),
    (0x08, 0x10, 0x20, 0x80),
)  # what Unicode calls the dots, from the top


def _cell(code: int) -> str:
    """A cell whose left dots are the upper half of a byte, and the right ones the lower."""
    found = sum(dot for bit, dot in enumerate(_RIGHT + _LEFT) if code >> bit & 1)
    return chr(0x2800 + found) if found else " "


_CELLS = "".join(map(_cell, range(256)))
_TOUCHED = bytes(1) + b"\xff" * 255
_RUN = re.compile(rb"\0+|([^\0])(?:\1|\0)*", re.DOTALL)


class Canvas:
    """Dots of each curve by column, and what is written over them."""

    def __init__(self, width: int, height: int, curves: int) -> None:
        self.width, self.height = width, height
        self._dots = [[0] * (2 * width) for _ in range(curves)]  # bit 0 is at the top
        self._over: dict[
            int, dict[int, tuple[str, int]]
        ] = {}  # by row and column: a character and its colour's code

    def draw(self, curve: int, found: Strokes, axis: Axis) -> tuple[int, int] | None:
        """Draw a curve; row and column of its last cell."""
        dots, x, y, end = self._dots[curve], 0, -1, None
        shape = map(axis.dots, (found.firsts, found.lasts, found.highs, found.lows))
        for column, first, last, top, bottom in zip(found.columns, *shape, strict=True):
            if top >= 0:
                dots[column] |= ((2 << (bottom - top)) - 1) << top
                if first >= 0 and y >= 0 and (column > x + 1 or not -2 < first - y < 2):
                    _line(dots, x, y, column, first)
                end = (last if last >= 0 else bottom) >> 2, column >> 1
            x, y = column, last
        return end

    def write(self, row: int, column: int, char: str, curve: int | None = None) -> None:
        """Put a character over the dots, in the colour of a curve or muted."""
        self._over.setdefault(row, {})[column] = char, _WORDS if curve is None else min(curve + 1, _WORDS - 1)

    def cursor(self, column: int, char: str) -> None:
        """A vertical line where nothing else is."""
        taken = 0
        for dots in self._dots:
            taken |= dots[2 * column] | dots[2 * column + 1]
        for row in range(self.height):
            if not taken >> 4 * row & 15 and column not in self._over.get(row, ()):
                self.write(row, column, char)

    def say(self, words: str) -> None:
        """Words in the middle."""
        row, start = (self.height - 1) // 2, (self.width - len(words)) // 2
        for column, char in enumerate(words, start):
            if column not in self._over.get(row, ()):
                self.write(row, column, char)

    def rows(self, colors: Sequence[int]) -> tuple[tuple[Segment, ...], ...]:
        """The cells as text, the later curve over the earlier; a blank goes along with what is left of it."""
        width, height = self.width, self.height
        palette: dict[int, int | None] = {0: None, _WORDS: None, **dict(enumerate(colors[: _WORDS - 1], 1))}
        layers = ["".join(f"{bits:0{height}x}" for bits in dots) for dots in self._dots]
        every, rows = int.from_bytes(b"\1" * width), []
        for row in range(height):
            cells = codes = 0
            for code, layer in enumerate(layers, 1):
                pairs = bytes.fromhex(layer[height - 1 - row :: height])
                touched = int.from_bytes(pairs.translate(_TOUCHED))
                cells |= int.from_bytes(pairs)
                codes = (codes & ~touched) | (touched & every * min(code, _WORDS - 1))
            text = charmap_decode(cells.to_bytes(width), "strict", _CELLS)[0]
            code_of = codes.to_bytes(width)
            if over := self._over.get(row):
                chars, coded = list(text), bytearray(code_of)
                for column, (char, one) in over.items():
                    chars[column], coded[column] = char, one
                text, code_of = "".join(chars), bytes(coded)
            row_of, start = list[Segment](), 0
            for run in _RUN.finditer(code_of):
                end = run.end()
                row_of.append((text[start:end], palette[code_of[start]]))
                start = end
            rows.append(tuple(row_of))
        return tuple(rows)


def _line(dots: list[int], x0: int, y0: int, x1: int, y1: int) -> None:
    """Bresenham's line from left to right, drawn as one vertical run for each column of dots."""
    if x1 == x0 + 1:  # most are
        half = y0 + (y1 - y0) // 2 if y1 > y0 else y0 - (y0 - y1) // 2
        top, bottom = (y0, half) if y1 > y0 else (half, y0)
        dots[x0] |= ((2 << (bottom - top)) - 1) << top
        top, bottom = (half + 1, y1) if y1 > y0 else (y1, half - 1)
        dots[x1] |= ((2 << (bottom - top)) - 1) << top
        return
    dx, dy, start = x1 - x0, abs(y1 - y0), 0
    for k in range(dx + 1):
        if dy <= dx:
            start = end = (2 * dy * k + dx) // (2 * dx) if dx else 0
        else:
            end = dy if k == dx else dy * (2 * k + 1) // (2 * dx)
        top = y0 + start if y1 >= y0 else y0 - end
        dots[x0 + k] |= ((2 << (end - start)) - 1) << top
        start = end + 1
