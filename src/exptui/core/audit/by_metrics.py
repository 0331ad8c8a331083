"""Two runs by their metrics alone: every value at every step, as the readers of curves find them."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Literal

import msgspec

from exptui.core.audit.fields import named
from exptui.core.errors import ArchiveError
from exptui.core.monitor import metrics
from exptui.core.monitor.metrics import Metrics
from exptui.core.tolerance import Declared, apart, bound_for

Point = tuple[float | None, float]  # the step; None: a final value that has none


class MetricAudit(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: how many values were compared, and how far two of them are apart at most, where they agree.

    `detail`: the first place where it differs.
    """

    name: str
    status: Literal["equal", "agrees", "differs", "not compared"]
    values: int = 0
    delta: float = 0.0
    detail: str = ""


def compare(
    left: Path, right: Path, declared: Declared, patterns: tuple[str, ...]
) -> tuple[MetricAudit, ...]:
    """Every metric of either side, by name; those that are declared volatile are not compared.

    Raises:
        ArchiveError: the metrics of one side cannot be read whole, or there are none: no comparison was made.
    """
    sides = [
        _whole(metrics.read(path, patterns=patterns), which)
        for path, which in ((left, "the original"), (right, "the re-run"))
    ]
    ours, theirs = sides
    fields = [one for some in declared.volatile.values() for one in some]
    found = []
    for name in sorted({*ours.final, *theirs.final}):
        if named(name, fields):
            found.append(MetricAudit(name=name, status="not compared"))
        else:
            found.append(_metric(name, _points(ours, name), _points(theirs, name), declared))
    if all(one.status == "not compared" for one in found):
        raise ArchiveError("nothing was compared: no metrics are found, or all are declared volatile")
    return tuple(found)


def _whole(found: Metrics, side: str) -> Metrics:
    lost = sum(one.lost for one in found.series.values())
    problems = [*found.problems, *([f"{lost} values without a step"] if lost else [])]
    if problems:
        raise ArchiveError(f"the metrics of {side} cannot be read whole: {problems[0]}")
    return found


def _points(side: Metrics, name: str) -> list[Point]:
    """All values of a metric in the order of their steps, and the final one, which a run may report apart."""
    final: list[Point] = [(None, side.final[name])] if name in side.final else []
    return [*side.series.get(name, ()), *final]


def _metric(name: str, ours: list[Point], theirs: list[Point], declared: Declared) -> MetricAudit:
    """Its values beside each other; a step that one side lacks is a difference."""
    bound = bound_for(name, declared.tolerance.metrics)
    delta, same = 0.0, True
    for one, two in zip_longest(ours, theirs):
        if one is None or two is None or one[0] != two[0]:
            return MetricAudit(name=name, status="differs", detail=_missing(one, two))
        far = apart(one[1], two[1], bound)
        if far is None:
            where = "in the end" if one[0] is None else f"at {one[0]:g}"
            return MetricAudit(name=name, status="differs", detail=f"{where}: {one[1]!r} → {two[1]!r}")
        # 0.0 agrees with -0.0 within a tolerance, and is not equal to it.
        same, delta = same and one[1].hex() == two[1].hex(), max(delta, far)
    return MetricAudit(
        name=name, status="equal" if same else "agrees", values=max(1, len(ours) - 1), delta=delta
    )


def _missing(one: Point | None, two: Point | None) -> str:
    """Which side has a step that the other lacks: the smaller one, as steps ascend."""

    def key(point: Point | None) -> float:
        return float("inf") if point is None or point[0] is None else point[0]

    first, side = (one, "original") if key(one) < key(two) or two is None else (two, "re-run")
    where = "a final value" if first is None or first[0] is None else f"step {first[0]:g}"
    return f"{where} only in the {side}"
