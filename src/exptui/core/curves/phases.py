"""Names of metrics and the phase they were taken in: `train_loss` and `validate/loss` belong together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from exptui.core.directions import BY_NAME, Directions

if TYPE_CHECKING:
    from exptui.core.curves.series import Series

HELD_OUT = ("validate", "validation", "valid", "val", "eval", "test")
PHASE = re.compile(rf"((?:train|{'|'.join(HELD_OUT)})(?:_\d+)?)[-_/.](.+)", re.DOTALL)


def grouped(series: Mapping[str, Series]) -> dict[str, dict[str, Series]]:
    """Base name → {the phase, or the name itself where there is none: series}."""
    groups: dict[str, dict[str, Series]] = {}
    for name, one in series.items():
        phase, base = found.groups() if (found := PHASE.fullmatch(name)) else (name, name)
        groups.setdefault(base, {})[phase] = one
    return groups


def leading(names: Iterable[str], directions: Directions = BY_NAME) -> list[str]:
    """Base names in the order in which their charts count: those that tell better from worse before the others."""
    order = (1, -1, 0)
    return sorted(names, key=lambda n: (n != "loss", n != "accuracy", order.index(directions.of(n))))


def held_out(group: Mapping[str, Series], base: str) -> Series | None:
    """The curve of a group that stands for a run: not that of its training, where there is another."""
    first = sorted(group, key=lambda name: (not name.startswith(HELD_OUT), name != base))
    return group[first[0]] if first else None
