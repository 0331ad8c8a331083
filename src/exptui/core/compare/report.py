"""A comparison as a value and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import tomli_w

from exptui.core.compare.deltas import (
    MISSING,
    Difference,
    MetricDelta,
    differences,
    metric_deltas,
    number_text,
)
from exptui.core.configs import config
from exptui.core.monitor import metrics
from exptui.core.monitor.text import clean
from exptui.core.runs.run import RunView

HEADS = {"config": "Config", "fingerprint": "Fingerprint"}


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs. `unclean` says why it is no clean A/B; empty when only the config differs."""

    baseline: str
    candidate: str
    config: list[Difference]
    fingerprint: list[Difference]
    metrics: list[MetricDelta]
    unclean: list[str]
    problems: list[str]


def compare(baseline: RunView, candidate: RunView) -> Comparison:
    """Compare two runs from their directories.

    Raises:
        ConfigError: a side has no readable config.toml.
    """
    sides = (baseline, candidate)
    configs = [config.parse(Path(f"{side.run_id}.toml"), _config_bytes(side)) for side in sides]
    prints = [_circumstances(side) for side in sides]
    found = [metrics.last(side.path) for side in sides]
    fingerprint = differences(*prints)
    unclean = [
        f"{side.run_id}: code and environment unknown"
        for side, seen in zip(sides, prints, strict=True)
        if not seen
    ]
    unclean += [
        f"{side.run_id}: the code changed while it ran"
        for side in sides
        if side.record and side.record.code_changed
    ]
    if all(prints):
        heads = {difference.key.partition(".")[0] for difference in fingerprint}
        # Where the code itself was hashed, another commit with the same code is still a clean A/B.
        hashed = all(any(key.startswith("code.") for key in seen) for seen in prints)
        unclean += sorted(f"{head} differs" for head in heads - ({"git"} if hashed else set()))
    return Comparison(
        baseline.run_id,
        candidate.run_id,
        differences(configs[0].flat, configs[1].flat),
        fingerprint if all(prints) else [],
        metric_deltas(found[0].final, found[1].final),
        unclean,
        [
            f"{side.run_id}: {problem}"
            for side, one in zip(sides, found, strict=True)
            for problem in one.problems
        ],
    )


def _circumstances(side: RunView) -> dict[str, object]:
    """All but the config that should be equal: the fingerprint, and how the trainer was started."""
    if side.record is None or side.record.fingerprint is None:
        return {}
    recipe = side.record.recipe
    started = {name: getattr(recipe, name) for name in ("command", "passed", "set", "secret", "preset")}
    return config.flatten({**side.record.fingerprint, "recipe": msgspec.to_builtins(started)})


def _config_bytes(side: RunView) -> bytes:
    return config.read_bytes(side.path / "config.toml")


def value_text(value: object) -> str:
    """A config value as TOML writes it; `–` for a missing one."""
    if value is MISSING:
        return repr(MISSING)
    if value is None or isinstance(value, str):
        return str(value)
    try:
        return tomli_w.dumps({"v": value}).removeprefix("v = ").strip().replace("\n", " ")
    except TypeError:
        return str(value)


def markdown(comparison: Comparison) -> str:
    """The comparison as a Markdown page."""
    lines = [f"# {_cell(comparison.baseline)} vs {_cell(comparison.candidate)}", ""]
    if comparison.unclean:
        lines += ["**Not a clean A/B:** " + _cell("; ".join(comparison.unclean)), ""]
    for name, rows in (("config", comparison.config), ("fingerprint", comparison.fingerprint)):
        lines += [f"## {HEADS[name]}", ""]
        cells = [(row.key, value_text(row.baseline), value_text(row.candidate)) for row in rows]
        lines += [*_table(("key", "baseline", "candidate"), cells), ""] if cells else ["No difference.", ""]
    cells5 = [
        (
            m.name,
            number_text(m.baseline),
            number_text(m.candidate),
            _signed(m.delta),
            _percent(m.percent),
            better_text(m.better),
        )
        for m in comparison.metrics
    ]
    lines += ["## Metrics", ""]
    lines += (
        _table(("metric", "baseline", "candidate", "Δ", "%", ""), cells5)
        if cells5
        else ["None on either side."]
    )
    if comparison.problems:
        lines += ["", "## Not read", "", *(f"* {_cell(problem)}" for problem in comparison.problems)]
    return "\n".join(lines) + "\n"


def better_text(better: bool | None) -> str:
    """The direction in a word; empty where there is none."""
    return "" if better is None else "better" if better else "worse"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.6g}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [_row(head), _row(("---",) * len(head)), *map(_row, rows)]


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    """Untrusted text inside Markdown: no controls, and none of the characters that mean something there."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", clean(text, 200)) if text != "---" else text
