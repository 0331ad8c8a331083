"""Every reader, given anything in pieces of any size: no crash, no hang, and what one look at the whole file gives."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exptui.core.curves import follow
from exptui.core.curves.columns import Columns
from exptui.core.curves.follow import Follower
from exptui.core.monitor.readers import hparams
from exptui.core.monitor.readers.chronicle import Cycles
from exptui.core.monitor.readers.events import Events
from exptui.core.monitor.readers.jsonl import JsonLines
from exptui.core.monitor.readers.log import LogLines
from exptui.core.monitor.readers.protocol import NAMED, Format, Last
from exptui.core.monitor.readers.state import TrainerState
from exptui.core.monitor.readers.table import Csv, Tsv

GOLDEN = Path(__file__).parent / "golden"


def golden(pattern: str) -> bytes:
    return min(GOLDEN.glob(pattern), key=lambda path: path.stat().st_size).read_bytes()


def chronicle() -> bytes:
    from exptui.chronicle import CycleRecord, Phase, Writer

    with tempfile.TemporaryDirectory() as name:
        writer = Writer.create(Path(name), "0" * 64, ("acc",))
        for cycle in range(9):
            writer.append(
                CycleRecord(
                    cycle=cycle, phase=Phase.TRAIN, loss=1 / (1 + cycle), metrics=(0.5,), seed_state=1
                )
            )
        writer.close()
        return next(Path(name).iterdir()).read_bytes()


READERS: dict[str, tuple[Callable[[str], Format], bytes]] = {
    "metrics.jsonl": (JsonLines, b'{"step": 1, "loss": 0.5}\n{"step": 2, "acc": {"top": NaN}}\n{"loss": 3}\n' * 3),
    "metrics.csv": (Csv, golden("lightning/**/metrics.csv")),
    "loss.tsv": (Tsv, golden("dvclive/**/loss.tsv")),
    "trainer_state.json": (TrainerState, golden("transformers/*/trainer_state.json")),
    "events.out.tfevents.1": (Events, golden("tensorboardx/*") + golden("tf2_tensors/**/*train/*")),
    "chronicle.cmeta.open": (Cycles, chronicle()),
    "trainer.log": (LogLines, golden("xgboost/trainer.log") + b"Epoch 2/3\rEpoch 3/3\n\x1b[1mloss: 0.5\x1b[0m lr=1e-3\n"),
}  # fmt: skip
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=6) | st.sampled_from([b"\0" * 40, b"\n", b'"', b"1e999"])),
    max_size=4,
)  # fmt: skip


def edited(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for where, length, new in edits:
        at = int(where * len(data))
        data = data[:at] + new + data[at + length :]
    return data


def content(path: Path, make: Callable[[str], Format]) -> str:
    follower = Follower(path, Columns, make)
    follower.grow()
    return shown(follower)


def shown(follower: Follower[Columns]) -> str:
    series = {name: list(one) for name, one in follower.sink.snapshot().items()}
    return repr(sorted(series.items())) + repr(follower.format.problems.texts())


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=2000)
@given(
    edits=EDITS,
    junk=st.none() | st.binary(max_size=80),
    cuts=st.lists(st.floats(0, 1), max_size=3),
    block=st.sampled_from([64, 300, 1 << 18]),
)
def test_anything(
    tmp_path: Path,
    name: str,
    edits: list[tuple[float, int, bytes]],
    junk: bytes | None,
    cuts: list[float],
    block: int,
) -> None:
    make, sample = READERS[name]
    data = edited(sample, edits) if junk is None else junk
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow, "BLOCK", max(block, 300) if make is Events else block)
        follower, ends = Follower(path, Columns, make), Follower(path, Last, make)
        for cut in sorted({*(int(cut * len(data)) for cut in cuts), len(data)}):
            with path.open("ab") as file:
                file.write(data[path.stat().st_size : cut])
            follower.grow()
            ends.grow()
            assert follower.share == 1
            assert len(follower.format.problems.texts()) <= NAMED + 1
            assert {n: repr(one[-1]) for n, one in follower.sink.snapshot().items()} == {
                n: repr(end) for n, end in ends.sink.found.items()
            }
    assert shown(follower) == content(path, make)
    make(name).read(b"", Columns())
    make.probe(data)  # type: ignore[attr-defined]


@settings(max_examples=1000)
@given(edits=EDITS, junk=st.none() | st.text(st.sampled_from("a:- \n'\"#1[{!&.e"), max_size=60))
def test_any_hyperparameters(edits: list[tuple[float, int, bytes]], junk: str | None) -> None:
    sample = golden("lightning/**/hparams.yaml")
    found = hparams.parsed(edited(sample, edits).decode(errors="replace") if junk is None else junk)
    assert all(isinstance(name, str) for name in found)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("byte", [b"\0", b"{", b" ", b"1,", b"a: 1 "])
def test_what_never_ends_takes_no_memory(
    tmp_path: Path, name: str, byte: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LONGEST", 1 << 18)
    monkeypatch.setattr(follow, "NEAR", 1 << 19)
    path, make = tmp_path / name, READERS[name][0]
    path.write_bytes(byte * ((1 << 20) // len(byte)))
    follower = Follower(path, Last, make)
    tracemalloc.start()
    follower.grow()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 24 << 20
    assert len(follower.sink.found) < 9
