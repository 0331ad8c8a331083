"""Event files from records made by hand: what is skipped, what is damaged, and kinds of tensors."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.core.curves import follow
from exptui.core.monitor import metrics
from exptui.core.monitor.readers.events import LARGE, crc32c, masked, scalars

Rows = list[tuple[int, str, float]]


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(crc32c(length))) + data + struct.pack("<I", masked(crc32c(data)))


def varint(number: int) -> bytes:
    data = b""
    while number > 127:
        data, number = data + bytes([number & 127 | 128]), number >> 7
    return data + bytes([number])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def event(step: int, *values: bytes) -> bytes:
    return (
        b"\x09"
        + bytes(8)
        + b"\x10"
        + varint(step % 2**64)
        + field(5, b"".join(field(1, one) for one in values))
    )


def simple(tag: str, value: float) -> bytes:
    return field(1, tag.encode()) + b"\x15" + struct.pack("<f", value)


def tensor(tag: str, proto: bytes, plugin: str = "scalars") -> bytes:
    return field(1, tag.encode()) + field(8, proto) + field(9, field(1, field(1, plugin.encode())))


def write(directory: Path, data: bytes) -> Path:
    path = directory / "events.out.tfevents.1"
    path.write_bytes(data)
    return path


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_a_large_record_is_left_out_and_what_follows_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "BLOCK", LARGE + 100)
    picture = record(event(1, field(1, b"picture") + field(4, bytes(5 * LARGE))))
    data = record(event(0, simple("a", 1))) + picture + record(event(2, simple("a", 3)))
    path = write(tmp_path, b"")
    reader = metrics.Reader(tmp_path)
    for start in range(0, len(data), LARGE - 7):
        with path.open("ab") as file:
            file.write(data[start : start + LARGE - 7])
        reader.read()
    assert list(metrics.read(tmp_path).series["a"]) == [(0, 1), (2, 3)]
    assert reader.read() == metrics.Metrics({"a": 3.0}, 2)


def test_behind_damage_the_next_record_is_found(tmp_path: Path) -> None:
    records = [record(event(step, simple("a", step))) for step in range(9)]
    records[3] = b"\xff" * 5 + records[3][5:]  # the head
    records[6] = records[6][:20] + b"\xff" + records[6][21:]
    write(tmp_path, b"".join(records) + bytes(3000))
    found = metrics.read(tmp_path)
    assert [step for step, _ in found.series["a"]] == [0, 1, 2, 4, 5, 7, 8]
    assert found.problems == tuple(
        f"events.out.tfevents.1 record {number} {what}"
        for number, what in (
            (4, "has a damaged head"),
            (7, "does not match its checksum"),
            (10, "has a damaged head"),
        )
    )


def test_files_of_one_place_are_one(tmp_path: Path) -> None:
    for name, steps in (("1700000000.b", range(5)), ("1700000009.a", range(3, 8))):
        data = b"".join(record(event(step, simple("a", len(name) + step))) for step in steps)
        (tmp_path / f"events.out.tfevents.{name}").write_bytes(data)
    assert [step for step, _ in metrics.read(tmp_path).series["a"]] == list(range(8))


@pytest.mark.parametrize(
    ("proto", "value"),
    [
        (b"\x08\x01" + field(2, b"") + field(4, struct.pack("<f", 0.5)), 0.5),
        (b"\x08\x02" + field(4, struct.pack("<d", 0.1)), 0.1),
        (b"\x08\x01" + field(5, struct.pack("<f", 0.5)), 0.5),
        (b"\x08\x01" + b"\x2d" + struct.pack("<f", 0.5), 0.5),
        (b"\x08\x02" + field(6, struct.pack("<d", 0.1)), 0.1),
        (b"\x08\x03" + b"\x38" + varint(7), 7),
        (b"\x08\x03" + field(7, varint(2**64 - 7)), -7),
        (b"\x08\x09" + field(10, varint(2**40)), 2.0**40),
        (
            b"\x08\x01" + field(2, field(2, b"\x08\x01")) + field(4, struct.pack("<f", 0.5)),
            0.5,
        ),  # of shape [1]
        (b"\x08\x01" + field(2, field(2, b"\x08\x02")) + field(4, struct.pack("<2f", 1, 2)), None),
        (b"\x08\x07" + field(8, b"text"), None),
        (b"", None),
    ],
)
def test_a_tensor_of_one_number_is_a_scalar(proto: bytes, value: float | None) -> None:
    expected = {} if value is None else {"a": value}
    assert scalars(event(-2, tensor("a", proto))) == (-2, expected)
    assert scalars(event(-2, tensor("a", proto, "histograms"))) == (-2, {})


@settings(max_examples=1000)
@given(
    st.lists(
        st.tuples(st.integers(-(2**63), 2**63 - 1), st.sampled_from("ab"), st.floats(width=32)), max_size=9
    ),
    st.sets(st.integers(0, 8)),
    st.integers(0, 60),
)
def test_what_is_whole_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows, damaged: set[int], torn: int
) -> None:
    parts = []
    for number, (step, tag, value) in enumerate(rows):
        data = bytearray(record(event(step, simple(tag, value))))
        if number in damaged:
            data[-6] ^= 1
        parts.append(bytes(data))
    whole = b"".join(parts)
    path = write(tmp_path_factory.mktemp("run"), whole[: len(whole) - torn] if torn else whole)
    left = [len(b"".join(parts[: number + 1])) <= len(whole) - torn for number in range(len(rows))]
    expected = dict[str, dict[float, float]]()
    for number, (step, tag, value) in enumerate(rows):
        if left[number] and number not in damaged:
            expected.setdefault(tag, {})[float(step)] = value
    found = metrics.read(path.parent)
    assert {name: repr(list(one)) for name, one in found.series.items()} == {
        name: repr(sorted(points.items())) for name, points in expected.items()
    }
    assert len(found.problems) == sum(left[number] for number in damaged if number < len(rows))
