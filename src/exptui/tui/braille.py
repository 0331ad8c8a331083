"""Line charts in braille, as plain strings: two by four dots a cell, no spike lost, no number invented."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

Segment = tuple[
    str, int | None
]  # text and index into the palette; None is the muted colour of axes and words
Reading = tuple[float, float] | None  # the point nearest to the cursor, as it was recorded

Window = tuple[float, float]
Part = tuple[list[float], list[float]]

MARK = "✕"
CURSOR = "│"
_LEFT, _RIGHT = (0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80)
_MASKS = [[[sum(dots[a : b + 1]) for b in range(4)] for a in range(4)] for dots in (_LEFT, _RIGHT)]


@dataclass(frozen=True)
class Curve:
    """A named line: points with x ascending; a y of nan or infinity is a gap."""

    name: str
    points: tuple[tuple[float, float], ...]
    color: int = 0


@dataclass(frozen=True)
class View:
    """How curves are looked at: the window (None: all there is), the scale, the smoothing, the cursor."""

    x0: float | None = None
    x1: float | None = None
    log_y: bool = False
    smoothing: float = 0.0
    cursor: float | None = None


@dataclass(frozen=True)
class Plot:
    """A drawn chart: rows of exactly the width asked for, and what is to be written around them."""

    rows: tuple[tuple[Segment, ...], ...]
    y_labels: tuple[str, str, str] = ("", "", "")  # top, middle, bottom
    x_labels: tuple[str, str, str] = ("", "", "")  # left, middle, right
    readings: tuple[Reading, ...] = ()  # for each curve, at the cursor; None without cursor or points
    non_finite: tuple[int, ...] = ()  # for each curve, in all of it
    skipped: tuple[int, ...] = ()  # for each curve, values not above zero on a logarithmic scale
    cursor_column: int | None = None


def nice(value: float, digits: int = 3) -> str:
    """A short number: 0.0012, 1.2e-5, 1234, 12k."""
    if not math.isfinite(value) or value == 0:
        return str(value) if value else "0"
    if 1e3 <= abs(value) < 1e4:
        digits = max(digits, 4)
    text, power = f"{value:.{max(digits, 2) - 1}e}".split("e")
    exponent, suffix = int(power), f"e{int(power)}"
    if -3 <= exponent < 12:
        unit = exponent // 3 if exponent > 3 else 0
        suffix = ("", "k", "M", "G")[unit]
        places = max(1, digits - 1 - exponent + 3 * unit)
        text = f"{float(f'{text}e{exponent - 3 * unit}'):.{places}f}"
    return text.rstrip("0").rstrip(".") + suffix


@dataclass(slots=True)
class _Series:
    color: int
    xs: list[float]
    raw: list[float]
    ys: list[float]
    runs: list[tuple[int, int]]  # stretches of values that can be drawn
    bad: list[float]  # x of each value that is not finite
    lost: int  # points whose x is not finite
    skipped: int


def _series(curve: Curve, view: View) -> _Series:
    points: Sequence[tuple[float, float]] = curve.points
    xs = [point[0] for point in points]
    if not all(map(math.isfinite, xs)) or xs != sorted(xs):
        points = sorted((point for point in points if math.isfinite(point[0])), key=itemgetter(0))
        xs = [point[0] for point in points]
    ys = [point[1] for point in points]
    holes: list[int] = []
    if not all(map(math.isfinite, ys)) or (view.log_y and ys and min(ys) <= 0):
        holes = [i for i, y in enumerate(ys) if not math.isfinite(y) or (view.log_y and y <= 0)]
    starts, ends = [0, *(i + 1 for i in holes)], [*holes, len(ys)]
    runs = [(a, b) for a, b in zip(starts, ends, strict=True) if a < b]
    bad = [xs[i] for i in holes if not math.isfinite(ys[i])]
    smooth = _smooth(ys, runs, view) if view.smoothing > 0 else ys
    lost = len(curve.points) - len(points)
    return _Series(curve.color, xs, ys, smooth, runs, bad, lost, len(holes) - len(bad))


def _smooth(ys: list[float], runs: list[tuple[int, int]], view: View) -> list[float]:
    """Exponential moving average, debiased so that it starts at the first value; gaps are stepped over."""
    keep = min(view.smoothing, 0.999)
    state = weight = 0.0
    smooth = ys.copy()
    for start, end in runs:
        for i in range(start, end):
            state = state * keep + ys[i] * (1 - keep)
            weight = weight * keep + (1 - keep)
            value = state / weight
            if math.isfinite(value) and not (view.log_y and value <= 0):
                smooth[i] = value
    return smooth


def _visible(series: _Series, x0: float, x1: float, log: bool) -> list[Part]:
    """The stretches inside the window, each led to the window's edge where its line crosses it."""
    parts = []
    xs, ys = series.xs, series.ys
    for lo, hi in series.runs:
        a, b = bisect_left(xs, x0, lo, hi), bisect_right(xs, x1, lo, hi)
        px, py = xs[a:b], ys[a:b]
        if lo < a < hi and xs[a] > x0:
            px.insert(0, x0)
            py.insert(0, _between(xs, ys, a, x0, log))
        if lo < b < hi and xs[b - 1] < x1:
            px.append(x1)
            py.append(_between(xs, ys, b, x1, log))
        if px:
            parts.append((px, py))
    return parts


