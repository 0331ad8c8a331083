"""What a series comes to on each column of dots: its least and greatest value there, and how it comes in and goes out."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from exptui.core.curves.series import BUCKET, FACTOR, Column, Kind, Series

LEAD = 90  # columns before the window that a smoothed curve looks back to: 0.95 ** 90 is 1 %


class Axis:
    """Numbers to dots, `first` at 0 and `final` at `last`; whatever the range, nothing overflows."""

    def __init__(self, first: float, final: float, last: int, *, log: bool = False) -> None:
        if log:
            first, final = math.log10(first), math.log10(final)
        self.scale = 1.0 if math.isfinite(final - first) else 0.25
        self.start, self.span = first * self.scale, final * self.scale - first * self.scale
        self.last, self.log = last, log

    def dot(self, value: float) -> int:
        """Where a number is."""
        if not self.span:
            return self.last // 2
        if self.log:
            value = math.log10(value)
        at = int((value * self.scale - self.start) / self.span * self.last + 0.5)
        return 0 if at < 0 else min(at, self.last)

    def dots(self, values: list[float]) -> list[int]:
        """Where each of several numbers of the range is; -1 for one that is not finite."""
        slope = self.last / self.span if self.span else math.inf
        if self.log or not math.isfinite(slope):
            return [self.dot(value) if math.isfinite(value) else -1 for value in values]
        start, scale, inf = self.start, self.scale, math.inf
        try:
            return [int((value * scale - start) * slope + 0.5) for value in values]
        except (ValueError, OverflowError):
            return [int((v * scale - start) * slope + 0.5) if -inf < v < inf else -1 for v in values]


@dataclass(slots=True)
class Strokes:
    """For each column of dots that has points: its number, and its values; of two that can be joined, a line between.

    A value at the end that is NaN is not joined. `bad` are columns with values that are not finite.
    """

    columns: list[int] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    lasts: list[float] = field(default_factory=list)
    lows: list[float] = field(default_factory=list)
    highs: list[float] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)

    def smooth(self, values: list[float]) -> None:
        """One value for each column instead of its least and greatest."""
        self.firsts, self.lasts = list(map(_like, self.firsts, values)), list(map(_like, self.lasts, values))
        self.lows = [math.inf if math.isnan(value) else value for value in values]
        self.highs = [-math.inf if math.isnan(value) else value for value in values]

    def insert(self, at: int, column: int, value: float) -> None:
        """A single value more, if it is one."""
        if math.isnan(value):
            return
        self.columns.insert(at, column)
        for values in (self.firsts, self.lasts, self.lows, self.highs):
            values.insert(at, value)


def strokes(
    series: Series, axis: Axis, window: tuple[float, float], smoothing: float, *, log: bool
) -> Strokes:
    """Reduce what of a series is in the window.

    Where a column has many points whole buckets are taken: a point may be drawn half a dot from its place, but none is
    left out. Smoothing works on what each column comes to in the mean.
    """
    if not series:
        return Strokes()
    steps, column, count = series.steps, series.column, series.count
    within = series.between(*window)
    start, end = within.start, within.stop
    size = _bucket((end - start) / (axis.last + 1))
    columns, bounds = _groups(steps, start, end, axis, size)
    values, whole = column.values, column.whole(start, end)
    firsts, lasts = [values[at] for at in bounds[:-1]], [values[at - 1] for at in bounds[1:]]
    lows, highs = _reduced(column, bounds, size, Kind.LOW), _reduced(column, bounds, size, Kind.HIGH)
    if log and lows and min(lows) <= 0:
        whole, lows = False, _reduced(column, bounds, size, Kind.LOW_POSITIVE)
        highs = [high if high > 0 else -math.inf for high in highs]
    if not whole:
        firsts = [_joinable(value, log=log) for value in firsts]
        lasts = [_joinable(value, log=log) for value in lasts]
    found = Strokes(columns, firsts, lasts, lows, highs)
    if not column.whole(start, end):
        found.bad = [x for x, (a, b) in zip(columns, pairwise(bounds), strict=True) if not column.whole(a, b)]
    before = _joinable(values[start - 1], log=log) if start else math.nan
    after = _joinable(values[end], log=log) if end < count else math.nan
    if smoothing > 0:
        unit = size or 1
        wide = max(1, (end - start) // (axis.last + 1) // unit) * unit
        lead = [*range(max(0, (start - LEAD * wide) // unit * unit), start, wide), start]
        trail = [end, min(end + wide, count)] if end < count else [end]
        smooth = _smoothed(column, lead, bounds, trail, size, min(smoothing, 0.999), log=log)
        before, after = _like(before, smooth[len(lead) - 2]), _like(after, smooth[-1])
        found.smooth(smooth[len(lead) - 1 : len(lead) + len(columns) - 1])
    if start < count and start and steps[start] > window[0]:
        into = found.firsts[0] if columns else after
        edge = _between(steps[start - 1], before, steps[start], into, window[0], log=log)
        found.insert(0, axis.dot(window[0]), edge)
    if 0 < end < count and steps[end - 1] < window[1]:
        out = found.lasts[-1] if found.columns and end > start else before
        edge = _between(steps[end - 1], out, steps[end], after, window[1], log=log)
        found.insert(len(found.columns), axis.dot(window[1]), edge)
    return found


def _bucket(points: float) -> int:
    """The largest bucket that is at most half of so many points; 0: none is."""
    size = 0
    while (following := size * FACTOR or BUCKET) * 2 <= points:
        size = following
    return size


def _groups(steps: array[float], start: int, end: int, axis: Axis, size: int) -> tuple[list[int], list[int]]:
    """The columns that have points, and where the points of each begin; at last, where those of the last one end."""
    columns, bounds, at = list[int](), [start], start
    if not axis.span and start < end:
        return [axis.dot(steps[start])], [start, end]
    scale, origin, span, last = axis.scale, axis.start, axis.span, axis.last  # as Axis.dot does, for speed
    if start < end:
        first, final = steps[start], steps[end - 1]
        half = final / 2 - first / 2 or 1.0
        density = min((end - 1 - start) / half, 1e300)  # where points are even, the next border is near there
    while at < end:
        dot = int((steps[at] * scale - origin) / span * last + 0.5)
        columns.append(dot)
        border = (origin + span * ((dot + 0.5) / last)) / scale
        if border > final:
            at = end
        else:
            guess = start + int((border / 2 - first / 2) * density)
            near = at < guess - 1 and guess + 2 < end and steps[guess - 1] < border <= steps[guess + 2]
            at = bisect_left(steps, border, guess if near else at + 1, guess + 2 if near else end)
        if size and (at := -(-at // size) * size) > end:
            at = end
        bounds.append(at)
    return columns, bounds


def _reduced(column: Column, bounds: Sequence[int], size: int, kind: Kind) -> list[float]:
    """What each stretch comes to."""
    reduce, values = kind.reduce, column.values
    if size and len(bounds) > 3:
        level, inner = column.level(kind, size), [bound // size for bound in bounds[1:-1]]
        return [
            _at_edge(column, bounds[0], bounds[1], level, size, kind),
            *[reduce(level[a:b]) for a, b in pairwise(inner)],
            _at_edge(column, bounds[-2], bounds[-1], level, size, kind),
        ]
    if not kind.positive and column.whole(bounds[0], bounds[-1]):
        return [reduce(values[a:b]) for a, b in pairwise(bounds)]
    parts = [column.usable(a, b, positive=kind.positive) for a, b in pairwise(bounds)]
    return [reduce(part) if part else kind.empty for part in parts]


def _at_edge(column: Column, start: int, end: int, level: array[float], size: int, kind: Kind) -> float:
    """What a stretch comes to that need not begin and end with a bucket."""
    first, last = -(-start // size), end // size
    if first >= last:
        return kind.reduce(column.usable(start, end, positive=kind.positive) or [kind.empty])
    edges = [
        column.usable(a, b, positive=kind.positive) for a, b in ((start, first * size), (last * size, end))
    ]
    return kind.reduce([kind.reduce(part) for part in (level[first:last], *edges) if part])


def _smoothed(
    column: Column,
    lead: list[int],
    bounds: list[int],
    trail: list[int],
    size: int,
    keep: float,
    *,
    log: bool,
) -> list[float]:
    """The moving average over three stretches behind each other, debiased so that it starts at the first value."""
    kind, state, weight = (Kind.MEAN_POSITIVE if log else Kind.MEAN), 0.0, 0.0
    found = []
    for part in (lead, bounds, trail):
        for mean in _reduced(column, part, size, kind):
            if not math.isnan(mean):
                state, weight = state * keep + mean * (1 - keep), weight * keep + (1 - keep)
            found.append(state / weight if weight and not math.isnan(mean) else math.nan)
    return found


def _joinable(value: float, *, log: bool) -> float:
    return value if math.isfinite(value) and (value > 0 or not log) else math.nan


def _like(raw: float, smooth: float) -> float:
    return raw if math.isnan(raw) else smooth


def _between(x0: float, y0: float, x1: float, y1: float, x: float, *, log: bool) -> float:
    """Where the line between two points is at `x`; NaN where there is none."""
    if math.isnan(y0) or math.isnan(y1):
        return math.nan
    t = (x / 2 - x0 / 2) / ((x1 / 2 - x0 / 2) or 1.0)
    y = y0 * (1 - t) + y1 * t
    if log:
        y = 10 ** min(math.log10(y0) * (1 - t) + math.log10(y1) * t, 308.0)
    return min(max(y, min(y0, y1)), max(y0, y1))
