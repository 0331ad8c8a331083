"""One figure beside its peer and its target, and how several rounds become one: medians, and the median of the rounds' ratios."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """A line of the table. A figure that could not be taken has no `ours`, and its `note` says why."""

    what: str
    ours: float | None = None
    unit: str = ""
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None
    most: float | None = None  # the target: not more than this
    of: Literal["ours", "ratio"] = "ours"  # what the target is of
    note: str = ""

    @property
    def met(self) -> bool | None:
        """None where there is no target; a figure that is missing has not met its own."""
        if self.most is None:
            return None
        value = self.ratio if self.of == "ratio" else self.ours
        return value is not None and value <= self.most

    @property
    def verdict(self) -> str:
        """In a word; a figure that was not taken is not called met."""
        if self.ours is None:
            return "–"
        return {None: "", True: "met", False: "MISSED"}[self.met]

    @property
    def target(self) -> str:
        """As it is written for people."""
        if self.most is None:
            return ""
        return f"≤ {self.most:g} ×" if self.of == "ratio" else f"≤ {self.most:g} {self.unit}".rstrip()

    def line(self) -> str:
        """For the terminal."""
        parts = [f"{self.what:58}", f"{number(self.ours):>9} {self.unit:5}"]
        if self.peer:
            parts.append(f"{self.peer} {number(self.theirs)} {self.unit}".strip())
        if self.ratio is not None:
            parts.append(f"{self.ratio:.2f} ×")
        if self.target:
            parts.append(f"({self.target}) {self.verdict}")
        return "  ".join([*parts, self.note] if self.note else parts)

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return dataclasses.asdict(self)


def number(value: float | None) -> str:
    """Three digits or so."""
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def in_turn(rounds: int, works: Mapping[str, Callable[[], T]], *, warm: bool = True) -> dict[str, list[T]]:
    """All works one after the other, round by round; the first round only warms up."""
    found: dict[str, list[T]] = {name: [] for name in works}
    for number_ in range(rounds + warm):
        for name, work in works.items():
            value = work()
            if number_ or not warm:
                found[name].append(value)
    return found


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """The median of the rounds' own ratios, so that a slow moment of the machine weighs on both; None beside nothing."""
    if not all(theirs):
        return None
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def beside(
    what: str,
    ours: Sequence[float],
    peer: str,
    theirs: Sequence[float],
    *,
    unit: str,
    scale: float = 1.0,
    most: float | None = None,
    note: str = "",
) -> Figure:
    """A figure whose target is a ratio."""
    return Figure(
        what,
        median(ours) * scale,
        unit,
        peer,
        median(theirs) * scale,
        ratio(ours, theirs),
        most,
        "ratio",
        note,
    )


def alone(
    what: str,
    ours: Sequence[float],
    *,
    unit: str,
    scale: float = 1.0,
    most: float | None = None,
    note: str = "",
) -> Figure:
    """A figure whose target is a value."""
    return Figure(what, median(ours) * scale, unit, most=most, note=note)


def missing(what: str, why: str) -> Figure:
    """What was not measured, and why."""
    return Figure(what, note=why)
