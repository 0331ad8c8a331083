"""A verification seen and cancelled from the cockpit, and what its report leads with."""

from __future__ import annotations

from pathlib import Path

from exptui.tui.app import Exptui
from exptui.tui.screens.main import MainScreen
from exptui.tui.screens.sheets import Confirm
from exptui.tui.widgets.detail import DetailPane
from exptui.tui.widgets.rows import RowList
from support import finished, toy, verified, wrong
from tui_support import main, opened, text, until


def audit(screen: MainScreen) -> str:
    return text(screen.query_one("#audit-text", RowList))


def gone(tmp_path: Path) -> bool:
    return not Path("/proc", (tmp_path / "hanging").read_text()).exists()


async def test_a_verification_shows_its_cycles_and_is_cancelled_without_a_trace(tmp_path: Path) -> None:
    space = toy(tmp_path)
    run_id = finished(space)
    space.archive(run_id)
    wrong(hang_at=5)(space)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("3", "V")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("enter")
        screen.query_one(DetailPane).tab = "audit"
        await until(pilot, lambda: "5 of 8 cycles compared" in audit(screen))
        assert "x cancels it" in audit(screen)
        assert "verifying 62%" in text(screen.query_one("#archives", RowList))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: not list((space.archives / "restoration").iterdir()))
        await until(pilot, lambda: "not verified yet" in screen.query_one("#audit-text", RowList).empty)
        assert space.verification_states() == {}
        assert [row.archived.verdict for row in screen.snapshot.archives] == [None]
    assert gone(tmp_path)


async def test_the_report_leads_with_the_divergence_then_the_suspects(tmp_path: Path) -> None:
    space = toy(tmp_path)
    run_id = finished(space)
    wrong(bad_at=3)(space)
    path = tmp_path / "toy.py"
    path.write_text(path.read_text() + "# changed\n")
    verified(space, run_id, keep_going=True)
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        screen.query_one(DetailPane).tab = "audit"
        await until(pilot, lambda: "DIVERGED" in audit(screen))
        shown = audit(screen)
        marks = (
            "DIVERGED  at cycle 3 (loss ",
            "First mismatch: cycle 3",
            "Files that differ:",
            "checkpoints/epoch_0002.ckpt",
            "What could explain it:",
            "code toy.py ",
            "run          ",
        )
        places = [shown.index(mark) for mark in marks]
        assert places == sorted(places)
        assert main(app) is screen
