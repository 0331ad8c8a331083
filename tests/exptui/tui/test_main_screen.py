"""The main screen, driven by keys, on real workspaces."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from exptui.core.curves import follow, store
from exptui.core.monitor.catalog import RunRow
from exptui.core.monitor.detail import Detail
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from exptui.tui.app import Exptui
from exptui.tui.screens.compare import CompareScreen
from exptui.tui.screens.main import MainScreen
from exptui.tui.screens.sheets import Choose, Confirm, Help, Prompt
from exptui.tui.widgets.chart import Chart
from exptui.tui.widgets.charts import NamedChart
from exptui.tui.widgets.detail import DetailPane
from exptui.tui.widgets.log_view import LogView
from exptui.tui.widgets.rows import RowList
from exptui.tui.widgets.text import Lines
from support import finished, workspace
from tui_support import main, opened, text, until

METRICS = (
    'cd "$EXPTUI_OUTPUT"; for i in 1 2 3; do echo "{\\"epoch\\": $i, \\"validate_loss\\": 0.$i}" >> metrics.jsonl; done; '
    'echo "{\\"accuracy\\": 0.9}" > metrics.json; echo done'
)


async def test_an_empty_workspace_says_what_to_do(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        assert screen.query_one("#runs", RowList).empty.startswith("no runs yet")
        assert screen.focused is not None
        assert screen.focused.id == "configs"
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("enter")
        await until(
            pilot, lambda: screen.snapshot.runs and screen.snapshot.runs[0].view.state is RunState.FINISHED
        )
        await until(pilot, lambda: isinstance(screen.subject, RunRow))


async def test_marks_filter_sort_and_baseline(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    first, second = finished(space), finished(space)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("2", "space")
        assert screen.marks == {second}
        await pilot.press("asterisk")
        assert screen.marks == {first, second}
        await pilot.press("asterisk")
        assert screen.marks == frozenset()
        await pilot.press("g", "b")
        await until(pilot, lambda: screen.snapshot.baseline == second)
        assert "★" in text(screen.query_one("#configs", RowList))
        await pilot.press("slash", *"nothing", "enter")
        await until(pilot, lambda: not screen.query_one("#runs", RowList).rows)
        await pilot.press("escape")
        await until(pilot, lambda: len(screen.query_one("#runs", RowList).rows) == 2)
        await pilot.press("s", "s", "s")
        assert screen.sort == "name"
        assert [row.key for row in screen.query_one("#runs", RowList).rows] == sorted([first, second])


async def test_nothing_is_read_for_a_hidden_detail_and_all_when_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = workspace(tmp_path, METRICS)
    first, _ = finished(space), finished(space)
    asked: list[str] = []
    ask = MainScreen.ask_detail

    def noted(screen: MainScreen, subject: Any) -> None:
        asked.append(subject.run_id)
        ask(screen, subject)

    monkeypatch.setattr(MainScreen, "ask_detail", noted)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        pane = screen.query_one(DetailPane)
        await pilot.press("2", "plus")
        await until(pilot, lambda: not pane.display)
        asked.clear()
        await pilot.press("j")
        await until(pilot, lambda: screen.query_one("#runs", RowList).key == first)
        await pilot.press("b")  # is for the run under the cursor all the same
        await until(pilot, lambda: screen.snapshot.baseline == first)
        assert asked == []
        await pilot.press("plus")
        await until(pilot, lambda: pane.detail is not None and screen._key(pane.detail.subject)[1] == first)
        assert set(asked) == {first}


async def test_tag_and_find(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    first, second = finished(space), finished(space)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        rows = screen.query_one("#runs", RowList)
        await pilot.press("2", "T", *"keep", "enter")
        await until(pilot, lambda: screen.snapshot.said == {second: {"keep.tag": "keep"}})
        await pilot.press("slash", *"tag:keep", "enter")
        await until(pilot, lambda: [row.key for row in rows.rows] == [second])
        await pilot.press("T", *"-keep", "enter")
        await until(pilot, lambda: not rows.rows)
        await pilot.press("escape")
        await until(pilot, lambda: [row.key for row in rows.rows] == [second, first])


async def test_compare_and_write(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    (space.configs / "b.toml").write_text("[engine]\nbase_seed = 8\n")
    finished(space)
    finished(space, "b")
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot, app)
        await pilot.press("2", "d")
        assert isinstance(app.screen, MainScreen)  # one run is no comparison
        await pilot.press("asterisk", "d")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.whole)
        shown = app.screen.query_one("#compare", RowList)
        await until(pilot, lambda: "base_seed" in text(shown) and "metrics" in text(shown))
        await pilot.press("c", "m")
        assert not app.screen.query_one("#compare-curves").display
        await until(pilot, lambda: list((space.results / "comparisons").glob("*.md")))
        await pilot.press("escape")
        assert isinstance(app.screen, MainScreen)


async def test_every_tab_of_every_subject_shows_something(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    run_id = finished(space)
    space.archive(run_id, keep=True)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        pane = screen.query_one(DetailPane)
        for key in ("1", "2", "3"):
            await pilot.press(key)
            await until(pilot, lambda: pane.detail is not None and pane.detail.subject == screen.subject)
            for _ in range(6):
                await pilot.press("right_square_bracket")
                await pilot.pause()
        assert pane.tab == "overview"
        pane.tab = "files"
        assert "metrics.json" not in text(pane.query_one("#file-list", RowList))
        await pilot.press("2")
        await until(pilot, lambda: "metrics.json" in text(pane.query_one("#file-list", RowList)))


async def test_what_is_typed_ahead_keeps_the_focus(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    finished(space)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        main(app).action_log()
        screen = await opened(pilot, app)
        await until(pilot, lambda: isinstance(screen.subject, RunRow))
        view = screen.focused
        assert isinstance(view, LogView)
        await until(pilot, lambda: view.count)
        await pilot.press("1")  # a config has no log, and never shows that of the run before
        await until(pilot, lambda: not view.count)
        assert "no log" in view.status
        await pilot.press("2")
        await until(pilot, lambda: view.count)
        assert "no log" not in view.status


async def test_delete_and_undo(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    run_id = finished(space)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("2", "D")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("escape")
        assert (space.results / run_id).exists()
        await pilot.press("D", "y")
        await until(pilot, lambda: not screen.snapshot.runs)
        await pilot.press("U")
        await until(pilot, lambda: [row.run_id for row in screen.snapshot.runs] == [run_id])


async def test_the_trash_is_shown_and_what_is_old_goes_for_good(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    (space.root / "exptui.toml").write_text(
        (space.root / "exptui.toml").read_text() + '[keys]\nundo = "ctrl+u"\n'
    )
    old, new = finished(space), finished(space)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("Z")
        await until(pilot, lambda: [one.message for one in app._notifications] == ["the trash is empty"])
        await pilot.press("2", "asterisk", "D", "y")
        await until(pilot, lambda: not screen.snapshot.runs)
        await until(
            pilot, lambda: any("2 in the trash; ^u takes" in one.message for one in app._notifications)
        )
        long_ago = time.time() - 31 * 86_400
        os.utime(space.results / ".trash" / old, (long_ago, long_ago))
        await pilot.press("Z")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert old in sheet(app)
        assert "31 d" in sheet(app)
        await pilot.press("e")
        await until(pilot, lambda: [one.run_id for one in space.trashed()] == [new])
        await pilot.press("Z")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("e", "enter")  # nothing is old any more; Enter takes the last one back
        await until(pilot, lambda: [row.run_id for row in screen.snapshot.runs] == [new])


def sheet(app: Exptui) -> str:
    lines = app.screen.query_one("#sheet-lines", Lines).render()
    return str(lines)


async def test_an_archive_sheet_says_which_checkpoints_are_not_kept(tmp_path: Path) -> None:
    space = workspace(tmp_path, 'cd "$EXPTUI_OUTPUT"; echo 1 > c1; echo 2 > c2', checkpoints="c{epoch}")
    (space.root / "exptui.toml").write_text(
        (space.root / "exptui.toml").read_text() + '[archive]\ncheckpoints = "last"\n'
    )
    run_id = finished(space)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("2", "a")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "only the last is kept" in sheet(app)
        await pilot.press("y")
        await until(pilot, lambda: [row.run_id for row in screen.snapshot.archives] == [run_id])
        await until(
            pilot, lambda: any("1 file attested by digest" in one.message for one in app._notifications)
        )


async def test_stop_and_resume(tmp_path: Path) -> None:
    space = workspace(
        tmp_path,
        command=[
            "sh",
            "-c",
            'cd "$EXPTUI_OUTPUT"; [ "$1" = --from ] || { echo 1 > c1; exec sleep 60; }',
            "t",
        ],
        resume=["--from", "{checkpoint}"],
        checkpoints="c{epoch}",
    )
    run_id = space.run("a").name
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, (space.results / run_id / "c1").exists)
        await pilot.press("2", "x")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: screen.snapshot.runs[0].view.state is RunState.STOPPED)
        await pilot.press("u")
        await until(pilot, lambda: screen.snapshot.runs[0].view.state is RunState.FINISHED)
        record = screen.snapshot.runs[0].view.record
        assert record is not None
        assert record.attempts == 2


async def test_run_with_edits_writes_a_config_of_its_own(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("1", "E")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        await pilot.press(*"engine.base_seed", "equals_sign", "9", "enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("r")
        await until(pilot, lambda: [row.view.stem for row in screen.snapshot.runs] == ["a-base_seed-9"])
        await until(pilot, lambda: not screen.snapshot.runs[0].view.state.live)


async def test_several_values_are_a_grid(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    finished(space)
    app = Exptui(space)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("1", "E")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        await pilot.press(*"engine.base_seed", "equals_sign", *"7,8,9", "enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await until(pilot, lambda: "2 runs will be queued" in shown(app))
        assert "a  ran already: a_" in shown(app)
        await pilot.press("r")
        await until(pilot, lambda: len(screen.snapshot.runs) == 3)
        assert {row.view.stem for row in screen.snapshot.runs} == {"a", "a-base_seed-8", "a-base_seed-9"}
        await until(pilot, lambda: not screen.snapshot.runs.live)


async def test_a_run_that_builds_does_not_wait_for_a_slot(tmp_path: Path) -> None:
    go = tmp_path / "go"
    space = workspace(tmp_path, METRICS, prepare=["sh", "-c", f"until [ -e {go} ]; do sleep 0.02; done"])
    space.run("a")
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("2")
        await until(pilot, lambda: "preparing:" in app.export_screenshot())
        assert screen.snapshot.runs[0].view.state is RunState.QUEUED
        go.touch()
        await until(pilot, lambda: screen.snapshot.runs[0].view.state is RunState.FINISHED)


def shown(app: Exptui) -> str:
    """What the sheet says."""
    return str(app.screen.query_one("#sheet-lines", Static).render())


@pytest.mark.parametrize("key", ["question_mark", "colon", "y"])
async def test_help_palette_and_copy_open_and_close(tmp_path: Path, key: str) -> None:
    space = workspace(tmp_path, METRICS)
    finished(space)
    app = Exptui(space)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, app)
        await pilot.press("2", key)
        await until(pilot, lambda: isinstance(app.screen, Help | Choose))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))


async def test_narrow_shows_one_pane_at_a_time(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    finished(space)
    app = Exptui(space)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: screen.query_one("#runs").region and screen.query_one("#runs").has_focus)
        for key, shown in (("1", "configs"), ("2", "runs"), ("3", "archives"), ("0", "detail")):
            await pilot.press(key)
            await pilot.pause()
            visible = [
                name
                for name in ("configs", "runs", "archives", "detail")
                if screen.query_one(f"#{name}").region
            ]
            assert visible == [shown]
        await pilot.press("escape")
        await pilot.pause()
        assert screen.query_one("#runs").region


async def test_an_operation_that_fails_is_said_and_the_app_goes_on(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    run_id = finished(space)
    (space.results / run_id / "link").symlink_to("/etc/passwd")
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("2", "a")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: any("symbolic link" in str(note.message) for note in app._notifications))
        assert (space.results / run_id).exists()
        assert not screen.bridge.busy


async def test_range_mark_file_viewer_and_remapped_keys(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    (space.root / "exptui.toml").open("a").write(
        '[keys]\nmark_all = "M"\nnonsense = "N"\nquit = "ctrl+q,Q"\n'
    )
    ids = {finished(space) for _ in range(3)}
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        assert any("nonsense is no command" in str(note.message) for note in app._notifications)
        assert "^q quit" in str(app.screen.query_one("#keys", Lines).render())
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help))
        assert "  M      mark every run" in text(app.screen.query_one("#help", RowList))
        await pilot.press("escape")
        await pilot.press("2", "g", "space", "G", "v")
        assert screen.marks == ids
        await pilot.press("M")
        assert screen.marks == frozenset()
        await pilot.press("0")
        screen.query_one(DetailPane).tab = "files"
        await pilot.press("0")
        files = screen.query_one("#file-list", RowList)
        await until(pilot, lambda: files.rows and screen.focused is files)
        files.select("metrics.json")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Choose))
        assert "accuracy" in text(app.screen.query_one("#choices", RowList))


async def test_the_log_can_be_filtered(tmp_path: Path) -> None:
    space = workspace(tmp_path, "for i in 1 2 3 12; do echo line $i; done; echo 1 > $EXPTUI_OUTPUT/out")
    finished(space)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("2", "ampersand")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        await pilot.press("1", "enter")
        view = screen.query_one(LogView)
        await until(pilot, lambda: view.status.startswith("filter: 1"))
        await until(pilot, lambda: view.virtual_size.height == 2)


def long_run(space: Workspace, lines: int) -> str:
    """A finished run with many rows and twenty metrics."""
    run_id = finished(space)
    names = [f"m{number}" for number in range(18)]
    with (space.results / run_id / "metrics.jsonl").open("w") as file:
        for step in range(lines):
            row = {"step": step, "train_loss": 1 / (step + 1), "validate_loss": 2 / (step + 1)}
            file.write(json.dumps(row | dict.fromkeys(names, step)) + "\n")
    return run_id


async def test_long_curves_are_a_sketch_first_then_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SLICE", 40_000)
    monkeypatch.setattr(follow, "BLOCK", 20_000)
    space = workspace(tmp_path, METRICS)
    first, _ = long_run(space, 1500), long_run(space, 1500)
    shares: list[float] = []
    show = DetailPane.show

    def seen(pane: DetailPane, detail: Detail, *others: Any) -> None:
        shares.append(detail.share)
        show(pane, detail, *others)

    monkeypatch.setattr(DetailPane, "show", seen)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        pane = screen.query_one(DetailPane)
        await until(pilot, lambda: pane.detail is not None and pane.detail.share == 1)
        assert len(shares) > 3
        assert shares == sorted(shares)
        assert shares[0] < 1
        (curve, _) = pane.charts[0].curves
        assert len(curve.series) == 1500
        await pilot.press("2", "asterisk")
        await until(pilot, lambda: len(screen.curves.read(space.results / first).series["m0"]) == 1500)
        await pilot.press("0", "right_square_bracket", "right_square_bracket")
        await until(pilot, lambda: len(screen.query("NamedChart")) == 19)
        chart = screen.query(NamedChart).first()
        await until(pilot, lambda: [len(one.series) for one in chart.curves] == [1500] * 3)
        assert "reading" not in chart.render_line(0).text
        await pilot.press("l", "plus", "o", "m")
        await until(
            pilot, lambda: chart.view.cursor == 0 and chart.view.log_y and chart.view.smoothing == 0.5
        )
        await pilot.press("d")
        await until(
            pilot, lambda: isinstance(app.screen, CompareScreen) and len(app.screen.query(Chart)) == 2
        )
        compared = app.screen.query(Chart).first()
        await until(pilot, lambda: [len(one.series) for one in compared.curves] == [1500] * 2)


async def test_a_sketch_says_that_it_is_one(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    finished(space)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        pane = screen.query_one(DetailPane)
        await until(pilot, lambda: pane.charts and pane.charts[0].curves and pane.charts[0].size.width)
        pane.charts[0].reading = 0.34
        assert "loss · reading 34%" in pane.charts[0].render_line(0).text
