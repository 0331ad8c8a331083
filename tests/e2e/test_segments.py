"""Segments with the bundled trainer: sixteen epochs, and one flipped bit in each checkpoint in turn."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from exptui.core.audit.report import Verdict
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from support import finished, reseal, touched, verified

EPOCHS = 16
CONFIG = f"""[engine]
base_seed = 42
batch_size = 128
epochs = {EPOCHS}

[model]
model_type = "DeterministicMLP"
layers = 1
hidden = 16
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    space = Workspace.init(tmp_path_factory.mktemp("segments"))
    (space.configs / "long.toml").write_text(CONFIG)
    finished(space, "long")
    return space


def flipped(content: bytes) -> bytes:
    """One bit of the last array, and the digest at the end as the trainer would have written it."""
    body = bytearray(content[:-32])
    body[-3] ^= 1
    return bytes(body) + hashlib.sha256(body).digest()


def test_straight_and_chained_and_in_segments_the_verdict_is_one(original: Workspace) -> None:
    (view,) = original.list_runs()
    chained = [verified(original, view.run_id, segments=count, workers=2) for count in (2, 4, EPOCHS)]
    straight = verified(original, view.run_id)
    assert [report.verdict for report in (straight, *chained)] == [Verdict.REPRODUCED] * 4
    assert [report.scope for report in chained] == [f"{n} of {n} segments" for n in (2, 4, EPOCHS)]


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_one_flipped_bit_names_exactly_its_segments(original: Workspace, tmp_path: Path, epoch: int) -> None:
    shutil.copytree(original.root, tmp_path / "experiments")
    space = Workspace(tmp_path / "experiments")
    (view,) = space.list_runs()
    assert view.state is RunState.FINISHED
    path = view.path / f"checkpoints/epoch_{epoch:04d}.ckpt"
    reseal(view.path, epoch, flipped(path.read_bytes()))
    space.archive(view.run_id)
    report = verified(space, view.run_id, segments=EPOCHS, workers=2)
    assert report.verdict is Verdict.DIVERGED
    assert touched(report) == [epoch - 1, epoch][: 2 if epoch < EPOCHS else 1], report.segments
