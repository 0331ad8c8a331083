"""A run as it is listed: read whole from its files, or as a row of a table of many."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec

from exptui.core.errors import ExptuiError
from exptui.core.monitor.columns import Entry, Table
from exptui.core.monitor.progress import said, total
from exptui.core.monitor.stamps import METRIC_FILES, beside, file_stamp
from exptui.core.runs.run import (
    Phase,
    RunRecord,
    RunView,
    directory_of,
    id_of,
    is_working,
    read_bytes,
    state_of,
)

# What reads the files of a run is imported by those that read: a list whose runs are all in the index waits for none.
if TYPE_CHECKING:
    from exptui.core.workspace import Workspace

BEYOND = 2  # times the whole is no step of it: a last one may be beyond, as where whole batches count
T = TypeVar("T")
_RECORD = msgspec.json.Decoder(RunRecord)


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


class Glimpse(RunView, frozen=True):
    """A run as the list remembers it: all but its record, which is read when it is looked at closely."""

    name: str = ""
    stamp: tuple[int, int] = (0, 0)

    @property
    def stem(self) -> str:
        """The name of the experiment."""
        return self.name


class RunTuple(tuple[RunRow, ...]):
    """Runs that were all read whole, the newest first."""

    __slots__ = ()

    def find(self, run_id: str) -> RunRow | None:
        """The run of that id."""
        return next((row for row in self if row.run_id == run_id), None)

    @property
    def live(self) -> list[RunRow]:
        """Those in which something may happen."""
        return [row for row in self if row.view.state.live]

    def some(self, ids: Collection[str]) -> list[RunRow]:
        """Those of these that are there, the newest first."""
        return [row for row in self if row.run_id in ids]

    def of(self, stem: str, most: int) -> list[RunRow]:
        """The newest runs of a config."""
        return [row for row in self if row.view.stem == stem][:most]


class Runs(Sequence[RunRow]):
    """Runs of a table, the newest first; a row is made when it is asked for, whole where it was kept whole."""

    def __init__(self, table: Table, order: array[int], whole: Mapping[str, RunRow], results: Path) -> None:
        """`order`: the numbers of the rows, the oldest first."""
        self.table, self.order, self.whole, self._results = table, order, whole, results

    def __len__(self) -> int:
        return len(self.order)

    @overload
    def __getitem__(self, at: int) -> RunRow: ...
    @overload
    def __getitem__(self, at: slice) -> list[RunRow]: ...
    def __getitem__(self, at: int | slice) -> RunRow | list[RunRow]:
        if isinstance(at, slice):
            return [self.row(row) for row in self.order[::-1][at]]
        return self.row(self.order[-1 - at] if at >= 0 else self.order[-(len(self.order) + at) - 1])

    def row(self, row: int) -> RunRow:
        """One run by the number of its row."""
        table = self.table
        run_id, state = table.ids[row], table.state(row)
        if (found := self.whole.get(run_id)) is not None:
            return found
        stamp = table.folders[row], table.files[row]
        view = Glimpse(
            run_id, directory_of(self._results, run_id), state, None, name=table.stem(row), stamp=stamp
        )
        return RunRow(view, table.flat(row), table.final(row), None, None, 0.0)

    def find(self, run_id: str) -> RunRow | None:
        """The run of that id."""
        row = self.table.rows.get(run_id)
        return None if row is None else self.row(row)

    @property
    def live(self) -> list[RunRow]:
        """Those in which something may happen."""
        return [row for row in self.whole.values() if row.view.state.live]

    def some(self, ids: Collection[str]) -> list[RunRow]:
        """Those of these that are there, the newest first."""
        found = [row for run_id in ids if (row := self.table.rows.get(run_id)) is not None]
        return [self.row(row) for row in reversed(self.table.in_order(found))]

    def of(self, stem: str, most: int) -> list[RunRow]:
        """The newest runs of a config."""
        table = self.table
        likely = (
            row for row in reversed(self.order) if row in table.stems or table.ids[row].startswith(stem)
        )
        return [self.row(row) for row in islice((row for row in likely if table.stem(row) == stem), most)]


class Memory:
    """What was read of files, for as long as they do not change."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[Hashable, Any]] = {}

    def get(self, key: Hashable, stamp: Hashable, read: Callable[[], T]) -> T:
        """What `read` gave when the stamp was this one, else what it gives now."""
        known = self._known.get(key)
        if known is None or known[0] != stamp:
            known = self._known[key] = (stamp, read())
        value: T = known[1]
        return value

    def forget(self, keys: Iterable[Hashable]) -> None:
        """Let go of these."""
        for key in keys:
            self._known.pop(key, None)


