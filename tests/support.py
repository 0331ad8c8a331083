"""A workspace to test in, with a trainer of a few shell lines."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exptui import chronicle
from exptui.chronicle import Writer
from exptui.core.audit.report import AuditReport
from exptui.core.audit.request import Options
from exptui.core.files import sha256_bytes
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace

TOY = Path(__file__).parent / "trainers/toy.py"
CHECKPOINTS = "checkpoints/epoch_{epoch:04d}.ckpt"
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


def toy(parent: Path, **more: Any) -> Workspace:
    """A workspace whose trainer is the toy, with its own copy of the code."""
    parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(TOY, parent / "toy.py")
    command = [sys.executable, "toy.py", "--config", "{config}", "--output", "{output}"]
    words = {"resume": ["--resume", "{checkpoint}", "--until-epoch", "{epoch}"], "checkpoints": CHECKPOINTS}
    return workspace(parent, "", **{"command": command, "code": ["toy.py"], **words, **more})


def wrong(**how: Any) -> Callable[[Workspace], None]:
    """From now on the toy misbehaves."""
    return lambda space: void((space.root.parent / "behaviour.json").write_text(json.dumps(how)))


def void(_: object) -> None:
    """Nothing."""


def finished(space: Workspace, config: str = "a") -> str:
    """Run a config to its end, with success; returns the run's id."""
    directory = space.run(config)
    view = list(space.wait(directory.name))[-1]
    assert view.state is RunState.FINISHED, view
    until(lambda: not space.show(directory.name).leftovers)
    return directory.name


def verified(space: Workspace, name: str, *, trust: bool = False, **options: Any) -> AuditReport:
    """Verify a run or an archive; `options` are those of a request."""
    directory = space.verify(space.request(name, Options(**options), trust=trust))
    last = list(space.follow(directory))[-1]
    assert isinstance(last, AuditReport)
    return last


def reseal(directory: Path, epoch: int, content: bytes) -> None:
    """Put another checkpoint in place, and write the chronicle as if it had always been that one."""
    path = directory / f"checkpoints/epoch_{epoch:04d}.ckpt"
    old = sha256_bytes(path.read_bytes())
    path.write_bytes(content)
    seen = chronicle.read_for(directory)
    assert seen is not None
    (directory / chronicle.NAME).unlink()
    writer = Writer.create(directory, seen.config_sha256, seen.metric_names)
    marks = {mark.cycle: mark for mark in seen.checkpoints}
    for record in seen.records:
        writer.append(record)
        if mark := marks.get(record.cycle):
            digest = mark.sha256.hex()
            writer.checkpoint(mark.cycle, sha256_bytes(content) if digest == old else digest)
    writer.seal()


def touched(report: AuditReport) -> list[int]:
    """The numbers of the segments that are not equal."""
    return [one.number for one in report.segments if one.status != "equal"]


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for a condition; fails the test when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true"
        time.sleep(0.02)
