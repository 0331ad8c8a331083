"""A comparison for programs: CSV, and the values of JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

from exptui.core.compare.comparison import Comparison, Measured, letter
from exptui.core.compare.deltas import MISSING, Missing, Varying
from exptui.core.compare.words import chance, exact_text, percent, word
from exptui.core.monitor.text import clean


def as_csv(comparison: Comparison) -> str:
    """A line for each run, a column for each key and metric that differs; what is missing is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    config = {row.key: row.values for row in comparison.config}
    prints = {f"fingerprint.{row.key}": row.values for row in comparison.fingerprint}
    numbers = {
        row.name if row.measure == "final" else f"{row.name} ({row.measure})": [
            MISSING if value is None else value for value in row.values
        ]
        for row in comparison.metrics
    }
    columns: dict[str, Sequence[Any]] = {**config, **prints}
    columns |= {
        name if name not in columns else f"{name} (metric)": values for name, values in numbers.items()
    }
    writer.writerow(["run", "group", *map(clean, columns)])
    groups = {run: letter(at) for at, group in enumerate(comparison.groups) for run in group.runs}
    for run, run_id in enumerate(comparison.runs):
        cells = (values[run] for values in columns.values())
        writer.writerow([clean(run_id), groups[run], *(_csv(c) for c in cells)])
    return out.getvalue()


def _csv(value: object) -> str:
    if value is MISSING:
        return ""
    return repr(value) if isinstance(value, float) else clean(exact_text(value))


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison in JSON's own types. A key that a run does not have is not among its `values`; a null is null."""
    runs, groups = comparison.runs, comparison.groups

    def differing(rows: Sequence[Varying]) -> list[dict[str, Any]]:
        return [{"key": row.key, "values": dict(_native(runs, row.values))} for row in rows]

    return {
        "baseline": runs[0],
        "groups": [
            {"group": letter(at), "runs": [runs[run] for run in group.runs]}
            for at, group in enumerate(groups)
        ],
        "unclean": list(comparison.unclean),
        "config": differing(comparison.config),
        "fingerprint": differing(comparison.fingerprint),
        "metrics": [
            {
                "name": row.name,
                "measure": row.measure,
                "better": {-1: "lower", 0: None, 1: "higher"}[row.direction],
                "values": {
                    run: value for run, value in zip(runs, row.values, strict=True) if value is not None
                },
                "groups": [_statistics(row, at) for at in range(len(groups))],
            }
            for row in comparison.metrics
        ],
        "equal_metrics": list(comparison.equal),
        "notes": list(comparison.notes),
        "problems": list(comparison.problems),
    }


def _statistics(row: Measured, at: int) -> dict[str, Any]:
    found, contrast = row.estimates[at], row.contrasts[at]
    one: dict[str, Any] = {"group": letter(at), "n": found.n if found else 0}
    if found is None:
        return one
    one |= {"mean": found.mean, "low": found.low, "high": found.high}
    if contrast is None:
        return one
    return one | {
        "delta": contrast.delta,
        "delta_low": contrast.low,
        "delta_high": contrast.high,
        "percent": percent(row, contrast),
        "p": contrast.p,
        "least_p": contrast.least,
        "better_in": chance(row, contrast),
        "verdict": word(row, contrast) or None,
    }


def _native(runs: Sequence[str], values: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """What JSON has no type for, as TOML writes it: a date, nan."""
    for run, value in zip(runs, values, strict=True):
        if not isinstance(value, Missing):
            plain = value is None or isinstance(value, str | int | list | dict)
            yield (
                run,
                value if plain or (isinstance(value, float) and math.isfinite(value)) else exact_text(value),
            )