def _between(xs: list[float], ys: list[float], i: int, x: float, log: bool) -> float:
    a, b = ys[i - 1], ys[i]
    t = (x / 2 - xs[i - 1] / 2) / ((xs[i] / 2 - xs[i - 1] / 2) or 1.0)
    y = a * (1 - t) + b * t
    if log:
        y = 10 ** min(math.log10(a) * (1 - t) + math.log10(b) * t, 308.0)
    return min(max(y, min(a, b)), max(a, b))


class _Axis:
    """Numbers to dots, `first` at 0 and `final` at `last`; whatever the range, nothing overflows."""

    def __init__(self, first: float, final: float, last: int, log: bool = False) -> None:
        if log:
            first, final = math.log10(first), math.log10(final)
        self.scale = 1.0 if math.isfinite(final - first) else 0.25
        self.start, self.span = first * self.scale, final * self.scale - first * self.scale
        self.last, self.log = last, log

    def dot(self, value: float) -> int:
        if not self.span:
            return self.last // 2
        if self.log:
            value = math.log10(value)
        at = int((value * self.scale - self.start) / self.span * self.last + 0.5)
        return 0 if at < 0 else min(at, self.last)

    def border(self, dot: int) -> float:  # where the next dot begins
        return (self.start + self.span * ((dot + 0.5) / self.last)) / self.scale if self.span else math.inf


class _Canvas:
    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.bits, self.colors = [0] * (width * height), [0] * (width * height)
        self.over: dict[int, Segment] = {}

    def column(self, x: int, top: int, bottom: int, color: int) -> None:
        masks, index = _MASKS[x & 1], (top >> 2) * self.width + (x >> 1)
        for first in range(top & ~3, bottom + 1, 4):
            self.bits[index] |= masks[max(top - first, 0)][min(bottom - first, 3)]
            self.colors[index] = color
            index += self.width

    def line(self, x0: int, y0: int, x1: int, y1: int, color: int) -> None:
        """Bresenham's line from left to right, drawn as one vertical run for each column of dots."""
        dx, dy, sign, start = x1 - x0, abs(y1 - y0), 1 if y1 >= y0 else -1, 0
        for k in range(dx + 1):
            if dy <= dx:
                start = end = (2 * dy * k + dx) // (2 * dx) if dx else 0
            else:
                end = dy if k == dx else dy * (2 * k + 1) // (2 * dx)
            a, b = y0 + sign * start, y0 + sign * end
            self.column(x0 + k, min(a, b), max(a, b), color)
            start = end + 1

    def draw(self, part: Part, axes: tuple[_Axis, _Axis], color: int) -> int:
        """Draw a stretch, many points of one dot column as least to greatest; the index of its last cell."""
        (xs, ys), (x_axis, y_axis) = part, axes
        x, y, i = -1, 0, 0
        while i < len(xs):
            before, x = (x, y), x_axis.dot(xs[i])
            j = bisect_left(xs, x_axis.border(x), i + 1)
            group = ys[i:j]
            self.column(x, y_axis.dot(max(group)), y_axis.dot(min(group)), color)
            if i:
                self.line(*before, x, y_axis.dot(group[0]), color)
            y, i = y_axis.dot(group[-1]), j
        return (y >> 2) * self.width + (x >> 1)

    def say(self, words: str) -> None:
        start = (self.height - 1) // 2 * self.width + (self.width - len(words)) // 2
        for index, char in enumerate(words, start):
            self.over.setdefault(index, (char, None))

    def row(self, y: int) -> tuple[Segment, ...]:
        cells: list[Segment] = []
        for index in range(y * self.width, (y + 1) * self.width):
            bits = self.bits[index]
            drawn = (chr(0x2800 + bits), self.colors[index]) if bits else (" ", None)
            cells.append(self.over.get(index, drawn))
        return tuple(("".join(char for char, _ in run), c) for c, run in groupby(cells, itemgetter(1)))


