"""Which files of a run are its checkpoints: those that the trainer's settings name, no others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from exptui.core.archive.manifest import matches
from exptui.core.runs import resume
from exptui.core.runs.run import RunRecord


@lru_cache(maxsize=64)
def _named(template: str) -> re.Pattern[str]:
    """A checkpoint may be a directory: then all that is below it."""
    return re.compile(f"{resume.pattern(template).pattern}(?:/.+)?", re.DOTALL)


def number(path: str, template: str) -> int | None:
    """The number in the path of a checkpoint, 0 where its name has none; None for any other file."""
    match = _named(template).fullmatch(path) if template else None
    if match is None:
        return None
    return int(match[1]) if match.groups() else 0


def among(paths: Iterable[str], template: str) -> dict[str, int]:
    """Path → number of those that are checkpoints."""
    return {path: found for path in paths if (found := number(path, template)) is not None}


def of_run(record: RunRecord | None, paths: Iterable[str], template: str) -> dict[str, int]:
    """Path → number of a run's checkpoints, as its recipe names them, or `template` where that does not say.

    One that is declared to be compared by its fields or its tensors is none: that takes its bytes.
    """
    if record is None:
        return among(paths, template)
    recipe = record.recipe
    found = among(paths, recipe.checkpoints or template)
    return {
        p: number
        for p, number in found.items()
        if p not in recipe.volatile and not matches(p, recipe.tensors)
    }
