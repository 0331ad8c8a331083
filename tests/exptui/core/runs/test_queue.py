"""What waits: its order, what is on hold, and which GPU each run gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptui.cli import main
from exptui.core.errors import RunError
from exptui.core.runs import queue
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from support import until, workspace

WAIT = (
    'echo $CUDA_VISIBLE_DEVICES > "$EXPTUI_OUTPUT/gpu"; until [ -e "$EXPTUI_OUTPUT/go" ]; do sleep 0.02; done'
)


def made(tmp_path: Path, queue_settings: str) -> Workspace:
    space = workspace(tmp_path, command=["sh", "-c", WAIT, "x", "{output}"])
    with (space.root / "exptui.toml").open("a") as file:
        file.write(f"[queue]\n{queue_settings}\n")
    return space


def started(space: Workspace, run: Path) -> None:
    until((run / "gpu").exists)


def let_go(space: Workspace, *runs: Path) -> None:
    for run in runs:
        (run / "go").touch()
    until(lambda: not any(space.view(run).state.live for run in runs))


def test_order_hold_and_cancel_without_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = made(tmp_path, "slots = 1")
    first = space.run("a")
    started(space, first)
    b, c, d, e = (space.run("a") for _ in range(4))
    assert [name for name, _ in space.waiting()] == [b.name, c.name, d.name, e.name]
    command = ["--workspace", str(space.root), "queue"]
    assert main([*command, d.name, "--first"]) == 0
    assert main([*command, b.name, "--hold"]) == 0
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines() == [d.name, f"{b.name}  on hold", c.name, e.name]
    assert space.stop(c.name).state is RunState.STOPPED
    let_go(space, first)
    started(space, d)
    let_go(space, d)
    started(space, e)
    let_go(space, e)
    assert space.view(b).state is RunState.QUEUED
    assert main([*command, b.name, "--release"]) == 0
    started(space, b)
    with pytest.raises(RunError, match="does not wait"):
        space.move(b.name, "hold")
    let_go(space, b)
    until(lambda: not list(queue.lock_directory(space.results).glob(f"{b.name}.*")))
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"
    assert main([*command, b.name]) == main([*command, "--hold"]) == 2


def test_a_run_that_was_held_and_stopped_is_not_on_hold_when_it_is_resumed(tmp_path: Path) -> None:
    space = made(tmp_path, "slots = 1")
    first = space.run("a")
    started(space, first)
    held = space.run("a")
    space.move(held.name, "hold")
    space.stop(held.name)
    let_go(space, first)
    space.resume(held.name)
    started(space, held)
    let_go(space, held)


def test_each_run_gets_a_gpu_of_its_own(tmp_path: Path) -> None:
    space = made(tmp_path, 'gpus = [0, "GPU-b1"]')
    assert space.settings.queue.slots == 2
    runs = [space.run("a") for _ in range(3)]
    for run in runs[:2]:
        started(space, run)
    assert {(run / "gpu").read_text().strip() for run in runs[:2]} == {"0", "GPU-b1"}
    assert space.view(runs[2]).state is RunState.QUEUED
    let_go(space, runs[0])
    started(space, runs[2])
    record = space.view(runs[2]).record
    assert record is not None
    assert record.gpu == (runs[2] / "gpu").read_text().strip() == (runs[0] / "gpu").read_text().strip()
    let_go(space, *runs[1:])


def test_a_gpu_that_is_taken_is_waited_for_though_a_slot_is_free(tmp_path: Path) -> None:
    space = made(tmp_path, "gpus = [3]\nslots = 2")
    first, second = space.run("a"), space.run("a")
    started(space, first)
    until(lambda: space.waiting() == [(second.name, False)])
    locks = queue.lock_directory(space.results)
    assert queue.free_gpus(locks, ["3", "4"]) == ["4"]
    assert queue.may_start(locks, second.name, 2)
    let_go(space, first)
    started(space, second)
    let_go(space, second)
