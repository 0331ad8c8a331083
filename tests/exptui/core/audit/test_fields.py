"""Texts in pieces: no byte is lost, and each value has its name."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.core.archive import manifest as mf
from exptui.core.audit.compare import FileAudit, compare_files
from exptui.core.audit.fields import Piece, pieces
from exptui.core.settings import TrainerSettings
from exptui.core.tolerance import Bound, Tolerances

MANY = settings(max_examples=1000, deadline=None)
FLAT = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
VALUES = st.recursive(
    FLAT,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=12,
)
ROWS = st.lists(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=5) | st.floats().map(repr),
        min_size=3,
        max_size=3,
    ),
    max_size=4,
)


def never(_: str) -> bool:
    return False


def always(_: str) -> bool:
    return True


def taken(
    data: bytes, suffix: str, fields: tuple[str, ...] = (), numbers: Callable[[str], bool] = always
) -> list[Piece]:
    found = list(pieces(data, suffix, fields, numbers))
    assert "".join(one.text for one in found).encode() == data
    return found


@MANY
@given(VALUES, st.booleans(), st.integers(0, 2))
def test_json_is_taken_apart_without_a_loss(value: object, numbers: bool, indent: int) -> None:
    found = taken(
        json.dumps(value, indent=indent or None).encode(), ".json", (), always if numbers else never
    )
    kinds = {type(json.loads(one.text)) for one in found if one.how == "number"}
    assert kinds <= ({int, float} if numbers else set())
    assert all(one.text.strip(" \n,:[]{}")[:1] in ("", '"') for one in found if one.how == "text")


@MANY
@given(st.lists(VALUES, max_size=4))
def test_lines_of_json_are_taken_apart_without_a_loss(values: list[Any]) -> None:
    text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    taken(text.encode(), ".jsonl")


@MANY
@given(ROWS, st.sampled_from(["\n", "\r\n"]), st.sampled_from([".csv", ".tsv"]))
def test_tables_are_taken_apart_without_a_loss(rows: list[list[str]], end: str, suffix: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",", lineterminator=end)
    writer.writerows([["a", "b,\tc", 'd"'], *rows])
    found = taken(file.getvalue().encode(), suffix, ("b,\tc",))
    assert [one.name for one in found if one.how == "volatile"] == ["b,\tc"] * len(rows)


@MANY
@given(st.binary(max_size=60), st.sampled_from([".json", ".jsonl", ".csv", ".tsv"]))
def test_any_bytes_are_taken_apart_or_refused(data: bytes, suffix: str) -> None:
    with contextlib.suppress(ValueError):
        taken(data, suffix, ("a",))


@pytest.mark.parametrize(
    ("suffix", "text", "fields", "volatile", "values"),
    [
        (".json", '{"at": 1, "n": {"at": 2}}', ("at",), ["1"], ["2"]),
        (".json", '{"at": 1, "n": {"at": 2}}', ("*at",), ["1", "2"], []),
        (".json", '{"log": [{"t": 1, "x": 2}, {"t": 3}]}', ("log.t",), ["1", "3"], ["2"]),
        (".json", '[{"t": {"a": [1]}}]', ("t",), ['{"a": [1]}'], []),
        (".json", '{"a[0]": 1, "b": 2}', ("a[0]",), ["1"], ["2"]),
        (".json", "[ ]", ("t",), [], []),
        (".jsonl", '{"t": 1}\n\n{"t": 2, "x": "\u2028"}\n', ("t",), ["1", "2"], ['"\u2028"']),
        (".csv", "t,x\n1,2\n3,\n", ("t",), ["1", "3"], ["2", ""]),
        (".csv", 't,"x"\r\n"1\n,""",2', ("t",), ['"1\n,"""'], ["2"]),
        (".tsv", "t\tx\n1\t2", ("x",), ["2"], ["1"]),
        (".csv", "", ("x",), [], []),
    ],
)
def test_what_is_what(
    suffix: str, text: str, fields: tuple[str, ...], volatile: list[str], values: list[str]
) -> None:
    found = taken(text.encode(), suffix, fields, never)
    assert [one.text for one in found if one.how == "volatile"] == volatile
    assert [one.text for one in found if one.how == "value"] == values


