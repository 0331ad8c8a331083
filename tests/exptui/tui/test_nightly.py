"""What comes unasked: alerts, the machine, the morning."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core import alerts
from exptui.core.alerts import Alert
from exptui.core.files import pretty_json
from exptui.core.monitor import morning
from exptui.core.monitor.catalog import RunRow
from exptui.core.monitor.machine import Load, Machine
from exptui.core.monitor.morning import News
from exptui.tui import sentry
from exptui.tui.app import Exptui
from exptui.tui.messages import Alerted, MachineSeen, WatchingChanged
from exptui.tui.screens.nightly import banner, counted, knows_osc9
from exptui.tui.widgets.detail import DetailPane
from exptui.tui.widgets.rows import RowList
from exptui.tui.widgets.text import Lines
from soak.supervision import fresh, running
from support import finished, workspace
from tui_support import opened, until

EVIL = "\x1b]9;evil\x07\x9d[@click=app.exit]x[/]"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def line(app: Exptui, name: str) -> str:
    return str(app.screen.query_one(f"#{name}", Lines).render())


@pytest.mark.parametrize(
    ("environ", "knows"),
    [
        ({"TERM": "xterm-kitty"}, True),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, True),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, True),
        ({"TERM": "xterm-256color"}, False),
        ({"TERM": "screen-256color", "LC_TERMINAL": "iTerm2"}, False),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x"}, False),
        ({}, False),
    ],
)
def test_only_terminals_that_are_known_to_get_osc_9(environ: dict[str, str], knows: bool) -> None:
    assert knows_osc9(environ) is knows


def test_the_banner_counts_the_worst_first() -> None:
    news = tuple(News("r", kind) for kind in ("failed", "stalled", "nan", "finished", "finished"))
    assert counted(news) == "1 failed · 1 stalled · 1 turned NaN · 2 finished"


@given(st.text(max_size=80), st.text(max_size=300), st.integers(-1, 1), st.integers(30, 200))
def test_the_banner_keeps_its_keys_at_any_width(name: str, text: str, at: int, width: int) -> None:
    news = (News(name, "failed", text), News("b", "finished"))
    shown = "".join(part for part, _ in banner(0, news, at, 32400, width))
    assert "Enter" in shown
    assert len(shown) <= max(width, 38)
    assert "\x1b" not in shown


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_the_morning_is_gone_through_run_by_run(tmp_path: Path, size: tuple[int, int]) -> None:
    space = workspace(tmp_path, 'case "$EXPTUI_RUN_ID" in b_*) exit 3;; esac')
    (space.configs / "b.toml").write_text("[engine]\nbase_seed = 8\n")
    morning.mark(space.root, time.time() - 9 * 3600, [])
    good = finished(space)
    bad = space.run("b").name
    list(space.wait(bad))
    app = Exptui(space)
    async with app.run_test(size=size, notifications=True) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: screen.has_class("morning"))
        assert "since you left, 9 h ago: 1 failed · 1 finished" in line(app, "banner")
        for run_id, word in ((bad, "failed"), (good, "finished")):
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(screen.subject, RunRow) and screen.subject.run_id == run_id)  # noqa: B023
            assert f"{run_id}  {word}" in line(app, "banner")
            pane = screen.query_one(DetailPane)
            await until(pilot, lambda: pane.detail is not None and pane.detail.subject == screen.subject)  # noqa: B023
            assert pane.display
        await pilot.press("enter")
        await until(pilot, lambda: not screen.has_class("morning"))
        await pilot.press("2", "enter")  # it is the list's again
        await until(pilot, lambda: screen.has_class("show-detail"))
    left = morning.left(space.root)
    assert left is not None
    assert left.at > time.time() - 60  # so that a hang-up counts too


async def test_escape_sends_the_morning_away_and_a_filter_does_not_hide_it(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    morning.mark(space.root, time.time() - 60, [])
    run_id = finished(space)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: screen.has_class("morning"))
        screen.query_text = "nothing like it"
        screen.relist()
        rows = screen.query_one("#runs", RowList)
        await until(pilot, lambda: not rows.rows)
        await pilot.press("enter")
        await until(pilot, lambda: rows.key == run_id and not screen.query_text)
        await until(pilot, lambda: isinstance(screen.subject, RunRow) and screen.subject.run_id == run_id)
        await pilot.press("escape")
        assert not screen.has_class("morning")


async def test_a_first_evening_has_no_morning(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    finished(space)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: morning.left(space.root))
        assert not screen.has_class("morning")


async def test_alerts_of_a_run_at_work_are_said_and_only_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentry, "EVERY", 0.05)
    monkeypatch.setattr(sentry, "SHARE", 1.0)
    space = fresh(tmp_path / "w")
    directory, _, _ = running(space)
    file = alerts.path(directory, 1)
    file.parent.mkdir(exist_ok=True)

    def add(text: str) -> None:
        with file.open("ab") as opened:
            opened.write(
                pretty_json(Alert(at="2030-01-01T00:00:00Z", event="nan", text=text)).replace(b"\n", b"")
                + b"\n"
            )

    add("old")
    app = Exptui(space)
    said: list[str] = []
    bells: list[int] = []
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        monkeypatch.setattr(screen, "notify", lambda text, **_: said.append(text))
        monkeypatch.setattr(app, "bell", lambda: bells.append(1))
        await until(pilot, lambda: screen.machine is not None and screen.machine.loads)
        await until(pilot, lambda: "processes" in line(app, "facts") or "1 process" in line(app, "facts"))
        add(EVIL)
        await until(pilot, lambda: said)
        assert "old" in line(app, "facts")
    assert said == [f"{directory.name}  turned NaN: ␛]9;evil␇�[@click=app.exit]x[/]"]
    assert bells
    space.stop(directory.name)


async def test_hostile_text_reaches_neither_osc_9_nor_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Exptui(workspace(tmp_path))
    written: list[str] = []
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        assert app._driver is not None
        monkeypatch.setattr(Exptui, "is_headless", False)
        monkeypatch.setattr(os, "environ", {**os.environ, "TERM": "xterm-kitty"})
        os.environ.pop("TMUX", None)
        monkeypatch.setattr(app._driver, "write", written.append)
        screen.post_message(Alerted("r", Alert(at="", event="nan", text=EVIL * 50)))
        await until(pilot, lambda: any(text.startswith("\x1b]9;") for text in written))
        monkeypatch.undo()
        screen.post_message(WatchingChanged(EVIL))
        screen.post_message(MachineSeen(Machine(gpu_problem=EVIL, loads={EVIL: Load(1, 1, 1)})))
        await until(pilot, lambda: screen.machine and screen.polling)
        assert "\x1b" not in line(app, "header")
    (sent,) = [text for text in written if text.startswith("\x1b]9;")]
    assert sent.endswith("\x07")
    assert sent[4:-1].isprintable()
    assert len(sent) < 300
