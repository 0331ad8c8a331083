"""The list of runs: which are shown, in what order, under which columns. Made in a thread, drawn row by row."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import msgspec

from exptui.core.directions import BY_NAME, Directions
from exptui.core.monitor.columns import Column, Numbers, Table
from exptui.core.monitor.filter import NOTHING, Facts, by, passing
from exptui.core.monitor.run_rows import Runs
from exptui.core.monitor.text import clean
from exptui.tui import present
from exptui.tui.present import Span
from exptui.tui.widgets.rows import Row, Source

SORTS = ("newest", "best", "least", "name")
WIDEST, NARROWEST = 12, 4  # a column of a config key or another metric
NAME = 18  # what the columns that differ leave to the name
LEAST_NAME = 8  # what chosen ones do
ENDS = 20  # the two leading metrics and the age


class Choice(msgspec.Struct, frozen=True):
    """What the user wants to see: a filter, an order, and columns; None for those that differ."""

    query: str = ""
    sort: str = SORTS[0]
    columns: tuple[str, ...] | None = None


class Extra(msgspec.Struct, frozen=True):
    """A column beside the leading metrics."""

    key: str
    head: str
    width: int


Heads = tuple[tuple[str, str], tuple[Extra, ...]]


class Listing(msgspec.Struct, frozen=True, eq=False):
    """The runs that are shown, in order, the first on top; `order` holds their rows in the table of `runs`."""

    choice: Choice
    runs: Runs
    order: Sequence[int]
    leading: tuple[str, str]
    extras: tuple[Extra, ...]

    @property
    def sorts(self) -> tuple[str, ...]:
        """What `s` goes through."""
        return (*SORTS, *(extra.key for extra in self.extras))

    def ids(self, first: int = 0, last: int | None = None) -> list[str]:
        """The ids of the rows from one to before another."""
        return [self.runs.table.ids[row] for row in self.order[first:last]]

    def keys(self) -> list[str]:
        """Every config key and metric there is."""
        table = self.runs.table
        return list(dict.fromkeys((*table.config, *table.metrics)))


EMPTY = Listing(Choice(), Runs(Table(), array("I"), {}, Path()), (), ("", ""), ())


class Lister:
    """Makes listings; what was found out about a row is not found out again. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._query: tuple[Table, str, Mapping[str, Facts]] = Table(), "", NOTHING
        self._passing = bytearray()
        self._heads_for: tuple[object, ...] = ()
        self._heads: Heads = ("", ""), ()

    def make(
        self,
        runs: Runs,
        choice: Choice,
        said: Mapping[str, Facts] = NOTHING,
        directions: Directions = BY_NAME,
    ) -> Listing:
        """The runs that pass the filter, in the order that was chosen; the newest first among equals.

        `said`: tags and notes by run.
        """
        with self._lock:
            order = self._filtered(runs, choice.query, said)
            leading, extras = self._columns(runs.table, order, choice, directions)
            ordered = _sorted(runs.table, order, choice.sort, leading, directions)
            return Listing(choice, runs, ordered, leading, extras)

    def _filtered(self, runs: Runs, query: str, said: Mapping[str, Facts]) -> array[int]:
        newest = runs.order[::-1]
        if not query:
            return newest
        if self._query[0] is not runs.table or self._query[1:] != (query, said):
            self._query, self._passing = (runs.table, query, said), bytearray()
        self._passing += passing(query, runs.table, range(len(self._passing), len(runs.table)), said)
        return array("I", compress(newest, map(self._passing.__getitem__, newest)))

    def _columns(self, table: Table, order: Sequence[int], choice: Choice, directions: Directions) -> Heads:
        """The leading metrics, and the chosen columns, else those of config keys that differ."""
        asked = (
            table,
            choice.query,
            choice.columns,
            directions,
            len(order),
            len(table.config),
            len(table.metrics),
        )
        if asked != self._heads_for:
            leading, keys = leading_metrics(table, order, directions), choice.columns
            if keys is None:
                keys = tuple(key for key, column in table.config.items() if column.varies(order))
            found = ((key, _column(table, key)) for key in keys)
            extras = tuple(_extra(key, column) for key, column in found if column and key not in leading)
            self._heads_for, self._heads = asked, (leading, extras)
        return self._heads


def _column(table: Table, key: str) -> Column | None:
    return table.metrics.get(key) or table.config.get(key)


def _extra(key: str, column: Column) -> Extra:
    head = clean(key.rpartition(".")[2], WIDEST - 1)
    widest = max(len(head) + 1, column.width(_cell))
    return Extra(key, head[: WIDEST - 1], max(NARROWEST, min(WIDEST, widest)))


def _cell(value: Any) -> str:
    return (
        present.number(value) if isinstance(value, float) and abs(value) >= 1 else present.short_value(value)
    )


