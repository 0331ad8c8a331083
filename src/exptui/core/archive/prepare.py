"""What an archive says besides the files: its seed for the manifest, and its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from exptui.core.archive.seal import Seed
from exptui.core.configs import config
from exptui.core.files import pretty_json, sha256_bytes, storage_errors
from exptui.core.monitor import metrics
from exptui.core.monitor.logs import WITHIN, LogTail
from exptui.core.monitor.text import clean_line
from exptui.core.runs.run import Recipe, RunView

CARD_LINES = 50


def _recipe(recipe: Recipe) -> dict[str, Any]:
    """Without a field that runs of earlier versions lack: the identity of their archives stays what it was."""
    found: dict[str, Any] = msgspec.to_builtins(recipe)
    if found["snapshot"] is None:
        del found["snapshot"]
    return found


def prepare(view: RunView, *, incomplete: bool) -> tuple[Seed, bytes]:
    """The seed and the card of a run; an archived run lists and plots from its card, without unpacking.

    Raises:
        ConfigError: its config.toml is missing or not TOML.
        StorageError: its metrics or its log cannot be read.
    """
    data = config.read_bytes(view.path / "config.toml")
    settings_digest = config.parse(Path("config.toml"), data).settings_digest
    record = view.record
    seed = Seed(
        run_id=view.run_id,
        config_sha256=sha256_bytes(data),
        settings_digest=settings_digest,
        recipe=_recipe(record.recipe) if record else None,
        fingerprint=record.fingerprint if record else None,
        attempts=record.attempts if record else 0,
        incomplete=incomplete,
        observational=record.recipe.observational if record else (),
    )
    with storage_errors("read the run's files"):
        numbers = metrics.read(view.path, metrics.SAMPLES)
        tail = LogTail(view.path / "trainer.log", CARD_LINES, WITHIN)
        log = [clean_line(line) for line in tail.read()][-CARD_LINES:]
    card = {
        "config": data.decode(errors="replace"),
        "seconds": record.seconds if record else None,
        "metrics": numbers.final,
        "series": {name: metrics.sampled(one) for name, one in numbers.series.items()},
        "log": log,
    }
    return seed, pretty_json(card)
