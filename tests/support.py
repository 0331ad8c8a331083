"""A workspace to test in, with a trainer of a few shell lines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from exptui.core.workspace import Workspace

FAST = 'echo "{}" > "$EXPTUI_OUTPUT/metrics.json"; echo trained'


def workspace(parent: Path, script: str = FAST, **trainer: object) -> Workspace:
    """A fresh workspace whose trainer is `sh -c script`; more keys of [trainer] by name."""
    root = parent / "experiments"
    (root / "configs").mkdir(parents=True)
    (root / "configs/a.toml").write_text("[engine]\nbase_seed = 7\n")
    keys = {"command": ["sh", "-c", script], "stop_grace": 5.0, **trainer}
    (root / "exptui.toml").write_text(
        "[trainer]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items())
    )
    return Workspace(root)


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for a condition; fails the test when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true"
        time.sleep(0.02)
