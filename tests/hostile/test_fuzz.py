"""Whatever bytes the readers are given: only the typed errors, no hang, little memory."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exptui.chronicle import CycleRecord, Phase, Status, Writer, first_mismatch
from exptui.chronicle import reader as chronicle
from exptui.chronicle.records import FRAME, OPEN_HEADER, crc64
from exptui.core.archive import ledger
from exptui.core.archive import manifest as mf
from exptui.core.archive.reader import Reader
from exptui.core.errors import CorruptError
from exptui.core.files import canonical_json
from exptui.core.runs import run
from hostile.test_archives import GOOD, TAR, manifest
from hostile.world import FULL, World, counts, memory

CAP = 256 << 20
F = TypeVar("F", bound=Callable[..., None])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def fuzz(examples: int) -> Callable[[F], F]:
    """So many examples in the long form, fewer otherwise, the same ones each time; seconds for each."""
    return settings(
        max_examples=examples if FULL else 60,
        deadline=timedelta(seconds=5),
        derandomize=not FULL,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """These bytes with some cut out, some put in, some changed."""
    place = st.integers(0, len(data))
    edit = st.tuples(place, st.integers(0, 40), st.binary(max_size=40))

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        out = data
        for at, length, new in edits:
            out = out[:at] + new + out[at + length :]
        return out

    return st.lists(edit, min_size=1, max_size=4).map(apply)


@st.composite
def retold(draw: st.DrawFn, value: Any) -> Any:
    """This JSON value with one part of it replaced by anything, or a key added."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        return value | {key: draw(retold(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(retold(value[at])), *value[at + 1 :]]
    if isinstance(value, dict) and draw(st.booleans()):
        return value | draw(st.dictionaries(st.text(max_size=8), JSON, max_size=1))
    return draw(JSON)


