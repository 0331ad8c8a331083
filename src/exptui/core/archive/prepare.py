"""What an archive says besides the files: its seed for the manifest, and its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from exptui.core.archive import attested
from exptui.core.archive import manifest as mf
from exptui.core.archive.seal import Seed
from exptui.core.configs import config
from exptui.core.files import pretty_json, sha256_bytes, storage_errors
from exptui.core.monitor import metrics
from exptui.core.monitor.logs import WITHIN, LogTail
from exptui.core.monitor.text import clean_line
from exptui.core.runs import checkpoints
from exptui.core.runs.run import Recipe, RunView
from exptui.core.settings import Checkpoints

CARD_LINES = 50


def _recipe(recipe: Recipe) -> dict[str, Any]:
    """Without a field that runs of earlier versions lack: the identity of their archives stays what it was."""
    found: dict[str, Any] = msgspec.to_builtins(recipe)
    if found["snapshot"] is None:
        del found["snapshot"]
    return found


def prepare(
    view: RunView, *, incomplete: bool, keep: Checkpoints = "all", template: str = ""
) -> tuple[Seed, bytes]:
    """The seed and the card of a run; an archived run lists and plots from its card, without unpacking.

    `keep`: which checkpoints; they are named by the recipe, or by `template` where that does not say.

    Raises:
        ConfigError: its config.toml is missing or not TOML.
        StorageError: its metrics or its log cannot be read.
    """
    data = config.read_bytes(view.path / "config.toml")
    settings_digest = config.parse(Path("config.toml"), data).settings_digest
    record = view.record
    gone = attested.read(view.path)
    omit = _omitted(view, keep, template)
    seed = Seed(
        run_id=view.run_id,
        config_sha256=sha256_bytes(data),
        settings_digest=settings_digest,
        recipe=_recipe(record.recipe) if record else None,
        fingerprint=record.fingerprint if record else None,
        attempts=record.attempts if record else 0,
        incomplete=incomplete,
        observational=record.recipe.observational if record else (),
        omit=omit,
        attested=gone,
    )
    with storage_errors("read the run's files"):
        numbers = metrics.read(view.path, metrics.SAMPLES)
        tail = LogTail(view.path / "trainer.log", CARD_LINES, WITHIN)
        log = [clean_line(line) for line in tail.read()][-CARD_LINES:]
    card: dict[str, object] = {
        "config": data.decode(errors="replace"),
        "seconds": record.seconds if record else None,
        "metrics": numbers.final,
        "series": {name: metrics.sampled(one) for name, one in numbers.series.items()},
        "log": log,
    }
    if omit or gone:
        card["attested"] = {
            "files": len(omit) + len(gone),
            "bytes": sum(omit.values()) + sum(one.size for one in gone),
        }
    return seed, pretty_json(card)


def _omitted(view: RunView, keep: Checkpoints, template: str) -> dict[str, int]:
    """Path → size of the checkpoints that are not to be kept."""
    if keep == "all":
        return {}
    sizes = dict(mf.listing(view.path))
    found = checkpoints.of_run(view.record, sizes, template)
    last = max(found.values(), default=0) if keep == "last" else None
    return {path: sizes[path] for path, number in found.items() if number != last}
