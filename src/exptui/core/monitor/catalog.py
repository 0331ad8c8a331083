"""What is there: configs, runs, archives and verifications, as one frozen snapshot. A file is read again only when it changed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec.structs import replace

from exptui.core.archive.listing import Archived
from exptui.core.configs import config
from exptui.core.directions import BY_NAME, Directions
from exptui.core.errors import ExptuiError
from exptui.core.files import free_bytes
from exptui.core.monitor import metrics
from exptui.core.monitor.filter import NOTHING, Facts
from exptui.core.monitor.run_rows import (
    Memory,
    RunRow,
    Runs,
    RunTuple,
    ended,
    plain,
    read_flat,
    read_run,
)
from exptui.core.monitor.stamps import file_stamp
from exptui.core.runs.run import RunView

if TYPE_CHECKING:
    from exptui.core.audit.session import State
    from exptui.core.monitor.roster import Roster
    from exptui.core.workspace import Workspace

__all__ = ["ArchiveRow", "Catalog", "ConfigRow", "RunRow", "Snapshot", "facts", "ordered"]

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


class ArchiveRow(msgspec.Struct, frozen=True):
    """One archive as it is listed, from its card."""

    archived: Archived
    flat: dict[str, Any]
    final: dict[str, float]

    @property
    def run_id(self) -> str:
        """The id of the run in it."""
        return self.archived.run_id


NO_RUNS = RunTuple()


class Snapshot(msgspec.Struct, frozen=True):
    """The whole workspace at one moment; of the runs, `unread` are still to be read."""

    configs: tuple[ConfigRow, ...] = ()
    runs: RunTuple | Runs = NO_RUNS
    archives: tuple[ArchiveRow, ...] = ()
    verifying: dict[str, State] = {}  # by the name of its directory
    baseline: str = ""
    said: dict[str, dict[str, str]] = {}  # by run: tags and notes, as a filter asks for them
    directions: Directions = BY_NAME
    slots: int = 1
    checkpoints: str = "all"  # which an archive keeps
    free: int = 0
    problems: tuple[str, ...] = ()
    unread: int = 0
    settled: bool = True  # everything was looked at once: what comes now is new

    def run(self, run_id: str) -> RunRow | None:
        """The run of that id, if it is still there."""
        return self.runs.find(run_id)

    def verification(self, run_id: str) -> State | None:
        """How far the verification of that run is, if one is at work."""
        return self.verifying.get(self.verification_name(run_id))

    def verification_name(self, run_id: str) -> str:
        """The name of its directory; empty where none is at work."""
        return next((name for name in self.verifying if name.rpartition("_")[0] == run_id), "")


class Catalog:
    """Makes snapshots: with a roster from its index, without one from the files alone."""

    def __init__(self, workspace: Workspace, roster: Roster | None = None) -> None:
        self.workspace, self._roster = workspace, roster
        self._memory = Memory()
        self._last: Snapshot | None = None

    @property
    def busy(self) -> bool:
        """Whether more can be read at once."""
        return self._roster is not None and self._roster.busy

    def snapshot(self, *, every: bool = False) -> Snapshot:
        """Look at everything now. What cannot be read becomes a problem, never an error.

        `every`: also at the files of runs that ended long ago. While runs are being read for the first time, only they
        are looked at.
        """
        if self._last is None or not self.busy or every:
            self._last = self.without_runs()
        last = self._last
        if self._roster is None:
            problems = list(last.problems)
            runs = _try(self._runs, RunTuple(), problems)
            counts = Counter(row.view.stem for row in runs)
            configs = tuple(replace(row, runs=counts[row.stem]) for row in last.configs)
            return replace(last, runs=runs, configs=configs, problems=tuple(problems))
        listed = self._roster.look(last.baseline, every=every)
        counted = self._roster.counts(frozenset(row.stem for row in last.configs))
        configs = tuple(replace(row, runs=counted[row.stem]) for row in last.configs)
        said = (*last.problems, *self._roster.problems)
        return replace(
            last,
            runs=listed,
            configs=configs,
            problems=said,
            unread=self._roster.unread,
            settled=not self._roster.busy,
        )

    def without_runs(self) -> Snapshot:
        """All but the runs."""
        space, problems = self.workspace, list[str]()
        archives = tuple(self._archive(one) for one in _try(space.list_archives, list[Archived](), problems))
        notes = _try(lambda: space.notes, None, problems)
        settings = _try(lambda: space.settings, None, problems)
        return Snapshot(
            configs=tuple(self._config(path) for path in space.list_configs()),
            archives=archives,
            verifying=_try(space.verification_states, {}, problems),
            baseline=notes.baseline if notes else "",
            said=notes.said if notes else {},
            directions=settings.metrics if settings else BY_NAME,
            slots=settings.queue.slots if settings else 1,
            checkpoints=settings.archive.checkpoints if settings else "all",
            free=free_bytes(space.root) // FREE_STEP * FREE_STEP,
            problems=tuple(problems),
        )

    def _runs(self) -> RunTuple:
        """All runs, read whole. One that has ended is looked at again only when its run.json was replaced."""
        from exptui.core.contents import in_order

        views = in_order(self._view(path) for path in self.workspace.run_directories())
        return RunTuple(read_run(view, self._memory) for view in reversed(views))

    def _view(self, path: Path) -> RunView:
        key = "view", path
        stamp = file_stamp(path / "run.json")
        view = self._memory.get(key, stamp, lambda: self.workspace.view(path))
        if not ended(view):
            self._memory.forget([key])
        return view

    def _config(self, path: Path) -> ConfigRow:
        flat, problem = self._memory.get(path, file_stamp(path), lambda: read_flat(path))
        return ConfigRow(path.stem, path, flat, problem, 0)

    def _archive(self, archived: Archived) -> ArchiveRow:
        card = archived.card or {}
        return ArchiveRow(archived, _card_flat(card), _card_numbers(card))


def _try(read: Callable[[], T], default: T, problems: list[str]) -> T:
    try:
        return read()
    except ExptuiError as error:
        problems.append(error.message)
    except OSError as error:
        problems.append(str(error))
    return default


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


def facts(row: RunRow | ArchiveRow, said: Mapping[str, Facts] = NOTHING) -> dict[str, Any]:
    """What a filter or an order can ask of a row: config keys, metrics, `state`, `id`; `said`: tags and notes by run."""
    state = row.view.state.value if isinstance(row, RunRow) else (row.archived.verdict or "not verified")
    return {
        **{k: plain(v) for k, v in row.flat.items()},
        **row.final,
        **said.get(row.run_id, {}),
        "id": row.run_id,
        "state": state,
    }


def ordered(
    rows: Iterable[R], key: str, *, reverse: bool = False, directions: Directions = BY_NAME
) -> list[R]:
    """Rows by a fact, as `Directions.order` says; `reverse` turns it round.

    Rows without the fact, or with NaN, come last either way; numbers before texts. The key may be given by its
    last part, as in a filter.
    """
    key, down = directions.order(key, reverse=reverse)
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
