"""The numbers of a run: its series, and its final values from `metrics.json`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from exptui.core.curves.follow import Follower
from exptui.core.curves.formats import CHRONICLES, STEPS, Last, as_float, decoded, numbers, source
from exptui.core.files import open_regular

if TYPE_CHECKING:
    from exptui.core.curves.columns import Columns
    from exptui.core.curves.series import Series

__all__ = ["STEPS", "Metrics", "Reader", "as_float", "last", "read", "report", "sampled"]

SAMPLES = 400


class Metrics(msgspec.Struct, frozen=True):
    """What a run's files say: the last value of each metric, the last step that any has, and the series if asked for."""

    final: dict[str, float] = {}
    step: int | None = None
    problems: tuple[str, ...] = ()
    series: dict[str, Series] = {}


def read(directory: Path) -> Metrics:
    """Every series of a run, and its final values. A line or file that cannot be read is named, the rest is given.

    Where there are no metrics by step the chronicle gives the series. The last row of a step counts.
    """
    from exptui.core.curves.columns import Columns

    problems: list[str] = []
    series: dict[str, Series] = {}
    if (path := source(directory)) is not None:
        follower = Follower(path, Columns)
        _grow(follower, problems)
        series = follower.sink.snapshot()
    if not series:
        series = _chronicle(directory, problems)
    found = _metrics(directory, {name: one[-1] for name, one in series.items()}, problems)
    return msgspec.structs.replace(found, series=series)


def last(directory: Path) -> Metrics:
    """Only the final values of a run: no series is kept."""
    return Reader(directory).read()


class Reader:
    """Reads the final values of a run again and again: of a file that grew only what is new."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._follower: Follower[Last] | None = None

    def read(self) -> Metrics:
        """The values as they are now."""
        problems: list[str] = []
        ends: dict[str, tuple[float, float]] = {}
        path = source(self.directory)
        if path is not None:
            if self._follower is None or self._follower.path != path:
                self._follower = Follower(path, Last)
            _grow(self._follower, problems)
            ends = self._follower.sink.found
        if not ends:
            ends = {name: one[-1] for name, one in _chronicle(self.directory, problems).items()}
        return _metrics(self.directory, ends, problems)


def report(directory: Path, problems: list[str]) -> dict[str, float]:
    """The values in metrics.json, without those that count steps."""
    try:
        with open_regular(directory / "metrics.json") as file:
            data = file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        problems.append(f"metrics.json: {error.strerror}")
        return {}
    found: dict[str, Any] | None = decoded(data) if data else {}
    if found is None:
        problems.append("metrics.json is not a JSON object")
    return {name: value for name, value in numbers(found or {}).items() if name not in (*STEPS, "epochs")}


def sampled(series: Series, most: int = SAMPLES) -> list[tuple[float, float]]:
    """At most about `most` points of a series that still show its extremes; whole steps as integers."""
    return [(int(x) if x.is_integer() else x, y) for x, y in series.sampled(most)]


def _grow(follower: Follower[Columns] | Follower[Last], problems: list[str]) -> None:
    try:
        follower.grow()
    except OSError as error:
        problems.append(f"{follower.path.name}: {error.strerror}")
    problems += follower.format.problems.texts()


def _chronicle(directory: Path, problems: list[str]) -> dict[str, Series]:
    if not any(os.path.lexists(directory / name) for name in CHRONICLES):
        return {}
    from exptui.core.curves.store import of_chronicle

    found = of_chronicle(directory)
    problems += found.problems
    return found.series


def _metrics(directory: Path, ends: dict[str, tuple[float, float]], problems: list[str]) -> Metrics:
    final = {name: value for name, (_, value) in ends.items()} | report(directory, problems)
    step = max((step for step, _ in ends.values()), default=None)
    return Metrics(final, None if step is None else int(step), tuple(problems))
