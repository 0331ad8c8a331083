"""What `make acceptance` installs: exactly the `pip install` of every how-to, into one venv under build/."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from acceptance.howto import ROOT, read_all

VENV = ROOT / "build/acceptance/venv"


def main() -> int:
    """One after the other; a package that is not to be had is said, and its how-to skipped by the tests."""
    if not (VENV / "bin/pip").exists():
        venv.create(VENV, with_pip=True)
    for howto in read_all():
        print("$", *howto.install, flush=True)
        command: list[str | Path] = [
            VENV / "bin/python",
            "-m",
            *howto.install,
            "--quiet",
            "--disable-pip-version-check",
        ]
        if subprocess.run(command, cwd=howto.example).returncode:
            print(f"{howto.name}: its packages could not be installed", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
