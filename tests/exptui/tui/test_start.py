"""The start: what is painted first, and what waits until then."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from exptui.tui.app import Exptui
from exptui.tui.widgets.detail import TABS, DetailPane
from exptui.tui.widgets.rows import RowList
from exptui.tui.widgets.tabs import TabStrip
from support import finished, workspace
from tui_support import opened, text, until


async def test_the_first_frame_has_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = workspace(tmp_path)
    finished(space)
    app = Exptui(space)
    frames: list[int] = []
    display = app._display

    def painted(screen: object, renderable: object) -> None:
        if renderable is not None and not app._batch_count:
            frames.append(len(app.screen.query_one("#runs", RowList).rows))
        display(screen, renderable)  # type: ignore[arg-type]

    monkeypatch.setattr(app, "_display", painted)
    monkeypatch.setattr("exptui.tui.screens.main.PATIENCE", 60.0)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: frames)
        assert frames[0] == 1


async def test_without_a_look_an_empty_frame_is_painted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = workspace(tmp_path)
    finished(space)
    app, may = Exptui(space), threading.Event()
    monkeypatch.setattr("exptui.tui.bridge.Bridge._watch", lambda _: may.wait())
    monkeypatch.setattr("exptui.tui.screens.main.PATIENCE", 0.01)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "reading" in app.export_screenshot() and not app._batch_count)
        may.set()


async def test_a_tab_is_made_when_it_is_first_shown(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    finished(space)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        pane = (await opened(pilot, app)).query_one(DetailPane)
        await until(pilot, lambda: pane.detail is not None)
        assert not {"metrics", "config", "files", "audit"} & pane.made.keys()
        for name in TABS[1:]:
            await pilot.press("right_square_bracket")
            assert pane.tab == name
            await until(pilot, lambda: all(widget.region for widget in pane.made[pane.tab]))
        assert "metrics.json" in text(pane.query_one("#file-list", RowList))
        strip = pane.query_one(TabStrip)
        for name in TABS:
            await pilot.click(TabStrip, offset=(strip.start(name), 0))
            assert pane.tab == name
            assert [one for one in TABS if pane.made[one][0].display] == [name]


async def test_what_a_crash_left_is_mended_after_the_first_frame(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    finished(space)
    (space.configs / ".a.toml.999999999.partial").write_text("half")
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: any("removed the unfinished" in n.message for n in app._notifications))
    assert not list(space.configs.glob(".*"))


async def test_what_changes_the_workspace_waits_for_the_mending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = workspace(tmp_path)
    run_id = finished(space)
    may, app = threading.Event(), Exptui(space)
    monkeypatch.setattr(space, "recover", lambda: may.wait() and [])
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: screen.query_one(DetailPane).detail is not None)
        await pilot.press("a", "y")
        await until(pilot, lambda: screen.bridge.busy)
        await pilot.pause(0.1)
        assert not space.archives.exists()
        may.set()
        await until(pilot, lambda: [one.run_id for one in space.list_archives()] == [run_id])


async def test_garbage_is_collected_again_after_the_start(tmp_path: Path) -> None:
    app = Exptui(workspace(tmp_path))
    gc.disable()
    try:
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await opened(pilot, app)
            assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
