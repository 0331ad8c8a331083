"""The guarantees, with the bundled trainer and the commands a user types."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from exptui import chronicle
from exptui.chronicle import Writer
from exptui.core.archive.manifest import classify
from exptui.core.files import sha256_file
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from support import until

CONFIG = """[engine]
base_seed = 42
batch_size = 32
epochs = {epochs}
learning_rate = 0.001

[model]
model_type = "Deterministic{model}"
layers = 2
activation = "ReLU"
"""


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    made = Workspace.init(tmp_path)
    (made.configs / "mlp.toml").write_text(CONFIG.format(epochs=2, model="MLP"))
    (made.configs / "cnn.toml").write_text(CONFIG.format(epochs=6, model="CNN"))
    return made


def exptui(space: Workspace, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exptui", *words],
        cwd=space.root.parent,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **extra},
    )


def started(space: Workspace, config: str, *words: str) -> str:
    done = exptui(space, "run", config, "--wait", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def identity_files(directory: Path) -> dict[str, str]:
    paths = (path for path in directory.rglob("*") if path.is_file())
    names = {str(path.relative_to(directory)): path for path in paths}
    return {name: sha256_file(path)[0] for name, path in names.items() if classify(name, ()) == "identity"}


def test_a_run_has_every_file_and_runs_again_to_the_same_bytes(space: Workspace) -> None:
    first = space.results / started(space, "mlp")
    other = {"TZ": "Asia/Tokyo", "LC_ALL": "de_DE.UTF-8", "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}
    done = exptui(space, "run", "mlp", "--wait", **other)
    second = space.results / done.stdout.strip()
    files = identity_files(first)
    assert set(files) == {
        "config.toml",
        "metrics.json",
        "run_summary.md",
        "chronicle.cmeta",
        "checkpoints/epoch_0001.ckpt",
        "checkpoints/epoch_0002.ckpt",
    }
    assert {"run.json", "trainer.log", "metrics.jsonl"} <= {path.name for path in first.iterdir()}
    assert identity_files(second) == files


def test_a_run_killed_in_its_middle_resumes_to_the_bytes_of_a_straight_one(space: Workspace) -> None:
    straight = space.results / started(space, "cnn")
    killed = space.run("cnn")
    noted = killed / "attempts/1.json"
    until(lambda: noted.exists() and json.loads(noted.read_text())["pid"])
    trainer = json.loads(noted.read_text())["pid"]
    until((killed / "checkpoints/epoch_0002.ckpt").exists)
    os.kill(trainer, signal.SIGKILL)
    until(lambda: space.show(killed.name).state is RunState.FAILED)
    done = exptui(space, "resume", killed.name, "--wait")
    assert done.returncode == 0, done.stderr
    record = space.show(killed.name).record
    assert record is not None
    assert record.attempts == 2
    assert identity_files(killed) == identity_files(straight)


def test_an_archive_is_understood_without_exptui_and_has_one_identity(space: Workspace) -> None:
    run_id = started(space, "mlp")
    source = space.results / run_id
    copy = shutil.copytree(source, space.root.parent / "copy" / run_id)
    assert exptui(space, "archive", run_id).returncode == 0
    assert not source.exists()
    for words in (
        ["tar", "tzf", f"{run_id}.tar.gz"],
        ["gzip", "-t", f"{run_id}.tar.gz"],
        ["sha256sum", "-c", f"{run_id}.sha256"],
    ):
        assert subprocess.run(words, cwd=space.archives, capture_output=True).returncode == 0
    tar = subprocess.run(["gzip", "-dc", f"{run_id}.tar.gz"], cwd=space.archives, capture_output=True)
    known = space.list_archives()[0].identity
    assert (
        subprocess.run(["sha256sum"], input=tar.stdout, capture_output=True).stdout.split()[0].decode()
        == known
    )
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o700)
        os.utime(path, (1, 1))
    copy.rename(source)
    again = exptui(space, "archive", run_id)
    assert "already archived" in again.stdout, again.stderr


def test_verdicts_with_the_bundled_trainer(space: Workspace) -> None:
    run_id = started(space, "mlp")
    assert exptui(space, "archive", run_id).returncode == 0
    good = exptui(space, "verify", run_id)
    assert (good.returncode, good.stdout.split()[0]) == (0, "REPRODUCED")

    assert exptui(space, "restore", run_id).returncode == 0
    forged = space.results / run_id
    for path in space.archives.glob(f"{run_id}.*"):
        path.unlink()
    (space.archives / "ledger.jsonl").unlink()
    tamper(forged, cycle=2)
    assert exptui(space, "archive", run_id).returncode == 0
    assert exptui(space, "check", run_id, "--read-data").returncode == 0
    bad = exptui(space, "verify", run_id)
    assert (bad.returncode, bad.stdout.splitlines()[0].startswith("DIVERGED  at cycle 2 (")) == (1, True)

    path = space.archives / f"{run_id}.tar.gz"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    assert exptui(space, "verify", run_id).returncode == 4


def tamper(directory: Path, cycle: int) -> None:
    """Write the chronicle again with one record changed: every checksum in it is right."""
    old = chronicle.read(directory / "chronicle.cmeta")
    (directory / "chronicle.cmeta").unlink()
    writer = Writer.create(directory, old.config_sha256, old.metric_names)
    marks = {mark.cycle: mark.sha256 for mark in old.checkpoints}
    for record in old.records:
        changed = (
            replace(record, loss=record.loss + 1e-9, exact_digest=b"") if record.cycle == cycle else record
        )
        writer.append(changed)
        if record.cycle in marks:
            writer.checkpoint(record.cycle, marks[record.cycle].hex())
    writer.seal()
    writer.close()


def test_python_in_a_command_is_the_users_never_exptuis_own(space: Workspace, tmp_path: Path) -> None:
    """exptui installed on its own (as pipx does), the trainer's Python elsewhere on the PATH or in the project's .venv."""
    (space.root / "exptui.toml").write_text(
        """[trainer]
command = ["python", "-c", "import os, sys; open(os.environ['EXPTUI_OUTPUT'] + '/who', 'w').write(sys.argv[1])", "x"]
"""
    )
    user = tmp_path / "user-bin"
    user.mkdir()
    (user / "python").write_text('#!/bin/sh\necho user > "$EXPTUI_OUTPUT/who"\n')
    (user / "python").chmod(0o755)
    own = str(Path(sys.executable).parent)
    path = os.pathsep.join([own, str(user), "/usr/bin", "/bin"])
    run_id = exptui(space, "run", "mlp", "--wait", PATH=path).stdout.strip()
    assert (space.results / run_id / "who").read_text() == "user\n"
    project = tmp_path / ".venv/bin"
    project.mkdir(parents=True)
    (project / "python").write_text('#!/bin/sh\necho project > "$EXPTUI_OUTPUT/who"\n')
    (project / "python").chmod(0o755)
    run_id = exptui(space, "run", "mlp", "--wait", PATH=path).stdout.strip()
    assert (space.results / run_id / "who").read_text() == "project\n"
