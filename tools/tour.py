"""The headless tour: two runs of a small shell trainer and their comparison, with the commands a user would type."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

TRAINER = """[trainer]
command = ["sh", "-c", "for e in 1 2 3; do echo epoch $e; echo {\\\\\\"epoch\\\\\\":$e,\\\\\\"loss\\\\\\":0.$((9 - e - {seed} % 2))} >> $EXPTUI_OUTPUT/metrics.jsonl; done"]
"""
COMMANDS = (
    ("run", "first", "--follow"),
    ("run", "second", "--follow"),
    ("ls",),
    ("diff", "first", "second"),
)


def main() -> int:
    """Run the commands one after the other in a temporary workspace; the exit code of the first that fails."""
    with tempfile.TemporaryDirectory(prefix="exptui-tour-") as folder:
        exptui(folder, "init")
        experiments = Path(folder) / "experiments"
        (experiments / "exptui.toml").write_text(TRAINER)
        first = (experiments / "configs/first.toml").read_text()
        (experiments / "configs/second.toml").write_text(first.replace("base_seed = 42", "base_seed = 43"))
        return next((code for words in COMMANDS if (code := exptui(folder, *words))), 0)


def exptui(folder: str, *words: str) -> int:
    """Show a command, run it, and return its exit code."""
    print(f"\n$ exptui {' '.join(words)}", flush=True)
    return subprocess.run([sys.executable, "-m", "exptui", *words], cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main())
