"""What is there: configs, runs, archives and verifications, as one frozen snapshot. A file is read again only when it changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from exptui.core.archive.listing import Archived
from exptui.core.compare.deltas import direction
from exptui.core.configs import config
from exptui.core.errors import ExptuiError
from exptui.core.files import free_bytes
from exptui.core.monitor import metrics
from exptui.core.monitor.metrics import Metrics
from exptui.core.runs.run import Phase, RunView

if TYPE_CHECKING:
    from exptui.core.audit.session import State
    from exptui.core.workspace import Workspace

TOTALS = (
    "epochs",
    "num_epochs",
    "max_epochs",
    "steps",
    "max_steps",
    "total_steps",
    "iterations",
    "max_iters",
)
METRIC_FILES = ("metrics.jsonl", "metrics.json", "chronicle.cmeta", "chronicle.cmeta.open")
FREE_STEP = 100_000_000  # bytes: a smaller change is none

T = TypeVar("T")
R = TypeVar("R", "RunRow", "ArchiveRow")


class ConfigRow(msgspec.Struct, frozen=True):
    """One file of configs/. `problem` says why it cannot be used."""

    stem: str
    path: Path
    flat: dict[str, Any]
    problem: str
    runs: int


class RunRow(msgspec.Struct, frozen=True):
    """One run as it is listed: its view, its config's keys, its last numbers, and how far it is."""

    view: RunView
    flat: dict[str, Any]
    final: dict[str, float]
    step: int | None
    steps: int | None
    written: float  # when its log last grew, seconds since the epoch; 0 when unknown

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.view.run_id


class ArchiveRow(msgspec.Struct, frozen=True):
    """One archive as it is listed, from its card."""

    archived: Archived
    flat: dict[str, Any]
    final: dict[str, float]

    @property
    def run_id(self) -> str:
        """The id of the run in it."""
        return self.archived.run_id


class Snapshot(msgspec.Struct, frozen=True):
    """The whole workspace at one moment."""

    configs: tuple[ConfigRow, ...] = ()
    runs: tuple[RunRow, ...] = ()
    archives: tuple[ArchiveRow, ...] = ()
    verifying: dict[str, State] = {}  # by the name of its directory
    baseline: str = ""
    slots: int = 1
    free: int = 0
    problems: tuple[str, ...] = ()

    def run(self, run_id: str) -> RunRow | None:
        """The run of that id, if it is still there."""
        return next((row for row in self.runs if row.run_id == run_id), None)

    def verification(self, run_id: str) -> State | None:
        """How far the verification of that run is, if one is at work."""
        return self.verifying.get(self.verification_name(run_id))

    def verification_name(self, run_id: str) -> str:
        """The name of its directory; empty where none is at work."""
        return next((name for name in self.verifying if name.rpartition("_")[0] == run_id), "")


