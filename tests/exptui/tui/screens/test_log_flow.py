"""The log of a run in its pane: searched, filtered, cancelled and rewritten, and nothing waits for any of it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from exptui.core.monitor import index
from exptui.core.monitor.lines import BLOCK
from exptui.tui.app import Exptui
from exptui.tui.screens.main import MainScreen
from exptui.tui.widgets import log_view
from exptui.tui.widgets.log_view import LogView
from support import finished, workspace
from tui_support import opened, until

TRAP = b"a" * 60 + b"b\n"


class Driver:
    """A cockpit that shows a log, driven by keys."""

    def __init__(self, pilot: Pilot[None], screen: MainScreen, log: Path) -> None:
        self.pilot, self.screen, self.log = pilot, screen, log
        self.view = screen.query_one(LogView)

    @property
    def rows(self) -> list[str]:
        return [self.view.render_line(y).text.rstrip() for y in range(self.view.size.height)]

    async def says(self, text: str) -> None:
        try:
            await until(self.pilot, lambda: text in self.view.status)
        except AssertionError:
            raise AssertionError(f"it says: {self.view.status}") from None

    async def until(self, true: Callable[[], object]) -> None:
        await until(self.pilot, true)

    def look(self) -> None:
        """The log may have grown."""
        self.screen.select(again=True)


@asynccontextmanager
async def shown(tmp_path: Path, data: bytes) -> AsyncIterator[Driver]:
    space = workspace(tmp_path)
    log = space.results / finished(space) / "trainer.log"
    log.write_bytes(data)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("2", "L")
        driver = Driver(pilot, screen, log)
        await driver.until(lambda: driver.view.complete and driver.view.count)
        yield driver


LINES = b"".join(b"line %d\n" % number for number in range(5000))


async def test_matches_are_counted_and_gone_through(tmp_path: Path) -> None:
    async with shown(tmp_path, LINES) as log:
        log.view.search("9{2}")
        await log.says("match 86 of 95 '9{2}'")
        assert "line 4990" in log.rows
        await log.pilot.press("N")
        await log.says("match 85 of 95 '9{2}'")
        await log.until(lambda: "line 4899" in log.rows)
        await log.pilot.press("g", "n")
        await log.says("match 1 of 95")
        assert "line 99" in log.rows
        with log.log.open("ab") as file:
            file.write(b"line 99\n")
        log.look()
        await log.says("match 1 of 96")
        await log.pilot.press("n")
        await log.says("match 2 of 96")


async def test_a_filter_grows_with_the_log_and_is_searched(tmp_path: Path) -> None:
    async with shown(tmp_path, LINES) as log:
        log.view.filter("7$")
        await log.says("filter: 7$ · 500 lines · following")
        await log.until(lambda: log.rows[-2:] == ["line 4987", "line 4997"])
        with log.log.open("ab") as file:
            file.write(b"line 7\nline 8\nline")
        log.look()
        await log.says("501 lines")
        await log.until(lambda: log.rows[-1] == "line 7")
        with log.log.open("ab") as file:
            file.write(b" 17\n")
        log.look()
        await log.until(lambda: log.rows[-2:] == ["line 7", "line 17"])
        log.view.search("99")
        await log.says("match 5 of 5 '99'")
        assert "line 4997" in log.rows
        await log.pilot.press("n")
        await log.says("no further match of 5 '99'")
        await log.pilot.press("N")
        await log.says("match 4 of 5")
        log.view.filter("")
        await log.until(lambda: log.view.count == 5003)


async def test_a_rewritten_log_is_filtered_anew(tmp_path: Path) -> None:
    async with shown(tmp_path, LINES) as log:
        log.view.filter("7$")
        await log.says("500 lines")
        log.log.write_bytes(b"other 7\nother 8\n")
        log.look()
        await log.says("1 line")
        await log.until(lambda: log.rows[0] == "other 7")
        log.log.unlink()
        log.look()
        await log.says("0 lines")
        await log.until(lambda: log.rows[0] == "")


@pytest.mark.parametrize("act", ["search", "filter"])
async def test_a_pattern_that_takes_for_ever_is_told_of_and_cancelled(tmp_path: Path, act: str) -> None:
    async with shown(tmp_path, b"aaa\n" * 7 + TRAP) as log:
        getattr(log.view, act)("(a+)+$")
        await log.says("takes for ever on line 8; Esc cancels")
        with log.log.open("ab") as file:
            file.write(b"more\n")
        log.look()
        if act == "search":
            await log.until(lambda: "more" in log.rows)
        await log.pilot.press("escape")
        await log.says("cancelled")
        getattr(log.view, act)("more")
        await log.says({"search": "match 1 of 1", "filter": "1 line"}[act])


async def test_a_search_that_is_killed_says_so(tmp_path: Path) -> None:
    async with shown(tmp_path, TRAP) as log:
        log.view.search("(a+)+$")
        await log.until(lambda: (search := log.screen.logs.searching) and search._scan)
        search = log.screen.logs.searching
        assert search
        assert search._scan
        os.kill(search._scan.pid, signal.SIGKILL)
        await log.says("ended by signal 9; n starts again")


@pytest.mark.parametrize("patience", [0.01, 60.0])
async def test_a_frame_waits_a_moment_for_the_lines_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    painted: list[str] = []
    monkeypatch.setattr(log_view, "PATIENCE", patience)
    async with shown(tmp_path, LINES) as log:
        monkeypatch.setattr(log.view, "_move_bar", lambda _: painted.append(log.rows[0]))
        with log.screen.logs.lock:  # its thread cannot read
            log.view.action_top()
            if patience < 1:
                await log.until(lambda: painted)
            await log.pilot.pause()
            assert painted == ["…"] * (patience < 1)
        await log.until(lambda: painted[-1:] == ["line 0"])
        assert painted.count("…") == (patience < 1)


async def test_the_end_is_there_before_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "APART", BLOCK)
    async with shown(tmp_path, LINES * 9) as log:
        assert log.rows[-1] == "line 4999"
        await log.pilot.press("number_sign")
        await log.until(lambda: log.rows[-1] == "45,000 line 4999")
        await log.pilot.press("g")
        await log.until(lambda: log.rows[0].strip() == "1 line 0")