def ended(view: RunView) -> bool:
    """Whether a run has ended and nothing of it works any more."""
    return view.record is not None and view.record.phase is Phase.EXITED and not view.leftovers


def read_run(view: RunView, memory: Memory) -> RunRow:
    """A run with its config's keys and its last numbers."""
    from exptui.core.monitor import metrics
    from exptui.core.monitor.summary import summary

    config_file, files = view.files / "config.toml", view.files
    flat = memory.get(config_file, file_stamp(config_file), lambda: _run_flat(config_file))
    own = tuple(file_stamp(files / name) for name in METRIC_FILES)
    stamps = own, tuple(beside(files)) if own[0] is None else ()
    reader = partial(memory.get, ("reader", files), None, partial(metrics.Reader, files))
    final, step = memory.get(("metrics", files), stamps, lambda: summary(files, reader))
    _, steps = total(flat)
    if step is not None and steps and step > BEYOND * steps:
        steps = None  # its metrics count something else, as batches where the config says epochs
    log = view.path / "trainer.log"
    if view.record is not None and (pattern := view.record.recipe.progress):
        done, whole = memory.get(("said", log), file_stamp(log), lambda: said(log, pattern))
        # A log that says only one of both is completed; what it counts may be another thing than the metrics' steps.
        step, steps = done, whole or total(flat)[1]
    return RunRow(view, flat, final, step, steps, _written(files / "trainer.log"))


def read_ended(view: RunView) -> RunRow:
    """A run that only lists show: read once, without what tells how far it is."""
    from exptui.core.monitor.summary import summary

    return RunRow(view, _run_flat(view.path / "config.toml"), summary(view.path)[0], None, None, 0.0)


def _written(log: Path) -> float:
    try:
        return log.stat().st_mtime
    except OSError:
        return 0.0


def _run_flat(path: Path) -> dict[str, Any]:
    """The same of a run, by a shorter way; of one that cannot be used nothing. Without a config: hyperparameters."""
    import tomli

    from exptui.core.configs import config

    try:
        return config.flatten(tomli.loads(read_bytes(str(path)).decode()))
    except FileNotFoundError:
        from exptui.core.monitor import metrics

        return metrics.hyperparameters(path.parent)
    except (OSError, ValueError, RecursionError):
        return {}


def read_flat(path: Path) -> tuple[dict[str, Any], str]:
    """The dotted keys of a config, and why it cannot be used."""
    from exptui.core.configs import config

    try:
        return config.load(path).flat, ""
    except ExptuiError as error:
        return {}, error.message


def plain(value: object) -> object:
    """A config's value as lists, filters and orders know it: a text or a number of 64 bits."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        from exptui.core.monitor.readers.protocol import as_float

        return as_float(value)
    return value if isinstance(value, str | int | float) else str(value)


def view_of(space: Workspace, path: Path) -> RunView:
    """As `Workspace.view`, by a shorter way for the runs that ended: there may be thousands to read."""
    try:
        record = _RECORD.decode(read_bytes(f"{path}/run.json"))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return space.view(path)
    if record.phase is not Phase.EXITED or is_working(path, record):
        return space.view(path)
    return RunView(id_of(space.results, path), path, state_of(path, record), record)


def entry_of(row: RunRow, folder: int, files: int) -> Entry:
    """What lists know of a run."""
    record = row.view.record
    queued = _seconds(record.queued_at) if record else 0.0
    when = (_seconds(record.ended_at) or queued) if record else 0.0
    flat = {key: plain(value) for key, value in row.flat.items()}
    shortened = bool(row.view.problem) or any(flat[key] is not value for key, value in row.flat.items())
    view, final = row.view, row.final
    return Entry(view.run_id, view.stem, view.state, queued, when, flat, final, folder, files, shortened)


def _seconds(text: str) -> float:
    """Of an ISO time; 0 where there is none."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else 0.0
    except (ValueError, OverflowError):
        return 0.0


def same(one: Entry, other: Entry) -> bool:
    """Equal in every value; a NaN is itself."""
    return repr(one) == repr(other)
