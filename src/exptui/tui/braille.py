"""Line charts in braille, as plain strings: two by four dots a cell, no spike lost, no number invented."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from exptui.core.curves.series import Series
from exptui.tui.canvas import Canvas, Segment
from exptui.tui.strokes import Axis, Strokes, strokes

Reading = tuple[float, float] | None  # the point nearest to the cursor, as it was recorded

MARK = "✕"
CURSOR = "│"


@dataclass(frozen=True)
class Curve:
    """A named line; a value of nan or infinity is a gap."""

    name: str
    series: Series
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
    strokes: Sequence[Strokes] = ()


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


def _labels(lo: float, hi: float, log: bool = False) -> tuple[str, str, str]:
    """The ends and the middle of a range, with as many digits as tell them apart."""
    if lo == hi:
        return "", nice(lo), ""
    values = lo, math.sqrt(lo) * math.sqrt(hi) if log else lo / 2 + hi / 2, hi
    digits = next((d for d in range(3, 9) if len({nice(value, d) for value in values}) == 3), 9)
    return nice(values[0], digits), nice(values[1], digits), nice(values[2], digits)


def plot(
    curves: Sequence[Curve],
    view: View,
    width: int,
    height: int,
    markers: str = "",
    known: Sequence[Strokes] = (),
) -> Plot:
    """Draw curves on `width` × `height` cells; the n-th curve ends in the n-th of `markers`, if there are any.

    `known`: the strokes of a plot from which this one differs by no more than its cursor.
    """
    series = [curve.series for curve in curves]
    window = _window(series, view)
    canvas = Canvas(max(0, width), max(0, height), len(series))
    across = Axis(*window, 2 * max(1, width) - 1)
    found = known or [strokes(one, across, window, view.smoothing, log=view.log_y) for one in series]
    lo = min((min(one.lows) for one in found if one.lows), default=math.inf)
    hi = max((max(one.highs) for one in found if one.highs), default=-math.inf)
    column = None
    if width > 0 and height > 0:
        upright = Axis(hi, lo, 4 * height - 1, log=view.log_y) if lo <= hi else across
        for number, one in enumerate(found):
            end = canvas.draw(number, one, upright)
            if end and markers:
                canvas.write(*end, markers[number % len(markers)], number)
            for bad in one.bad:
                canvas.write(height - 1, bad >> 1, MARK, number)
        if any(series) and view.cursor is not None and window[0] <= view.cursor <= window[1]:
            column = across.dot(view.cursor) >> 1
            canvas.cursor(column, CURSOR)
        if lo > hi:
            canvas.say(_nothing(series, window)[:width])
    bottom, middle, top = _labels(lo, hi, view.log_y) if lo <= hi else ("", "", "")
    return Plot(
        canvas.rows([curve.color for curve in curves]),
        (top, middle, bottom),
        _labels(*window) if any(series) else ("", "", ""),
        tuple(_reading(one, view.cursor) for one in series),
        tuple(one.not_finite + one.lost for one in series),
        tuple(one.column.skipped(one.count) if view.log_y else 0 for one in series),
        column,
        found,
    )


def _window(series: Sequence[Series], view: View) -> tuple[float, float]:
    ends = [one[at][0] for one in series if one for at in (0, -1)] or [0.0]
    x0 = view.x0 if view.x0 is not None and math.isfinite(view.x0) else min(ends)
    x1 = view.x1 if view.x1 is not None and math.isfinite(view.x1) else max(ends)
    return x0, max(x0, x1)


def _nothing(series: Sequence[Series], window: tuple[float, float]) -> str:
    if not any(one or one.lost for one in series):
        return "no values yet"
    if not any(one.between(*window) for one in series):
        return "no values in view"
    return "no values above 0" if any(one.column.skipped(one.count) for one in series) else "no finite values"


def _reading(series: Series, cursor: float | None) -> Reading:
    """The recorded value nearest to the cursor: not the smoothed one."""
    if cursor is None or not math.isfinite(cursor) or not series:
        return None
    after = bisect_left(series.steps, cursor, 0, len(series))
    near = range(max(0, after - 1), min(after + 1, len(series)))
    return series[min(near, key=lambda at: abs(series.steps[at] - cursor))]
