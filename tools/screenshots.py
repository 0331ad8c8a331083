"""Every picture in `screenshots/`: the real app on real runs, at 120×40 and 80×24, as SVG and PNG."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import resvg_py
from textual.pilot import Pilot

from exptui.core.audit.report import AuditReport
from exptui.core.workspace import Workspace
from exptui.tui.app import Exptui
from exptui.tui.screens.main import MainScreen

ROOT = Path(__file__).resolve().parent.parent
FONTS = "/usr/share/fonts/truetype/dejavu"
SIZES = {"": (120, 40), "-narrow": (80, 24)}

Steps = Callable[[Pilot[None]], Awaitable[None]]


def prepare(parent: Path) -> Workspace:
    """A workspace with runs of the shipped configs, one archived and verified, one failed."""
    root = parent / "experiments"
    shutil.copytree(ROOT / "experiments/configs", root / "configs")
    (root / "exptui.toml").write_text("[queue]\nslots = 2\n")
    space = Workspace(root)
    (root / "configs/exp_005_no_batch.toml").write_text(
        (root / "configs/exp_004_mlp.toml").read_text().replace("batch_size = 32", "batch_size = 0")
    )
    names = ["exp_001_baseline", "exp_004_mlp", "exp_005_no_batch", "smoke", "exp_003_higher_lr"]
    for name in names:
        finish(space, space.run(name).name)
    space.pin(space.show("exp_001_baseline").run_id)
    for name in ("exp_004_mlp", "smoke"):
        space.archive(name)
    archived = space.list_archives()[0].run_id
    last = list(space.follow(space.verify(space.request(archived))))[-1]
    assert isinstance(last, AuditReport)
    return space


def finish(space: Workspace, run_id: str) -> None:
    """Wait for the end of a run."""
    for _ in space.wait(run_id):
        pass


async def settled(pilot: Pilot[None], condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something is on the screen."""
    for _ in range(int(seconds / 0.05)):
        await pilot.pause(0.05)
        if condition():
            return
    raise SystemExit("the screen never showed what the picture is of")


async def picture(space: Workspace, name: str, size: tuple[int, int], steps: Steps, folder: Path) -> None:
    """One picture."""
    app = Exptui(space)
    async with app.run_test(size=size, notifications=True) as pilot:
        await settled(pilot, lambda: isinstance(app.screen, MainScreen) and app.screen.begun)
        await pilot.pause(0.3)
        await steps(pilot)
        await pilot.pause(0.6)
        write(app.export_screenshot(title="exptui"), folder / name)


def write(svg: str, path: Path) -> None:
    """The SVG with a font that is everywhere, and its PNG."""
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono").replace("arial", "DejaVu Sans")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".svg").write_text(svg)
    png = resvg_py.svg_to_bytes(svg_string=svg, font_dirs=[FONTS], skip_system_fonts=True)
    path.with_suffix(".png").write_bytes(bytes(png))


def keys(*pressed: str) -> Steps:
    """Press keys one after the other, each when the last was taken."""

    async def steps(pilot: Pilot[None]) -> None:
        for key in pressed:
            await pilot.press(key)
            await pilot.pause(0.4)

    return steps


PICTURES: dict[str, Steps] = {
    "overview": keys("2", "g"),
    "metrics": keys("2", "G", "0", "right_square_bracket", "right_square_bracket"),
    "log": keys("2", "G", "L"),
    "failed": keys("2", "down", "0"),
    "audit": keys("3", "G", "left_square_bracket"),
    "launch": keys("1", "down", "r"),
    "compare": keys("2", "G", "space", "g", "space", "d"),
    "help": keys("question_mark"),
}


async def main() -> None:
    """Take all pictures."""
    wanted = sys.argv[1:] or list(PICTURES)
    home = Path(tempfile.gettempdir()) / "demo"
    shutil.rmtree(home, ignore_errors=True)
    (home / "proj/.venv/bin").mkdir(parents=True)
    (home / "proj/.venv/bin/tiny-agent-trainer").symlink_to(Path(sys.prefix) / "bin/tiny-agent-trainer")
    os.environ["HOME"] = str(home)
    try:
        space = prepare(home / "proj")
        for suffix, size in SIZES.items():
            for name in wanted:
                await picture(space, name + suffix, size, PICTURES[name], ROOT / "screenshots")
        if "live" in wanted or not sys.argv[1:]:
            run_id = space.run("exp_002_more_layers").name

            async def live(pilot: Pilot[None]) -> None:
                screen = pilot.app.screen
                assert isinstance(screen, MainScreen)
                await settled(pilot, lambda: (row := screen.snapshot.run(run_id)) and (row.step or 0) >= 4)
                await keys("2", "g")(pilot)

            await picture(space, "live", SIZES[""], live, ROOT / "screenshots")
            finish(space, run_id)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