def leading_metrics(table: Table, order: Sequence[int], directions: Directions) -> tuple[str, str]:
    """The two metrics that are shown: one where more is better, one where less is; empty where there is none.

    accuracy and loss where runs have them, else what most of them have.
    """
    found: dict[str, int] = {}
    for name, column in table.metrics.items():
        base = present.base_name(name)
        found[base] = max(found.get(base, 0), column.present(order).count(1))

    def first(wanted: int, liked: str) -> str:
        fitting = [name for name, count in found.items() if count and directions.of(name) == wanted]
        return min(fitting, key=lambda name: (name != liked, -found[name], name), default="")

    return first(1, "accuracy"), first(-1, "loss")


def _value_of(table: Table, base: str) -> Callable[[int], float | None]:
    """A metric by its base name: as it is, else in the phase that counts most."""
    names = (base, *(f"{prefix}{base}" for prefix in present.PREFIXES)) if base else ()
    columns = [table.metrics[name] for name in names if name in table.metrics]

    def value(row: int) -> float | None:
        for column in columns:
            if column.there[row]:
                return column.values[row]
        return None

    return value


def _sorted(
    table: Table, order: array[int], sort: str, leading: tuple[str, str], directions: Directions
) -> Sequence[int]:
    if sort == "newest":
        return order
    if sort == "name":
        return array("I", sorted(order, key=table.ids.__getitem__))
    if sort in ("best", "least"):
        return array("I", by(order, _value_of(table, leading[sort == "least"]), down=sort == "best"))
    column = _column(table, sort)
    down = isinstance(column, Numbers) and sort in table.metrics and directions.of(sort) > 0
    return array("I", by(order, column.get, down=down)) if column else order


class RunRows(Source):
    """The rows of a listing on a screen of some width, made when they come into sight."""

    def __init__(self, listing: Listing, baseline: str, now: float, width: int) -> None:
        self.listing, self._baseline, self._now = listing, baseline, now
        table = self._table = listing.runs.table
        self._best, self._least = (_value_of(table, name) for name in listing.leading)
        name = NAME if listing.choice.columns is None else LEAST_NAME
        room = width - ENDS - name - 3
        self._extras: list[tuple[Extra, Column]] = []
        for extra in listing.extras:
            column = _column(table, extra.key)
            if column is None or extra.width + 1 > room:
                break
            room -= extra.width + 1
            self._extras.append((extra, column))
        self._name = room + name

    def __len__(self) -> int:
        return len(self.listing.order)

    def find(self, key: str) -> int | None:
        """Where a run is in the list."""
        order, ids = self.listing.order, self._table.ids
        row = self._table.rows.get(key)
        if row is None:
            return None
        try:
            return order.index(row)
        except ValueError:  # it has a newer row already, or is not shown
            return next((at for at, one in enumerate(order) if ids[one] == key), None)

    def row(self, at: int) -> Row:
        """State, name, the columns that fit, the two leading metrics (or how far it is), age."""
        table, row = self._table, self.listing.order[at]
        run_id, state = table.ids[row], table.state(row)
        whole = self.listing.runs.whole.get(run_id) if state.live else None
        share = present.progress(whole) if whole else None
        best = self._best(row)
        middle = f"{share:.0%}" if share is not None else present.number(self._least(row))
        mark, tone = present.STATES[state]
        left: tuple[Span, ...] = ((f"{mark} ", tone),)
        left += (("★ ", "warn"),) if run_id == self._baseline else ()
        cells = [
            f" {clean(_cell(column.get(row)), extra.width):>{extra.width}.{extra.width}}"
            for extra, column in self._extras
        ]
        age = present.age(table.when[row] or None, self._now)
        ends: tuple[Span, ...] = ((f"{''.join(cells)}{present.number(best):>6}", ""),)
        ends += ((f"{middle:>7}", "accent" if share is not None else ""), (f"{age:>6} ", "muted"))
        name = clean(table.stem(row), 200)
        if "/" in run_id and len(name) > self._name:  # what tells it from its neighbours is at the end
            name = f"…{name[1 - self._name :]}"
        return Row(run_id, (*left, (name, "")), ends)

    def header(self) -> Row:
        """The names of the columns; the sorted one is marked, and what has no room is counted."""
        listing, sort = self.listing, self.listing.choice.sort
        best, least = ("acc" if name == "accuracy" else clean(name, 6)[:5] for name in listing.leading)

        def head(name: str, key: str, width: int) -> str:
            return f"{name}▾"[-width:].rjust(width) if sort == key else name.rjust(width)

        cells = [f" {head(extra.head, extra.key, extra.width)}" for extra, _ in self._extras]
        missing = len(listing.extras) - len(self._extras)
        more: Span = (f"  +{missing} column{'s' if missing != 1 else ''}" if missing else "", "muted")
        ends = f"{head(best, 'best', 6)}{head(least, 'least', 7)}{head('age', 'newest', 6)} "
        return Row("", (("run▾" if sort == "name" else "run", ""), more), (("".join(cells) + ends, ""),))
