"""The peers: `python -m benchmarks.peers` installs those of PyPI, each into a venv of its own. All are optional."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from benchmarks import inputs
from benchmarks.bench import BUILD, ROOT, Bench

PACKAGES = {  # directory: what pip is asked for
    "toolong": "toolong",
    "wandb": "wandb",
    "posting": "posting tree-sitter==0.25.*",
    "harlequin": "harlequin",
    "textual-plot": "textual-plot",
    "textual-plotext": "textual-plotext",
}


def main() -> int:
    """Install what is not there; a peer that cannot be installed is said and left out."""
    failed = 0
    for name, package in PACKAGES.items():
        home = BUILD / f"peers/{name}"
        python = home / "bin/python"
        if not python.exists():
            venv.create(home, with_pip=True)
        words = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            *package.split(),
        ]
        good = subprocess.run(words, check=False).returncode == 0
        failed += not good
        print(f"{name}: {'installed' if good else 'could not be installed'}", flush=True)
    print("lnav, less and tail are looked for on PATH (on Debian: apt-get install lnav less)")
    return 1 if failed == len(PACKAGES) else 0


def leet_command(bench: Bench, steps: int) -> list[str] | None:
    """`wandb leet` on an offline run of so many steps, which wandb itself writes once; None where it is not installed."""
    program, python = bench.peer("wandb", "wandb"), bench.build / "peers/wandb/bin/python"
    if program is None or not python.exists():
        return None

    def make(path: Path) -> None:
        path.mkdir()
        words = [str(python), str(ROOT / "benchmarks/apps/wandb_run.py"), str(path), str(steps)]
        subprocess.run(words, check=True, capture_output=True, env=bench.environment)

    home = inputs.made(bench.build / f"inputs/wandb-{steps}", make)
    return [program, "leet", "run", str(next(home.glob("wandb/offline-run-*/*.wandb")))]


if __name__ == "__main__":
    sys.exit(main())
