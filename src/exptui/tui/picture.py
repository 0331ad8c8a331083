"""What is to be on the screen and what was sent, cell by cell: only the difference goes over the wire.

Frames that were painted while the terminal was behind become one. Rows that moved up or down over the whole width
are moved by the terminal itself (a scroll region; margins left and right are not understood everywhere).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from rich.cells import split_graphemes
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.geometry import Size
from textual.strip import Strip

from exptui.core.monitor.text import clean


class Pen(NamedTuple):
    """How a cell is written: SGR parameters of its attributes, its colour and its background; "" is the default."""

    attributes: str = ""
    color: str = ""
    background: str = ""


Cell: TypeAlias = tuple[str, Pen]
"""The character, "" in the right half of a wide one, and how it is written."""

PLAIN = Pen()
BLANK: Cell = (" ", PLAIN)
UNKNOWN: Cell = ("\0", PLAIN)
"""A cell of which nobody knows what it shows: equal to none that is painted."""
GAP = 4
"""So many unchanged cells are sent again rather than jumped over."""
ERASE = 8
"""So many blanks are erased rather than sent, where erasing leaves the background."""
EDGE = slice(1, -3)
"""A row without its frame and scrollbar, which stay where they are when the text between them moves."""
ATTRIBUTES = {
    "bold": "1",
    "dim": "2",
    "italic": "3",
    "underline": "4",
    "blink": "5",
    "reverse": "7",
    "strike": "9",
}
SURE = re.compile(
    "[ -~\xa0-\u02ff\u0370-\u0482\u2500-\u25fc\u2800-\u28ff\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]*"
)
"""Characters that every terminal takes for as wide as they are reckoned here."""


@lru_cache(maxsize=4096)
def pen(style: Style | None, colors: ColorSystem | None) -> Pen:
    """The pen of a style, in the colours there are; without any, its attributes only."""
    if style is None:
        return PLAIN
    attributes = ";".join(code for name, code in ATTRIBUTES.items() if getattr(style, name))
    color, background = (
        ";".join(c.downgrade(colors).get_ansi_codes(foreground=foreground))
        if colors is not None and c is not None and not c.is_default
        else ""
        for c, foreground in ((style.color, True), (style.bgcolor, False))
    )
    return Pen(attributes, color, background)


@lru_cache(maxsize=4096)
def change(old: Pen, new: Pen) -> str:
    """The shortest SGR from one pen to another."""
    if old.attributes != new.attributes:
        return f"\x1b[{';'.join(('0', *filter(None, new)))}m" if any(new) else "\x1b[m"
    codes = [new.color or "39"] if old.color != new.color else []
    codes += [new.background or "49"] if old.background != new.background else []
    return f"\x1b[{';'.join(codes)}m" if codes else ""


class Ink(dict[str, Cell]):
    """The cells of characters that all take one cell, in one pen."""

    def __init__(self, how: Pen) -> None:
        super().__init__()
        self._how = how

    def __missing__(self, character: str) -> Cell:
        self[character] = cell = (character, self._how)
        return cell


def cells(segments: Iterable[Segment], colors: ColorSystem | None) -> list[Cell]:
    """What the segments show. No control character gets through, whoever let it come as far as here."""
    found: list[Cell] = []
    for text, style, control in segments:
        if control:
            continue
        how = pen(style, colors)
        if text.isascii() and text.isprintable():
            found += [(character, how) for character in text]
            continue
        for piece in _pieces(text):
            if piece is None:
                found.append(("", how))
            elif piece:
                found.append((piece, how))
    return found


@lru_cache(maxsize=2048)
def _pieces(text: str) -> tuple[str | None, ...]:
    """What stands in each cell; None for the right half of a wide character. What has no width is left out."""
    shown = clean(text, len(text))
    found: list[str | None] = []
    for start, end, width in split_graphemes(shown)[0]:
        if width:
            found.append(shown[start:end])
            found += [None] * (width - 1)
    return tuple(found)


class Patches(ChopsUpdate):
    """Pieces of rows and where they belong; a later one lies over an earlier one. `whole`: the size of what is all new."""

    def __init__(self, pieces: list[tuple[int, int, Strip]], whole: Size | None) -> None:
        super().__init__([], [], [])
        self.pieces, self.whole = pieces, whole

    def render_segments(self, console: Console) -> str:
        return "".join(f"\x1b[{y + 1};{x + 1}H{strip.render(console)}" for y, x, strip in self.pieces)


class Picture:
    """Two pictures of the screen: `put` paints one, `difference` makes the terminal's equal to it."""

    def __init__(self, *, erases: bool = True) -> None:
        self.width = self.height = 0
        self._erases = erases
        self.wanted: list[list[Cell]] = []
        self._sent: list[list[Cell]] = []
        self._painted: set[int] = set()

    def resize(self, width: int, height: int) -> None:
        """Take over the size; whatever the terminal shows then is unknown."""
        if (width, height) != (self.width, self.height):
            self.width, self.height = width, height
            self.wanted = [[BLANK] * width for _ in range(height)]
            self.forget()

    def forget(self) -> None:
        """The terminal may show anything: send everything again."""
        self._sent = [[UNKNOWN] * self.width for _ in range(self.height)]
        self._painted = set(range(self.height))

    def take(self, update: CompositorUpdate, colors: ColorSystem | None) -> None:
        """Paint what Textual composed."""
        if isinstance(update, LayoutUpdate):
            x, y, width, height = update.region
            self.resize(x + width, y + height)
            for at, strips in enumerate(update.strips, y):
                self.put(at, x, cells((part for strip in strips for part in strip), colors))
        elif isinstance(update, Patches):
            if update.whole is not None:
                self.resize(*update.whole)
            for y, x, piece in update.pieces:
                self.put(y, x, cells(piece, colors))
        elif isinstance(update, ChopsUpdate):
            for y, left, right in update.spans:
                for x, strip in update.chops[y].items():
                    if strip is not None and x < right and x + strip.cell_length > left:
                        self.put(y, x, cells(strip, colors), left, right)

    def put(self, y: int, x: int, new: Sequence[Cell], left: int = 0, right: int = 1 << 30) -> None:
        """Paint cells from column x on, but only those between `left` and `right`. Half a character is a blank."""
        if not 0 <= y < self.height:
            return
        start, end = max(0, x, left), min(self.width, right, x + len(new))
        if start >= end:
            return
        self._painted.add(y)
        row, part = self.wanted[y], list(new[start - x : end - x])
        if part[0][0] == "":
            part[0] = (" ", part[0][1])
        if end - x < len(new) and new[end - x][0] == "":
            part[-1] = (" ", part[-1][1])
        if row[start][0] == "" and start:
            row[start - 1] = (" ", row[start - 1][1])
        if end < self.width and row[end][0] == "":
            row[end] = (" ", row[end][1])
        row[start:end] = part

    def difference(self) -> str:
        """What to write so that the terminal shows what was painted; "" when it does already."""
        painted = [y for y in sorted(self._painted) if self.wanted[y] != self._sent[y]]
        self._painted = set()
        if not painted:
            return ""
        out = [] if len(painted) < 3 else self._scrolled(painted)
        writer = _Writer(out, erases=self._erases)
        for y in range(self.height) if out else painted:
            old, new = self._sent[y], self.wanted[y]
            if old != new:
                for start, end in spans(old, new):
                    writer.write(y, start, new, end)
                self._sent[y] = new.copy()
        writer.end()
        return "".join(out)

    def _scrolled(self, painted: list[int]) -> list[str]:
        """Have the terminal move what moved over the whole width, and know it as moved."""
        before: dict[tuple[Cell, ...], int | None] = {}
        for y, row in enumerate(self._sent):
            body = tuple(row[EDGE])
            before[body] = None if body in before else y  # what stands twice tells nothing
        moved: Counter[int] = Counter()
        places: dict[int, list[int]] = {}
        for y in painted:
            was = before.get(tuple(self.wanted[y][EDGE]))
            if was is not None and was != y:
                moved[was - y] += 1
                places.setdefault(was - y, []).append(y)
        if not moved:
            return []
        by, rows = moved.most_common(1)[0]
        first, last = min(places[by]), max(places[by])
        top, bottom = (first, last + by) if by > 0 else (first + by, last)
        if rows < 2 or 2 * rows < bottom - top + 1 - abs(by):
            return []
        lost = [[BLANK] * self.width for _ in range(abs(by))]  # written with the default pen
        kept = self._sent[top : bottom + 1]
        self._sent[top : bottom + 1] = [*kept[by:], *lost] if by > 0 else [*lost, *kept[:by]]
        return [f"\x1b[{top + 1};{bottom + 1}r\x1b[{top + 1}H\x1b[{abs(by)}{'M' if by > 0 else 'L'}\x1b[r"]


