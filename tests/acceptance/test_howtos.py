"""Programs that know nothing of exptui, by what their how-to's say: typed into a shell on a terminal, line by line.

`make acceptance` installs their packages into a venv of their own; elsewhere those whose packages are here are tested.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.howto import HowTo, read_all
from acceptance.install import VENV
from e2e.terminal import Terminal
from exptui.core.audit.report import Verdict

ALL = bool(os.environ.get("ACCEPTANCE"))
PATIENCE = 600  # seconds for a command
SERIES = {
    "cargo": {"train_loss", "val_loss", "val_acc"},
    "lightning": {"train_loss", "val_loss"},
    "pytorch": {"train_loss", "val_loss", "val_acc"},
    "scikit-learn": {"train_loss", "test_loss", "test_accuracy"},
    "stable-baselines3": {"train/loss", "rollout/ep_rew_mean"},
    "transformers": {"loss", "eval_loss", "eval_accuracy"},
    "xgboost": {"train-logloss", "validation-logloss"},
}
"""What has to have a curve."""


class Shell(Terminal):
    """A shell that a person types into."""

    def __init__(self, cwd: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("PS1", "[$?]> ")
        super().__init__(cwd, ("bash", "--norc", "--noprofile", "-i"))
        self._ended()

    def type(self, line: str) -> tuple[int, str]:
        """Type a line and wait for the next prompt; the exit code, and what was printed."""
        before = len(self.written)
        self.keys(f"{line}\n")
        return self._ended(before)

    def _ended(self, before: int = 0) -> tuple[int, str]:
        deadline = time.monotonic() + PATIENCE
        while not (
            found := re.search(r"\[(\d+)\]> $", said := self.written[before:].decode(errors="replace"))
        ):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        return int(found[1]), said


class Project:
    """A how-to's program in a directory of its own, as after the how-to's `pip install`."""

    def __init__(self, howto: HowTo, parent: Path, venv: Path) -> None:
        self.howto, self.root = howto, parent / howto.name
        shutil.copytree(
            howto.example, self.root, ignore=shutil.ignore_patterns("target", "experiments", ".venv")
        )
        (self.root / ".venv").symlink_to(venv)

    def json(self, *words: str) -> Any:
        """What a command prints with --json."""
        command: list[str | Path] = [self.root / ".venv/bin/exptui", *words, "--json"]
        return json.loads(subprocess.run(command, cwd=self.root, capture_output=True, check=True).stdout)

    def declare(self, text: str) -> None:
        """Lines under [trainer]."""
        path = self.root / "experiments/exptui.toml"
        path.write_text(path.read_text().replace("[trainer]\n", f"[trainer]\n{text}", 1))

    def config(self) -> str:
        """The config that `init` made."""
        (path,) = (self.root / "experiments/configs").iterdir()
        return path.stem


def missing(howto: HowTo, venv: Path) -> list[str]:
    """Which of its packages are not there."""
    code = "import sys; from importlib.metadata import distribution as d\nfor n in sys.argv[1:]:\n try: d(n)\n except Exception: print(n)"
    done = subprocess.run(
        [venv / "bin/python", "-c", code, *howto.packages], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.fixture(params=read_all(), ids=lambda howto: howto.name)
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    howto, venv = request.param, VENV if ALL else Path(sys.prefix)
    if not (venv / "bin/activate").exists():
        pytest.skip(f"{venv} is no venv: make acceptance")
    if howto.name == "cargo" and not shutil.which("cargo"):
        pytest.skip("cargo is not on this machine")
    if absent := missing(howto, venv):
        pytest.skip(f"{', '.join(absent)} is not installed: make acceptance")
    if ALL:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    return Project(howto, tmp_path, venv)


@pytest.fixture
def shell(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    opened = Shell(project.root, monkeypatch)
    try:
        assert opened.type(". .venv/bin/activate")[0] == 0
        yield opened
    finally:
        opened.close()


def test_every_command_of_a_how_to_does_what_it_says(project: Project, shell: Shell) -> None:
    for step in project.howto.steps:
        if step.settings:
            project.declare(step.settings)
        elif step.line == "exptui":
            watch(project, shell)
        else:
            code, said = shell.type(step.line)
            assert code == (Verdict(step.verdict).exit_code if step.verdict else 0), said
            if step.verdict:
                assert re.search(rf"(^|\x1b\[K){step.verdict}  ", said, re.MULTILINE), said
                assert "not compared          trainer.log" in said
            if " diff " in step.line:
                assert "The same." in said, "the fingerprints differ"
    runs = project.json("ls")
    assert len(runs) >= 2
    for run in runs:
        assert run["state"] == "FINISHED"
        assert SERIES[project.howto.name] <= run["metrics"].keys()
        series = project.json("show", run["run_id"])["series"]
        assert all(len(series[name]) >= 5 for name in SERIES[project.howto.name])


def watch(project: Project, shell: Shell) -> None:
    """The cockpit while the first run works: its curves are there, and grow."""
    name, wanted = project.config(), SERIES[project.howto.name]
    shell.keys("exptui\n")
    seen = list[tuple[str, int, int]]()  # the state, the points of the curves, the dots of the charts

    def looked(screen: str) -> bool:
        run = project.json("show", name)
        points = sum(len(run["series"].get(one, ())) for one in wanted)
        seen.append((run["state"], points, sum("\u2800" < sign <= "\u28ff" for sign in screen)))
        return run["state"] not in ("QUEUED", "RUNNING")

    shell.until(looked, "the run did not end", PATIENCE)
    live = [(points, dots) for state, points, dots in seen if state == "RUNNING"]
    assert len({points for points, _ in live} - {0}) >= 2, f"no curve grew: {seen}"
    assert any(dots > 10 for _, dots in live), f"no curve was drawn: {seen}"
    shell.shows("Finished after")
    assert shell.type("q")[0] == 0


def test_what_is_typed_is_read_out_of_the_documents() -> None:
    for howto in read_all():
        lines = [step.line for step in howto.steps]
        assert howto.install[:3] == ("pip", "install", "../..")
        assert lines[0].startswith("exptui init -- ")
        assert {"exptui"} < set(lines)
        assert any(" diff " in line for line in lines)
        assert any(step.verdict for step in howto.steps)
        assert howto.name in SERIES
