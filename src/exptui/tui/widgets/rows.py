"""A list by lines: only what is visible is rendered, however many rows there are. The text of a row is never markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import ClassVar, overload

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from exptui.tui.driver import colors
from exptui.tui.present import Span
from exptui.tui.widgets.direct import DirectView

COLORS = {
    "good": "text-success",
    "bad": "text-error",
    "warn": "text-warning",
    "accent": "text-accent",
    "muted": "secondary",
    "cursor": "accent",
    "blurred": "surface",
}
CURSOR = 0.35  # how much of its colour is in the line under the cursor


class Row(msgspec.Struct, frozen=True):
    """One line: `left` gives way when it is narrow, `right` stands at the right edge."""

    key: str
    left: tuple[Span, ...]
    right: tuple[Span, ...] = ()


def tones(widget: Widget) -> Mapping[str, Style]:
    """The styles of the tones, and of the cursor, over a widget's background.

    A style class for each would be matched with every rule, for every widget.
    """
    theme = widget.app.theme_variables
    shades = tuple(theme[variable] for variable in COLORS.values())
    return _tones(widget.background_colors[1], shades, colors(widget.app))


@lru_cache(maxsize=32)
def _tones(background: Color, shades: tuple[str, ...], colors: ColorSystem | None) -> Mapping[str, Style]:
    """Where the `colors` do not show a background, the cursor does without."""
    color = dict(zip(COLORS, map(Color.parse, shades), strict=True))
    found = {name: Style(color=one.rich_color) for name, one in color.items()}
    return {
        **found,
        "bold": Style(bold=True),
        "mark": found["warn"] + Style(bold=True),
        "cursor": Style(bgcolor=background.blend(color["cursor"], CURSOR).rich_color, bold=True)
        + Style(reverse=colors is None),
        "blurred": Style(bgcolor=color["blurred"].rich_color)
        + Style(underline=colors in (None, ColorSystem.STANDARD)),
    }


class Source(Sequence[Row]):
    """Where rows come from: `row` makes one when it comes into sight."""

    def row(self, at: int) -> Row:
        """The row of that number.

        Raises:
            IndexError: there is none.
        """
        raise NotImplementedError

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        return [self.row(one) for one in range(len(self))[at]] if isinstance(at, slice) else self.row(at)

    def find(self, key: str) -> int | None:
        """The number of the row with that key, None when it is not there."""
        return next((at for at, row in enumerate(self) if row.key == key), None)


class _Made(Source):
    """Rows that were made already."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, at: int) -> Row:
        """The row of that number."""
        return self._rows[at]


