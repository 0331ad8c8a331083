"""A view of lines that is painted past Textual's compositor where nothing lies over it: at a tenth of the cost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.filter import ANSIToTruecolor, LineFilter
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from exptui.tui.driver import Driver, colors, terminal
from exptui.tui.picture import Cell, cells


def composed(widget: Widget, strip: Strip) -> list[Cell]:
    """What the compositor would show of a strip of a widget."""
    for one in widget.get_line_filters():
        strip = strip.apply_filter(one, widget.background_colors[1])
    return cells(strip, colors(widget.app))


class DirectView(ScrollView):
    """`repaint` instead of `refresh`, `extend` instead of setting the virtual size; nothing is laid out for either."""

    base: Style | None = None
    """Its style while it is painted: to find it out costs more than a line."""
    holding = False
    """While much is changed at once: it is painted by `release` when all is."""
    _missed = False
    """Whether it was to be painted meanwhile."""
    _patience: Timer | None = None

    def shown_rows(self) -> Iterable[list[Cell]]:
        """What is in sight, row by row, cell by cell."""
        return map(self.shown_row, range(self.scrollable_content_region.height))

    def shown_row(self, y: int) -> list[Cell]:
        """One row of those."""
        return self.cells_of(self.render_line(y))

    def repaint(self, only: Collection[int] | None = None) -> None:
        """Show it as it is now, or some rows of it."""
        self._missed = self.holding
        if self.holding:
            return
        driver = terminal(self.app)
        self._move_bar(driver)
        place = driver.bare(self) if driver else None
        if driver is None or place is None:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in only or ()))
            return
        self._styles_cache.clear()
        self.base = self.rich_style
        rows = enumerate(self.shown_rows()) if only is None else ((y, self.shown_row(y)) for y in only)
        for y, row in rows:
            if y < place.height:
                driver.picture.put(place.y + y, place.x, row)
        driver.soon()

    def hold(self, seconds: float) -> None:
        """Paint nothing until `release`, and for no longer than this."""
        self.holding, self._patience = True, self.set_timer(seconds, self.release)

    def release(self) -> None:
        """Go on, with what was to be painted meanwhile."""
        if self._patience is not None:
            self._patience.stop()
        self.holding = False
        if self._missed:
            self.repaint()

    def extend(self, size: Size) -> None:
        """The room there is to scroll in."""
        if size != self.virtual_size:
            self.set_reactive(Widget.virtual_size, size)
            self._refresh_scrollbars()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Where there are but sixteen colours they are the terminal's own: its red is red, not the nearest of a hue."""
        few = colors(self.app) is ColorSystem.STANDARD
        return [one for one in super().get_line_filters() if not (few and isinstance(one, ANSIToTruecolor))]

    def cells_of(self, strip: Strip | Segment) -> list[Cell]:
        """As the compositor would show it."""
        return composed(self, Strip([strip]) if isinstance(strip, Segment) else strip)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The same for the compositor."""
        self.base = self.rich_style
        return super().render_lines(crop)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Another part is in sight."""
        if round(old_value) != round(new_value):
            self.repaint()

    def _move_bar(self, driver: Driver | None) -> None:
        """Paint the scrollbar again if anything of it moved by an eighth of a cell: with the lines, in the same frame."""
        bar, shown = self.vertical_scrollbar, self.size.height

        def thumb(of: float, at: float) -> tuple[int, int]:
            size = max(1.0, shown * shown / max(1, of))
            return round(size * 8), round((shown - size) * at / max(1, of - shown) * 8)

        height, y = self.virtual_size.height, self.scroll_y
        if thumb(bar.window_virtual_size, bar.position) == thumb(height, y):
            return
        place = driver.bare(bar) if driver else None
        if driver is None or place is None:
            bar.window_virtual_size, bar.position = height, y
            return
        bar.set_reactive(ScrollBar.window_virtual_size, height)
        bar.set_reactive(ScrollBar.position, y)
        bar._set_dirty()  # noqa: SLF001  `refresh` would have it composed as well
        for row, strip in enumerate(bar.render_lines(Region(0, 0, *place.size))):
            driver.picture.put(place.y + row, place.x, composed(bar, strip))
