"""The cockpit over a real cluster: a grid of 18 runs watched while it works, and the same results as here."""

from __future__ import annotations

from pathlib import Path

from exptui.core.runs.run import RunState
from exptui.tui.app import Exptui
from exptui.tui.screens.sheets import Confirm, Prompt
from exptui.tui.widgets.detail import DetailPane
from exptui.tui.widgets.text import Lines
from slurm.cluster import Cluster
from slurm.spaces import gated, let, on_slurm
from support import finished, toy
from tui_support import opened, until


def facts(pane: DetailPane) -> str:
    """What the overview says."""
    lines = pane.query_one("#facts", Lines)
    return "\n".join(lines.render_line(y).text for y in range(lines.size.height))


async def test_a_grid_of_eighteen_watched_live(cluster: Cluster, tmp_path: Path) -> None:
    there = on_slurm(toy(tmp_path / "there"), at_once=6)
    app = Exptui(there)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("1", "E")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        for letter in "model.layers=1,2,3 model.width=1,2,3,4,5,6":
            await pilot.press(
                {".": "full_stop", "=": "equals_sign", ",": "comma", " ": "space"}.get(letter, letter)
            )
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("r")
        seen: set[str] = set()

        def over() -> bool:
            seen.update(screen.query_one(DetailPane).words.values())
            rows = list(screen.snapshot.runs)
            return len(rows) == 18 and all(row.view.state is RunState.FINISHED for row in rows)

        await until(pilot, over)
    assert any(text.startswith("runs on n") for text in seen)
    assert (
        len({view.record.host for view in there.list_runs() if view.record}) == 1
    )  # one host plays three nodes
    here = toy(tmp_path / "here")
    for view in there.list_runs():
        data = (view.path / "config.toml").read_bytes()
        (here.configs / f"{view.stem}.toml").write_bytes(data)
        twin = here.results / finished(here, view.stem)
        for name in ("metrics.json", "chronicle.cmeta", "model.bin", "checkpoints/epoch_0004.ckpt"):
            assert (view.path / name).read_bytes() == (twin / name).read_bytes()


async def test_why_a_run_waits_and_that_slurm_gives_no_answer(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path, extra=["--hold"])
    space.run("a")
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        pane = screen.query_one(DetailPane)
        await until(pilot, lambda: "Slurm: waits: held by its user" in facts(pane))
        assert "waiting for Slurm" in facts(pane)
        cluster.kill("slurmctld")
        await until(pilot, lambda: "Slurm: unknown since " in facts(pane))
        await pilot.press("2", "j", "k", "1")  # nothing waits for the cluster
        let(space)
