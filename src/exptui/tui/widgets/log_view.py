"""The log pane: shows the window of lines it was given, asks for those it lacks, and never reads a file.

Rows and lines: while wrapping, a line of the loaded window takes as many rows as it needs and every other line
counts as one; when a new window comes the top line stays where it is. So any size of log wraps, and only the
length of the scrollbar is an estimate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from exptui.core.monitor.index import LogWindow
from exptui.core.monitor.pattern import TooSlow
from exptui.core.monitor.text import clean
from exptui.tui.picture import Cell, Ink
from exptui.tui.widgets.direct import DirectView
from exptui.tui.widgets.log_keys import KEYS
from exptui.tui.widgets.log_lines import MUTED, Places, plain, styled, wrapped
from exptui.tui.widgets.log_search import ERRORS, compiled, fitted, matched, spans

MARGIN = 200  # lines asked for beyond those in sight, on either side
PATIENCE = 0.1  # seconds that a frame waits for lines: one with gaps would hold up the one that follows
HIT = Style(reverse=True, bold=True)
CURRENT = Style(bold=True, underline=True)


class LogView(DirectView, can_focus=True):
    """A log of any size, its end followed until the user scrolls up."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    LogView { overflow-x: auto; overflow-y: scroll; scrollbar-size-horizontal: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    following: reactive[bool] = reactive(True, repaint=False, init=False)  # noqa: FBT003
    wrap: reactive[bool] = reactive(False, init=False)  # noqa: FBT003
    numbers: reactive[bool] = reactive(False, init=False)  # noqa: FBT003

    @dataclass
    class Wanted(Message):
        """Lines in sight are missing. Answer with `show`, whatever you have; until then nothing more is asked."""

        first: int
        count: int

    @dataclass
    class StatusChanged(Message):
        """`status` as plain text: never to be taken for markup."""

        status: str

    @dataclass
    class SearchWanted(Message):
        """The next match from line `start` on (step 1) or back (step -1). Answer with `found`."""

        pattern: str
        start: int
        step: int

    @dataclass
    class FilterWanted(Message):
        """Only lines that match are to be shown, all of them for "". Answer with a window of a new generation."""

        pattern: str

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - textual's own name
        super().__init__(id=id, classes=classes)
        self._window = LogWindow(0, 0, 0, (), complete=False)
        self._asked = False
        self._paused_at = 0
        self._room = 1
        """Cells there are for the text of a line, beside the line numbers."""
        self._widest = 0
        self._places = Places()
        self._rows: dict[bytes, list[Text]] = {}
        self._sought = self._hunted = ""
        self._lit: re.Pattern[str] | None = None
        self._hit: int | None = None
        self._goal: int | None = None
        """The line to bring into sight once it is there."""
        self._notice = self._kept = self._passed = self._told = ""
        self._known: dict[tuple[object, ...], list[Cell]] = {}
        """The rows that were painted last."""

    @property
    def status(self) -> str:
        new = self._window.count - self._paused_at
        paused = f"paused, {new:,} new line{'s' * (new > 1)}" if new > 0 else "paused"
        parts = (
            self._notice,
            f"filter: {clean(self._kept, 60)}" if self._kept else "",
            self._passed if self._kept else "",
            "" if self._window.complete else "indexing…",
            "following" if self.following else paused,
        )
        whole = " · ".join(part for part in parts if part)
        return fitted(whole, (self._hunted, self._kept), self.scrollable_content_region.width or len(whole))

    @property
    def count(self) -> int:
        """Lines there are."""
        return self._window.count

    @property
    def complete(self) -> bool:
        """Whether all lines have their numbers."""
        return self._window.complete

    def needs(self, count: int) -> tuple[int, int]:
        """Which lines (first, how many) a window over `count` lines should bring: those in sight and MARGIN around."""
        top, bottom = (count - self.size.height, count) if self.following else self._in_sight()
        first = max(0, min(top, count) - MARGIN)
        return first, min(count, bottom + MARGIN) - first

    def show(self, window: LogWindow) -> None:
        """Take over a window. Nothing is painted again for an equal one."""
        self._asked = False
        old, top = self._window, self._places.locate(self.scroll_offset.y)
        if window == old:
            self.release()
            return
        if window.generation != old.generation:
            self._paused_at, self._widest, self._hit, self._goal = window.count, 0, None, None
        elif old.numbered is not None:
            self._paused_at += window.moved
            if top[0] >= old.numbered:
                top = top[0] + window.moved, top[1]
        self._window, self.holding = window, True
        still = self._lay_out(top) and not self.wrap
        if not still or any(old.at(line) != window.at(line) for line in range(*self._in_sight())):
            self.repaint()
        self.release()
        self._ask()
        self._tell()

    def search(self, pattern: str) -> None:
        """Highlight what matches and ask for the first match from here on; "" ends it."""
        self._hit = None
        if self._light(pattern):
            self._sought = pattern
            self._hunt(pattern, 1)

    def note(self, text: str) -> None:
        """How far a search is."""
        self._notice = text
        self._tell()

    def passed(self, text: str) -> None:
        """How many lines the filter lets through."""
        self._passed = text
        self._tell()

    def found(self, line: int | None, place: int = 0, total: int = 0, *, more: bool = False) -> None:
        """The answer to SearchWanted: a line, and which match of how many it is; `more` while there may be more."""
        self._notice = matched(self._hunted, place, total, more=more)
        if line is not None:
            self.following = False
            self._hit = self._goal = line
            self._reveal()
            self.repaint()
        self._tell()

    def filter(self, pattern: str) -> None:
        """Ask for the lines that match alone; "" for all."""
        if self._valid(pattern):
            self._kept, self._notice, self._passed = pattern, "", ""
            self.post_message(self.FilterWanted(pattern))
        self._tell()

    def shown_rows(self) -> Iterator[list[Cell]]:
        """In sight. Most lines are plain, and most were there before."""
        base, window, x = self.base or self.rich_style, self._window, self.scroll_offset.x
        look = (base, self._room, x, self._gutter, self._lit, self.wrap)
        known, self._known = self._known, {}
        ink = Ink(self.cells_of(Segment(" ", base))[0][1])
        more = self.cells_of(Segment("›", base + MUTED))[0]
        for y in range(self.scrollable_content_region.height):
            line, part = self._places.locate(self.scroll_offset.y + y)
            data, number = window.at(line)
            here = (
                look,
                data,
                part,
                self.numbers and (number, window.numbered),
                line == self._hit,
                line < window.count,
            )
            row = known.get(here)
            if row is None:
                text = plain(data) if data and not (self.numbers or self._lit or line == self._hit) else None
                if text is not None and (len(text) <= self._room or not self.wrap):
                    row = [ink[character] for character in text[x : x + self._room].ljust(self._room)]
                    row[-1:] = [more] if len(text) > x + self._room else row[-1:]
                else:
                    row = self.cells_of(self.render_line(y))
            self._known[here] = row
            yield row

    def render_line(self, y: int) -> Strip:
        base = self.base or self.rich_style
        line, part = self._places.locate(self.scroll_offset.y + y)
        if line >= self._window.count:
            return Strip.blank(self.scrollable_content_region.width, base)
        data, number = self._window.at(line)
        rows = [Text("…", MUTED)] if data is None else self._pieces(data)
        strip = Strip(rows[min(part, len(rows) - 1)].render(self.app.console))
        x, room = self.scroll_offset.x, self._room
        cut = strip.cell_length > x + room
        style = base + CURRENT if line == self._hit else base
        strip = strip.crop_extend(x, x + room - cut, None).apply_style(style)
        known = self._window.numbered is None or line < self._window.numbered
        gutter = f"{number + 1:,}" if known and not part else ""
        before = [Segment(gutter.rjust(self._gutter - 1) + " ", MUTED)] if self._gutter else []
        after = [Segment("›" * cut, MUTED)]
        return Strip.join([Strip(before), strip, Strip(after)]).apply_style(base)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        if round(new_value) < min(round(old_value), self.max_scroll_y):
            self.following = False
        self._widen()
        self._ask()
        super().watch_scroll_y(old_value, new_value)

    def watch_following(self) -> None:
        self._paused_at = self._window.count
        if self.following:
            self._goal = None
            self.scroll_to(y=self.max_scroll_y, animate=False)
        self._tell()

    def watch_wrap(self) -> None:
        self._rows.clear()
        self.scroll_to(x=0, animate=False)
        self._lay_out(self._places.locate(self.scroll_offset.y))

    def watch_numbers(self) -> None:
        self._lay_out(self._places.locate(self.scroll_offset.y))

    def on_resize(self) -> None:
        self._lay_out(self._places.locate(self.scroll_offset.y))
        self._ask()
        self._tell()

    def action_move(self, rows: int, cells: int = 0) -> None:
        x, y = self.scroll_offset
        self.scroll_to(x + cells, y + rows, animate=False)

    def action_move_page(self, pages: float) -> None:
        self.action_move(int(pages * max(2, self.size.height)))

    def action_top(self) -> None:
        self.scroll_to(y=0, animate=False)

    def action_follow(self) -> None:
        self.following = True

    def action_again(self, step: int) -> None:
        if self._sought and self._light(self._sought):
            self._hunt(self._sought, step)

    def action_error(self, step: int) -> None:
        if self._light(ERRORS):
            self._hunt(ERRORS, step)

    def _hunt(self, pattern: str, step: int) -> None:
        top, bottom = self._in_sight()
        start = top if step > 0 else bottom - 1
        if self._hit is not None and top <= self._hit < bottom:
            start = self._hit + step
        if pattern:
            self._hunted = pattern
            self.post_message(self.SearchWanted(pattern, start, step))

    def _valid(self, pattern: str) -> re.Pattern[str] | None:
        try:
            return compiled(pattern)
        except re.error as error:
            self._notice = f"invalid pattern: {clean(str(error))}"
        except TooSlow:
            self._notice = "this pattern takes too long to prepare"
        return None

    def _light(self, pattern: str) -> bool:
        """Highlight what matches; False when that is no pattern, which the status then says."""
        lit = valid = self._valid(pattern)
        if valid:
            lit = lit if pattern else None
            if lit != self._lit:
                self._lit, self._notice = lit, ""
                self._rows.clear()
                self.repaint()
        self._tell()
        return valid is not None

    def _tell(self) -> None:
        if self.status != self._told:
            self._told = self.status
            self.post_message(self.StatusChanged(self._told))

    def _ask(self) -> None:
        """Ask for the lines in sight unless they are here or asked for."""
        window = self._window
        top, bottom = self._in_sight()
        missing = top < window.first or min(bottom, window.count) > window.first + len(window.lines)
        if missing and not self._asked and top < window.count:
            self._asked = True
            self.hold(PATIENCE)
            self.post_message(self.Wanted(*self.needs(window.count)))

    def _in_sight(self) -> tuple[int, int]:
        y = self.scroll_offset.y
        return self._places.locate(y)[0], self._places.locate(y + max(1, self.size.height) - 1)[0] + 1

    @property
    def _gutter(self) -> int:
        last = max(self._window.count, *(number + 1 for number in self._window.numbers[-1:]), 1)
        return len(f"{last:,}") + 1 if self.numbers else 0

    def _lay_out(self, top: tuple[int, int]) -> bool:
        """Reckon the rows anew and keep `top` at the top, or the end at the end; whether all stays where it was."""
        before = (self._room, self.scroll_offset)
        self._room = max(2, self.scrollable_content_region.width - self._gutter)
        lines, rows = self._window.lines, self._rows
        if before[0] != self._room:
            self.repaint()
            rows = {} if self.wrap else rows
        self._rows = {line: rows[line] for line in lines if line in rows}
        self._places = Places(self._window.first)
        if self.wrap and lines:
            tops = accumulate((len(self._pieces(line)) for line in lines), initial=0)
            self._places = Places(self._window.first, tuple(tops))
            self.repaint()
        self._widen()
        y = self.max_scroll_y if self.following else self._places.row_of(*top)
        self.scroll_to(y=y, animate=False)
        self._reveal()
        return before == (self._room, self.scroll_offset)

    def _widen(self) -> None:
        """The room to scroll in: as high as all rows, as wide as the widest line seen so far."""
        if self.wrap:
            width = 0
        else:
            here = filter(None, (self._window.at(line)[0] for line in range(*self._in_sight())))
            width = self._widest = max(self._widest, *map(self._width, here), 0)
        self.extend(Size(width + self._gutter, self._places.row_of(self._window.count)))

    def _width(self, line: bytes) -> int:
        text = plain(line)
        return self._pieces(line)[0].cell_len if text is None else len(text)

    def _reveal(self) -> None:
        """Bring the match that was found into sight; once more when its line has come."""
        if (goal := self._goal) is None:
            return
        row, y, height = self._places.row_of(goal), self.scroll_offset.y, self.size.height
        if not y <= row < y + height:
            self.scroll_to(y=row - height // 3, animate=False)
        data = self._window.at(goal)[0]
        if data is None:
            return
        self._goal, text = None, self._pieces(data)[0]
        if not self.wrap and (found := self._spans(text.plain)):
            x = text[: found[0][0]].cell_len
            if not self.scroll_offset.x <= x < self.scroll_offset.x + self._room:
                self.scroll_to(x=x - self._room // 2 if x >= self._room else 0, animate=False)

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where it matches; a pattern that takes too long is not highlighted any more."""
        try:
            return spans(self._lit, text) if self._lit else []
        except TooSlow:
            self._lit = None
            return []

    def _pieces(self, line: bytes) -> list[Text]:
        """The rows of a line of the window: one unless wrapping."""
        if line not in self._rows:
            text = styled(line)
            for span in self._spans(text.plain):
                text.stylize(HIT, *span)
            self._rows[line] = wrapped(text, self._room) if self.wrap else [text]
        return self._rows[line]
