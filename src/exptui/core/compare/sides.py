"""A run as a comparison sees it: from its directory, or from what an archive says of it without being unpacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from exptui.core.archive.listing import CARD, MANIFEST, beside, card_of, run_id_of
from exptui.core.compare.deltas import MISSING
from exptui.core.configs import config
from exptui.core.curves.series import Series
from exptui.core.curves.store import Curves
from exptui.core.errors import ConfigError, CorruptError
from exptui.core.files import read_json
from exptui.core.monitor import metrics
from exptui.core.monitor.metrics import Metrics
from exptui.core.runs.run import RunState, RunView, config_problem

STARTED = ("command", "passed", "set", "secret", "preset")
NUMBERS: Callable[[Path], Metrics] = metrics.read


class Side(msgspec.Struct, frozen=True):
    """One run. `config`: dotted keys; `circumstances`: all else that should be equal; None where they are unknown.

    `state` is empty where it finished; `doubts`: why it is not what it seems; `problems`: what could not be read.
    """

    run_id: str
    seed_key: str
    config: dict[str, Any] | None
    circumstances: dict[str, Any] | None
    metrics: Metrics = Metrics()
    state: str = ""
    doubts: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def seed(self) -> Any:
        """The value of its seed key."""
        return (self.config or {}).get(self.seed_key, MISSING)


def of_run(view: RunView, seed_key: str, numbers: Callable[[Path], Metrics] = NUMBERS) -> Side:
    """A run in `results/`; `numbers` reads its metrics."""
    problems, doubts = list[str](), list[str]()
    flat = None
    try:
        flat = config.parse(Path("config.toml"), config.read_bytes(view.files / "config.toml")).flat
    except ConfigError as error:
        flat = metrics.hyperparameters(view.files) or None  # only of a run without a config
        problems += [] if flat else [error.message]
    record, found = view.record, numbers(view.files)
    if record and record.code_changed:
        doubts.append("the code changed while it ran")
    if flat is not None and (changed := config_problem(view.path, record)):
        doubts.append(changed)
    whole = view.state in (RunState.FINISHED, RunState.EXTERNAL)
    return Side(
        run_id=view.run_id,
        seed_key=seed_key,
        config=flat,
        circumstances=_circumstances(record.fingerprint, msgspec.to_builtins(record.recipe))
        if record
        else None,
        metrics=found,
        state="" if whole else view.state.value,
        doubts=tuple(doubts),
        problems=(*problems, *found.problems),
    )


def numbers_of(directory: Path, curves: Curves) -> Metrics:
    """The metrics of a run whose curves were read already."""
    problems = list(curves.problems)
    final = {name: one[-1][1] for name, one in curves.series.items() if len(one)} | metrics.report(
        directory, problems
    )
    return Metrics(final, None, tuple(problems), curves.series)


def of_archive(path: Path, seed_key: str) -> Side:
    """An archived run, from its card and its manifest."""
    run_id, problems = run_id_of(path), list[str]()
    about: dict[str, Any] = {}
    try:
        about = read_json(beside(path.parent, run_id, MANIFEST), dict[str, Any])
    except (OSError, CorruptError) as error:
        problems.append(f"its manifest cannot be read: {error}")
    card = card_of(path)
    flat = None
    if card is None:
        problems.append(f"its {CARD.removeprefix('.')} cannot be read")
    else:
        try:
            flat = config.parse(Path("config.toml"), str(card.get("config", "")).encode()).flat
        except ConfigError as error:
            problems.append(error.message)
    return Side(
        run_id=run_id,
        seed_key=seed_key,
        config=flat,
        circumstances=_circumstances(about.get("fingerprint"), about.get("recipe") or {}),
        metrics=metrics_of_card(card or {}),
        state="incomplete" if about.get("incomplete") else "",
        problems=tuple(problems),
    )


def metrics_of_card(card: dict[str, Any]) -> Metrics:
    """The final numbers and the sampled series of an archive's card; what is not of that shape is left out."""
    series = {
        str(name): Series.of(
            (metrics.as_float(x), _float(y)) for x, y in points if isinstance(x, int | float)
        )
        for name, points in _table(card, "series").items()
        if isinstance(points, list) and all(isinstance(one, list) and len(one) == 2 for one in points)
    }
    final = {
        str(name): _float(value)
        for name, value in _table(card, "metrics").items()
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    }
    return Metrics(final, series=series)


def _table(card: dict[str, Any], name: str) -> dict[str, Any]:
    found = card.get(name)
    return found if isinstance(found, dict) else {}


def _float(value: Any) -> float:
    """JSON has a null for what is not finite."""
    return metrics.as_float(value) if isinstance(value, int | float) else float("nan")


def _circumstances(fingerprint: object, recipe: dict[str, Any]) -> dict[str, Any] | None:
    """The fingerprint, and how the trainer was started, as dotted keys."""
    if not isinstance(fingerprint, dict):
        return None
    return config.flatten({**fingerprint, "recipe": {name: recipe.get(name) for name in STARTED}})


def without_shared_flags(sides: Sequence[dict[str, Any] | None]) -> list[dict[str, Any] | None]:
    """CPU flags are hundreds: only those that not all have. The version of Python, which earlier records lack, where all have it."""
    if any(side is not None and "python" not in side for side in sides):
        sides = [side and {key: value for key, value in side.items() if key != "python"} for side in sides]
    flags = [set(str(side.get("cpu.flags", "")).split()) for side in sides if side is not None]
    shared = set.intersection(*flags) if flags else set()

    def shortened(side: dict[str, Any] | None) -> dict[str, Any] | None:
        if side is None or "cpu.flags" not in side:
            return side
        return {**side, "cpu.flags": " ".join(sorted(set(str(side["cpu.flags"]).split()) - shared))}

    return [shortened(side) for side in sides]
