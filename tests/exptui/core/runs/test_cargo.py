"""A Rust trainer through cargo, with the `cargo` preset; likewise one that makes its own directory."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from exptui.core.audit.report import AuditReport, Verdict
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace

CRATE = Path(__file__).parents[3] / "trainers"
COMMAND = '["cargo", "run", "--release", "--offline", "--package", "tiny-agent-trainer", "--", "--config", "{config}"'

pytestmark = pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not on this machine")


def rust_workspace(parent: Path, more: str) -> Workspace:
    shutil.copytree(CRATE, parent, dirs_exist_ok=True, ignore=shutil.ignore_patterns("target"))
    root = parent / "experiments"
    (root / "configs").mkdir(parents=True)
    (root / "configs/rust_001.toml").write_text("base_seed = 42\nepochs = 5\n")
    (root / "exptui.toml").write_text(
        '[[trainers]]\nname = "cargo"\nconfigs = ["rust_*.toml"]\n'
        f'command = {COMMAND}{more}]\ncode = ["tiny-agent-trainer/src"]\nenvironment = {{ preset = "cargo" }}\n'
    )
    return Workspace(root)


@pytest.mark.parametrize("more", [', "--output", "{output}"', ""], ids=["output given", "its own directory"])
def test_cargo_run_is_a_trainer_and_reproduces(tmp_path: Path, more: str) -> None:
    space = rust_workspace(tmp_path, more)
    run_id = space.run("rust_001").name
    view = list(space.wait(run_id))[-1]
    assert view.state is RunState.FINISHED, (view.path / "trainer.log").read_text()
    assert len((view.path / "model.bin").read_bytes()) == 8
    assert [other.run_id for other in space.list_runs()] == [run_id]
    assert [path.name for path in space.run_directories()] == [run_id]
    space.archive(run_id)
    report = list(space.follow(space.verify(space.request(run_id))))[-1]
    assert isinstance(report, AuditReport)
    assert report.verdict is Verdict.REPRODUCED
    assert "model.bin" in {file.path for file in report.files}
