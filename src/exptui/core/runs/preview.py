"""What a run or a verification would be, before it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exptui.core.compare.deltas import Difference, differences
from exptui.core.configs import config, derive, flags
from exptui.core.configs.config import Config
from exptui.core.errors import ExptuiError
from exptui.core.files import free_bytes
from exptui.core.launchers.options import Options
from exptui.core.runs import environment, queue
from exptui.core.runs.launch import Places
from exptui.core.runs.run import RunView
from exptui.core.settings import Settings, launched_by


@dataclass(frozen=True)
class Preview:
    """A launch before it happens: `stem` is written as a clone of `source` if there are edits. `changes`: config keys against the last run; `code`: files that differ from it; `left`: what will not be captured, and why."""

    source: str
    stem: str
    trainer: str
    command: tuple[str, ...]
    program: str
    last: str
    changes: tuple[Difference, ...]
    code: tuple[str, ...]
    busy: int
    slots: int
    free: int
    problems: tuple[str, ...]
    edits: dict[str, Any]
    new_keys: tuple[str, ...]
    launcher: Options
    how: Mapping[str, str]
    left: tuple[str, ...] = ()


def preview(
    source: Config,
    edits: dict[str, Any],
    settings: Settings,
    places: Places,
    last: RunView | None,
    how: Mapping[str, str],
) -> Preview:
    """Look at everything a launch of a config, or of a clone with edits, depends on. Nothing is written.

    What would stop it becomes a problem.

    Raises:
        UsageError: the launcher has no such key.
        StorageError: the lock directory cannot be used.
    """
    settings = launched_by(settings, how)
    chosen = derive.planned(source, edits) if edits else source
    trainer = settings.trainer_for(chosen.path.name)
    problems: list[str] = []
    program, digests, command, left = "", dict[str, str](), trainer.command, list[str]()
    try:
        if "{flags}" in command:
            at = command.index("{flags}")
            command = (*command[:at], *flags.words(chosen, trainer.flags), *command[at + 1 :])
        program = str(
            environment.resolve(trainer.command[0], places.project, os.environ, built=bool(trainer.prepare))
        )
        digests = environment.code_digest(trainer.code, places.project)
        if trainer.snapshot:
            from exptui.core.source import snapshot, taken

            found = taken.look(places.project, places.results.parent, trainer.snapshot, trainer.code)
            left, digests = found.left, snapshot.digests(places.project, trainer.code, found.paths)
    except IndexError:
        problems.append("the trainer's command is empty")
    except ExptuiError as error:
        problems.append(error.message)
    locks = queue.lock_directory(places.results)
    return Preview(
        source.stem,
        chosen.stem,
        trainer.name,
        command,
        program,
        last.run_id if last else "",
        tuple(_changes(chosen, last)),
        tuple(_code(digests, last)),
        queue.busy(locks),
        settings.queue.slots,
        free_bytes(places.project),
        tuple(problems),
        edits,
        tuple(key for key in edits if key not in source.flat),
        settings.launcher_for(trainer),
        how,
        tuple(left),
    )


def _changes(chosen: Config, last: RunView | None) -> list[Difference]:
    if last is None:
        return []
    try:
        before = config.parse(Path("config.toml"), config.read_bytes(last.path / "config.toml"))
    except ExptuiError:
        return []
    return differences(before.flat, chosen.flat)


def _code(digests: dict[str, str], last: RunView | None) -> list[str]:
    seen = last.record.fingerprint if last and last.record else None
    before = seen.get("code") if seen else None
    if not isinstance(before, dict):
        return []
    return sorted(name for name in before.keys() | digests.keys() if before.get(name) != digests.get(name))
