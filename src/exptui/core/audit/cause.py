"""Why it diverged: does a second re-run equal the first?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from exptui import chronicle
from exptui.core.archive import manifest as mf
from exptui.core.audit import by_metrics, compare
from exptui.core.audit.live import LiveComparison
from exptui.core.audit.rerun import Prepare, Rerun, Reruns
from exptui.core.errors import ArchiveError
from exptui.core.runs.run import Recipe

CHEAP = 60.0
"""Seconds a re-run may take for its cause to be examined without being asked to."""
NOT_EXAMINED = "not examined"


def examine(
    reruns: Reruns, first: Rerun, cycle: int | None, phase: str, prepare: Prepare | None = None
) -> str:
    """Run it once more, to the same cycle where there is one, and compare the two re-runs.

    Where the first one lacks what the original has at that cycle, all that it wrote is compared.
    `prepare` is what the first one was prepared with.

    Raises:
        Cancelled: somebody asked.
    """
    live: LiveComparison | None = None
    seen = chronicle.read_for(first.directory)
    if cycle is not None and seen is not None:
        there = any(
            one.cycle == cycle for one in (seen.checkpoints if phase == "checkpoint" else seen.records)
        )
        if there or not first.finished:
            upto = cycle if there else max(cycle, *(record.cycle for record in seen.records))
            records = tuple(record for record in seen.records if record.cycle <= upto)
            marks = tuple(mark for mark in seen.checkpoints if mark.cycle <= upto)
            live = LiveComparison(replace(seen, records=records, checkpoints=marks), bounded=True)

    def watch(directory: Path) -> str:
        if live is None:
            return ""
        return "it differs" if live.look(directory) else "it is there" if live.complete else ""

    second = reruns.run("again", watch, prepare)
    if live is not None and live.mismatch is not None:
        return f"nondeterministic: a second re-run differs from the first at cycle {live.mismatch.cycle}"
    if live is not None and live.complete:
        return f"stable-difference: a second re-run is the same up to cycle {cycle}"
    if live is not None and second.finished:
        return f"nondeterministic: a second re-run ended after {live.cycles} cycles"
    if not (first.finished and second.finished):
        return f"{NOT_EXAMINED}: {second.why()}"
    recipe = second.record.recipe
    if recipe.compare == "metrics":
        return _by_metrics(first.directory, second.directory, recipe)
    one, two = ((side.directory, mf.scan(side.directory, recipe.observational)) for side in (first, second))
    if differing := [file.path for file in compare.compare_files(one, two, recipe) if file.diverged]:
        return f"nondeterministic: a second re-run gave another {differing[0]}"
    return "stable-difference: a second re-run gave the same files"


def _by_metrics(first: Path, second: Path, recipe: Recipe) -> str:
    """The same, where the metrics alone count."""
    try:
        found = by_metrics.compare(first, second, recipe, recipe.metrics)
    except ArchiveError as error:
        return f"{NOT_EXAMINED}: {error.message}"
    differing = [one.name for one in found if one.status == "differs"]
    if differing:
        return f"nondeterministic: a second re-run gave another {differing[0]}"
    return "stable-difference: a second re-run gave the same metrics"
