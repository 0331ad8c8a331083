"""A workspace with a run at work, started the way users do, and thrown away at the end."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from benchmarks import inputs
from benchmarks.bench import ROOT, Bench
from benchmarks.harness import Never

TRAINER = ROOT / "benchmarks/trainer.py"
PATIENCE = 30.0


class Live:
    """`words` are those of benchmarks/trainer.py; nothing is printed before `go`. Beside the run there may be finished ones."""

    def __init__(self, bench: Bench, *words: str, runs: int = 0, slots: int = 1) -> None:
        bench.build.mkdir(parents=True, exist_ok=True)
        self.bench = bench
        self.home = Path(tempfile.mkdtemp(prefix="live-", dir=bench.build))
        if runs:
            shutil.rmtree(self.home)
            inputs.fill(self.home, runs)
        self.space = self.home / "experiments"
        (self.space / "configs").mkdir(parents=True, exist_ok=True)
        self._go = self.home / "go"
        self.marks = self.home / "marks.json"
        self.configure("live", [*words, "--go", str(self._go)], slots=slots)

    def configure(self, name: str, words: Sequence[str], *, slots: int = 1) -> None:
        """One config of that name, and the trainer's command."""
        command = json.dumps([self.bench.python, str(TRAINER), "--metrics", "{output}", *words])
        (self.space / "exptui.toml").write_text(
            f"[trainer]\ncommand = {command}\nstop_grace = 1.0\n[queue]\nslots = {slots}\n"
        )
        (self.space / f"configs/{name}.toml").write_text("[engine]\nbase_seed = 1\n")

    def __enter__(self) -> Self:
        try:
            self.exptui("run", "live")
            self.run = max(self.results, key=lambda path: path.stat().st_ctime)
            self.log = self.run / "trainer.log"
            deadline = time.monotonic() + PATIENCE
            while not (self.log.exists() and self.log.read_bytes().startswith(b"ready")):
                if time.monotonic() > deadline:
                    raise Never("the run never began")  # noqa: TRY301  undone below like whatever else fails
                time.sleep(0.02)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for path in self.results:
            if not (path / "trainer.log").exists() or '"exited"' in (path / "run.json").read_text():
                continue
            subprocess.run(
                [*self.bench.cockpit, "stop", path.name],
                cwd=self.home,
                env=self.bench.environment,
                check=False,
                capture_output=True,
            )
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def results(self) -> list[Path]:
        """The directories of the runs."""
        home = self.space / "results"
        return [path for path in home.iterdir() if (path / "run.json").exists()] if home.exists() else []

    def exptui(self, *words: str) -> None:
        """A command in the workspace."""
        self.bench.run([*self.bench.cockpit, *words], self.home)

    def go(self) -> float:
        """Let the trainer print; returns the moment."""
        self._go.touch()
        return time.monotonic()