class Catalog:
    """Makes snapshots; remembers what it read of files that have not changed since."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._memory: dict[Hashable, tuple[Hashable, Any]] = {}

    def snapshot(self) -> Snapshot:
        """Look at everything now. What cannot be read becomes a problem, never an error."""
        space, problems = self.workspace, list[str]()
        views = _try(self._views, list[RunView](), problems)
        runs = tuple(self._run(view) for view in reversed(views))
        counts: dict[str, int] = {}
        for view in views:
            counts[view.stem] = counts.get(view.stem, 0) + 1
        configs = tuple(self._config(path, counts.get(path.stem, 0)) for path in space.list_configs())
        archives = tuple(self._archive(one) for one in _try(space.list_archives, list[Archived](), problems))
        notes = _try(lambda: space.notes, None, problems)
        settings = _try(lambda: space.settings, None, problems)
        return Snapshot(
            configs=configs,
            runs=runs,
            archives=archives,
            verifying=_try(space.verification_states, {}, problems),
            baseline=notes.baseline if notes else "",
            slots=settings.queue.slots if settings else 1,
            free=free_bytes(space.root) // FREE_STEP * FREE_STEP,
            problems=tuple(problems),
        )

    def _views(self) -> list[RunView]:
        """All runs, oldest first. One that has ended is looked at again only when its run.json was replaced."""
        from exptui.core.contents import in_order

        return in_order(self._view(path) for path in self.workspace.run_directories())

    def _view(self, path: Path) -> RunView:
        stamp = _stamp(path / "run.json")
        known = self._memory.get(("view", path))
        if known is not None and known[0] == stamp and isinstance(view := known[1], RunView):
            return view
        view = self.workspace.view(path)
        if view.record is not None and view.record.phase is Phase.EXITED and not view.leftovers:
            self._memory["view", path] = (stamp, view)
        return view

    def _run(self, view: RunView) -> RunRow:
        flat = self._once(view.path / "config.toml", lambda path: _flat(path)[0])
        numbers = self._metrics(view.files)
        steps = next(
            (v for k, v in flat.items() if k.rpartition(".")[2] in TOTALS and isinstance(v, int)), None
        )
        step = max((max(series) for series in numbers.series.values() if series), default=None)
        return RunRow(view, flat, numbers.final, step, steps, _written(view.files / "trainer.log"))

    def _metrics(self, directory: Path) -> Metrics:
        stamps = tuple(_stamp(directory / name) for name in METRIC_FILES)
        return self._remember(("metrics", directory), stamps, lambda: metrics.read(directory))

    def _config(self, path: Path, runs: int) -> ConfigRow:
        flat, problem = self._once(path, _flat)
        return ConfigRow(path.stem, path, flat, problem, runs)

    def _archive(self, archived: Archived) -> ArchiveRow:
        card = archived.card or {}
        return ArchiveRow(archived, _card_flat(card), _card_numbers(card))

    def _once(self, path: Path, read: Callable[[Path], T]) -> T:
        return self._remember(("file", path), _stamp(path), lambda: read(path))

    def _remember(self, key: Hashable, stamp: Hashable, read: Callable[[], T]) -> T:
        known = self._memory.get(key)
        if known is None or known[0] != stamp:
            known = self._memory[key] = (stamp, read())
        value: T = known[1]
        return value


def _try(read: Callable[[], T], default: T, problems: list[str]) -> T:
    try:
        return read()
    except ExptuiError as error:
        problems.append(error.message)
    except OSError as error:
        problems.append(str(error))
    return default


def _stamp(path: Path) -> Hashable:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _written(log: Path) -> float:
    try:
        return log.stat().st_mtime
    except OSError:
        return 0.0


def _flat(path: Path) -> tuple[dict[str, Any], str]:
    try:
        return config.load(path).flat, ""
    except ExptuiError as error:
        return {}, error.message


def _card_flat(card: dict[str, Any]) -> dict[str, Any]:
    text = card.get("config")
    try:
        return config.parse(Path("config.toml"), str(text).encode()).flat if text else {}
    except ExptuiError:
        return {}


def _card_numbers(card: dict[str, Any]) -> dict[str, float]:
    found = card.get("metrics")
    pairs = found.items() if isinstance(found, dict) else ()
    return {
        str(k): metrics.as_float(v)
        for k, v in pairs
        if isinstance(v, int | float) and not isinstance(v, bool)
    }


def facts(row: RunRow | ArchiveRow) -> dict[str, Any]:
    """What a filter or an order can ask of a row: config keys, metrics, `state`, `id`."""
    state = row.view.state.value if isinstance(row, RunRow) else (row.archived.verdict or "not verified")
    return {**row.flat, **row.final, "id": row.run_id, "state": state}


def ordered(rows: Iterable[R], key: str, *, reverse: bool = False) -> list[R]:
    """Rows by a fact: the best first where the metric has a direction, else the least; `reverse` turns it round.

    Rows without the fact, or with NaN, come last either way; numbers before texts. The key may be given by its
    last part, as in a filter.
    """
    down = (direction(key) > 0) != reverse
    numbers: list[tuple[float, R]] = []
    texts: list[tuple[str, R]] = []
    rest: list[R] = []
    for row in rows:
        found = next((v for k, v in facts(row).items() if key in (k, k.rpartition(".")[2])), None)
        if found is None or (isinstance(found, float) and math.isnan(found)):
            rest.append(row)
        elif isinstance(found, int | float):
            numbers.append((float(found), row))
        else:
            texts.append((str(found), row))
    numbers.sort(key=lambda pair: pair[0], reverse=down)
    texts.sort(key=lambda pair: pair[0], reverse=down)
    return [row for _, row in numbers] + [row for _, row in texts] + rest
