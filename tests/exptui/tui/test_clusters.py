"""What a cluster says, in the cockpit."""

from __future__ import annotations

from pathlib import Path

from exptui.core.launchers import job as jobs
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from exptui.tui.app import Exptui
from exptui.tui.screens.sheets import Confirm, Prompt
from exptui.tui.widgets.detail import DetailPane
from exptui.tui.widgets.text import Lines
from fake_slurm import slurm
from support import workspace
from tui_support import opened, until

__all__ = ["slurm"]

ON_SLURM = '\n[launcher]\nkind = "slurm"\npartition = "gpu"\n'


def facts(pane: DetailPane) -> str:
    """What the overview says."""
    lines = pane.query_one("#facts", Lines)
    return "\n".join(lines.render_line(y).text for y in range(lines.size.height))


def on_slurm(parent: Path) -> Workspace:
    """A workspace whose runs go to the cluster."""
    space = workspace(parent)
    with (space.root / "exptui.toml").open("a") as file:
        file.write(ON_SLURM)
    return space


async def test_why_a_run_waits_and_that_there_is_no_answer(slurm: Path, tmp_path: Path) -> None:
    space = on_slurm(tmp_path / "w")
    (slurm / "hold").touch()
    run = space.run("a")
    mine = jobs.read(run)
    assert mine is not None
    (slurm / "queue").write_text(f"7|PENDING|2026-01-01T00:00:00||PartitionTimeLimit|{mine.name}\n")
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        pane = screen.query_one(DetailPane)
        await until(pilot, lambda: "Slurm: will not start: it asks for more time" in facts(pane))
        assert "waiting for Slurm" in facts(pane)
        (slurm / "down").touch()
        await until(pilot, lambda: "Slurm: unknown since " in facts(pane))
        (slurm / "down").unlink()
        (slurm / "queue").write_text(f"7|CANCELLED|2026-01-01T00:00:00||None|{mine.name}\n")
        await until(pilot, lambda: screen.snapshot.runs[0].view.state is RunState.STOPPED)


async def test_the_sheet_says_what_is_asked_of_the_cluster(slurm: Path, tmp_path: Path) -> None:
    space = on_slurm(tmp_path / "w")
    (slurm / "hold").touch()
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot, app)
        await pilot.press("1", "E")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        app.screen.query_one("#prompt").value = "engine.base_seed=9 launcher.time=3:00:00"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        lines = app.screen.query_one("#sheet-lines", Lines)
        await until(pilot, lambda: lines.size.height > 3)
        text = "\n".join(lines.render_line(y).text for y in range(lines.size.height))
        assert "partition gpu   time 3:00:00" in text
        assert "slots" not in text
        await pilot.press("r")
        await until(pilot, (slurm / "asked").exists)
        assert "--time=3:00:00" in (slurm / "asked").read_text()
