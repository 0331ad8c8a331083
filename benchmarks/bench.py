"""What every subject needs: the interpreter and the tree under test, the clean environment, the inputs, the rounds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import Terminal
from benchmarks.relay import linked

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/bench"


@dataclass(frozen=True)
class Bench:
    """`source` is the tree under test: with another one the same harness measures another branch."""

    rounds: int = 5
    quick: bool = False
    minutes: float = 30.0
    python: str = sys.executable
    source: Path = ROOT / "src"
    build: Path = BUILD
    home: Path = field(default=BUILD / "home")

    @property
    def environment(self) -> dict[str, str]:
        """The same for exptui and every peer: no settings of the user, 256 colours, UTF-8."""
        self.home.mkdir(parents=True, exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "PYTHONPATH": f"{self.source}{os.pathsep}{ROOT}",
        }

    @property
    def cockpit(self) -> list[str]:
        """The command under test."""
        return [self.python, "-m", "exptui"]

    def open(
        self,
        words: Sequence[str],
        cwd: Path,
        *,
        typed: str = "",
        size: tuple[int, int] = (120, 40),
        link: tuple[float, float] | None = None,
    ) -> Terminal:
        """A program on a pty, behind a link of (delay one way, bytes a second) where one is given."""
        behind = linked(*link, words) if link else words
        return Terminal(behind, cwd, self.environment, typed=typed, size=size)

    def app(self, name: str, *words: str) -> list[str]:
        """One of the small Textual apps beside which exptui is measured, on the same interpreter."""
        return [self.python, str(ROOT / f"benchmarks/apps/{name}.py"), *words]

    def peer(self, name: str, program: str) -> str | None:
        """A program of a peer that `make bench-peers` installed, or that is on PATH."""
        path = self.build / f"peers/{name}/bin/{program}"
        return str(path) if path.exists() else shutil.which(program)

    def run(self, words: Sequence[str], cwd: Path) -> dict[str, float]:
        """A command as a whole process, its output thrown away: wall and CPU seconds, memory at the most."""
        start = time.perf_counter()
        with tempfile.TemporaryFile() as said:  # never /dev/null: grep does not search on where nobody reads
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.PIPE,
            )
            assert process.stderr is not None  # a pipe
            error = process.stderr.read().decode(errors="replace")
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{words} ended with {process.returncode}: {error[-500:]}")
        return {
            "wall": time.perf_counter() - start,
            "cpu": used.ru_utime + used.ru_stime,
            "peak": float(used.ru_maxrss << 10),
        }

    def probe(self, name: str, *words: str | Path) -> dict[str, float]:
        """One of the functions of benchmarks/probes.py in a process of its own; what it measured."""
        done = subprocess.run(
            [self.python, "-m", "benchmarks.probes", name, *map(str, words)],
            cwd=ROOT, env=self.environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"probe {name}: {done.stderr.strip().splitlines()[-1:]}")
        found: dict[str, float] = json.loads(done.stdout)
        return found
