"""The index says what split would, however the file grows, and notices when it is another file."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.core.monitor import index as module
from exptui.core.monitor.index import LINE_CAP, SPAN, LogIndex, compile_pattern, last_state, plain

BYTES = st.lists(
    st.sampled_from([b"\n", b"a", b"b", b"\r", b"\0", b"\xff", b"\x1b[31m", b"\n\n"]) | st.binary()
)
DATA = BYTES.map(b"".join)


def never() -> bool:
    return False


def whole(path: Path, block: int = module.BLOCK) -> LogIndex:
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
        for count in (0, 1, 3, 100):
            assert index.tail(count) == lines[len(lines) - min(count, len(lines)) :]
    assert index.generation == 0


@settings(deadline=None)
@given(data=DATA, block=st.integers(1, 40), group=st.integers(1, 64), start=st.integers(-2, 40))
def test_search_as_a_loop_would(log: Path, data: bytes, block: int, group: int, start: int) -> None:
    log.unlink(missing_ok=True)
    log.write_bytes(data)
    pattern = re.compile(rb"a.?b|\0")
    hits = [number for number, line in enumerate(expected(data)) if pattern.search(plain(line))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GROUP", group)
        index = whole(log, block)
        assert index.search(pattern, start, 1, never) == next((hit for hit in hits if hit >= start), None)
        assert index.search(pattern, start, -1, never) == next(
            (h for h in reversed(hits) if h <= start), None
        )
        assert list(index.matches(pattern, never)) == hits
        assert list(index.matches(pattern, never, start)) == [hit for hit in hits if hit >= start]


def test_missing_then_there_then_gone(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    index = LogIndex(path)
    assert not index.grow()
    assert (index.count, index.lines(0, 9), index.tail(9), index.complete) == (0, [], [], True)
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
    assert index.tail(1) == [b"last \0\xff"]
    assert index.search("LAST|last", 0, 1, never) == len(lines) - 1


def test_tail_reads_a_bounded_part_of_an_endless_line(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    path.write_bytes(b"head\n" + b"z" * (module.TAIL_CAP + 5))
    assert index_tail(path) == [b"z" * LINE_CAP]
    path.write_bytes(b"head\n" + b"z" * module.BLOCK + b"\nend\n")
    assert index_tail(path) == [b"head", b"z" * LINE_CAP, b"end"]


def index_tail(path: Path) -> list[bytes]:
    return LogIndex(path).tail(9)


def test_what_is_searched_is_what_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    path.write_bytes("loss\x1b[31m=nan\x1b[0m\nerror 1%\r50%\r\n\nCafé Error\n".encode())
    index = whole(path)
    assert list(index.matches("loss=nan", never)) == [0]
    assert list(index.matches("error", never)) == [3]
    assert list(index.matches("Error", never)) == [3]
    assert list(index.matches("CAFE|é+ E", never)) == [3]
    assert list(index.matches("50%$", never)) == [1]


def test_a_search_can_be_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    path.write_bytes(b"a line of a log\n" * (SPAN // 4))
    index = whole(path)
    answers = iter([False, False, True])
    assert index.search("nothing", 0, 1, lambda: next(answers)) is None
    answers = iter([False, True])
    assert 0 < len(index.matches("log", lambda: next(answers))) < index.count


@pytest.mark.parametrize("text", ["(", "a{99999999999999999999}", "(" * 5000 + ")" * 5000])
def test_a_wrong_pattern_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(re.error):
        compile_pattern(text)


def test_no_regular_file_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        assert not LogIndex(path).grow()
        assert LogIndex(path).tail(3) == []
