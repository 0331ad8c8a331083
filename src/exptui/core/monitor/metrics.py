"""The numbers of a run: its series, and its final values from `metrics.json`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from exptui.core.files import open_regular
from exptui.core.monitor.readers.protocol import STEPS, Last, as_float, decoded, numbers

if TYPE_CHECKING:
    from exptui.core.curves.series import Series

__all__ = ["STEPS", "Metrics", "Reader", "as_float", "last", "read", "report", "sampled"]

SAMPLES = 400


NEWS = 1 << 16  # bytes of a log that grew, in which its last values are looked for


class Metrics(msgspec.Struct, frozen=True):
    """What a run's files say: the last value of each metric, the last step that any has, and the series if asked for."""

    final: dict[str, float] = {}
    step: int | None = None
    problems: tuple[str, ...] = ()
    series: dict[str, Series] = {}


def read(directory: Path, most: int | None = None, patterns: tuple[str, ...] | None = None) -> Metrics:
    """Every series of a run, and its final values. A line or file that cannot be read is named, the rest is given.

    The first of its sources that has a series counts, and of a step the last row. With `most` a series that is long
    is given by about four times as many points, and memory does not grow with it. `patterns` are those for its log,
    where they are not those of the settings.
    """
    from exptui.core.curves.columns import Columns, Thinned
    from exptui.core.curves.sources import Followers, grow, joined

    problems: list[str] = []
    series: dict[str, Series] = {}
    sink = Columns if most is None else lambda: Thinned(4 * most)
    for source, parts in Followers[Columns](directory, sink, patterns):
        problems += [source.problem] if source.problem else []
        series = joined([(part, one) for part, one in parts if grow(part, one, problems)])
        if series:
            break
    found = _metrics(directory, {name: one[-1] for name, one in series.items()}, problems)
    return msgspec.structs.replace(found, series=series)


def last(directory: Path) -> Metrics:
    """Only the final values of a run: no series is kept."""
    return Reader(directory).read()


class Reader:
    """Reads the final values of a run again and again: of files that grew only what is new."""

    def __init__(self, directory: Path) -> None:
        from exptui.core.curves.sources import Followers

        self.directory = directory
        self._followers = Followers(directory, Last, near=NEWS)

    def read(self) -> Metrics:
        """The values as they are now."""
        from exptui.core.curves.sources import ends, grow

        problems, found = list[str](), dict[str, tuple[float, float]]()
        for source, parts in self._followers:
            problems += [source.problem] if source.problem else []
            found = ends([(part, one) for part, one in parts if grow(part, one, problems)])
            if found:
                break
        return _metrics(self.directory, found, problems)


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


def hyperparameters(directory: Path) -> dict[str, Any]:
    """The dotted keys of what a run without config.toml says it was trained with; nothing where it says nothing."""
    if os.path.lexists(directory / "config.toml"):
        return {}
    from exptui.core.configs.config import flatten
    from exptui.core.monitor.readers import hparams

    try:
        path = hparams.source(directory)
        return flatten(hparams.read(path)) if path else {}
    except OSError:
        return {}


def sampled(series: Series, most: int = SAMPLES) -> list[tuple[float, float]]:
    """At most about `most` points of a series that still show its extremes; whole steps as integers."""
    return [(int(x) if x.is_integer() else x, y) for x, y in series.sampled(most)]


def _metrics(directory: Path, found: dict[str, tuple[float, float]], problems: list[str]) -> Metrics:
    final = {name: value for name, (_, value) in found.items()} | report(directory, problems)
    step = max((step for step, _ in found.values()), default=None)
    return Metrics(final, None if step is None else int(step), tuple(problems))
