"""The harness itself is honest: it counts every byte, sees what is to be seen, and its link delays and limits. No test asserts a time."""

from __future__ import annotations

import os
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from benchmarks.bench import Bench
from benchmarks.day import Seen, World, summary
from benchmarks.figures import Figure
from benchmarks.harness import Never, Terminal
from benchmarks.process import Usage
from benchmarks.relay import PIECE, Way, linked
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import __main__ as runner
from benchmarks import figures, follow, report

ENVIRONMENT = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[2])}


def printing(tmp_path: Path, script: str, words: list[str] | None = None) -> Terminal:
    return Terminal([*(words or []), sys.executable, "-c", script], tmp_path, ENVIRONMENT)


def test_every_byte_is_counted_and_kept_with_its_moment(tmp_path: Path) -> None:
    with printing(tmp_path, "import os\nfor n in range(300): os.write(1, b'x' * 997)") as terminal:
        terminal.ended()
        assert terminal.total == 300 * 997 == sum(len(data) for _, data in terminal.chunks)
        moments = [terminal.start, *(at for at, _ in terminal.chunks)]
        assert all(a <= b for a, b in pairwise(moments))


def test_what_is_waited_for_is_found_at_the_bytes_that_showed_it(tmp_path: Path) -> None:
    script = "import sys\nfor w in ('one', 'two', 'three'):\n print(w, flush=True)\n input()"
    with printing(tmp_path, script) as terminal:
        first = terminal.shows("one")
        pressed = terminal.press("\n")
        second = terminal.shows("two")
        assert first <= pressed <= second
        assert any(at == second and b"two" in data for at, data in terminal.chunks)
        with pytest.raises(Never, match="never came"):
            terminal.shows("four", patience=0.05)
        terminal.press("\n")
        terminal.lacks("four")
        terminal.press("\n")
        terminal.ended()
        with pytest.raises(Never, match="ended"):
            terminal.shows("four")


def test_moments_are_those_of_the_read_however_late_they_are_looked_at(tmp_path: Path) -> None:
    with printing(tmp_path, "pass") as terminal:
        terminal.ended()
        terminal.chunks = [(1.0, b"one "), (2.0, b"two "), (3.0, b"three")]
        assert terminal.shows("one") == 1.0
        assert terminal.shows("o") == 1.0
        assert terminal.shows("three") == 3.0


def test_scroll_regions_and_repeats_are_understood(tmp_path: Path) -> None:
    script = (
        r"import os; os.write(1, b'\x1b[2J\x1b[1;1Ha\r\nb\r\nc\r\nd\x1b[2;4r\x1b[1S\x1b[r\x1b[4;1He\x1b[3b')"
    )
    with printing(tmp_path, script) as terminal:
        terminal.ended()
        assert terminal.text().split("\n")[:5] == ["a", "c", "d", "eeee", ""]


def test_a_program_that_asks_its_terminal_is_answered(tmp_path: Path) -> None:
    script = (
        "import os, tty; tty.setraw(0); os.write(1, b'\\x1b[6n'); print(os.read(0, 99)); "
        "os.write(1, b'\\x1b]11;?\\x07'); print(os.read(0, 99))"
    )
    with printing(tmp_path, script) as terminal:
        terminal.shows("1;1R")
        terminal.shows("rgb:1010")


def test_usage_is_that_of_the_whole_tree(tmp_path: Path) -> None:
    child = "import time; x = bytearray(50_000_000); print('ready', flush=True); time.sleep(60)"
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]).wait()"
    with printing(tmp_path, script) as terminal:
        terminal.shows("ready")
        used = terminal.usage()
        assert used.rss > 50_000_000
        assert used.peak >= used.rss
        assert used.descriptors > 0


@given(st.lists(st.integers(1, PIECE), min_size=1, max_size=60), st.integers(100, 20_000), st.floats(0, 2))
def test_the_link_is_never_faster_than_its_rate_nor_sooner_than_its_delay(
    sizes: list[int], rate: int, delay: float
) -> None:
    way, now, out, sent = Way(delay, rate, held=1000), 0.0, 0, 0
    for size in [*sizes, 0]:
        while not way.room(now) or (not size and way.next(now) is not None):
            wait = way.next(now)
            assert wait is not None
            now += wait + 1e-9
            out += len(way.arrived(now))
            assert out <= max(0.0, now - delay) * rate + 1e-3
        if size:
            way.push(now, b"x" * size)
            sent += size
    assert out == sent
    assert not way.arrived(1e9)


