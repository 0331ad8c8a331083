"""Spans of text with a tone → Textual content. Nothing untrusted ever becomes markup."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from rich.segment import Segment
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from exptui.tui.driver import terminal
from exptui.tui.present import Span
from exptui.tui.widgets.direct import composed
from exptui.tui.widgets.rows import tones

STYLES = {
    "": "",
    "good": "$text-success",
    "bad": "$text-error",
    "warn": "$text-warning",
    "accent": "$text-accent",
    "muted": "$secondary",
    "bold": "bold",
}


def content(spans: Iterable[Span]) -> Content:
    """One line."""
    return Content.assemble(*((text, STYLES[tone]) for text, tone in spans))


def block(lines: Iterable[Iterable[Span]]) -> Content:
    """Several lines."""
    return Content("\n").join([content(line) for line in lines])


def entitle(widget: Widget, title: Content) -> None:
    """Give a pane its title. Setting one paints the whole pane again, even where it is the same."""
    if widget.border_title != title.markup:
        widget.border_title = title


class Lines(Static):
    """Lines of spans; equal ones are not painted again, and single ones past the compositor where nothing lies over."""

    def __init__(self, *, id: str = "", classes: str = "") -> None:  # noqa: A002  textual's own name
        super().__init__("", id=id or None, classes=classes or None, markup=False)
        self._shown: tuple[tuple[Span, ...], ...] = ()

    def show(self, lines: Iterable[Iterable[Span]]) -> None:
        """Take over new lines."""
        new = tuple(tuple(line) for line in lines)
        if new != self._shown:
            before, same, self._shown = self._shown, self._as_high(new), new
            if not (same and self._painted(before)):
                self.refresh(layout=not same)

    def render(self) -> Content:
        """The lines, for the compositor."""
        return block(self._shown)

    def _painted(self, before: tuple[tuple[Span, ...], ...]) -> bool:
        """Paint the lines that changed, each in a row of its own; False where only the compositor can."""
        driver = terminal(self.app)
        place = driver.bare(self) if driver else None
        if driver is None or place is None:
            return False
        self._set_dirty()  # should it be composed again it is as it is now,
        self._layout_cache.clear()  # of which Textual keeps what was rendered
        base, styles = self.rich_style, tones(self)
        for y, (old, line) in enumerate(zip(before, self._shown, strict=True)):
            if old != line and y < place.height:
                parts = [Segment(text, base + styles[tone] if tone else base) for text, tone in line]
                row = Strip(parts).adjust_cell_length(place.width, base)
                driver.picture.put(place.y + y, place.x, composed(self, row))
        driver.soon()
        return True

    def _as_high(self, new: tuple[tuple[Span, ...], ...]) -> bool:
        """Whether these lines surely take the room of the present ones: a layout of the screen is dear."""
        width = self.content_size.width
        return len(new) == len(self._shown) and all(
            before == after or max(_cells(before), _cells(after)) <= width
            for before, after in zip(self._shown, new, strict=True)
        )


def _cells(line: Iterable[Span]) -> int:
    return sum(cell_len(text) for text, _ in line)
