"""Untrusted lines of a log as harmless text with their colours: pure functions."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from rich.ansi import AnsiDecoder
from rich.cells import chop_cells
from rich.style import Style
from rich.text import Text

from exptui.core.monitor.index import LINE_CAP
from exptui.core.monitor.pattern import last_state
from exptui.core.monitor.text import CAP, clean

MUTED = Style(dim=True)
_SGR = re.compile(r"\x1b\[([0-9;:]{0,64})m")


def plain(line: bytes) -> str | None:
    """The line, if it is one that can be shown as it is; nearly all are."""
    text = line.decode("ascii", "replace") if line.isascii() and len(line) <= CAP else "\0"
    text = text.rstrip("\r\n").replace("\t", " ")
    return text if text.isprintable() else None


def styled(line: bytes) -> Text:
    """An untrusted line as harmless text: its colours kept, no other command of it, at most CAP characters."""
    parts = _SGR.split(last_state(line.rstrip(b"\r\n")).decode(errors="replace"))
    safe, room = "", CAP
    for number, part in enumerate(parts):
        safe += f"\x1b[{part}m" if number % 2 else clean(part[:room])
        room -= 0 if number % 2 else min(room, len(part))
    # without joiners: what they join is not as wide as rich reckons, in most terminals
    text = AnsiDecoder().decode_line(safe.replace("\u200d", ""))  # the only escapes left are colours
    text.spans = [span._replace(style=_modest(span.style)) for span in text.spans]
    more = sum(map(len, parts[::2])) - CAP
    if more > 0:
        text.append(f"… (+{more:,}{' or more' if len(line) >= LINE_CAP else ''})", MUTED)
    return text


@lru_cache(maxsize=256)
def _modest(style: Style | str) -> Style:
    """Without blinking, hidden text and links; the default colours are those of the pane."""
    if isinstance(style, str):
        return Style.null()
    color, bgcolor = (None if c and c.is_default else c for c in (style.color, style.bgcolor))
    on = {name: getattr(style, name) for name in ("bold", "dim", "italic", "underline", "reverse")}
    return Style(color=color, bgcolor=bgcolor, **on)


def wrapped(text: Text, width: int) -> list[Text]:
    """The text in rows of at most `width` cells; no wide character is cut in two."""
    rows = chop_cells(text.plain, max(2, width))
    return list(text.divide(list(accumulate(len(row) for row in rows[:-1])))) if len(rows) > 1 else [text]


@dataclass(frozen=True)
class Places:
    """Which rows the lines of a window take: one each, or while wrapping as many as they need."""

    first: int = 0
    """The window's first line. Every line outside of the window counts as one row."""
    tops: tuple[int, ...] = ()
    """While wrapping: the row where each line begins, from the first one's on, and where the last one ends."""

    def locate(self, row: int) -> tuple[int, int]:
        """The line that a row shows, and which row of that line it is."""
        within = row - self.first
        if not self.tops or within < 0:
            return row, 0
        if within >= self.tops[-1]:
            return row - self.tops[-1] + len(self.tops) - 1, 0
        at = bisect_right(self.tops, within) - 1
        return self.first + at, within - self.tops[at]

    def row_of(self, line: int, part: int = 0) -> int:
        """The row of a line's beginning, or of a later part of it."""
        at = line - self.first
        if not self.tops or at < 0:
            return line
        if at >= len(self.tops) - 1:
            return line + self.tops[-1] - len(self.tops) + 1
        return self.first + min(self.tops[at] + part, self.tops[at + 1] - 1)