def test_a_full_link_takes_no_more_until_it_has_carried_some() -> None:
    way = Way(0.125, 1000, held=500)
    way.push(0.0, b"x" * 500)
    assert not way.room(0.0)
    assert way.next(0.0) == 0.0 or not way.room(0.0)
    assert way.room(0.001)
    assert way.arrived(0.624) == b""
    assert len(way.arrived(0.626)) == 500


def test_behind_a_link_everything_arrives_and_keys_go_there(tmp_path: Path) -> None:
    script = (
        "import os; print('ready', flush=True); print(input()[::-1], flush=True); os.write(1, b'z' * 5000)"
    )
    with printing(tmp_path, script, linked(0.01, 200_000, [])) as terminal:
        terminal.shows("ready")
        terminal.press("olleh\n")
        terminal.shows("hello")
        terminal.ended()
        assert b"".join(data for _, data in terminal.chunks).count(b"z") == 5000


def test_markers_are_found_however_the_bytes_are_cut(tmp_path: Path) -> None:
    names = {f"mark{number:04d}mark": 0.0 for number in range(50)}
    with printing(tmp_path, "pass") as terminal:
        terminal.ended()
        data = "".join(f"step {number} loss\r\n{name}\r\n" for number, name in enumerate(names)).encode()
        for size in (1, 5, 13, 4096):
            terminal.chunks = [(float(at), data[at : at + size]) for at in range(0, len(data), size)]
            assert follow.in_bytes(terminal, names).keys() == names.keys()
            on_screen = follow.on_screen(terminal, names, 0.0)
            assert on_screen.keys() == (names.keys() if size < 20 else on_screen.keys())


def test_rounds_go_in_turn_and_the_first_only_warms_up() -> None:
    calls: list[str] = []

    def note(name: str) -> int:
        calls.append(name)
        return len(calls)

    found = figures.in_turn(2, {name: partial(note, name) for name in "ab"})
    assert calls == list("ababab")
    assert found == {"a": [3, 5], "b": [4, 6]}


def test_ratios_are_those_of_the_rounds_and_verdicts_follow_from_them() -> None:
    figure = figures.beside("x", [1, 20, 3], "peer", [1, 10, 1], unit="s", most=2)
    assert (figure.ours, figure.theirs, figure.ratio, figure.verdict) == (3, 1, 2, "met")
    assert figures.beside("x", [3.0], "peer", [1.0], unit="s", most=2).verdict == "MISSED"
    assert figures.alone("x", [5.0], unit="MB", most=5).verdict == "met"
    assert figures.alone("x", [5.1], unit="MB", most=5).verdict == "MISSED"
    assert figures.alone("x", [5.1], unit="MB").verdict == ""
    assert figures.missing("x", "not installed").verdict == "–"
    assert figures.ratio([1.0], [0.0]) is None


@given(st.integers(0, 40), st.integers(0, 5))
def test_the_day_tells_growth_and_leaks_from_noise(megabytes: int, leaked: int) -> None:
    def used(at: float) -> Usage:
        late = at > 300
        return Usage(at / 100, 50_000_000 + late * megabytes * 1_000_000, 0, 20 + late * leaked + int(at) % 2)

    seen = Seen([(float(at), used(at)) for at in range(0, 1800, 5)], [])
    world = World(Bench(), Path())
    found = {one.what: one for one in summary(world, seen, 30)}
    assert found["30 minutes: memory growth at the most"].verdict == ("met" if megabytes <= 15 else "MISSED")
    assert found["descriptors more than at the beginning"].ours == leaked
    assert found["errors"].verdict == "met"
    assert found["CPU"].ours == pytest.approx(1)


def test_the_document_holds_what_was_measured_and_keeps_other_subjects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Subject:
        TITLE, ABOUT = "Idle", "for a while"

        @staticmethod
        def good(_: Bench) -> list[Figure]:
            return [
                figures.alone("a | b", [1.5], unit="MB", most=1),
                figures.missing("lnav", "not installed"),
            ]

        @staticmethod
        def bad(_: Bench) -> list[Figure]:
            raise Never("the first frame never came")

        PARTS = (bad, good)

    monkeypatch.setattr("benchmarks.__main__.importlib.import_module", lambda _: Subject)
    bench = Bench(build=tmp_path)
    assert runner.measure(bench, "idle", keep=True) == 1
    report.record(bench, "link", ("Link", "slow"), [figures.alone("echo", [1.0], unit="s")], 1)
    target = tmp_path / "performance.md"
    report.write(bench, ("link", "idle"), target)
    text = target.read_text()
    assert text.index("## Link") < text.index("## Idle")
    assert "| a \\| b | 1.5 MB |  |  | ≤ 1 MB | MISSED |" in text
    assert "| lnav (not installed) | – " in text
    assert "the first frame never came" in text
    assert "first frame never came" in capsys.readouterr().out
