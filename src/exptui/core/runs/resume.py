"""Resume: the next attempt of the same run, from its last valid checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import structs

from exptui import chronicle
from exptui.core.errors import RunError
from exptui.core.files import sha256_file, storage_errors
from exptui.core.launchers import protocol
from exptui.core.launchers.protocol import Start
from exptui.core.runs import launch
from exptui.core.runs.launch import Places
from exptui.core.runs.run import Recipe, RunRecord, RunState, RunView

_FIELD = re.compile(r"\\\{(\w+)(?::[^}]*)?\\\}")


def resume(view: RunView, places: Places) -> str:
    """Queue the next attempt of a run; returns the checkpoint it goes on from, empty when it never began.

    Raises:
        RunError: it finished, is live, of another host, not resumable, or has no valid checkpoint.
    """
    record = view.record
    if record is None or view.state not in (RunState.FAILED, RunState.STOPPED, RunState.LOST):
        raise RunError(
            f"{view.run_id} is {view.state}", "Only a run that was stopped, lost or failed can be resumed."
        )
    if view.leftovers:
        raise RunError(f"{view.run_id} has left-over processes", "End them first: exptui stop RUN")
    begun = bool(record.started_at)
    argv, name = _continued(view, record) if begun else ((), "")
    following = structs.replace(
        record, attempts=record.attempts + begun, argv=argv, resumed_from=name, adopted=""
    )
    with storage_errors("write the run's files"):
        protocol.of(following).submit([Start(view.path, following, view.run_id)], places)
    return name


def _continued(view: RunView, record: RunRecord) -> tuple[tuple[str, ...], str]:
    recipe = record.recipe
    if not (recipe.resume and recipe.checkpoints):
        raise RunError(
            f"{view.run_id}: its trainer is not set up to resume",
            "Set [trainer] resume and checkpoints in exptui.toml, or start a new run.",
        )
    checkpoint = last_valid(view.files, recipe.checkpoints)
    if checkpoint is None:
        raise RunError(f"{view.run_id} has no valid checkpoint", "Start a new run of its config.")
    return (*recipe.argv, *words(recipe, checkpoint)), str(checkpoint.relative_to(view.files))


def words(recipe: Recipe, checkpoint: Path) -> tuple[str, ...]:
    """What stands behind a trainer's command to go on from a checkpoint to the end."""
    return launch.fill(without(recipe.resume, "{epoch}"), {"checkpoint": str(checkpoint)})


def without(words: tuple[str, ...], placeholder: str) -> tuple[str, ...]:
    """Without a placeholder and the flag before it: a resume without `{epoch}` goes to the end."""
    kept: list[str] = []
    for word in words:
        if placeholder not in word:
            kept.append(word)
        elif word == placeholder and kept and kept[-1].startswith("-"):
            kept.pop()
    return tuple(kept)


def pattern(template: str) -> re.Pattern[str]:
    """What the paths of checkpoints look like; group 1 is the number, where the template has `{epoch}`."""
    return re.compile(_FIELD.sub(lambda m: r"(\d+)" if m[1] == "epoch" else ".*", re.escape(template)))


def checkpoints(directory: Path, template: str) -> list[tuple[int, Path]]:
    """Number and path of every checkpoint below a directory, the first one first."""
    named = pattern(template)
    return sorted(
        (int(match[1]) if match.groups() else 0, path)
        for path in directory.rglob("*")
        if (match := named.fullmatch(str(path.relative_to(directory)))) and path.is_file()
    )


def last_valid(directory: Path, template: str) -> Path | None:
    """The checkpoint of the highest number; where the chronicle notes checkpoints, only one it vouches for."""
    ledger = chronicle.read_for(directory)
    vouched = {mark.sha256.hex() for mark in ledger.checkpoints} if ledger else set()
    for _, path in reversed(checkpoints(directory, template)):
        digest, size = sha256_file(path)
        if size and (not vouched or digest in vouched):
            return path
    return None
