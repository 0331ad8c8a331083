"""Runs side by side: what differs in their configs, their circumstances and their metrics, and nothing that is equal.

Runs that differ only in their seed are one group; the first run's group is the baseline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

import msgspec

from exptui.core.compare import statistics
from exptui.core.compare.deltas import MISSING, Varying, token, varying
from exptui.core.compare.sides import Side, without_shared_flags
from exptui.core.compare.statistics import Contrast, Estimate
from exptui.core.curves.series import Series
from exptui.core.directions import Directions

# Another machine does not part a group, as seeds are often spread over several; that they differ is said.
MACHINE = frozenset(("cpu", "machine", "kernel", "libc", "gpu", "driver"))
NAMED = 3  # runs that are named one by one
FEW = 5  # runs below which a bootstrap's interval holds the mean clearly less often than it says
LABELLED = 3  # keys with which a group is called by their values


class Group(msgspec.Struct, frozen=True):
    """Runs that differ only in their seed, by their numbers in the comparison; most often one."""

    runs: tuple[int, ...]
    keys: tuple[str, ...] = ()  # by whose values it is called, where they tell it from all others


class Measured(msgspec.Struct, frozen=True):
    """One metric that is not the same everywhere: `measure` is "final", "best" or "step 6".

    `values` are by run, the others by group: None where no run of it has the metric, and for the baseline's contrast.
    """

    name: str
    measure: str
    direction: int
    values: tuple[float | None, ...]
    estimates: tuple[Estimate | None, ...]
    contrasts: tuple[Contrast | None, ...]


class Comparison(msgspec.Struct, frozen=True):
    """What differs between runs.

    `equal`: metrics that are the same everywhere. `unclean`: why it is no clean A/B; empty when only the config differs.
    `notes`: what else a reader has to know. `problems`: what could not be read. `known`: of how many runs the config,
    and the circumstances, are known.
    """

    runs: tuple[str, ...]
    groups: tuple[Group, ...]
    config: tuple[Varying, ...]
    fingerprint: tuple[Varying, ...]
    metrics: tuple[Measured, ...]
    equal: tuple[str, ...]
    unclean: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    known: tuple[int, int]

    @property
    def pair(self) -> bool:
        """Whether it is one run, or group, against one other."""
        return len(self.groups) == 2


def compare(sides: Sequence[Side], directions: Directions, at: float | None = None) -> Comparison:
    """Compare runs, the baseline first; `at`: also at this step."""
    config = varying([side.config for side in sides])
    fingerprint = varying(without_shared_flags([side.circumstances for side in sides]))
    groups = _groups(sides, config)
    metrics, equal = list[Measured](), list[str]()
    for name in dict.fromkeys(name for side in sides for name in (*side.metrics.final, *side.metrics.series)):
        rows = list(_measured(name, sides, groups, directions.of(name), at))
        metrics += rows
        equal += [] if rows else [name]
    return Comparison(
        tuple(side.run_id for side in sides),
        groups,
        tuple(config),
        tuple(fingerprint),
        tuple(metrics),
        tuple(equal),
        tuple(_unclean(sides, fingerprint)),
        tuple(_notes(sides, groups, metrics)),
        tuple(f"{side.run_id}: {problem}" for side in sides for problem in side.problems),
        (
            sum(side.config is not None for side in sides),
            sum(side.circumstances is not None for side in sides),
        ),
    )


# Groups


def _groups(sides: Sequence[Side], config: Sequence[Varying]) -> tuple[Group, ...]:
    """In the order of the runs. A run that repeats a seed is no new one of its group: it stands by itself.

    Two runs are never one group: who compares them wants to see each.
    """
    found: dict[Hashable, list[int]] = {}
    seeds: set[Hashable] = set()
    for at, side in enumerate(sides):
        key = _but_seed(side)
        seed = key, token(side.seed)
        alone = key is None or seed in seeds or len(sides) == 2
        found.setdefault(at if alone else key, []).append(at)
        seeds.add(seed)
    keys = [row.key for row in config if any(row.key != side.seed_key for side in sides)]
    members = list(found.values())
    told = Counter(
        tuple(token((sides[runs[0]].config or {}).get(key, MISSING)) for key in keys) for runs in members
    )
    tells = len(sides) > 2 and 0 < len(keys) <= LABELLED and set(told.values()) == {1}
    called = tuple(keys) if tells else ()
    return tuple(Group(tuple(runs), called) for runs in members)


def _but_seed(side: Side) -> Hashable:
    """What the runs of a group have in common; None where the config is not known."""
    if side.config is None:
        return None
    around = side.circumstances or {}
    unseen = MACHINE | ({"git"} if _hashed(side) else set())
    return (
        token({key: value for key, value in side.config.items() if key != side.seed_key}),
        token({key: value for key, value in around.items() if key.partition(".")[0] not in unseen}),
    )


def _hashed(side: Side) -> bool:
    """Whether the code itself was hashed: then another commit with the same code is no difference."""
    return any(key.startswith("code.") for key in side.circumstances or {})


def letter(at: int) -> str:
    """A … Z, AA, AB, …"""
    return (letter(at // 26 - 1) if at >= 26 else "") + chr(ord("A") + at % 26)


# Metrics


def _measured(
    name: str, sides: Sequence[Side], groups: Sequence[Group], direction: int, at: float | None
) -> Iterator[Measured]:
    """The rows of a metric in which not all runs have the same."""
    series = [side.metrics.series.get(name) or None for side in sides]  # an empty one is none
    ends = {one[-1][0] for one in series if one is not None}
    measures = {"final": [side.metrics.final.get(name) for side in sides]}
    if direction and ends:
        tops = [None if one is None else best(one, direction) for one in series]
        if token(tops) != token(measures["final"]):
            measures["best"] = tops
    step = min(ends) if at is None and len(ends) > 1 else at
    if step is not None and ends:
        measures[f"step {step:g}"] = [None if one is None else one.before(step) for one in series]
    for measure, values in measures.items():
        if len(set(map(token, values))) > 1:
            of = [[v for run in group.runs if (v := values[run]) is not None] for group in groups]
            estimates = [statistics.estimate(some) if some else None for some in of]
            contrasts = [statistics.contrast(of[0], some) if some and of[0] else None for some in of[1:]]
            yield Measured(name, measure, direction, tuple(values), tuple(estimates), (None, *contrasts))


def best(series: Series, direction: int) -> float | None:
    """The greatest or least finite value."""
    values = series.column.usable(0, series.count, positive=False)
    return (max(values) if direction > 0 else min(values)) if len(values) else None


# What has to be said


def _unclean(sides: Sequence[Side], fingerprint: Sequence[Varying]) -> Iterator[str]:
    unknown = [side.run_id for side in sides if side.circumstances is None]
    yield from _named(unknown, "code and environment unknown")
    for doubt in dict.fromkeys(doubt for side in sides for doubt in side.doubts):
        yield from _named([side.run_id for side in sides if doubt in side.doubts], doubt)
    yield from _named([side.run_id for side in sides if side.config is None], "config unknown")
    heads = {row.key.partition(".")[0] for row in fingerprint}
    hashed = all(_hashed(side) for side in sides if side.circumstances is not None)
    yield from (f"{head} differs" for head in sorted(heads - ({"git"} if hashed else set())))


def _notes(sides: Sequence[Side], groups: Sequence[Group], rows: Sequence[Measured]) -> Iterator[str]:
    for state in dict.fromkeys(side.state for side in sides if side.state):
        yield from _named([side.run_id for side in sides if side.state == state], f"not finished ({state})")
    repeated = {
        key for key, count in Counter(map(_repetition, sides)).items() if count > 1 and key[0] is not None
    }
    if repeated and any(len(group.runs) > 1 for group in groups):
        runs = [s.run_id for at, s in enumerate(sides) if _repetition(s) in repeated and _alone(at, groups)]
        yield from _named(runs, "repeats a seed, so it counts by itself")
    sizes = sorted({len(group.runs) for group in groups} - {1})
    if not sizes or not rows:
        return
    yield (
        "Means with 95 % intervals by the percentile bootstrap"
        + (
            ", of all resamples"
            if sizes[-1] <= statistics.EXHAUSTIVE
            else f", of {statistics.RESAMPLES:,} resamples"
        )
        + (f"; those of {sizes[0]} runs are narrower than they should be" if sizes[0] < FEW else "")
        + "."
    )
    yield from _about_p(groups)


def _about_p(groups: Sequence[Group]) -> Iterator[str]:
    """Against which groups a p says something, and what it is."""
    base, *others = (len(group.runs) for group in groups)
    tested = sorted({size for size in others if min(size, base) > 1})
    least = {size: statistics.least_p(base, size) for size in tested}
    for size, p in least.items():
        if p > statistics.MEANINGFUL:
            yield f"{base} runs against {size}: no p can be below {p:.2g}, so none is given."
    count = sum(least.get(size, 1) <= statistics.MEANINGFUL for size in others)
    if count:
        more = f", not corrected for {count} comparisons" if count > 1 else ""
        yield f"p: two-sided permutation test of the difference of means{more}."


def _repetition(side: Side) -> tuple[Hashable, Hashable]:
    return _but_seed(side), token(side.seed)


def _alone(at: int, groups: Sequence[Group]) -> bool:
    return any(group.runs == (at,) for group in groups)


def _named(runs: Sequence[str], what: str) -> Iterator[str]:
    """The same of several runs; of many only how many."""
    if len(runs) > NAMED:
        yield f"{len(runs)} runs: {what}"
    else:
        yield from (f"{run}: {what}" for run in runs)