class RowList(DirectView, can_focus=True):
    """Rows with a cursor and marks; says what the cursor is on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup,ctrl+u", "page(-1)", show=False),
        Binding("pagedown,ctrl+d", "page(1)", show=False),
        Binding("home,g", "move(-1000000000)", show=False),
        Binding("end,G", "move(1000000000)", show=False),
        Binding("enter", "choose", show=False),
    ]
    cursor: reactive[int] = reactive(0, repaint=False)
    moved = False
    """Whether somebody has put the cursor where it is."""

    class Highlighted(Message):
        """The cursor moved to another row, or that row is gone; an empty key for an empty list."""

        def __init__(self, rows: RowList, key: str) -> None:
            super().__init__()
            self.rows, self.key = rows, key

        @property
        def control(self) -> RowList:
            """The list it comes from."""
            return self.rows

    class Chosen(Message):
        """Enter was pressed on a row."""

        def __init__(self, rows: RowList, key: str) -> None:
            super().__init__()
            self.rows, self.key = rows, key

        @property
        def control(self) -> RowList:
            """The list it comes from."""
            return self.rows

    class Resized(Message):
        """The list is wider or narrower than it was."""

        def __init__(self, rows: RowList) -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> RowList:
            """The list it comes from."""
            return self.rows

    def __init__(self, empty: str, *, id: str) -> None:  # noqa: A002  textual's own name
        super().__init__(id=id)
        self.rows: Source = _Made(())
        self.header: Row | None = None
        self.marks: frozenset[str] = frozenset()
        self.empty = empty
        self._width = 0

    def on_resize(self) -> None:
        """Say that the width is another one."""
        if self.size.width != self._width:
            self._width = self.size.width
            self.post_message(self.Resized(self))

    @property
    def key(self) -> str:
        """The key under the cursor, empty for an empty list."""
        return self.rows[self.cursor].key if self.rows else ""

    def show(
        self,
        rows: Sequence[Row],
        header: Row | None = None,
        marks: frozenset[str] = frozenset(),
        empty: str = "",
        *,
        first: bool = False,
    ) -> None:
        """Take over new rows; the cursor stays on its key. Only lines that differ are painted again.

        `first`: they are still being found; the cursor stays on the first one until somebody moves it.
        """
        before, at, seen = self.key, self.cursor, self._seen()
        self.rows = rows if isinstance(rows, Source) else _Made(rows)
        self.header, self.marks, self.empty = header, marks, empty or self.empty
        last = max(0, len(self.rows) - 1)
        if at > last or self.key != before:
            keeps = before and not (first and not self.moved)
            found = self.rows.find(before) if keeps else None
            at = at if keeps else 0
            self.cursor = min(at, last) if found is None else found
        size = Size(0, len(self.rows) + self._top)
        if size != self.virtual_size:
            self.virtual_size = size
            self.refresh()
        else:
            now = enumerate(zip(seen, self._seen(), strict=False))
            if changed := [y for y, (old, new) in now if old != new]:
                self.repaint(changed)
        self._in_sight()
        if self.key != before:
            self.post_message(self.Highlighted(self, self.key))

    def _seen(self) -> list[object]:
        """What each line of the screen shows."""
        height, first = self.size.height, int(self.scroll_y)
        lines: list[object] = [self.header] if self.header else []
        for at in range(first, min(first + height - len(lines), len(self.rows))):
            row = self.rows[at]
            lines.append((row, row.key in self.marks, at == self.cursor))
        return [*lines, *[self.empty] * (height - len(lines))]

    @property
    def _top(self) -> int:
        return 1 if self.header else 0

    def select(self, key: str) -> None:
        """Put the cursor on a row, if it is there."""
        if (found := self.rows.find(key)) is not None:
            self._go(found)

    def _go(self, to: int) -> None:
        to = max(0, min(to, len(self.rows) - 1))
        if not self.rows or to == self.cursor:
            return
        self.moved = True
        old, self.cursor = self.cursor, to
        if not self._in_sight():  # else all of it was painted
            self._repaint_rows(old, to)
        self.post_message(self.Highlighted(self, self.key))

    def _in_sight(self) -> bool:
        """Scroll to the cursor; whether that was needed."""
        first, shown = int(self.scroll_y), max(1, self.size.height - self._top)
        if first <= self.cursor < first + shown or not self.rows:
            return False
        y = self.cursor if self.cursor < first else self.cursor - shown + 1
        self.scroll_to(y=y, animate=False, force=True)
        return int(self.scroll_y) != first

    def _repaint_rows(self, *rows: int) -> None:
        lines = (at - int(self.scroll_y) + self._top for at in rows)
        self.repaint([y for y in lines if self._top <= y < self.size.height])

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self._go(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by a page."""
        self._go(self.cursor + by * max(1, self.size.height - 1 - self._top))

    def action_choose(self) -> None:
        """Say that the row was chosen."""
        if self.rows:
            self.post_message(self.Chosen(self, self.key))

    def on_click(self, event: object) -> None:
        """Put the cursor on the line that was clicked."""
        y = getattr(event, "y", 0) + int(self.scroll_y) - self._top
        if 0 <= y < len(self.rows):
            self._go(y)

    def watch_has_focus(self, focused: bool) -> None:
        """The cursor looks different without the focus."""
        super().watch_has_focus(focused)
        self._repaint_rows(self.cursor)

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width, base = self.scrollable_content_region.width, self.base or self.rich_style
        if not self.rows:
            return self._empty_line(y, width)
        if self.header and y == 0:
            return self._strip(self.header, width, base + tones(self)["muted"], marked=False)
        at = y + int(self.scroll_y) - self._top
        if at >= len(self.rows):
            return Strip.blank(width, base)
        row = self.rows[at]
        if at == self.cursor:
            base += tones(self)["cursor" if self.has_focus else "blurred"]
        return self._strip(row, width, base, marked=row.key in self.marks)

    def _empty_line(self, y: int, width: int) -> Strip:
        lines = self.empty.split("\n")
        text = lines[y] if y < len(lines) else ""
        style = self.rich_style + tones(self)["muted"]
        return Strip([Segment(set_cell_size(f" {text}", width), style)], width)

    def _strip(self, row: Row, width: int, base: Style, *, marked: bool) -> Strip:
        right = sum(cell_len(text) for text, _ in row.right)
        room = max(0, width - right - 1)
        spans: list[tuple[str, str]] = [
            ("●", "mark") if marked else (" ", row.left[0][1] if row.left else "")
        ]
        for text, tone in row.left:
            length = cell_len(text)
            if length > room:
                spans += [(set_cell_size(text, max(0, room - 1)), tone), ("…" if room else "", "")]
                room = 0
                break
            spans.append((text, tone))
            room -= length
        spans += [(" " * room, ""), *row.right]
        styles = tones(self)
        # What looks the same is one segment: each costs a screenful of escape codes.
        segments = [
            Segment("".join(text for text, _ in some), base + styles[tone] if tone else base)
            for tone, some in groupby((span for span in spans if span[0]), key=itemgetter(1))
        ]
        return Strip(segments).adjust_cell_length(width, base)
