"""A chronicle read while it grows gives what reading it at its end gives, however the writes are cut."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from exptui import chronicle
from exptui.chronicle import CycleRecord, Follower, Phase, Writer
from exptui.core.files import sha256_bytes


def written(directory: Path) -> bytes:
    writer = Writer.create(directory, sha256_bytes(b""), ("accuracy",))
    for cycle in range(9):
        loss = float("nan") if cycle == 4 else cycle / 7
        writer.append(CycleRecord(cycle=cycle, phase=Phase.TRAIN, loss=loss, metrics=(0.5,), seed_state=1))
        if cycle % 3 == 2:
            writer.checkpoint(cycle, sha256_bytes(bytes([cycle])))
    writer.seal()
    return (directory / chronicle.NAME).read_bytes()


@given(st.lists(st.integers(1, 200), max_size=20))
def test_whatever_the_cuts_every_record_comes_once(cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as parent:
        whole = written(Path(parent))
        expected = chronicle.decode(whole)
        (Path(parent) / chronicle.NAME).unlink()
        path = Path(parent) / "chronicle.cmeta.open"
        follower, records, marks = Follower(Path(parent)), [], []
        assert follower.read() == ([], [])
        at = 0
        for cut in (*cuts, len(whole)):
            with path.open("ab") as file:
                file.write(whole[at : at + cut])
            at += cut
            new = follower.read()
            records += new[0]
            marks += new[1]
        path.rename(Path(parent) / chronicle.NAME)
        assert follower.read() == ([], [])
        assert list(map(repr, records)) == list(map(repr, expected.records))
        assert tuple(marks) == expected.checkpoints
        assert follower.metric_names == expected.metric_names
        assert not follower.damaged


def test_nothing_behind_a_bad_frame_is_read(tmp_path: Path) -> None:
    whole = bytearray(written(tmp_path))
    (tmp_path / chronicle.NAME).unlink()
    whole[len(whole) // 2] ^= 1
    (tmp_path / "chronicle.cmeta.open").write_bytes(whole)
    follower = Follower(tmp_path)
    records, _ = follower.read()
    assert 0 < len(records) < 9
    assert follower.read() == ([], [])
