"""Runs as columns: 100,000 of them in a few dozen MB, filtered and sorted column by column.

Rows are only ever added: a changed run gets a new row. What another thread holds rows of never changes under it, so
nothing is copied and nothing is locked.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import msgspec

from exptui.core.runs.run import RunState, stem_of

Test = Callable[[Any], bool]
Rows = Sequence[int]
"""Numbers of rows."""

STATES = tuple(RunState)
_CODES = {state.value: code for code, state in enumerate(STATES)}


class Entry(msgspec.Struct, frozen=True, dict=True):
    """One run as lists know it. `folder` and `files` are the stamps that it is valid for; times are since the epoch."""

    run_id: str
    stem: str
    state: RunState
    queued: float
    when: float  # its end, else when it was queued; NaN when unknown
    flat: Mapping[str, Any]
    final: Mapping[str, float]
    folder: int = 0
    files: int = 0
    shortened: bool = (
        False  # the files say more: why it cannot be read, or values that are no text and no number
    )

    @cached_property
    def cells(self) -> list[Any]:
        """State, stem where the id does not give it, whether shortened, times, values: as a Group holds it."""
        stem = "" if self.stem == stem_of(self.run_id) else self.stem
        head = [self.state.value, stem, self.shortened, self.queued, self.when]
        return [*head, *self.flat.values(), *self.final.values()]


class Group(msgspec.Struct, frozen=True):
    """Runs with the same keys: `cells` holds a list for each run, as Entry gives them."""

    config: tuple[str, ...]
    metrics: tuple[str, ...]
    ids: Sequence[str]
    folders: Sequence[int]
    files: Sequence[int]
    cells: Sequence[Sequence[Any]]


def group_of(config: tuple[str, ...], metrics: tuple[str, ...], entries: Sequence[Entry]) -> Group:
    """Entries that have these keys, in this order."""
    return Group(
        config,
        metrics,
        [one.run_id for one in entries],
        [one.folder for one in entries],
        [one.files for one in entries],
        [one.cells for one in entries],
    )


class Numbers:
    """A column of floats; a row without one is another thing than a NaN."""

    def __init__(self, rows: int) -> None:
        self.values, self.there = array("d", bytes(8 * rows)), bytearray(rows)

    def extend(self, values: Sequence[float]) -> None:
        """Add rows."""
        self.values.extend(values)
        self.there.extend(b"\1" * len(values))

    def pad(self, rows: int) -> None:
        """Add rows without a value, up to so many."""
        if missing := rows - len(self.there):
            self.values.frombytes(bytes(8 * missing))
            self.there.extend(bytes(missing))

    def get(self, row: int) -> float | None:
        """The value, None where there is none; every NaN is the same object, so that rows can be compared."""
        value = self.values[row]
        return (value if value == value else math.nan) if self.there[row] else None

    def mask(self, test: Test, rows: Rows) -> bytes:
        """1 for each row that has a value of which the test holds, else 0."""
        values, there = self.values, self.there
        return bytes([1 if there[row] and test(values[row]) else 0 for row in rows])

    def present(self, rows: Rows) -> bytes:
        """1 for each row that has a value, else 0."""
        return bytes(map(self.there.__getitem__, rows))

    def varies(self, rows: Rows) -> bool:
        """Whether two of these rows differ."""
        return any(a != b and (a == a or b == b) for a, b in pairwise(map(self.get, rows)))

    def width(self, text: Callable[[Any], str]) -> int:
        """How wide a number is at most as `text` writes it; not all are looked at."""
        return max((len(text(value)) for value in self.values[:256]), default=0)


class Coded:
    """A column of anything else: each different value is held once, and told apart by type too."""

    def __init__(self, rows: int) -> None:
        self.codes = array("I", bytes(4 * rows))
        self.values: list[Any] = [None]  # code 0: no value
        self._known: dict[type, dict[Any, int]] = {}

    def extend(self, values: Sequence[Any]) -> None:
        """Add rows."""
        kinds = {type(value) for value in values}
        if len(kinds) == 1 and float not in kinds:
            known = self._known.setdefault(kinds.pop(), {})
            for value in dict.fromkeys(values):
                self._code(known, value, value)
            self.codes.extend(map(known.__getitem__, values))
            return
        self.codes.extend(map(self.code, values))

    def code(self, value: Any) -> int:
        """What stands for that value."""
        key = repr(value) if type(value) is float else value  # a NaN is itself, and -0.0 is not 0.0
        return self._code(self._known.setdefault(type(value), {}), key, value)

    def _code(self, known: dict[Any, int], key: object, value: object) -> int:
        code = known.get(key)
        if code is None:
            self.values.append(value)
            code = known[key] = len(self.values) - 1
        return code

    def pad(self, rows: int) -> None:
        """Add rows without a value, up to so many."""
        self.codes.frombytes(bytes(4 * (rows - len(self.codes))))

    def get(self, row: int) -> Any:
        """The value, None where there is none."""
        return self.values[self.codes[row]]

    def mask(self, test: Test, rows: Rows) -> bytes:
        """1 for each row that has a value of which the test holds, else 0."""
        holds = [False, *map(test, self.values[1:])]
        return bytes(map(holds.__getitem__, map(self.codes.__getitem__, rows)))

    def present(self, rows: Rows) -> bytes:
        """1 for each row that has a value, else 0."""
        return self.mask(lambda _: True, rows)

    def varies(self, rows: Rows) -> bool:
        """Whether two of these rows differ."""
        return len(set(map(self.codes.__getitem__, rows))) > 1

    def width(self, text: Callable[[Any], str]) -> int:
        """How wide a value is at most as `text` writes it; not all are looked at."""
        return max((len(text(value)) for value in self.values[1:257]), default=0)


Column = Numbers | Coded


class Table:
    """All runs that were read, and where each is. Rows of runs that changed or went stay until it is made anew."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.states = bytearray()
        self.shortened = bytearray()
        self.queued, self.when = array("d"), array("d")
        self.folders, self.files = array("q"), array("q")
        self.stems: dict[int, str] = {}  # of the rows whose id does not give it
        self.config: dict[str, Column] = {}
        self.metrics: dict[str, Numbers] = {}
        self.rows: dict[str, int] = {}  # by id, of the runs that are there

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, entry: Entry) -> int:
        """Add one run, or replace it; returns its row."""
        self.extend(group_of(tuple(entry.flat), tuple(entry.final), [entry]))
        return len(self) - 1

    def extend(self, group: Group) -> None:
        """Add runs of the same keys. The lists are complete before a row of them can be found."""
        first = len(self)
        states, stems, shortened, queued, when, *values = zip(*group.cells, strict=True)
        for key, column in zip(group.config, values, strict=False):
            self._extend_config(key, column, first)
        for key, column in zip(group.metrics, values[len(group.config) :], strict=True):
            if key not in self.metrics:
                self.metrics[key] = Numbers(first)
            self.metrics[key].extend(column)
        self.states.extend(map(_CODES.__getitem__, states))
        self.stems.update((first + at, stem) for at, stem in enumerate(stems) if stem)
        self.shortened.extend(shortened)
        self.queued.extend(queued)
        self.when.extend(when)
        self.folders.extend(group.folders)
        self.files.extend(group.files)
        for each in (*self.config.values(), *self.metrics.values()):
            each.pad(first + len(group.ids))
        self.ids.extend(group.ids)
        self.rows.update(zip(group.ids, range(first, len(self)), strict=True))

    def _extend_config(self, key: str, values: Sequence[Any], first: int) -> None:
        floats = all(type(value) is float for value in values)
        column = self.config.get(key) or (Numbers(first) if floats else Coded(first))
        if isinstance(column, Numbers) and not floats:
            column = coded(column)
        column.extend(values)
        self.config[key] = column

    def stem(self, row: int) -> str:
        """The name of the experiment."""
        return self.stems.get(row) or stem_of(self.ids[row])

    def state(self, row: int) -> RunState:
        """The state."""
        return STATES[self.states[row]]

    def flat(self, row: int) -> dict[str, Any]:
        """The config's keys and values."""
        return {k: v for k, column in self.config.items() if (v := column.get(row)) is not None}

    def final(self, row: int) -> dict[str, float]:
        """The last numbers."""
        return {k: v for k, column in self.metrics.items() if (v := column.get(row)) is not None}

    def entry(self, row: int) -> Entry:
        """All that is known of a run."""
        return Entry(
            self.ids[row],
            self.stem(row),
            self.state(row),
            self.queued[row],
            self.when[row],
            self.flat(row),
            self.final(row),
            self.folders[row],
            self.files[row],
            bool(self.shortened[row]),
        )

    def in_order(self, rows: Iterable[int]) -> list[int]:
        """Oldest first. Two stable passes over what is nearly in order: no key is made for each row."""
        return sorted(sorted(rows, key=self.ids.__getitem__), key=self.queued.__getitem__)


def coded(column: Numbers) -> Coded:
    """A column of numbers that is to hold something else too."""
    made = Coded(0)
    for row in range(len(column.there)):
        made.extend([column.values[row]]) if column.there[row] else made.pad(row + 1)
    return made
