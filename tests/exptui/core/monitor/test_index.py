"""The index says what split would, however the file grows, and notices when it is another file."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.core.monitor import index as module
from exptui.core.monitor import lines as parts
from exptui.core.monitor.index import LogIndex
from exptui.core.monitor.lines import LINE_CAP, SPAN
from exptui.core.monitor.pattern import last_state
from support import until

BYTES = st.lists(
    st.sampled_from([b"\n", b"a", b"b", b"\r", b"\0", b"\xff", b"\x1b[31m", b"\n\n"]) | st.binary()
)
DATA = BYTES.map(b"".join)


def whole(path: Path, block: int = parts.BLOCK) -> LogIndex:
    index = LogIndex(path, block)
    while index.grow():
        pass
    return index


def expected(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("index") / "trainer.log"


@settings(deadline=None)
@given(pieces=st.lists(DATA, max_size=6), block=st.integers(1, 40), budget=st.integers(1, 100))
def test_as_split_says_however_it_grows(log: Path, pieces: list[bytes], block: int, budget: int) -> None:
    log.write_bytes(b"")
    index, data = LogIndex(log, block), b""
    for piece in pieces:
        with log.open("ab") as file:
            file.write(piece)
        data += piece
        while index.grow(budget):
            assert not index.complete
        lines = expected(data)
        assert index.complete
        assert index.count == len(lines)
        assert index.lines(0, len(lines) + 5) == lines
        assert [index.lines(number, 1) for number in range(len(lines))] == [[line] for line in lines]
        picked = range(0, len(lines) + 3, 2)
        assert index.pick(picked) == {number: lines[number] for number in picked if number < len(lines)}
    assert index.generation == 0


def test_missing_then_there_then_gone(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    index = LogIndex(path)
    assert not index.grow()
    assert (index.count, index.lines(0, 9), index.complete) == (0, [], True)
    path.write_bytes(b"one\ntwo")
    assert not index.grow()
    assert (index.count, index.lines(0, 9), index.generation) == (2, [b"one", b"two"], 0)
    path.unlink()
    assert index.lines(0, 9) == []
    assert not index.grow()
    assert (index.count, index.generation) == (0, 1)


@pytest.mark.parametrize("new", [b"", b"x\n", b"xxx\nyyy\nzzz\n", b"another\nand\nlonger\nthan\nbefore\n"])
def test_truncated_or_rewritten_in_place(tmp_path: Path, new: bytes) -> None:
    path = tmp_path / "trainer.log"
    path.write_bytes(b"one\ntwo\nsix\n")
    index = whole(path, block=4)
    path.write_bytes(new)
    index.lines(0, 9)  # before it is noticed: whatever it says, it says it without raising
    assert not index.grow()
    assert (index.generation, index.lines(0, 9)) == (1, expected(new))


def test_replaced_by_another_file(tmp_path: Path) -> None:
    path, other = tmp_path / "trainer.log", tmp_path / "other.log"
    path.write_bytes(b"one\ntwo\n")
    index = whole(path)
    other.write_bytes(b"one\ntwo\nand more\n")
    other.replace(path)
    assert index.lines(0, 9) == []
    assert not index.grow()
    assert (index.generation, index.count) == (1, 3)


def test_lines_longer_than_anything(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    bar = b"".join(b"\r%7d%%" % number for number in range(SPAN // 4))
    lines = [b"first", b"x" * (3 * SPAN), b"mid", b"y" * (LINE_CAP + 1), bar, *[b""] * 5000, b"last \0\xff"]
    path.write_bytes(b"\n".join(lines))
    index = whole(path)
    read = index.lines(0, 6000)
    assert index.count == len(read) == len(lines)
    assert [read[0], read[2], read[-1]] == [b"first", b"mid", b"last \0\xff"]
    assert read[1] == b"x" * LINE_CAP
    assert read[3] == b"y" * LINE_CAP
    assert last_state(read[4]) == b"%7d%%" % (SPAN // 4 - 1)


def test_no_regular_file_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        assert not LogIndex(path).grow()
        assert LogIndex(path).lines(0, 3) == []


@settings(deadline=None)
@given(data=DATA, more=DATA, block=st.integers(1, 40), end=st.integers(1, 5), back=st.integers(0, 9))
def test_the_end_is_there_before_the_index_and_finds_its_place(
    log: Path, data: bytes, more: bytes, block: int, end: int, back: int
) -> None:
    """Whatever is shown of the end before its numbers are known is at those numbers, moved, once they are."""
    log.unlink(missing_ok=True)
    log.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "END", end)
        index = LogIndex(log, block)
        if not index.grow(1):
            return
        lines = expected(data)
        first = index.numbered or 0
        early = index.lines(first, 99)
        assert early == lines[-len(early) :]
        assert len(early) >= min(end, len(lines))
        assert index.lines(0, index.known) == lines[: index.known]
        first = index.reach(max(index.known, first - back))
        assert index.lines(first, 99) == lines[-(index.count - first) :]
        with log.open("ab") as file:
            file.write(more)
        index.grow(1)
        first = first if index.numbered is None else index.numbered
        early = index.lines(first, 99)
        while index.grow(7):
            pass
        lines = expected(data + more)
        assert index.generation == 0
        assert index.lines(0, len(lines) + 5) == lines
        if early and len(early) <= len(lines):
            assert index.lines(first + index.moved, 99)[: len(early) - 1] == early[:-1]


def test_the_end_of_an_endless_line_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    path.write_bytes(b"head\n" + b"z" * (parts.TAIL_CAP + 5))
    index = LogIndex(path)
    assert index.grow(1)
    assert index.numbered
    assert index.lines(index.numbered, 9) == [b"z" * LINE_CAP]
    while index.grow():
        pass
    assert index.lines(0, 9) == [b"head", b"z" * LINE_CAP]


def cut_while_unfinished(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 3000)


def rewritten(path: Path) -> None:
    path.write_bytes(b"new\n" * 4000)


@pytest.mark.parametrize("change", [cut_while_unfinished, rewritten, Path.unlink])
def test_what_happens_to_the_file_meanwhile_is_noticed(tmp_path: Path, change: object) -> None:
    path = tmp_path / "trainer.log"
    path.write_bytes(b"a line\n" * 3000)
    index = LogIndex(path)
    assert index.grow(100)
    assert callable(change)
    change(path)
    while index.grow(100):
        pass
    assert index.generation == 1
    wanted = path.read_bytes().splitlines() if path.exists() else []
    assert index.lines(0, 9999) == wanted


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "APART", parts.BLOCK)


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("data", [b"one\ntwo\n" * 50_000 + b"three", b"\n" * parts.BLOCK * 3, b"x"])
def test_another_process_counts_the_same(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "trainer.log"
    path.write_bytes(data)
    index = whole(path)
    assert index.count == len(expected(data))
    assert index.lines(0, index.count) == expected(data)
    with path.open("ab") as file:
        file.write(b"\nand more\n")
    while index.grow():
        pass
    assert index.lines(index.count - 1, 1) == [b"and more"]


@pytest.mark.usefixtures("apart")
def test_when_that_process_is_killed_this_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    path.write_bytes(b"line\n" * 500_000)
    index = LogIndex(path)
    assert index.grow()
    assert index._scan
    os.kill(index._scan.pid, signal.SIGKILL)
    while index.grow():
        pass
    assert index.count == 500_000


@pytest.mark.usefixtures("apart")
def test_closing_ends_that_process(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    path.write_bytes(b"line\n" * 500_000)
    index = LogIndex(path)
    assert index.grow()
    assert index._scan
    pid = index._scan.pid
    index.close()
    until(lambda: not Path(f"/proc/{pid}").exists())