def spans(old: list[Cell], new: list[Cell]) -> list[tuple[int, int]]:
    """Where the rows differ: from each start up to each end."""
    found: list[tuple[int, int]] = []
    for at, (was, cell) in enumerate(zip(old, new, strict=True)):
        if was is cell or was == cell:
            continue
        if found and (at == found[-1][1] or _cheap(new, found[-1][1], at)):
            found[-1] = (found[-1][0], at + 1)
        else:
            found.append((at, at + 1))
    return found


def _cheap(row: list[Cell], start: int, end: int) -> bool:
    """Whether to send the cells of a gap costs less than to jump over them."""
    return end - start <= GAP and all(how == row[start - 1][1] for _, how in row[start : end + 1])


class _Writer:
    """Knows where the cursor is and which pen it has, from the default pen back to it."""

    def __init__(self, out: list[str], *, erases: bool) -> None:
        self._out, self._pen, self._erases = out, PLAIN, erases
        self._at = (-1, -1)
        self._lost = False
        """Whether the cursor may be beside where it should be: after a character of unsure width, or blanks erased."""

    def write(self, y: int, start: int, row: list[Cell], end: int) -> None:
        """Write cells of a row."""
        out = self._out
        if self._at != (y, start):
            same = self._at[0] == y
            out.append(f"\x1b[{start + 1}G" if same else f"\x1b[{y + 1};{start + 1}H")
        self._lost = False
        for how, run in groupby(row[start:end], key=itemgetter(1)):
            part = list(run)
            out.append(change(self._pen, how))
            self._pen = how
            text = "".join(character for character, _ in part)
            if text.isascii() or SURE.fullmatch(text):
                self._sure(start, text)
            else:
                self._unsure(start, part)
            start += len(part)
        # At the right edge some terminals wait with the cursor on the last column, others beyond it.
        self._at = (y, start if start < len(row) and not self._lost else -1)

    def _sure(self, x: int, text: str) -> None:
        if self._lost:
            self._out.append(f"\x1b[{x + 1}G")
        shown = text.rstrip(" ")
        blanks = len(text) - len(shown)
        self._lost = self._erases and blanks >= ERASE and not self._pen.attributes
        self._out.append(f"{shown}\x1b[{blanks}X" if self._lost else text)

    def _unsure(self, x: int, part: list[Cell]) -> None:
        """Characters that a terminal may take for wider or narrower: what follows is put where it belongs."""
        for column, (character, _) in enumerate(part, x + 1):
            if not character:
                continue
            if self._lost:
                self._out.append(f"\x1b[{column}G")
            self._out.append(character)
            self._lost = not SURE.fullmatch(character)

    def end(self) -> None:
        """Back to the default pen, as everybody else expects it."""
        self._out.append(change(self._pen, PLAIN))
