"""Texts with holes: what was declared is cut out, everything else is compared byte by byte."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.core.audit.fields import Cut, Hole, cut

MANY = settings(max_examples=1000, deadline=None)
FLAT = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
VALUES = st.recursive(
    FLAT,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=12,
)
ROWS = st.lists(st.lists(st.text(max_size=5) | st.floats().map(repr), min_size=3, max_size=3), max_size=4)


def never(_: str) -> bool:
    return False


def always(_: str) -> bool:
    return True


def joined(found: Cut) -> str:
    """The text again, with what was in the holes."""
    holes = iter(found.holes)
    return "".join(next(holes).text if part is None else part for part in found.parts)


@MANY
@given(VALUES, st.booleans(), st.integers(0, 2))
def test_json_is_taken_apart_without_a_loss(value: object, numbers: bool, indent: int) -> None:
    text = json.dumps(value, indent=indent or None)
    found = cut(text.encode(), ".json", (), always if numbers else never)
    assert joined(found) == text
    assert all(isinstance(json.loads(hole.text), int | float) for hole in found.holes)
    if not numbers:
        assert not found.holes


@MANY
@given(st.lists(VALUES, max_size=4))
def test_lines_of_json_are_taken_apart_without_a_loss(values: list[Any]) -> None:
    text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    assert joined(cut(text.encode(), ".jsonl", (), always)) == text


@MANY
@given(ROWS, st.sampled_from(["\n", "\r\n"]), st.sampled_from([".csv", ".tsv"]))
def test_tables_are_taken_apart_without_a_loss(rows: list[list[str]], end: str, suffix: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",", lineterminator=end)
    writer.writerows([["a", "b,\tc", 'd"'], *rows])
    text = file.getvalue()
    assert joined(cut(text.encode(), suffix, (), always)) == text
    left = cut(text.encode(), suffix, ("b,\tc",), never)
    assert [hole.name for hole in left.holes] == ["b,\tc"] * len(rows)
    assert joined(left) == text


@MANY
@given(st.binary(max_size=60), st.sampled_from([".json", ".jsonl", ".csv", ".tsv"]))
def test_any_bytes_are_taken_apart_or_refused(data: bytes, suffix: str) -> None:
    try:
        found = cut(data, suffix, ("a",), always)
    except ValueError:
        return
    assert joined(found).encode() == data


@pytest.mark.parametrize(
    ("suffix", "text", "fields", "holes", "kept"),
    [
        (".json", '{"at": 1, "n": {"at": 2}}', ("at",), ["1"], 1),
        (".json", '{"at": 1, "n": {"at": 2}}', ("*at",), ["1", "2"], 0),
        (".json", '{"log": [{"t": 1, "x": 2}, {"t": 3}]}', ("log.t",), ["1", "3"], 1),
        (".json", '[{"t": {"a": [1]}}]', ("t",), ['{"a": [1]}'], 0),
        (".json", '{"a[0]": 1, "b": 2}', ("a[0]",), ["1"], 1),
        (".json", "[]", ("t",), [], 0),
        (".jsonl", '{"t": 1}\n\n{"t": 2, "x": "\u2028"}\n', ("t",), ["1", "2"], 1),
        (".csv", "t,x\n1,2\n3,\n", ("t",), ["1", "3"], 1),
        (".csv", 't,"x"\r\n"1\n,""",2', ("t",), ['"1\n,"""'], 1),
        (".tsv", "t\tx\n1\t2", ("x",), ["2"], 1),
        (".csv", "", ("x",), [], 0),
    ],
)
def test_what_is_cut_out(
    suffix: str, text: str, fields: tuple[str, ...], holes: list[str], kept: int
) -> None:
    found = cut(text.encode(), suffix, fields, never)
    assert ([hole.text for hole in found.holes], found.kept) == (holes, kept)


def test_only_numbers_are_cut_out_as_numbers() -> None:
    text = '{"a": 1, "b": true, "c": "1", "d": null, "e": NaN, "t": 5, "f": [1e999]}'
    found = cut(text.encode(), ".json", ("t",), always)
    numbers = [("a", "1", True), ("e", "NaN", True), ("t", "5", False), ("f", "1e999", True)]
    assert found.holes == [Hole(*one) for one in numbers]
    table = cut(b"a,b\n1,x\n,nan\n", ".csv", (), always)
    assert [(hole.name, hole.text) for hole in table.holes] == [("a", "1"), ("b", "nan")]


def test_a_hole_is_not_an_empty_cell() -> None:
    """Else a number that moved to another row would not be seen."""
    one, two = (cut(text, ".csv", (), always) for text in (b"a\n5\n\n", b"a\n\n5\n"))
    assert one.holes == two.holes
    assert one.parts != two.parts


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".json", '{"a": 1, "a": 2}'), (".json", '{"a": 1'), (".json", ""), (".json", "[" * 100_000), (".json", "\xff"),
        (".jsonl", '{"a": 1}\n{"a"'), (".csv", "a,a\n1,2\n"), (".csv", "a\n1,2\n"), (".csv", 'a\n"1\n'), (".csv", 'a\n1"2\n'),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_apart(suffix: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        cut(text.encode("latin-1"), suffix, (), never)