def _labels(lo: float, hi: float, log: bool = False) -> tuple[str, str, str]:
    """The ends and the middle of a range, with as many digits as tell them apart."""
    if lo == hi:
        return "", nice(lo), ""
    values = lo, math.sqrt(lo) * math.sqrt(hi) if log else lo / 2 + hi / 2, hi
    digits = next((d for d in range(3, 9) if len({nice(value, d) for value in values}) == 3), 9)
    return nice(values[0], digits), nice(values[1], digits), nice(values[2], digits)


def plot(curves: Sequence[Curve], view: View, width: int, height: int, markers: str = "") -> Plot:
    """Draw curves on `width` × `height` cells; the n-th curve ends in the n-th of `markers`, if there are any."""
    series = [_series(curve, view) for curve in curves]
    x0, x1 = _window(series, view)
    shown = [_visible(one, x0, x1, view.log_y) for one in series]
    every = [ys for parts in shown for _, ys in parts]
    lo, hi = (min(map(min, every)), max(map(max, every))) if every else (1.0, 1.0)
    canvas = _Canvas(max(0, width), max(0, height))
    column = None
    if width > 0 and height > 0:
        axes = _Axis(x0, x1, 2 * width - 1), _Axis(hi, lo, 4 * height - 1, view.log_y)
        for number, (one, parts) in enumerate(zip(series, shown, strict=True)):
            for part in parts:
                end = canvas.draw(part, axes, one.color)
            if parts and markers:
                canvas.over[end] = markers[number % len(markers)], one.color
        column = _overlay(canvas, series, axes[0], view)
        if not every:
            canvas.say(_nothing(series, (x0, x1))[:width])
    bottom, middle, top = _labels(lo, hi, view.log_y) if every else ("", "", "")
    return Plot(
        tuple(map(canvas.row, range(canvas.height))),
        (top, middle, bottom),
        _labels(x0, x1) if any(one.xs for one in series) else ("", "", ""),
        tuple(_reading(one, view.cursor) for one in series),
        tuple(len(one.bad) + one.lost for one in series),
        tuple(one.skipped for one in series),
        column,
    )


def _window(series: Sequence[_Series], view: View) -> tuple[float, float]:
    ends = [x for one in series for x in one.xs[:1] + one.xs[-1:]] or [0.0]
    x0 = view.x0 if view.x0 is not None and math.isfinite(view.x0) else min(ends)
    x1 = view.x1 if view.x1 is not None and math.isfinite(view.x1) else max(ends)
    return x0, max(x0, x1)


def _overlay(canvas: _Canvas, series: Sequence[_Series], axis: _Axis, view: View) -> int | None:
    """The marks of values that are not finite, and the cursor's line where nothing is drawn; its column."""
    bottom, window, cursor = (canvas.height - 1) * canvas.width, _window(series, view), view.cursor
    for one in series:
        for x in one.bad[bisect_left(one.bad, window[0]) : bisect_right(one.bad, window[1])]:
            canvas.over[bottom + (axis.dot(x) >> 1)] = (MARK, one.color)
    if cursor is None or not window[0] <= cursor <= window[1] or not any(one.xs for one in series):
        return None
    column = axis.dot(cursor) >> 1
    for index in range(column, len(canvas.bits), canvas.width):
        if not canvas.bits[index]:
            canvas.over.setdefault(index, (CURSOR, None))
    return column


def _nothing(series: Sequence[_Series], window: Window) -> str:
    if not any(one.xs or one.lost for one in series):
        return "no values yet"
    if not any(bisect_left(one.xs, window[0]) < bisect_right(one.xs, window[1]) for one in series):
        return "no values in view"
    return "no values above 0" if any(one.skipped for one in series) else "no finite values"


def _reading(series: _Series, cursor: float | None) -> Reading:
    """The recorded value nearest to the cursor: not the smoothed one."""
    xs = series.xs
    if cursor is None or not math.isfinite(cursor) or not xs:
        return None
    after = bisect_left(xs, cursor)
    at = min(range(max(0, after - 1), min(after + 1, len(xs))), key=lambda i: abs(xs[i] - cursor))
    return xs[at], series.raw[at]
