"""Hostile text is disarmed, and a log is read from its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core.monitor import logs
from exptui.core.monitor.lines import BLOCK
from exptui.core.monitor.logs import LogTail
from exptui.core.monitor.text import clean, clean_line


@given(st.text() | st.binary())
def test_nothing_that_commands_a_terminal_survives(text: str | bytes) -> None:
    shown = clean(text)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in shown)
    shown.encode()


def test_what_becomes_of_controls() -> None:
    assert clean("\x1b]52;c;x\x07\x9b2J\u202eabc\x7f\0") == "␛]52;c;x␇�2J�abc␡␀"
    assert clean("x" * 20, cap=5) == clean(b"x" * 20, cap=5) == "xxxxx… (+15)"
    assert clean(b"x" * 99, cap=5) == "xxxxx… (+94)"
    assert clean_line(b"10%\r50%\r100%\r\n") == "100%"
    assert clean_line(b"\xff ok") == "� ok"


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=30), st.integers(1, 12))
def test_the_last_lines_are_the_last_lines(tmp_path_factory: object, lines: list[bytes], count: int) -> None:
    path = tmp_path_factory.mktemp("log") / "trainer.log"  # type: ignore[attr-defined]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    assert list(LogTail(path, count).read()) == lines[-count:]


def test_across_blocks(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    lines = [b"%07d" % number for number in range(BLOCK // 4)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert list(LogTail(path, BLOCK // 5).read()) == lines[-(BLOCK // 5) :]


def test_growth_an_unfinished_line_and_a_cut_file(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    tail = LogTail(path, 10)
    assert list(tail.read()) == []
    path.write_bytes(b"one\ntw")
    assert list(tail.read()) == [b"one"]
    with path.open("ab") as file:
        file.write(b"o\n")
    assert list(tail.read()) == [b"two"]
    path.write_bytes(b"new\n")
    assert list(tail.read()) == [b"new"]


def test_what_is_read_at_a_time_is_bounded_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trainer.log"
    lines = [b"%d" % number * (number % 7) for number in range(500)]
    path.write_bytes(b"\n".join(lines))
    monkeypatch.setattr(logs, "READ", 10)
    tail = LogTail(path, 500)
    assert [*tail.read(), *tail.rest()] == lines
    path.write_bytes(b"x" * 100)
    monkeypatch.setattr(logs, "LINE_CAP", 40)
    late, near = LogTail(path, 9), LogTail(path, 9, within=7)
    assert list(map(len, (*late.read(), *late.rest()))) == [50, 50]
    assert [*near.read(), *near.rest()] == [b"x" * 7]
