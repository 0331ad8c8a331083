"""A grid from the command line: written, queued, recognised."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptui.cli import main
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from support import until, workspace

CONFIG = "[engine]\nbase_seed = 7\n[model]\nlayers = 5\nlr = 0.1\n"


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    made = workspace(tmp_path, command=["sh", "-c", 'echo 1 > "$EXPTUI_OUTPUT/out"', "x", "{output}"])
    (made.configs / "a.toml").write_text(CONFIG)
    with (made.root / "exptui.toml").open("a") as file:
        file.write("[queue]\nslots = 2\n")
    return made


def all_ended(space: Workspace) -> bool:
    return not any(view.state.live or view.leftovers for view in space.list_runs())


def test_a_grid_with_seeds_is_written_and_run_once(
    space: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--workspace", str(space.root), "grid", "a", "--set", "model.layers=2,5,8"]
    words += ["--set", "model.lr=0.1,0.01", "--seeds", "1,2,3"]
    assert main([*words, "--dry"]) == 0
    assert "18 combinations, 18 to run" in capsys.readouterr().out
    assert [path.name for path in space.list_configs()] == ["a.toml"]
    assert not space.list_runs()
    assert main([*words, "--wait"]) == 0
    run_ids = capsys.readouterr().out.split()
    assert len(run_ids) == 18
    assert {view.state for view in space.list_runs()} == {RunState.FINISHED}
    flats = [space.config(path.name).flat for path in space.list_configs() if path.stem != "a"]
    settings = {(f["model.layers"], f["model.lr"], f["engine.base_seed"]) for f in flats}
    assert settings == {(n, lr, seed) for n in (2, 5, 8) for lr in (0.1, 0.01) for seed in (1, 2, 3)}
    until(lambda: all_ended(space))
    space.archive(run_ids[0])
    (space.results / run_ids[1] / "run.json").unlink()  # then it is nobody's: of that one nothing is known
    assert main(words) == 0
    again = capsys.readouterr()
    assert len(again.out.split()) == 1
    assert f"ran already: {run_ids[0]}" in again.err
    assert "18 combinations, 1 to run" in again.err
    until(lambda: all_ended(space))


def test_a_failed_run_is_no_run(space: Workspace) -> None:
    text = (space.root / "exptui.toml").read_text()
    (space.root / "exptui.toml").write_text(text.replace("echo 1", "exit 1; echo 1"))
    (run,) = space.run_all(space.grid("a", {"model.layers": [3]}))
    until(lambda: all_ended(space))
    assert space.view(run).state is RunState.FAILED
    assert [point.ran for point in space.grid("a", {"model.layers": [3]}).points] == [""]


def test_run_with_seeds_runs_again(space: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--workspace", str(space.root), "run", "a", "--set", "model.layers=8", "--seeds", "7,8"]
    assert main(words) == main(words) == 0
    assert len(capsys.readouterr().out.split()) == 4
    until(lambda: all_ended(space))
    names = sorted(path.stem for path in space.list_configs())
    assert names == ["a", "a-layers-8-base_seed-7", "a-layers-8-base_seed-8"]


def test_seeds_need_a_key(space: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    (space.configs / "b.toml").write_text("x = 1\n")
    assert main(["--workspace", str(space.root), "run", "b", "--seeds", "1,2"]) == 2
    assert "b.toml has no engine.base_seed" in capsys.readouterr().err
    assert not space.list_runs()
