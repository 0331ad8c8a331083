"""The chronicle: what is written comes back, and no damage passes for truth."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui import chronicle
from exptui.chronicle import Chronicle, CycleRecord, Phase, Status, Writer
from exptui.chronicle.records import stored_values
from exptui.core.errors import CorruptError

CONFIG = "ab" * 32
NAMES = ("accuracy", "gnorm")
MARK = "cd" * 32


def _record(cycle: int, loss: float | None = None) -> CycleRecord:
    value = 2.0 / (cycle + 1) if loss is None else loss
    signature = (value, -1.5, float(cycle)) if cycle % 3 == 0 else None
    return CycleRecord(
        cycle=cycle,
        phase=Phase(cycle % 3),
        loss=value,
        metrics=(value / 3, -value),
        seed_state=2**63 + cycle,
        coherence=value * 7 if cycle % 2 else None,
        tensor_signature=signature,
        action_code=-cycle if cycle % 4 == 0 else None,
    )


def _run(directory: Path, cycles: range, *, seal: bool = True, mark: int = 4) -> bytes:
    writer = Writer.create(directory, CONFIG, NAMES)
    _go_on(writer, cycles, mark)
    if seal:
        writer.seal()
        return (directory / "chronicle.cmeta").read_bytes()
    writer.close()
    return (directory / "chronicle.cmeta.open").read_bytes()


def _go_on(writer: Writer, cycles: range, mark: int = 4) -> None:
    for cycle in cycles:
        writer.append(_record(cycle, math.nan if cycle == 7 else None))
        if cycle == mark:
            writer.checkpoint(cycle, MARK)


def _write_all(records: list[CycleRecord]) -> Chronicle:
    with tempfile.TemporaryDirectory() as name:
        writer = Writer.create(Path(name), CONFIG, NAMES)
        for record in records:
            writer.append(record)
        writer.seal()
        found = chronicle.read_for(Path(name))
    assert found is not None
    return found


def _comes_back(wrote: list[float], got: list[float]) -> None:
    raw = any(not abs(value * 1e6) <= 2**62 for value in wrote)
    for a, b in zip(wrote, got, strict=True):
        if raw:
            assert repr(a) == repr(b)
        else:
            assert b == round(a * 1e6) / 1e6


RECORDS = st.builds(
    CycleRecord,
    cycle=st.integers(0, 2**63 - 1) | st.integers(0, 200),
    phase=st.sampled_from(Phase),
    loss=st.floats() | st.floats(-10, 10),
    metrics=st.tuples(st.floats() | st.floats(-10, 10), st.floats(-1, 1)),
    seed_state=st.integers(0, 2**64 - 1),
    coherence=st.none() | st.floats(),
    tensor_signature=st.none() | st.tuples(*[st.floats(width=32)] * 3),
    action_code=st.none() | st.integers(-(2**63), 2**63 - 1),
    exact_digest=st.just(b"") | st.binary(min_size=8, max_size=8),
)


def test_crc_check_value() -> None:
    assert chronicle.crc64(b"123456789") == 0x995DC9BBDF1939FA


@settings(max_examples=60, deadline=None)
@given(st.lists(RECORDS, max_size=8))
def test_what_is_written_comes_back(records: list[CycleRecord]) -> None:
    found = _write_all(records)
    assert (found.status, found.problem) == (Status.SEALED, "")
    assert (found.config_sha256, found.metric_names) == (CONFIG, NAMES)
    for wrote, got in zip(records, found.records, strict=True):
        assert (got.cycle, got.phase, got.seed_state) == (wrote.cycle, wrote.phase, wrote.seed_state)
        assert got.action_code == wrote.action_code
        assert got.exact_digest == (wrote.exact_digest or chronicle.exact_digest(wrote))
        assert repr(got.tensor_signature) == repr(wrote.tensor_signature)
        assert (got.coherence is None) == (wrote.coherence is None)
        _comes_back(stored_values(wrote), stored_values(got))


def test_key_and_delta_frames(tmp_path: Path) -> None:
    data, at, kinds = _run(tmp_path, range(60, 67), seal=False, mark=-1), 10, []
    while at < len(data):
        kinds.append(data[at])
        at += 11 + int.from_bytes(data[at + 1 : at + 3], "little")
    assert kinds == [1, 2, 3, 3, 3, 2, 3, 3]


def test_every_cut_gives_a_valid_prefix(tmp_path: Path) -> None:
    data = _run(tmp_path, range(10), seal=False)
    whole = chronicle.decode(data)
    assert (whole.status, len(whole.records), whole.valid_bytes) == (Status.OPEN, 10, len(data))
    for size in range(len(data)):
        found = chronicle.decode(data[:size])
        assert found.status in {Status.TORN, Status.OPEN}
        assert (found.status is Status.OPEN) == (found.valid_bytes == size and size > 10)
        assert bool(found.problem) == (found.status is Status.TORN)
        assert repr(found.records) == repr(whole.records[: len(found.records)])


def test_any_flipped_bit_of_a_sealed_file_is_seen(tmp_path: Path) -> None:
    data = _run(tmp_path, range(9))
    assert chronicle.decode(data).status is Status.SEALED
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert chronicle.decode(bytes(flipped)).status is Status.CORRUPT
    for changed in (data[:-1], data + b"\0", data[:-8]):
        assert chronicle.decode(changed).status is Status.CORRUPT


def test_a_valid_frame_behind_a_bad_one_is_damage(tmp_path: Path) -> None:
    data = _run(tmp_path, range(5), seal=False, mark=-1)
    last = chronicle.decode(data[:-1]).valid_bytes
    for at in range(10, len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 0x10
        expected = Status.CORRUPT if at < last else Status.TORN
        assert chronicle.decode(bytes(flipped)).status is expected


def test_a_sealed_name_on_an_open_file_is_damage(tmp_path: Path) -> None:
    _run(tmp_path, range(3), seal=False)
    assert chronicle.read(tmp_path / "chronicle.cmeta.open").status is Status.OPEN
    (tmp_path / "chronicle.cmeta.open").rename(tmp_path / "chronicle.cmeta")
    assert chronicle.read(tmp_path / "chronicle.cmeta").status is Status.CORRUPT


@pytest.mark.parametrize("seal", [True, False])
@pytest.mark.parametrize("mark", [4, 7, 65])
def test_resume_equals_straight(tmp_path: Path, *, seal: bool, mark: int) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    straight = _run(tmp_path / "a", range(80), mark=mark)
    _run(tmp_path / "b", range(mark + 3), seal=seal, mark=mark)
    if not seal:
        with (tmp_path / "b" / "chronicle.cmeta.open").open("ab") as torn:
            torn.write(b"\x03\x20")
    writer = Writer.resume(tmp_path / "b", MARK)
    _go_on(writer, range(mark + 1, 80))
    writer.seal()
    assert (tmp_path / "b" / "chronicle.cmeta").read_bytes() == straight
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["chronicle.cmeta"]


def test_resume_from_an_unknown_checkpoint_changes_nothing(tmp_path: Path) -> None:
    data = _run(tmp_path, range(6))
    with pytest.raises(CorruptError):
        Writer.resume(tmp_path, "00" * 32)
    assert (tmp_path / "chronicle.cmeta").read_bytes() == data
    with pytest.raises(FileExistsError):
        Writer.create(tmp_path, CONFIG, NAMES)


def test_nothing_there(tmp_path: Path) -> None:
    assert chronicle.read_for(tmp_path) is None


def test_first_mismatch_names_cycle_and_field() -> None:
    records = [_record(cycle, math.nan if cycle == 2 else None) for cycle in range(6)]
    baseline = _write_all(records)
    assert chronicle.first_mismatch(baseline, _write_all(records)) is None
    changed = [*records[:3], replace(records[3], loss=0.75), *records[4:]]
    found = chronicle.first_mismatch(baseline, _write_all(changed))
    assert found is not None
    assert (found.cycle, found.phase) == (3, "dream")
    assert found.fields[0] == ("loss", "0.500000", "0.750000")
    assert [name for name, _, _ in found.fields] == ["loss", "exact_digest"]


def test_a_difference_below_the_scale_is_seen() -> None:
    records = [_record(cycle) for cycle in range(4)]
    changed = [*records[:2], replace(records[2], loss=math.nextafter(records[2].loss, 1.0)), records[3]]
    found = chronicle.first_mismatch(_write_all(records), _write_all(changed))
    assert found is not None
    assert (found.cycle, [name for name, _, _ in found.fields]) == (2, ["exact_digest"])


def test_lengths_schema_and_checkpoints_are_compared() -> None:
    records = [_record(cycle) for cycle in range(4)]
    long, short = _write_all(records), _write_all(records[:3])
    assert chronicle.first_mismatch(long, short) == chronicle.Mismatch(
        3, "dream", (("records", "4", "missing"),)
    )
    assert chronicle.first_mismatch(short, long) == chronicle.Mismatch(
        3, "dream", (("records", "3", "extra"),)
    )
    renamed = chronicle.first_mismatch(long, replace(long, metric_names=("accuracy", "x")))
    assert renamed is not None
    assert renamed.fields == (("metrics", "accuracy,gnorm", "accuracy,x"),)
    ours, theirs = (replace(long, checkpoints=(chronicle.Checkpoint(2, bytes([n]) * 32),)) for n in (1, 2))
    other = chronicle.first_mismatch(ours, theirs)
    assert other is not None
    assert (other.cycle, other.fields[0][0]) == (2, "checkpoint")
