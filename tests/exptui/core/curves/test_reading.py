"""Any file, cut anywhere while it grows, gives what a plain reader of the whole file gives."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exptui.core.curves import follow
from exptui.core.curves.columns import Columns
from exptui.core.curves.follow import Follower
from exptui.core.curves.series import Series
from exptui.core.monitor.readers import jsonl
from exptui.core.monitor.readers.jsonl import JsonLines
from exptui.core.monitor.readers.protocol import NAMED, STEPS, Last
from exptui.core.monitor.readers.table import Csv

Plain = dict[str, dict[float, float]]


def leaves(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            found.update(leaves(value, f"{prefix}{key}."))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            try:
                found[prefix + key] = float(value)
            except OverflowError:
                found[prefix + key] = math.inf if value > 0 else -math.inf
    return found


def plain(data: bytes) -> tuple[Plain, list[int]]:
    """The series of a whole file, line by line, and the numbers of the lines that are none."""
    series: Plain = {}
    bad = []
    *lines, torn = data.split(b"\n")
    for number, line in enumerate([*lines, torn], 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            if line.strip() and number <= len(lines):
                bad.append(number)
            continue
        found = leaves(row)
        step = next((found[s] for s in STEPS if math.isfinite(found.get(s, math.nan))), float(number))
        for name, value in found.items():
            if name not in STEPS:
                series.setdefault(name, {})[step] = value
    return series, bad


def same(series: Mapping[str, Series], expected: Plain) -> bool:
    assert list(series) == list(expected)
    for name, points in expected.items():
        assert repr(list(series[name])) == repr(sorted(points.items())), name
        steps = list(series[name].steps[: len(series[name])])
        assert all(a < b for a, b in pairwise(steps))
    return True


NUMBERS = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 10**400, -(10**400), 5e-324, 1.5, 2**53 + 1, 0.1]),
)
KEYS = st.sampled_from(["loss", "acc", 'ü\n"k\\', "a.b", "b", "epoch", "", "NaN"]) | st.text(max_size=4)
VALUES = st.recursive(
    NUMBERS | st.none() | st.booleans() | st.sampled_from(["x", ": NaN, ", "Infinity"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=3,
)
STEP = st.integers(-3, 9) | st.sampled_from([1.5, 2.0, True, "3", None, math.nan, 10**400])
ROWS = st.builds(lambda row, step: {**step, **row}, st.dictionaries(KEYS, VALUES, max_size=4),
                 st.dictionaries(st.sampled_from(["step", "epoch"]), STEP, max_size=2))  # fmt: skip
OBJECTS = ROWS.map(lambda row: json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
JUNK = st.sampled_from(
    [b"", b"  ", b"{", b"[1]", b'{"a":1}{"a":2}', b'{"a":1', b"\xff", b'"b":2}', b'{"loss":1,"loss":2}', b"null",
     b'{"a":01}', b'{"\\u0061":3}', b"[" * 5000, b'{"a":"\x01"}', b'{"step":1}\r', b'{"a" : 1e999 }', b"\r"]
)  # fmt: skip


@st.composite
def regular(draw: st.DrawFn) -> list[bytes]:
    """Many rows of one shape, the kind that is decoded in one go, now and then with another one between."""
    names = draw(st.lists(KEYS, min_size=1, max_size=3, unique=True))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=len(names), max_size=len(names)))
    count, first = draw(st.integers(1, 12)), draw(st.integers(0, 3))
    odd = draw(st.integers(0, 40))

    def cell(kind: str, at: int) -> str:
        match kind:
            case "text":
                return '"x: NaN, y"' if at == odd else f'"s{at}"'
            case "token":
                return ("NaN", "Infinity", "-Infinity")[at % 3] if at > 4 else repr(at / 7)
            case "stand-in":
                return jsonl.TOKENS[b"NaN"][1].decode() if at == odd else "1"
            case "truth":
                return "true"
        return repr(at / 7)

    rows = []
    for at in range(count):
        pairs = [f"{json.dumps(name)}: {cell(kind, at)}" for name, kind in zip(names, kinds, strict=True)]
        pairs += ['"more": 1'] * (at == odd - 3)
        step = "NaN" if at == odd - 6 else first + at
        rows.append(f'{{"step": {step}, {", ".join(pairs)}}}'.encode())
    if draw(st.booleans()):
        rows.insert(draw(st.integers(0, count)), draw(OBJECTS | JUNK))
    return rows


KINDS = ("float", "text", "token", "stand-in", "truth")
FILES = st.builds(
    lambda parts, end: b"\n".join(line for part in parts for line in part) + end,
    st.lists(st.lists(OBJECTS | JUNK, max_size=6) | regular(), max_size=4),
    st.sampled_from([b"", b"\n", b"\r\n"]),
)


@settings(max_examples=1000)
@given(
    FILES, st.lists(st.floats(0, 1), max_size=4), st.sampled_from([1, 3, 64]), st.sampled_from([40, 1 << 18])
)
@example(b'{"a":1} ' + b"x\n", [0.8], 64, 1 << 18)
@example(b'{"a":1}\n{"a":2}', [], 64, 1 << 18)
@example(
    b'{"step":1,"a":1,"t":"x: NaN, y"}\n{"step":2,"a":%s,"t":""}\n' % jsonl.TOKENS[b"NaN"][1],
    [],
    1,
    1 << 18,
)
def test_any_lines_cut_anywhere(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[float], enough: int, block: int
) -> None:
    path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "ENOUGH", enough)
        patch.setattr(follow, "BLOCK", block)
        follower, ends = Follower(path, Columns, JsonLines), Follower(path, Last, JsonLines)
        for cut in sorted({*(int(cut * len(data)) for cut in cuts), len(data)}):
            path.write_bytes(b"") if not path.exists() else None
            with path.open("r+b") as file:
                file.seek(0, os.SEEK_END)
                file.write(data[file.tell() : cut])
            follower.grow()
            ends.grow()
            expected, bad = plain(data[:cut])
            assert same(follower.sink.snapshot(), expected)
            assert ends.sink.found.keys() == expected.keys()
            for name, points in expected.items():
                assert repr(ends.sink.found[name]) == repr(max(points.items(), key=lambda pair: pair[0]))
            problems = follower.format.problems
            assert problems.named == [f"metrics.jsonl line {n} is not a JSON object" for n in bad[:NAMED]]
            assert problems.more == max(0, len(bad) - NAMED)
            assert follower.share == 1


def grown(path: Path, limit: int | None = None) -> Follower[Columns]:
    follower = Follower(path, Columns, JsonLines if path.suffix == ".jsonl" else Csv)
    follower.grow(limit)
    return follower


def points(follower: Follower[Columns], name: str = "a") -> list[tuple[float, float]]:
    return list(follower.sink.snapshot()[name])


def row(step: int, value: float) -> bytes:
    return f'{{"step": {step}, "a": {value}}}\n'.encode()


def test_a_file_that_is_another_one_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(row(1, 1) + row(2, 2))
    follower = grown(path)
    path.write_bytes(row(3, 3))  # shorter
    follower.grow()
    assert points(follower) == [(3, 3)]
    path.write_bytes(row(4, 4))  # as long as before
    os.utime(path, (1, 1))
    follower.grow()
    assert points(follower) == [(4, 4)]
    (tmp_path / "new").write_bytes(row(4, 4) + row(5, 5))  # another file in its place
    (tmp_path / "new").replace(path)
    follower.grow()
    assert points(follower) == [(4, 4), (5, 5)]
    path.write_bytes(row(9, 4) + row(5, 5) + row(6, 6))  # longer, and not what it began with
    follower.grow()
    assert points(follower) == [(5, 5), (6, 6), (9, 4)]


def test_a_file_that_was_only_touched_is_not_decoded_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(row(1, 1))
    follower = grown(path)
    sink = follower.sink
    os.utime(path, (1, 1))
    follower.grow()
    assert follower.sink is sink
    assert follower.share == 1


def test_a_line_without_end_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "BLOCK", 64)
    monkeypatch.setattr(follow, "LONGEST", 256)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(row(1, 1) + b"x" * 999)
    follower = grown(path)
    with path.open("ab") as file:
        file.write(b"x" * 99 + b"\n" + row(2, 2) + b'{"a": 3}\n')
    follower.grow()
    assert points(follower) == [(1, 1), (2, 2), (4, 3)]
    assert follower.format.problems.texts() == ("metrics.jsonl line 2 is longer than 0 MB",)


def test_a_slice_is_read_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "BLOCK", 64)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(row(at, at) for at in range(100)))
    follower = grown(path, 500)
    assert 0 < follower.share < 1
    assert 10 < len(points(follower)) < 100
    follower.grow(1 << 20)
    assert follower.share == 1
    assert points(follower) == [(at, at) for at in range(100)]


def test_what_was_handed_out_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(row(at, at) for at in range(100)))
    follower = grown(path)
    before = follower.sink.snapshot()["a"]
    with path.open("ab") as file:  # resumed from step 50
        file.writelines(row(at, -at) for at in range(50, 120))
    follower.grow()
    assert list(before) == [(at, at) for at in range(100)]
    assert points(follower) == [(at, at if at < 50 else -at) for at in range(120)]


def test_many_bad_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"x\n" * 1000)
    problems = grown(path).format.problems.texts()
    assert len(problems) == NAMED + 1
    assert problems[-1] == f"metrics.jsonl: {1000 - NAMED} lines more like these"


def test_a_table_with_gaps_texts_and_other_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(
        b'\xef\xbb\xbfepoch,loss, val loss ,name\r\n1,0.5,,x\r\n2,nan,0.25,"y,z"\r\n\r\n3,1\r\n4,inf,1,a"b\r\n5,7'
    )
    follower = grown(path)
    found = {name: repr(list(one)) for name, one in follower.sink.snapshot().items()}
    assert found == {"loss": "[(1.0, 0.5), (2.0, nan), (4.0, inf)]", "val loss": "[(2.0, 0.25), (4.0, 1.0)]"}
    assert follower.format.problems.texts() == ("metrics.csv line 5 has 2 cells, not 4",)
    with path.open("ab") as file:
        file.write(b",8,b\n")
    follower.grow()
    assert points(follower, "loss")[-1] == (5, 7)


CELLS = st.sampled_from(["", " ", "1", "-2.5", "nan", "inf", "x", '"a,b"', "1e999", '"3"', "7 "])


@settings(max_examples=1000)
@given(
    st.sampled_from(["step,a,b,a", "a,epoch,step,c", "a,b,c,d"]),
    st.lists(st.lists(CELLS, min_size=4, max_size=4) | st.lists(CELLS, max_size=5), max_size=9),
    st.lists(st.lists(st.integers(-3, 9).map(str), min_size=4, max_size=4), max_size=20),
    st.integers(0, 400),
)
def test_a_table_cut_anywhere(
    tmp_path_factory: pytest.TempPathFactory, head: str, odd: list[list[str]], even: list[list[str]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("run") / "progress.csv"
    lines = [head, *(",".join(cells) for cells in [*odd, *even])]
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(data[:cut])
    follower = grown(path)
    with path.open("ab") as file:
        file.write(data[cut:])
    follower.grow()
    expected: Plain = {}
    for number, line in enumerate(lines[1:], 1):
        cells = next(csv.reader([line]), [])
        if len(cells) != 4 or not line.strip():
            continue
        row = {
            name: float(cell) for name, cell in zip(head.split(","), cells, strict=True) if number_like(cell)
        }
        step = next((row[s] for s in STEPS if math.isfinite(row.get(s, math.nan))), float(number))
        for name, value in row.items():
            if name not in STEPS:
                expected.setdefault(name, {})[step] = value
    assert same(follower.sink.snapshot(), expected)


def number_like(cell: str) -> bool:
    return cell.strip().lstrip("-").replace(".", "").isdigit() or cell.strip() in ("nan", "inf", "1e999")
