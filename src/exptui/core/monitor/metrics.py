"""The numbers of a run: series from `metrics.jsonl`, final values from `metrics.json`."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import msgspec

from exptui.core.files import open_regular

SAMPLES = 400
CHRONICLES = ("chronicle.cmeta", "chronicle.cmeta.open")
STEPS = ("step", "epoch", "cycle", "iteration", "global_step")


class Metrics(msgspec.Struct, frozen=True):
    """What a run's files say: `series` maps a metric to {step: value}, `final` to one value."""

    series: dict[str, dict[int, float]] = {}
    final: dict[str, float] = {}
    problems: tuple[str, ...] = ()


def read(directory: Path) -> Metrics:
    """Read both files, whichever are there. A line or file that cannot be read is named, the rest is given.

    Where metrics.jsonl is missing, the chronicle gives the series; where metrics.json is missing, the last value of each series is the final one. The last row of a step counts.
    """
    series: dict[str, dict[int, float]] = {}
    problems: list[str] = []
    for number, line in enumerate(_bytes(directory / "metrics.jsonl", problems).splitlines(keepends=True), 1):
        row = _decode(line)
        if row is not None:
            _add(series, row, number)
        elif line.endswith(b"\n"):  # a last line without its newline is still being written
            problems.append(f"metrics.jsonl line {number} is not a JSON object")
    if not series:
        series = _of_chronicle(directory, problems)
    final = {name: values[max(values)] for name, values in series.items()}
    if data := _bytes(directory / "metrics.json", problems):
        report = _decode(data)
        if report is None:
            problems.append("metrics.json is not a JSON object")
        else:
            final |= {
                name: value for name, value in _numbers(report).items() if name not in (*STEPS, "epochs")
            }
    return Metrics(series, final, tuple(problems))


def _of_chronicle(directory: Path, problems: list[str]) -> dict[str, dict[int, float]]:
    """The series of a trainer that writes a chronicle and no metrics.jsonl: phase and metric, by cycle."""
    if not any(os.path.lexists(directory / name) for name in CHRONICLES):
        return {}
    from exptui import chronicle

    try:
        found = chronicle.read_for(directory)
    except OSError as error:
        problems.append(f"chronicle: {error.strerror}")
        return {}
    series: dict[str, dict[int, float]] = {}
    for record in found.records if found else ():
        names = ("loss", *found.metric_names) if found else ()
        for name, value in zip(names, (record.loss, *record.metrics), strict=True):
            series.setdefault(f"{record.phase.name.lower()}_{name}", {})[record.cycle] = value
    if found and found.status is chronicle.Status.CORRUPT:
        problems.append(f"chronicle: {found.problem}")
    return series


def _bytes(path: Path, problems: list[str]) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        problems.append(f"{path.name}: {error.strerror}")
        return b""


def _decode(data: bytes) -> dict[str, Any] | None:
    """A JSON object; NaN and the infinities, which Python's own json writes, are understood too."""
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    import json

    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _add(series: dict[str, dict[int, float]], row: dict[str, Any], number: int) -> None:
    numbers = _numbers(row)
    name = next((name for name in STEPS if isinstance(row.get(name), int)), None)
    step = row[name] if name else number
    for key, value in numbers.items():
        if key not in STEPS:
            series.setdefault(key, {})[step] = value


def _numbers(row: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numeric leaves, nested ones under dotted names; lists and booleans are not metrics."""
    found: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            found |= _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[prefix + key] = as_float(value)
    return found


def as_float(value: float) -> float:
    """A number as a float; an integer that is too large for one is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def sampled(series: dict[int, float], most: int = SAMPLES) -> list[tuple[int, float]]:
    """At most about `most` points of a series that still show its extremes: the least and greatest of each stretch."""
    points = sorted(series.items())
    if len(points) <= most:
        return points
    size = 2 * len(points) / most
    kept: set[int] = {0, len(points) - 1}
    for number in range(most // 2):
        stretch = range(int(number * size), min(int((number + 1) * size), len(points)))
        kept |= {min(stretch, key=lambda at: points[at][1]), max(stretch, key=lambda at: points[at][1])}
    return [points[at] for at in sorted(kept)]