def test_only_numbers_are_compared_as_numbers() -> None:
    text = b'{"a": 1, "b": true, "c": "1", "d": null, "e": NaN, "t": 5, "f": [1e999]}'
    found = taken(text, ".json", ("t",))
    assert [one.text for one in found if one.how == "number"] == ["1", "NaN", "1e999"]
    table = taken(b"a,b\n1,x\n,nan\n", ".csv")
    assert [(one.name, one.text) for one in table if one.how == "number"] == [("a", "1"), ("b", "nan")]


def audit(tmp_path: Path, name: str, ours: bytes, theirs: bytes, declared: TrainerSettings) -> FileAudit:
    sides = []
    for side, data in (("a", ours), ("b", theirs)):
        (tmp_path / side).mkdir(exist_ok=True)
        (tmp_path / side / name).write_bytes(data)
        sides.append((tmp_path / side, mf.scan(tmp_path / side)))
    (found,) = compare_files(sides[0], sides[1], declared)
    return found


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "status", "detail"),
    [
        ("m.csv", b"a\n5\n\n", b"a\n\n5\n", "differs", "something else"),
        ("m.csv", b"a\n1.0\n", b"a\n1.25\n", "agrees", ""),
        ("m.csv", b"a\n1.0\n", b"a\n1.75\n", "differs", "a 1.0 → 1.75"),
        ("m.csv", b"a\n1.0\n", b"a\n1.25\n2\n", "differs", "something else"),
        ("m.csv", b"a,b\n1,x\n", b"a,b\n1,y\n", "differs", "b x → y"),
        ("m.csv", b"a\n1.0\n", b"a\n1.0\r\n", "differs", "something else"),
        ("m.tsv", b"t\tx\n1\t2\n", b"t\tx\n3\t2\n", "equal except declared", ""),
        ("m.csv", b"t\n1\n", b"t\n3\n", "not compared", ""),
        ("m.csv", b"t,x\n1,\n", b"t,x\n3,\n", "not compared", ""),
        ("m.json", b'{"a": 1}', b'{"a": 1.0}', "agrees", ""),
        ("m.json", b'{"a": 1}', b'{"a": true}', "differs", "something else"),
        ("m.json", b'{"a": 1}', b'{"a": null}', "differs", "something else"),
        ("m.json", b'{"a": NaN}', b'{"a": 1}', "differs", "a NaN → 1"),
        ("m.json", b'{"a": [1, 2]}', b'{"a": [1, 2, 2]}', "differs", "something else"),
        ("m.json", b'{"a": 0.0, "t": 1}', b'{"a": -0.0, "t": [2]}', "agrees", ""),
        ("m.jsonl", b'{"a": 1}\n{"a": 2}\n', b'{"a": 1}\n{"a": 2', "differs", "not read: "),
        ("m.txt", b"a 1.0", b"a 1.1", "differs", ""),
    ],
)  # fmt: skip
def test_a_file(tmp_path: Path, name: str, ours: bytes, theirs: bytes, status: str, detail: str) -> None:
    bounds = Tolerances(metrics={"*": Bound(abs=0.5)})
    found = audit(
        tmp_path,
        name,
        ours,
        theirs,
        TrainerSettings(volatile={"*": ("t",)} if name != "m.txt" else {}, tolerance=bounds),
    )
    assert found.status == status
    assert found.detail.startswith(detail)
    assert (found.offset is None) is (status != "differs")


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".json", '{"a": 1, "a": 2}'), (".json", '{"a": 1'), (".json", "[" * 100_000), (".json", "\xff"),
        (".jsonl", '{"a": 1}\n{"a"'), (".csv", "a,a\n1,2\n"), (".csv", "a\n1,2\n"), (".csv", 'a\n"1\n'), (".csv", 'a\n1"2\n'),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_apart(suffix: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(pieces(text.encode("latin-1"), suffix, (), never))
