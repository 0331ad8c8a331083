"""Runs as columns: what goes in comes out, a filter over columns is the filter over facts, numbers without series are the numbers."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from exptui.core.monitor import metrics
from exptui.core.monitor.catalog import ordered
from exptui.core.monitor.columns import Entry, Numbers, Table
from exptui.core.monitor.filter import arranged, matches, passing
from exptui.core.monitor.pages import Page, add, page_of
from exptui.core.monitor.run_rows import RunRow
from exptui.core.monitor.summary import summary
from exptui.core.runs.run import RunState, RunView

KEYS = st.sampled_from(["model.layers", "lr", "a.lr", "name", "loss", "id", "state"])
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(0, 3), st.floats(), st.booleans(), st.text(max_size=3)
)
ENTRIES = st.builds(
    Entry,
    st.uuids().map(str),
    st.sampled_from(["a", "b"]),
    st.sampled_from(RunState),
    st.floats(0, 10),
    st.floats(0, 10),
    st.dictionaries(KEYS, VALUES, max_size=5),
    st.dictionaries(KEYS, st.floats(), max_size=4),
    shortened=st.booleans(),
)
QUERIES = st.one_of(
    st.sampled_from(
        [
            "",
            "lr>0",
            "loss!=1",
            "name:a",
            "a.lr",
            "lr:",
            "state:fin",
            "id:0 loss<1",
            "1",
            "true",
            "state=lost",
        ]
    ),
    st.builds(
        "{}{}{}".format,
        KEYS,
        st.sampled_from(["<", ">=", "=", "!=", ":"]),
        st.one_of(st.integers(0, 3), st.text(max_size=2)),
    ),
)


@given(st.lists(ENTRIES, max_size=12))
def test_what_goes_in_comes_out_with_its_type(entries: list[Entry]) -> None:
    table = Table()
    rows = [table.add(entry) for entry in entries]
    for row, entry in zip(rows, entries, strict=True):
        found = table.entry(row)
        assert repr(sorted(found.flat.items())) == repr(sorted(entry.flat.items()))
        assert repr(sorted(found.final.items())) == repr(sorted(entry.final.items()))
        assert found.cells[:5] == entry.cells[:5]


@given(st.lists(ENTRIES, max_size=12), QUERIES, st.sets(st.integers(0, 11)))
@example([], "anything", set())
def test_a_filter_over_columns_is_the_filter_over_facts(
    entries: list[Entry], query: str, tagged: set[int]
) -> None:
    table = Table()
    rows = [table.add(entry) for entry in entries]
    said = {entries[at].run_id: {"loss.tag": "loss"} for at in tagged if at < len(entries)}

    def told(entry: Entry) -> dict[str, Any]:
        more = said.get(entry.run_id, {})
        return {**entry.flat, **entry.final, **more, "id": entry.run_id, "state": entry.state.value}

    for words in (query, "tag:loss", f"{query} tag=loss"):
        found = list(passing(words, table, rows, said))
        assert found == [matches(words, told(entry)) for entry in entries]


@given(st.lists(ENTRIES, max_size=8), KEYS, st.booleans())
def test_an_order_over_columns_is_the_order_of_facts(entries: list[Entry], sort: str, reverse: bool) -> None:
    table = Table()
    for entry in entries:  # no two keys that end alike: which of them counts is told by the order of a config
        flat, final = (
            {key: value for key, value in sorted(one.items()) if key != "a.lr"}
            for one in (entry.flat, entry.final)
        )
        table.add(replace(entry, flat=flat, final=final))
    rows = [
        RunRow(
            RunView(id_, Path(), table.state(row), None), table.flat(row), table.final(row), None, None, 0.0
        )
        for row, id_ in enumerate(table.ids)
    ]
    wanted = ordered(rows, sort, reverse=reverse)
    found = arranged(table, range(len(table)), sort, reverse=reverse)
    assert [table.ids[row] for row in found] == [row.run_id for row in wanted]


NUMBERS = st.one_of(
    st.floats(), st.integers(), st.just(10**400), st.none(), st.booleans(), st.text(max_size=2)
)
ROWS = st.dictionaries(
    st.sampled_from(["loss", "acc", "x.y", "step", "epoch", "epochs"]),
    st.one_of(NUMBERS, st.dictionaries(st.sampled_from(["y", "z"]), NUMBERS, max_size=2)),
    max_size=4,
)
PLAIN = st.lists(
    st.dictionaries(
        st.sampled_from(["loss", "acc", "note"]),
        st.one_of(st.floats(allow_nan=False), st.text(max_size=2)),
        max_size=3,
    )
)
LINES = st.one_of(
    st.lists(ROWS, max_size=6).map(lambda rows: [json.dumps(row) for row in rows]),
    PLAIN.map(lambda rows: [json.dumps({"step": at, **row}) for at, row in enumerate(rows)]),
    st.lists(st.sampled_from(["", "nonsense", '{"step": 1, "loss": 2}', "[1]"]), max_size=4),
)


@given(LINES, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.one_of(st.none(), ROWS))
@example(['{"step": 9007199254740992, "loss": 1}', '{"step": 9007199254740993, "loss": 2}'], "\n", True, None)
@example([json.dumps({"step": 10**400, "epoch": 3, "loss": 1})], "\n", True, None)
def test_numbers_without_series_are_the_numbers(
    lines: list[str], end: str, ended: bool, report: dict[str, Any] | None
) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "metrics.jsonl").write_text(end.join(lines) + (end if ended else ""), newline="")
        if report is not None:
            (directory / "metrics.json").write_text(json.dumps(report))
        expected = metrics.read(directory)
        final, step = summary(directory)
        assert (repr(sorted(final.items())), step) == (repr(sorted(expected.final.items())), expected.step)


@given(st.lists(ENTRIES, min_size=1, max_size=12), st.lists(ENTRIES, max_size=6), st.data())
def test_a_page_holds_its_rows_and_known_runs_stay_as_they_are(
    entries: list[Entry], others: list[Entry], data: st.DataObject
) -> None:
    table, copy = Table(), Table()
    rows = [table.add(entry) for entry in entries]
    some = data.draw(st.lists(st.sampled_from(rows), min_size=1, unique=True))
    known = [replace(one, run_id=table.ids[some[0]]) for one in others[:1]] + others[1:]
    for entry in known:
        copy.add(entry)
    before = {run_id: repr(copy.entry(row)) for run_id, row in copy.rows.items()}
    page = msgspec.msgpack.decode(msgspec.msgpack.encode(page_of(table, some)), type=Page)
    add(copy, page)
    for row in some:
        entry = table.entry(row)
        found = copy.entry(copy.rows[entry.run_id])
        if entry.run_id in before:
            assert repr(found) == before[entry.run_id]
            continue
        assert repr(sorted(found.flat.items())) == repr(sorted(entry.flat.items()))
        assert repr(sorted(found.final.items())) == repr(sorted(entry.final.items()))
        assert repr(replace(found, flat={}, final={})) == repr(replace(entry, flat={}, final={}))
    assert {len(column) for column in columns_of(copy)} == {len(copy)}


def columns_of(table: Table) -> list[Any]:
    """Everything that has a place for each row."""
    found: list[Any] = [table.ids, table.states, table.shortened, table.queued, table.when, table.folders]
    for column in (*table.config.values(), *table.metrics.values()):
        found += [column.values, column.there] if isinstance(column, Numbers) else [column.codes]
    return [*found, table.files]
