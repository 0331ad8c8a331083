"""What a divergence would have come to, had something been declared before the run. It is said, and changes no verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath

from exptui.core.archive.manifest import FileEntry
from exptui.core.audit import by_metrics
from exptui.core.audit.compare import FileAudit, compare_files
from exptui.core.audit.fields import SUFFIXES
from exptui.core.audit.original import Original
from exptui.core.audit.rerun import Rerun
from exptui.core.runs.run import Recipe
from exptui.core.settings import TrainerSettings
from exptui.core.tolerance import Bound, Tolerances, bound_for

NAMED = 8
BEFORE = "it was not declared before the run, so the verdict stays"


def of_files(
    original: Original,
    rerun: Rerun,
    files: Iterable[FileEntry],
    audits: Iterable[FileAudit],
    bounds: Mapping[str, Bound],
) -> tuple[str, ...]:
    """A line for each file that differs and holds the same tensors, or is within the tolerances given now or beyond."""
    ours, theirs = ({one.path: one for one in side} for side in (original.files, files))
    said = []
    for audit in audits:
        if audit.status == "differs":
            tensors = () if PurePath(audit.path).suffix in SUFFIXES else ("**",)
            lenient = _lenient(rerun.record.recipe, bounds, tensors)
            left = original.directory, [ours[audit.path]]
            (found,) = compare_files(left, (rerun.directory, [theirs[audit.path]]), lenient)
            said += list(_line(found, given=bool(bounds)))
    more = len(said) - NAMED
    return (*said[:NAMED], *([f"{more} more files like these"] if more > 0 else []))


def _line(found: FileAudit, *, given: bool) -> Iterator[str]:
    if found.status == "equal except declared":
        yield f"{found.path}: {found.declared[0]}; {BEFORE}"
    elif found.status == "agrees":
        yield f"{found.path}: within the tolerance given now, max Δ {found.delta:.3g} ({found.largest}); {BEFORE}"
    elif given and found.detail:
        yield f"{found.path}: not within the tolerance given now: {found.detail}"


def of_metrics(
    original: Original, rerun: Rerun, audits: Iterable[by_metrics.MetricAudit], bounds: Mapping[str, Bound]
) -> tuple[str, ...]:
    """A line for each metric that differs, where tolerances are given now."""
    if not bounds:
        return ()
    recipe = rerun.record.recipe
    lenient = _lenient(recipe, bounds, ())
    differing = {one.name for one in audits if one.status == "differs"}
    again = by_metrics.compare(original.directory, rerun.directory, lenient, recipe.metrics)
    return tuple(
        f"{one.name}: not within the tolerance given now: {one.detail}"
        if one.status == "differs"
        else f"{one.name}: within the tolerance given now, max Δ {one.delta:.3g}; {BEFORE}"
        for one in again
        if one.name in differing
    )[:NAMED]


def _lenient(recipe: Recipe, bounds: Mapping[str, Bound], tensors: tuple[str, ...]) -> TrainerSettings:
    """What was declared, but for names that have a tolerance now."""
    metrics, tensor_bounds = (
        {**{name: one for name, one in some.items() if bound_for(name, bounds) is None}, **bounds}
        for some in (recipe.tolerance.metrics, recipe.tolerance.tensors)
    )
    both = Tolerances(metrics=metrics, tensors=tensor_bounds)
    return TrainerSettings(
        volatile=recipe.volatile, tensors=tensors, tolerance=both if bounds else Tolerances()
    )
