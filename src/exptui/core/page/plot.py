"""Curves as SVG: axes, a line for each series with the letter of its group at its end, and what is not finite said."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import msgspec

from exptui.core.compare.comparison import letter
from exptui.core.compare.statistics import Estimate
from exptui.core.curves.series import Series
from exptui.core.page.markup import tag, text

WIDTH, HEIGHT = 430, 250
LEFT, RIGHT, TOP, BOTTOM = 56, 22, 10, 30  # between the frame and the plot
POINTS, LEAST = 2400, 60  # of a chart together, and of one line at least
COLOURS = 8
DECADES = 300  # greatest to least value from which the axis is logarithmic
LABEL = 11  # of a letter: its height
LARGEST = sys.float_info.max
Scale = Callable[[float], float]


class Line(msgspec.Struct, frozen=True):
    """One series: of which group, and whether it was taken in training beside a held-out one."""

    group: int
    series: Series
    train: bool = False


class Axis:
    """Numbers to places; round numbers on it. Values so far apart that only a logarithm shows them have one."""

    def __init__(self, values: Sequence[float], first: float, last: float, *, may_log: bool = False) -> None:
        low, high = min(values, default=0.0), max(values, default=1.0)
        self.log = may_log and low > 0 and high / low > DECADES
        if self._of(low) == self._of(high):
            around = abs(low) / 2 or 0.5
            low, high = max(low - around, -LARGEST), min(high + around, LARGEST)
        self._low, self._high = self._of(low), self._of(high)
        self._first, self._last = first, last
        self.ends = low, high

    def _of(self, value: float) -> float:
        # Halved, so that the distance of the largest numbers is a number.
        return math.log10(value) if self.log else value / 2

    def at(self, value: float) -> float:
        """The place of a value."""
        share = (self._of(value) - self._low) / (self._high - self._low)
        return self._first + share * (self._last - self._first)

    def ticks(self, most: int) -> list[float]:
        """Round numbers within."""
        low, high = self.ends
        if self.log:
            powers = range(math.ceil(self._low), math.floor(self._high) + 1)
            return [10.0**power for power in powers][:: 1 + len(powers) // most]
        span = (high / 2 - low / 2) / most * 2
        size = 10.0 ** math.floor(math.log10(span)) if span > 1e-300 else 0.0
        step = next((size * k for k in (1, 2, 5, 10) if size * k >= span), 0.0)
        if not step or not math.isfinite(step) or max(abs(low), abs(high)) / step > 2**50:
            return [low, high]
        return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def chart(name: str, lines: Sequence[Line]) -> str:
    """A chart of one metric; empty where no value can be shown."""
    most = max(LEAST, POINTS // max(1, len(lines)))
    drawn = [(line, line.series.sampled(most)) for line in lines]
    points = [point for _, some in drawn for point in some if math.isfinite(point[1])]
    if not points:
        return ""
    x = Axis([step for step, _ in points], LEFT, WIDTH - RIGHT)
    y = Axis([value for _, value in points], HEIGHT - BOTTOM, TOP, may_log=True)
    label = text(f"{name} by step, from {points[0][1]:.4g} to {points[-1][1]:.4g}", 200)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">',
        *_grid(x, y),
        *(_path(line, some, x, y) for line, some in sorted(drawn, key=lambda one: not one[0].train)),
        *_letters(drawn, y, x),
        "</svg>",
    ]
    said = ["log scale"] if y.log else []
    if bad := sum(line.series.not_finite for line in lines):
        said.append(f"{bad:,} values are not finite")
    head = tag("b", text(name, 60)) + (tag("i", ", ".join(said)) if said else "")
    return tag("figure", "\n".join([tag("figcaption", head), *parts, ""]))


def _grid(x: Axis, y: Axis) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    values = y.ticks(5)
    for value, said in zip(values, _told_apart(values), strict=True):
        at = _place(y.at(value))
        yield f'<path class="grid" d="M{LEFT} {at}H{right}"/>'
        yield f'<text class="tick" x="{LEFT - 6}" y="{at}" dy="4" text-anchor="end">{said}</text>'
    for value in x.ticks(6):
        at = _place(x.at(value))
        yield f'<path class="grid" d="M{at} {bottom}v4"/>'
        yield f'<text class="tick" x="{at}" y="{bottom + 17}" text-anchor="middle">{_steps(value)}</text>'
    yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>'


def _told_apart(values: Sequence[float]) -> list[str]:
    """As short as they can be written without two looking the same."""
    found = [f"{value:.4g}" for value in values]
    for digits in range(5, 18):
        if len(set(found)) == len(values):
            break
        found = [f"{value:.{digits}g}" for value in values]
    return found


def _steps(value: float) -> str:
    """`500`, `20k`, `1.5M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.4g}{unit}"
    return f"{value:.4g}"


def _path(line: Line, points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    """Its finite stretches; one of a single point is a dot."""
    drawn = []
    for finite, some in groupby(points, key=lambda point: math.isfinite(point[1])):
        places = [f"{_place(x.at(step))} {_place(y.at(value))}" for step, value in some] if finite else []
        if places:
            drawn.append(f"M{'L'.join(places if len(places) > 1 else places * 2)}")
    style = f"line g{line.group % COLOURS}{' train' if line.train else ''}"
    whole = "".join(drawn)
    return f'<path class="{style}" d="{whole}"/>'


def _letters(drawn: Sequence[tuple[Line, list[tuple[float, float]]]], y: Axis, x: Axis) -> Iterator[str]:
    """Beside the end of a line of each group, moved apart where they would lie on each other."""
    ends = dict[int, tuple[float, float]]()
    for line, points in drawn:
        finite = [point for point in points if math.isfinite(point[1])]
        if finite and (not line.train or line.group not in ends):
            ends[line.group] = x.at(finite[-1][0]), y.at(finite[-1][1])
    if len(ends) < 2 or len(ends) * LABEL > HEIGHT - TOP - BOTTOM:
        return
    last = float(TOP - LABEL)
    for left, (group, (across, down)) in zip(
        range(len(ends), 0, -1), sorted(ends.items(), key=lambda one: (one[1][1], one[0])), strict=True
    ):
        last = min(max(down, last + LABEL), HEIGHT - BOTTOM - (left - 1) * LABEL)
        yield (
            f'<text class="letter g{group % COLOURS}" x="{_place(across + 5)}" y="{_place(last)}" dy="4">'
            f"{letter(group)}</text>"
        )


def interval(found: Estimate | None, base: Estimate | None, ends: tuple[float, float]) -> str:
    """A mean with its interval between the ends of all, and where the baseline is; empty where it is not finite."""
    if found is None or not math.isfinite(found.mean):
        return ""
    axis, drawn = Axis(ends, 4, 116), ""
    if base and math.isfinite(base.mean):
        drawn += f'<path class="there" d="M{_place(axis.at(base.mean))} 1v14"/>'
    if found.low is not None and found.high is not None:
        low, high = _place(axis.at(found.low)), _place(axis.at(found.high))
        drawn += f'<path class="whisker" d="M{low} 8H{high}M{low} 4v8M{high} 4v8"/>'
    drawn += f'<circle cx="{_place(axis.at(found.mean))}" cy="8" r="3"/>'
    return f'<svg class="forest" viewBox="0 0 120 16" aria-hidden="true">{drawn}</svg>'


def _place(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
