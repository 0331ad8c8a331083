"""Slurm and munge from the distribution's packages, where they are missing and can be had; exit 1 where not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from slurm.cluster import missing

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")


def main() -> int:
    """Say what is done, and why where nothing can be."""
    if not (absent := missing()):
        return 0
    print(f"missing: {', '.join(absent)}")
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(
            f"install {', '.join(PACKAGES)} with your package manager; only root can, and only with apt-get here"
        )
        return 1
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (("update",), ("install", "--yes", "--no-install-recommends", *PACKAGES)):
        subprocess.run(["apt-get", "-qq", *words], env=quiet, check=False)
    if absent := missing():
        print(f"still missing: {', '.join(absent)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
