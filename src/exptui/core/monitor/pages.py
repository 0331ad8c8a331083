"""Rows of a table as they are kept: each column as the bytes of its array, so that 100,000 runs are there in an instant."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from typing import Any

import msgspec

from exptui.core.monitor.columns import Coded, Column, Numbers, Table, coded


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A column: numbers and which rows have one, or codes and the values they stand for."""

    data: bytes
    there: bytes = b""
    values: tuple[Any, ...] | None = None


class Page(msgspec.Struct, frozen=True, array_like=True):
    """Some rows of a table."""

    ids: bytes
    states: bytes
    shortened: bytes
    queued: bytes
    when: bytes
    folders: bytes
    files: bytes
    stems: dict[int, str]
    config: dict[str, Kept]
    metrics: dict[str, Kept]


def page_of(table: Table, rows: Sequence[int]) -> Page:
    """These rows."""

    def taken(column: Any) -> bytes:
        return array(column.typecode, map(column.__getitem__, rows)).tobytes()

    return Page(
        os.fsencode("\0".join(map(table.ids.__getitem__, rows))),
        bytes(map(table.states.__getitem__, rows)),
        bytes(map(table.shortened.__getitem__, rows)),
        taken(table.queued),
        taken(table.when),
        taken(table.folders),
        taken(table.files),
        {at: table.stems[row] for at, row in enumerate(rows) if row in table.stems},
        {key: kept for key, column in table.config.items() if (kept := _kept(column, rows))},
        {key: kept for key, column in table.metrics.items() if (kept := _kept(column, rows))},
    )


def _kept(column: Column, rows: Sequence[int]) -> Kept | None:
    """None where no row has a value."""
    if isinstance(column, Numbers):
        there = bytes(map(column.there.__getitem__, rows))
        values = array("d", map(column.values.__getitem__, rows))
        return Kept(values.tobytes(), there) if 1 in there else None
    codes = list(map(column.codes.__getitem__, rows))
    used = sorted({0, *codes})
    new = {code: at for at, code in enumerate(used)}
    known = tuple(map(column.values.__getitem__, used))
    return Kept(array("I", map(new.__getitem__, codes)).tobytes(), b"", known) if len(used) > 1 else None


def add(table: Table, page: Page) -> None:
    """Add its rows; a run that is in the table already stays as it is there."""
    first, ids = len(table), os.fsdecode(page.ids).split("\0")
    for key, kept in page.config.items():
        table.config[key] = _extended(table.config.get(key), kept, first)
    for key, kept in page.metrics.items():
        column = table.metrics.setdefault(key, Numbers(first))
        column.values.frombytes(kept.data)
        column.there.extend(kept.there)
    table.states.extend(page.states)
    table.shortened.extend(page.shortened)
    table.queued.frombytes(page.queued)
    table.when.frombytes(page.when)
    table.folders.frombytes(page.folders)
    table.files.frombytes(page.files)
    table.stems.update((first + at, stem) for at, stem in page.stems.items())
    for each in (*table.config.values(), *table.metrics.values()):
        each.pad(first + len(ids))
    table.ids.extend(ids)
    new = dict(zip(ids, range(first, len(table)), strict=True))
    table.rows.update(new if table.rows.keys().isdisjoint(new) else {**new, **table.rows})


def _extended(column: Column | None, kept: Kept, first: int) -> Column:
    if kept.values is None:
        column = column or Numbers(first)
        values = array("d", kept.data)
        if isinstance(column, Numbers):
            column.values.extend(values)
            column.there.extend(kept.there)
            return column
        for at, value in enumerate(values):
            column.extend([value]) if kept.there[at] else column.pad(first + at + 1)
        return column
    column = coded(column) if isinstance(column, Numbers) else column or Coded(first)
    codes, new = array("I", kept.data), [0, *map(column.code, kept.values[1:])]
    column.codes.extend(codes if new == list(range(len(new))) else array("I", map(new.__getitem__, codes)))
    return column
