"""Workspaces whose runs go to the cluster."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from exptui.core.launchers.watch import Watch
from exptui.core.runs.run import RunState, RunView
from exptui.core.workspace import Workspace
from support import CHECKPOINTS, until, workspace

GATED = Path(__file__).parent / "gated.py"


def on_slurm(space: Workspace, **options: object) -> Workspace:
    """From now on its runs go to the cluster."""
    keys = {"kind": "slurm", "stale": 20.0, **options}
    with (space.root / "exptui.toml").open("a") as file:
        file.write(
            "\n[launcher]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items())
        )
    return space


def gated(parent: Path, trainer: dict[str, object] | None = None, **options: object) -> Workspace:
    """Whose trainer waits at a gate before each epoch."""
    parent.mkdir(exist_ok=True)
    (parent / "gate").mkdir()
    shutil.copy(GATED, parent)
    command = [sys.executable, "gated.py", "--config", "{config}", "--output", "{output}"]
    words = {"command": command, "resume": ["--resume", "{checkpoint}"], "checkpoints": CHECKPOINTS}
    keys = {**words, "stop_grace": 2.0, **(trainer or {})}
    return on_slurm(workspace(parent, "", **keys), **options)


def gate(space: Workspace) -> Path:
    """Where epochs are let go, and what the trainer notes."""
    return space.root.parent / "gate"


def let(space: Workspace, epochs: Iterable[int] = range(1, 5)) -> None:
    """Let these epochs begin."""
    for epoch in epochs:
        (gate(space) / str(epoch)).touch()


def starts(space: Workspace, run: Path) -> list[str]:
    """From which epoch each start of the trainer went on."""
    path = gate(space) / f"{run.name}.starts"
    return path.read_text().split() if path.exists() else []


def state(space: Workspace, run: Path) -> RunState:
    """As it is now."""
    return space.view(run).state


def seen(space: Workspace, run: Path, watch: Watch, wanted: RunState, seconds: float = 120) -> RunView:
    """Look as the cockpit does until the run is in that state."""

    def there() -> bool:
        view = space.view(run)
        if view.state.live and watch.due:
            watch.look([view])
        return space.view(run).state is wanted

    until(there, seconds)
    return space.view(run)


def begun(space: Workspace, run: Path, times: int = 1, seconds: float = 60) -> None:
    """Wait until its trainer was started that often."""
    until(lambda: len(starts(space, run)) >= times, seconds)
