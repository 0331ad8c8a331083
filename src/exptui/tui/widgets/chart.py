"""Training curves as a braille chart: it repaints when its curves or its view change, and at no other time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from exptui.core.monitor.text import clean
from exptui.tui.braille import MARK, Curve, Plot, View, nice, plot

__all__ = ["MARKERS", "Chart", "Curve", "View", "nice"]

WIDE = 60  # cells from which a legend has room for four digits
MARKERS = "●◆▲■○◇△□"
COLORS = 6
SMOOTHINGS = (0.0, 0.5, 0.8, 0.95)
GUTTER = 7
Item = tuple[str, str, str, Style]  # marker, name, value, style


class _Drawn(NamedTuple):
    """A plot, what it was made for, what stands left of it (cells, and the text of each row), and its colours."""

    view: View
    size: Size
    plot: Plot
    gutter: int
    margins: list[str]
    styles: dict[int | None, Style]


class Chart(Widget):
    """Curves over a common x, with a header (title and legend), y labels and an x axis."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Chart {
        width: 1fr; height: 1fr; min-height: 3;
        & > .chart--title { text-style: bold; }
        & > .chart--muted { color: $foreground 60%; }
        & > .chart--curve-0 { color: ansi_cyan; }
        & > .chart--curve-1 { color: ansi_yellow; }
        & > .chart--curve-2 { color: ansi_green; }
        & > .chart--curve-3 { color: ansi_magenta; }
        & > .chart--curve-4 { color: ansi_blue; }
        & > .chart--curve-5 { color: $foreground; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chart--title",
        "chart--muted",
        *(f"chart--curve-{number}" for number in range(6)),
    }

    title: reactive[str] = reactive("")
    reading: reactive[float] = reactive(1.0)  # how much of the file was read; below 1 the curves are a sketch
    view: reactive[View] = reactive(View())

    def __init__(self, title: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - textual's own name
        super().__init__(id=id, classes=classes)
        self.set_reactive(Chart.title, title)
        self._curves: tuple[Curve, ...] = ()
        self._drawn: _Drawn | None = None
        self._margin = GUTTER + 1

    # What is shown

    @property
    def curves(self) -> tuple[Curve, ...]:
        return self._curves

    def show(self, curves: Sequence[Curve]) -> None:
        """Show these curves; nothing is repainted when they are what is shown already."""
        curves = tuple(curves)
        if curves == self._curves:
            return
        self._curves = curves
        self._drawn = None
        self.refresh()

    # Looking around

    def _ends(self) -> tuple[float, float] | None:
        """The first and the last step of all curves; None where there is nothing."""
        series = [curve.series for curve in self._curves if curve.series]
        return (min(one[0][0] for one in series), max(one[-1][0] for one in series)) if series else None

    def _window(self, low: float, high: float) -> tuple[float, float]:
        x0 = low if self.view.x0 is None else min(max(self.view.x0, low), high)
        x1 = high if self.view.x1 is None else max(min(self.view.x1, high), x0)
        return x0, x1

    def _look(self, x0: float, x1: float, low: float, high: float) -> None:
        """Set the window, kept inside of what there is; all of it is no window at all, and follows new points."""
        self.view = replace(self.view, x0=x0 if x0 > low else None, x1=x1 if x1 < high else None)

    def zoom(self, factor: float) -> None:
        """Show 1/factor of the present window (2: half of it), about the cursor, or else the middle."""
        if (ends := self._ends()) is None or not (math.isfinite(factor) and factor > 0):
            return
        low, high = ends
        x0, x1 = self._window(*ends)
        full = high - low
        if not 0 < full < math.inf:
            return
        center, width = x0 + (x1 - x0) / 2, x1 - x0
        if self.view.cursor is not None and x0 <= self.view.cursor <= x1:
            center = self.view.cursor
        share = (center - x0) / width if width else 0.5
        points = max(len(curve.series) for curve in self._curves)
        width = min(max(width / factor, full / max(1, points - 1)), full)
        x0 = min(max(center - share * width, low), high - width)
        self._look(x0, x0 + width, *ends)

    def pan(self, fraction: float) -> None:
        """Move the window by this fraction of its width, no further than the points go."""
        if (ends := self._ends()) is None or not math.isfinite(fraction):
            return
        x0, x1 = self._window(*ends)
        by = fraction * (x1 - x0)
        by = max(by, ends[0] - x0) if by < 0 else min(by, ends[1] - x1)
        if by and math.isfinite(by):
            self._look(x0 + by, x1 + by, *ends)

    def move_cursor(self, steps: int) -> None:
        """Move the cursor over the points, at least a column a step; the window goes along."""
        if (ends := self._ends()) is None or not steps:
            return
        (x0, x1), forward, cursor = self._window(*ends), steps > 0, self.view.cursor
        if cursor is None:
            there = self._next(x0 if forward else x1, ends, forward=forward)
        else:
            column = (x1 - x0) / max(1, self.size.width - self._gutter(self.size.width))
            there, near = self._next(cursor + steps * column, ends, forward=forward), cursor
            for _ in range(abs(steps)):
                near = self._next(math.nextafter(near, math.copysign(math.inf, steps)), ends, forward=forward)
            there = max(near, there) if forward else min(near, there)
        if there < x0:
            self._look(there, there + (x1 - x0), *ends)
        elif there > x1:
            self._look(there - (x1 - x0), there, *ends)
        self.view = replace(self.view, cursor=there)

    def _next(self, x: float, ends: tuple[float, float], *, forward: bool) -> float:
        """The step of a point at `x`, or the nearest one on that side."""
        found = [ends[forward]]
        for curve in self._curves:
            within = curve.series.between(x, math.inf) if forward else curve.series.between(-math.inf, x)
            if within:
                found.append(curve.series[within[0 if forward else -1]][0])
        return min(found) if forward else max(found)

    def toggle_log(self) -> None:
        self.view = replace(self.view, log_y=not self.view.log_y)

    def cycle_smoothing(self) -> None:
        """No smoothing, then each step of it, then none again."""
        stronger = [step for step in SMOOTHINGS if step > self.view.smoothing]
        self.view = replace(self.view, smoothing=stronger[0] if stronger else SMOOTHINGS[0])

    # Painting

    def _gutter(self, width: int) -> int:
        """Cells left of the plot: the same in every chart where its labels fit, so that charts line up."""
        return self._margin if width >= 3 * GUTTER else 0

    def _plot(self, size: Size) -> _Drawn:
        before, view = self._drawn, self.view
        if before and (before.view, before.size) == (view, size):
            return before
        gutter, rows = self._gutter(size.width), size.height - 1 - (size.height > 2)
        if before and before.size == size and replace(before.view, cursor=view.cursor) == view:
            drawn = plot(self._curves, view, size.width - gutter, rows, MARKERS, before.plot.strokes)
        else:
            drawn = plot(self._curves, view, size.width - gutter, rows, MARKERS)
            needed = 1 + max(GUTTER, *map(len, drawn.y_labels))
            # Labels grow and shrink while one looks around: room once made for them is kept until all is seen again.
            if gutter and (needed > gutter or (needed < gutter and view.x0 is view.x1 is None)):
                self._margin = gutter = needed
                drawn = plot(self._curves, view, size.width - gutter, rows, MARKERS)
        styles = {color: self._style(color) for color in (None, *(curve.color for curve in self._curves))}
        self._drawn = _Drawn(view, size, drawn, gutter, _margins(drawn, gutter), styles)
        return self._drawn

    def notify_style_update(self) -> None:
        """Colours changed."""
        super().notify_style_update()
        self._drawn = None

    def _style(self, color: int | None) -> Style:
        name = "chart--muted" if color is None else f"chart--curve-{color % COLORS}"
        return self.get_component_rich_style(name)

    def render_line(self, y: int) -> Strip:
        size = self.size
        drawn = self._plot(size)
        if 0 < y <= len(drawn.plot.rows):
            row = drawn.plot.rows[y - 1]
            styles = drawn.styles
            segments = [Segment(text, styles[color]) for text, color in row]
            return Strip([Segment(drawn.margins[y - 1], styles[None]), *segments], size.width)
        line = self._axis(drawn) if y else self._header(drawn.plot, size.width)
        strip = Strip(line)
        return (
            strip
            if strip.cell_length == size.width
            else strip.adjust_cell_length(size.width, self.rich_style)
        )

    def _axis(self, shown: _Drawn) -> list[Segment]:
        drawn, gutter = shown.plot, shown.gutter
        room = shown.size.width - gutter
        line = ["─"] * room
        left, middle, right = drawn.x_labels
        places = [(0, left), (room - len(right), right), ((room - len(middle)) // 2, middle)]
        if drawn.cursor_column is not None and self.view.cursor is not None:
            text = f"▲{nice(self.view.cursor, 6)}"
            places.insert(0, (min(drawn.cursor_column, max(0, room - len(text))), text))
        for start, text in places:
            free = all(char == "─" for char in line[max(0, start - 1) : start + len(text) + 1])
            if text and start >= 0 and free and start + len(text) <= room:
                line[start : start + len(text)] = text
        corner = " " * (gutter - 1) + "└" if gutter else ""
        return [Segment(corner + "".join(line), self._style(None))]

    def _header(self, drawn: Plot, width: int) -> list[Segment]:
        muted, bold = self._style(None), self.get_component_rich_style("chart--title")
        items = self._legend(drawn, 4 if width >= WIDE else 3)
        title = _cut(clean(self.title), width // 2 if items else width)
        tags = [f"reading {self.reading:.0%}"] if self.reading < 1 else []
        tags += ["log"] * self.view.log_y
        if self.view.smoothing > 0:
            tags.append(f"smooth {nice(self.view.smoothing)}")
        if any(drawn.skipped):
            tags.append(f"{sum(drawn.skipped)} ≤ 0 left out")
        tag = "".join(f" · {one}" for one in tags)
        left = [Segment(title, bold), Segment(tag, muted)]
        room = width - cell_len(title) - cell_len(tag) - 2
        longest = max((cell_len(name) for _, name, _, _ in items), default=0)
        if _room(items, longest) > room:
            items = _shorter(items)
            longest = max((cell_len(name) for _, name, _, _ in items), default=0)
        if _room(items, longest) > room and self.view.cursor is None:
            items = [(mark, name, value[value.find(MARK) :] if MARK in value else "", style)
                     for mark, name, value, style in items]  # fmt: skip
        while longest > 4 and _room(items, longest) > room:
            longest -= 1
        right: list[Segment] = []
        for marker, name, value, style in items:
            right.append(Segment("  " if right else "", muted))
            right.append(Segment(f"{marker} {_cut(name, longest)} {value}".rstrip(), style))
        gap = max(2, width - sum(segment.cell_length for segment in left + right))
        strip = Strip([*left, Segment(" " * gap, muted), *right])
        if strip.cell_length > width:
            strip = Strip([*strip.crop(0, max(0, width - 1)), Segment("…", muted)])
        return list(strip)

    def _legend(self, drawn: Plot, digits: int) -> list[Item]:
        """For each curve its marker, name and last value, or its value at the cursor; for those of one name the name."""
        items = list[Item]()
        names = Counter(curve.name for curve in self._curves)
        for number, curve in enumerate(self._curves):
            value = nice(curve.series[-1][1], digits) if curve.series else "–"
            if (reading := drawn.readings[number]) is not None:
                value = nice(reading[1], digits)
                if reading[0] != self.view.cursor:
                    value += f" at {nice(reading[0], 6)}"
            if names[curve.name] > 1:
                value = ""
            if drawn.non_finite[number]:
                value += f" {MARK}{drawn.non_finite[number]}"
            if not value and any(name == clean(curve.name) for _, name, _, _ in items):
                continue
            items.append((MARKERS[number % len(MARKERS)], clean(curve.name), value, self._style(curve.color)))
        return items


def _margins(drawn: Plot, gutter: int) -> list[str]:
    rows = len(drawn.rows)
    if not gutter:
        return [""] * rows
    top, middle, bottom = drawn.y_labels
    labels = {(rows * 4 - 1) // 8: middle} if rows > 2 or not top else {}
    if top:
        labels |= {rows - 1: bottom, 0: top}
    texts = (labels.get(row, "") for row in range(rows))
    return [label.rjust(gutter - 1) + ("┤" if label else "│") for label in texts]


def _room(items: Sequence[Item], longest: int) -> int:
    return sum(min(cell_len(name), longest) + cell_len(value) + 5 for _, name, value, _ in items)


def _shorter(items: list[Item]) -> list[Item]:
    """Without the beginning that all names share: it tells them apart the least."""
    names = [name for _, name, _, _ in items]
    least = min(map(len, names)) - 1 if len(names) > 1 else 0
    shared = next((i for i in range(least) if len({name[i] for name in names}) > 1), max(0, least))
    return (
        [(mark, f"…{name[shared:]}", value, style) for mark, name, value, style in items]
        if shared > 2
        else items
    )


def _cut(text: str, cells: int) -> str:
    if cell_len(text) <= cells:
        return text
    return set_cell_size(text, cells - 1) + "…" if cells > 0 else ""
