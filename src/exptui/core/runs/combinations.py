"""A grid of a workspace: its configs, and a run of each that has none yet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from exptui.core.configs import config, derive, grid
from exptui.core.configs.config import Config
from exptui.core.configs.grid import Grid
from exptui.core.contents import Contents
from exptui.core.errors import ConfigError, UsageError
from exptui.core.runs.launch import launch_all
from exptui.core.runs.run import RunState, stem_of
from exptui.core.settings import TrainerSettings, launched_by


def plan(space: Contents, name: str, axes: Mapping[str, Sequence[Any]], seeds: Sequence[int]) -> Grid:
    """Every combination of these values, with the runs there are of it already. Nothing is written.

    Raises:
        UsageError: too many, a key that cannot be set, or seeds for a config without its seed's key.
    """
    source = space.config(name)
    trainer = space.settings.trainer_for(source.path.name)
    if seeds and trainer.seed_key not in source.flat:
        raise UsageError(
            f"{source.path.name} has no {trainer.seed_key}, where its seed should be",
            "Put it there, or say where it is: [trainer] seed_key in exptui.toml.",
        )
    known = (one for one in _configs(space) if space.settings.trainer_for(one.path.name) == trainer)
    values = {**axes, trainer.seed_key: seeds} if seeds else axes
    return grid.plan(source, values, known, _ran(space, trainer))


def start(space: Contents, chosen: Grid, how: Mapping[str, str], *, again: bool) -> Iterator[Path]:
    """Write the configs and queue a run of each that has none yet, or `again`; yields their directories."""
    settings, wanted = launched_by(space.settings, how), chosen.to_run(again=again)
    for point in wanted:
        if point.data is not None:
            derive.save(space.configs / f"{point.stem}.toml", point.data)
    yield from launch_all([space.config(point.stem) for point in wanted], settings, space.places)


def _configs(space: Contents) -> Iterator[Config]:
    for path in space.list_configs():
        with contextlib.suppress(ConfigError):  # the lists say what is wrong with it
            yield config.load(path)


def _ran(space: Contents, trainer: TrainerSettings) -> dict[str, str]:
    """Settings digest → the newest run with them that finished, is at work, or is archived."""
    found: dict[str, str] = {}
    for one in space.list_archives():
        if one.card and space.settings.trainer_for(f"{stem_of(one.run_id)}.toml") == trainer:
            with contextlib.suppress(ConfigError):
                data = str(one.card.get("config", "")).encode()
                found[config.parse(Path("config.toml"), data).settings_digest] = one.run_id
    for view in space.list_runs():
        record, counts = view.record, view.state.live or view.state is RunState.FINISHED
        if record and counts and record.recipe.trainer == trainer.name:
            found[record.settings_digest] = view.run_id
    return found
