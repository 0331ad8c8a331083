"""A log that grows: that of a run at work, started the way users do, or of the same trainer alone. Thrown away at the end."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from benchmarks import inputs
from benchmarks.bench import ROOT, Bench
from benchmarks.harness import Never

TRAINER = ROOT / "benchmarks/trainer.py"
PATIENCE = 30.0


class Live:
    """`words` are those of benchmarks/trainer.py; nothing is printed before `go`. Beside the run there may be finished ones."""

    def __init__(self, bench: Bench, *words: str, marks: bool = False, runs: int = 0) -> None:
        bench.build.mkdir(parents=True, exist_ok=True)
        self.bench, self.runs = bench, runs
        self.home = Path(tempfile.mkdtemp(prefix="live-", dir=bench.build))
        self.marks, self._go = self.home / "marks.json", self.home / "go"
        self.command = [bench.python, str(TRAINER), *words, "--go", str(self._go)]
        if marks:
            self.command += ["--marks", str(self.marks)]
        self.log = self.home / "trainer.log"

    def __enter__(self) -> Self:
        try:
            self.begin()
            deadline = time.monotonic() + PATIENCE
            while not (self.log.exists() and self.log.read_bytes().startswith(b"ready")):
                if time.monotonic() > deadline:
                    raise Never("the trainer never began")  # noqa: TRY301  undone like whatever else fails
                time.sleep(0.02)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        shutil.rmtree(self.home, ignore_errors=True)

    def begin(self) -> None:
        """`exptui run`."""
        inputs.fill(self.home, self.runs)
        command = json.dumps([*self.command, "--metrics", "{output}"])
        (self.home / "experiments/exptui.toml").write_text(
            f"[trainer]\ncommand = {command}\nstop_grace = 1.0\n"
        )
        (self.home / "experiments/configs/live.toml").write_text("[engine]\nbase_seed = 1\n")
        self.bench.run([*self.bench.cockpit, "run", "live"], self.home)
        (run,) = self.home.glob("experiments/results/live_*")
        self.log = run / "trainer.log"

    def end(self) -> None:
        """`exptui stop`; that it has ended already is no harm."""
        for run in self.home.glob("experiments/results/live_*"):
            words = [*self.bench.cockpit, "stop", run.name]
            subprocess.run(words, cwd=self.home, env=self.bench.environment, check=False, capture_output=True)

    def go(self) -> float:
        """Let the trainer print; returns the moment."""
        self._go.touch()
        return time.monotonic()


class Alone(Live):
    """The trainer without exptui."""

    def begin(self) -> None:
        """A process whose standard output is the log."""
        with self.log.open("wb") as file:
            self.writer = subprocess.Popen(self.command, stdout=file)

    def end(self) -> None:
        """Its end."""
        self.writer.kill()
        self.writer.wait()