def dumped(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def sample_chronicle(folder: Path) -> bytes:
    writer = Writer.create(folder, "ab" * 32, ["accuracy"])
    for cycle in range(70):
        values = (float("nan") if cycle == 5 else cycle / 3,)
        signature = (1.0, float(cycle), -0.5) if cycle % 2 else None
        writer.append(CycleRecord(cycle, Phase.TRAIN, 1 / (cycle + 1), values, cycle, 0.5, signature, cycle))
    writer.seal()
    return (folder / "chronicle.cmeta").read_bytes()


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A chronicle whose checksums are right and whose bodies are anything."""
    out, crc = bytearray(OPEN_HEADER), 0
    for number in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from([1, 2, 2, 3, 3, 4, 9])) if number else 1
        schema = bytes(32) + (1_000_000).to_bytes(4, "little") + b"\1\1a"
        body = schema if not number else bytes([draw(st.integers(0, 3)), draw(st.integers(0, 16))])
        body += b"" if not number else draw(st.binary(max_size=60))
        frame = FRAME.pack(kind, len(body)) + body
        crc = crc64(crc.to_bytes(8, "little") + frame)
        out += frame + crc.to_bytes(8, "little")
    return bytes(out) + draw(st.binary(max_size=20))


@pytest.fixture(scope="module")
def good_chronicle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sample_chronicle(tmp_path_factory.mktemp("chronicle"))


@given(data=st.data())
@fuzz(4000)
def test_the_chronicle(good_chronicle: bytes, data: st.DataObject) -> None:
    opened = OPEN_HEADER + good_chronicle[10:]
    made = data.draw(
        st.binary() | frames() | mutated(good_chronicle) | mutated(opened) | mutated(opened[:90])
    )
    with memory(CAP):
        found = chronicle.decode(made)
        first_mismatch(found, chronicle.decode(good_chronicle))
        assert first_mismatch(found, found) is None
    assert found.valid_bytes <= len(made)
    assert found.status is Status.SEALED or found.problem or found.status is Status.OPEN
    counts["fuzz examples"] += 1


@pytest.mark.parametrize("size", [100_000, 4_000_000])
def test_a_tail_made_to_be_slow_is_given_up(size: int) -> None:
    """Every byte could begin a frame as long as any may be."""
    head = OPEN_HEADER + b"\2\xff\xff" + bytes(20)
    tail = (b"\2\1\2\0" + bytes([2, 0x02, 0x0A, 0, 0])) * (size // 9)
    found = chronicle.decode(head + tail)
    assert found.status is Status.CORRUPT
    assert "too much" in found.problem


@given(made=st.binary() | mutated(manifest()) | retold(json.loads(manifest())).map(dumped))
@fuzz(4000)
def test_the_manifest(made: bytes) -> None:
    with memory(CAP):
        try:
            found = mf.decode(made)
        except CorruptError:
            pass
        else:
            assert mf.encode(found) == made
    counts["fuzz examples"] += 1


@pytest.mark.parametrize("entry", ["/a" * 1900, "\u00e9" * 60, ""], ids=["deep", "accents", "short"])
def test_a_large_manifest_takes_little_memory(entry: str) -> None:
    number = (8 << 20) // (len(entry.encode()) + 130)
    files = [
        {"class": "identity", "path": f"{n:07}{entry}", "sha256": "0" * 64, "size": 0} for n in range(number)
    ]
    data = manifest(files=files, total_bytes=0)
    del files
    with memory(CAP):
        assert len(mf.decode(data).files) == number


@pytest.fixture
def good_ledger(tmp_path: Path) -> bytes:
    for number in range(3):
        ledger.append(tmp_path, ledger.event("archived", f"run_{number}", "f" * 64))
    return (tmp_path / ledger.NAME).read_bytes()


@given(data=st.data())
@fuzz(4000)
def test_the_ledger(tmp_path: Path, good_ledger: bytes, data: st.DataObject) -> None:
    first = json.loads(good_ledger.splitlines()[0])
    lines = st.lists(retold(first).map(dumped) | JSON.map(dumped) | st.binary(max_size=60), max_size=4)
    made = data.draw(mutated(good_ledger) | lines.map(b"".join))
    with memory(CAP):
        (tmp_path / ledger.NAME).write_bytes(made)
        book = ledger.load(tmp_path)
        ledger.identities(book.events)
        assert made == good_ledger or book.problems or made in _whole_beginnings(good_ledger)
        ledger.append(tmp_path, ledger.event("found", "x", "0" * 64))
        assert ledger.load(tmp_path).events[-1]["run_id"] == "x"
    counts["fuzz examples"] += 1


def _whole_beginnings(data: bytes) -> list[bytes]:
    """What the chain alone cannot tell from the whole: fewer lines."""
    lines = data.splitlines(keepends=True)
    return [b"".join(lines[:n]) for n in range(len(lines))]


@given(data=st.data())
@fuzz(3000)
def test_run_json(world: World, tmp_path: Path, data: st.DataObject) -> None:
    with Reader(world.file(".tar.gz")) as reader:
        (text,) = [b"".join(blocks) for entry, blocks in reader.members() if entry.path == "run.json"]
    good = json.loads(text)
    lock = {"path": str(world.base), "device": 1, "inode": 1}
    live = good | {"phase": "running", "exit": None, "supervisor_lock": lock, "run_lock": lock}
    made = data.draw(st.binary() | mutated(text) | retold(good).map(dumped) | retold(live).map(dumped))
    with memory(CAP):
        (tmp_path / "run.json").write_bytes(made)
        try:
            _, state = run.observe(tmp_path)
        except CorruptError:
            pass
        else:
            assert state is not run.RunState.FINISHED or b'"code"' in made
        world.space.view(tmp_path)
    counts["fuzz examples"] += 1


@pytest.mark.parametrize("name", ["a\0b", "fifo", "../run.json", "x" * 5000, "/dev/tty", ""])
def test_a_lock_path_that_is_none(world: World, tmp_path: Path, name: str) -> None:
    """A FIFO among them: opening one waits for a writer, for ever."""
    os.mkfifo(tmp_path / "fifo")
    with Reader(world.file(".tar.gz")) as reader:
        (text,) = [b"".join(blocks) for entry, blocks in reader.members() if entry.path == "run.json"]
    lock = {"path": str(tmp_path / name) if name else "", "device": 1, "inode": 1}
    live = {"phase": "running", "exit": None, "supervisor_lock": lock, "run_lock": lock}
    (tmp_path / "run.json").write_bytes(canonical_json(json.loads(text) | live))
    assert world.space.view(tmp_path).state in (run.RunState.LOST, run.RunState.EXTERNAL)


@given(
    made=st.binary()
    | mutated(GOOD)
    | mutated(TAR).map(gzip.compress)
    | mutated(TAR[:3000]).map(gzip.compress)
)
@fuzz(4000)
def test_the_tar(tmp_path: Path, made: bytes) -> None:
    path = tmp_path / "evil_20251109T120000Z.tar.gz"
    path.write_bytes(made)
    with memory(CAP):
        try:
            with Reader(path) as reader:
                reader.verify()
        except CorruptError:
            pass
        else:
            assert gzip.decompress(made) == TAR
    counts["fuzz examples"] += 1
