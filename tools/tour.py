"""The headless tour: what exptui does, on the shipped smoke config, with the commands a user would type."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMANDS = (
    ("ls", "configs"),
    ("run", "smoke", "--follow"),
    ("run", "exp_004_mlp", "--follow"),
    ("diff", "smoke", "exp_004_mlp"),
    ("archive", "smoke"),
    ("verify", "smoke"),
    ("check", "--read-data"),
)


def main() -> int:
    """Run the commands one after the other; the exit code of the first that fails."""
    root = Path(__file__).resolve().parent.parent
    return next((code for words in COMMANDS if (code := exptui(root, *words))), 0)


def exptui(root: Path, *words: str) -> int:
    """Show a command, run it, and return its exit code."""
    print(f"\n$ exptui {' '.join(words)}", flush=True)
    return subprocess.run([sys.executable, "-m", "exptui", *words], cwd=root).returncode


if __name__ == "__main__":
    sys.exit(main())
