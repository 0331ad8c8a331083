"""What the process finds is what a loop finds, however the log grows; it can always be stopped, and says what it is at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.core.monitor import lines as parts
from exptui.core.monitor import scan as module
from exptui.core.monitor.lines import LINE_CAP, READ
from exptui.core.monitor.pattern import compile_pattern, plain
from exptui.core.monitor.search import Progress, Search
from support import until

PIECES = [b"\n", b"a", b"b", b"\r", b"\0", b"\xff", b"\x1b[31m", b"\n\n", b"x" * 40]
DATA = st.lists(st.sampled_from(PIECES)).map(b"".join)
ENDLESS = "(a+)+$"
TRAP = b"a" * 60 + b"b\n"


def looped(pattern: str, data: bytes) -> list[int]:
    search = compile_pattern(pattern).search
    shown = (plain(line).decode(errors="replace") for line in parts.split(data))
    return [number for number, line in enumerate(shown) if search(line)]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Search]]:
    """Searches of a log with this in it; they are ended with the test."""
    begun = []

    def start(data: bytes, *patterns: str) -> Search:
        (tmp_path / "trainer.log").write_bytes(data)
        begun.append(Search(tmp_path / "trainer.log", *patterns))
        return begun[-1]

    yield start
    for search in begun:
        search.kill()
        wait(search, lambda progress: bool(progress.ended))


def wait(search: Search, true: Callable[[Progress], bool]) -> Progress:
    while not true(search.progress):
        search.wait()
    return search.progress


def pid_of(search: Search) -> int:
    assert search._scan is not None
    return search._scan.pid


def found(search: Search) -> list[int]:
    progress = wait(search, lambda progress: not progress.running)
    assert not progress.ended
    assert progress.count == len(search.hits)
    return list(search.hits)


class Loop(module.Search):
    """The search of the process, in this one: what it would send is collected."""

    def __init__(self, path: str, patterns: list[str]) -> None:
        super().__init__(path, patterns)
        self.found: list[int] = []

    def _send(self, kind: bytes, after: int) -> None:
        self.found = [number for number in self.found if number < self._first] + list(self._hits)
        self._hits, self._first = type(self._hits)("Q"), self._line


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search") / "trainer.log"


@settings(deadline=None)
@given(pieces=st.lists(DATA, max_size=5), cap=st.integers(1, 50), more=st.integers(1, 9))
def test_as_a_loop_would_however_it_grows(log: Path, pieces: list[bytes], cap: int, more: int) -> None:
    log.write_bytes(b"")
    data = b""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "READ", cap + more)
        patch.setattr(module, "LINE_CAP", cap)
        patch.setattr(parts, "LINE_CAP", cap)
        search = Loop(str(log), ["a.?b|\0"])
        for piece in pieces:
            with log.open("ab") as file:
                file.write(piece)
            data += piece
            while search._step():
                pass
            assert search.found == looped("a.?b|\0", data)


def test_the_numbers_come_over_and_go_on(begin: Callable[..., Search], tmp_path: Path) -> None:
    data = b"".join(b"line %d of many\n" % number for number in range(100_000))
    search = begin(data + b"unfinished 99", "9{2}")
    assert found(search) == looped("9{2}", data + b"unfinished 99")
    with (tmp_path / "trainer.log").open("ab") as file:
        file.write(b" or not 7\nlast 99")
    search.go_on()
    assert found(search) == looped("9{2}", data + b"unfinished 99 or not 7\nlast 99")
    with (tmp_path / "trainer.log").open("ab") as file:
        file.write(b"\n99\n")
    search.go_on()
    search.go_on()  # while it is at it: it looks once more
    assert found(search) == looped("9{2}", data + b"unfinished 99 or not 7\nlast 99\n99\n")
    assert search.slice(1, 2) == (199, 299)
    assert search.before(200) == 2


def test_next_and_previous(begin: Callable[..., Search]) -> None:
    search = begin(b"x\nhit\nx\nhit\nx\n", "hit")
    assert found(search) == [1, 3]
    assert [search.place(line, 1) for line in (-5, 0, 1, 2, 3, 4, 99)] == [0, 0, 0, 1, 1, None, None]
    assert [search.place(line, -1) for line in (-1, 0, 1, 2, 3, 99)] == [None, None, 0, 0, 1, 1]
    assert search.settled(99, 1)


def test_all_patterns_must_match(begin: Callable[..., Search]) -> None:
    assert found(begin(b"a b\nb\na\nb a\n" * 9, "a", "b")) == [n for n in range(36) if n % 4 in {0, 3}]


def test_what_is_searched_is_what_is_shown(begin: Callable[..., Search]) -> None:
    data = "loss\x1b[31m=nan\x1b[0m\nerror 1%\r50%\r\n\nCafé Error\n".encode()
    for pattern, lines in {
        "loss=nan": [0],
        "error": [3],
        "Error": [3],
        "CAFE|é+ E": [3],
        "50%$": [1],
    }.items():
        assert found(begin(data, pattern)) == lines


def test_long_lines_binary_data_and_progress_bars(begin: Callable[..., Search]) -> None:
    bar = b"".join(b"\r%7d%%" % number for number in range(READ // 4))
    lines = [
        b"x" * (3 * READ) + b"needle",
        b"needle",
        bar,
        b"y" * (LINE_CAP - 6) + b"needle",
        b"z" * LINE_CAP + b"needle",
    ]
    lines += [bytes(range(256)).replace(b"\n", b"") * 999, b"\0" * READ * 2, bar]
    data = b"\n".join(lines)
    assert found(begin(data, "needle")) == [1, 3]
    assert found(begin(data, f"^ *{READ // 4 - 1}%$")) == [2, 7]
    assert found(begin(data, "\0")) == [6]


def test_a_pattern_that_backtracks_for_ever_is_told_of_and_stopped(begin: Callable[..., Search]) -> None:
    search = begin(b"fine aaa\n" * 7 + TRAP + b"aaa\n", ENDLESS)
    progress = wait(search, lambda progress: progress.stuck is not None)
    assert progress.stuck == 7
    assert progress.running
    search.kill()
    assert wait(search, lambda progress: bool(progress.ended)).ended == "cancelled"
    assert not Path(f"/proc/{pid_of(search)}").exists()


def test_many_alternatives(begin: Callable[..., Search]) -> None:
    words = [f"word{number}" for number in range(5000)]
    assert found(begin(b"word4999\nwor\nx word17 x\n", "|".join(words))) == [0, 2]


def test_killed_from_outside_it_says_so(begin: Callable[..., Search]) -> None:
    search = begin(b"aaa\n" + TRAP, ENDLESS)
    wait(search, lambda progress: progress.stuck is not None)
    os.kill(pid_of(search), signal.SIGKILL)
    progress = wait(search, lambda progress: bool(progress.ended))
    assert progress.ended == "ended by signal 9"
    search.go_on()
    assert search.wait().ended


def test_killed_before_it_began_it_ends(begin: Callable[..., Search]) -> None:
    search = begin(TRAP, ENDLESS)
    search.kill()
    assert wait(search, lambda progress: bool(progress.ended)).ended == "cancelled"


def test_its_process_stands_behind_ours(begin: Callable[..., Search]) -> None:
    search = begin(TRAP, ENDLESS)
    wait(search, lambda progress: progress.stuck is not None)
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, pid_of(search)) == min(19, ours + 10)


def test_a_log_that_comes_later(begin: Callable[..., Search], tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    search = Search(path, "hit")
    assert found(search) == []
    path.write_bytes(b"hit\n")
    search.go_on()
    assert found(search) == [0]
    search.kill()
    wait(search, lambda progress: bool(progress.ended))


def test_it_ends_with_who_started_it_even_when_a_pattern_hangs(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    path.write_bytes(TRAP)
    code = (
        "import sys, os; from pathlib import Path; from exptui.core.monitor.search import Search\n"
        "search = Search(Path(sys.argv[1]), sys.argv[2])\n"
        "while search.wait().stuck is None: pass\n"
        "print(search._scan.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", code, str(path), ENDLESS], capture_output=True, text=True
    )
    assert run.returncode == -signal.SIGKILL
    until(lambda: not Path(f"/proc/{int(run.stdout)}").exists())
