"""sbatch, squeue, sacct and scancel as files say: jobs are started at once, as plain processes of this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

SBATCH = """\
import os, pathlib, subprocess, sys
fake = pathlib.Path({fake!r})
asked = sys.argv[1:]
words = dict(word.lstrip("-").partition("=")[::2] for word in asked)
with (fake / "asked").open("a") as file:
    file.write(" ".join(asked) + "\\n")
if (fake / "refuse").exists():
    print((fake / "refuse").read_text(), file=sys.stderr)
    sys.exit(1)
script = sys.stdin.read()
count = int(words["array"].partition("%")[0].partition("-")[2]) + 1 if "array" in words else 0
for task in range(count) if count else [None]:
    if (fake / "hold").exists():
        break
    env = dict(os.environ, SLURM_JOB_ID="7")
    if task is not None:
        env |= dict(SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID=str(task))
    out = open(words["output"].replace("%a", str(task)), "ab")
    subprocess.Popen(["sh", "-c", script], env=env, stdout=out, stderr=out, start_new_session=True)
(fake / "script").write_text(script)
print(7)
"""
SQUEUE = """\
import pathlib, sys
fake = pathlib.Path({fake!r})
with (fake / "queries").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if (fake / "down").exists():
    sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
sys.stdout.write((fake / "queue").read_text() if (fake / "queue").exists() else "")
"""
SACCT = "import sys; sys.exit('Slurm accounting storage is disabled')\n"
SCANCEL = """\
import pathlib, sys
with (pathlib.Path({fake!r}) / "cancelled").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory: `queue` is what squeue prints; `down`, `refuse` and `hold` change what is done; the rest is noted."""
    fake = tmp_path / "fake"
    (fake / "bin").mkdir(parents=True)
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("sacct", SACCT), ("scancel", SCANCEL)):
        path = fake / "bin" / name
        path.write_text(f"#!{sys.executable} -S\n{text.replace('{fake!r}', repr(str(fake)))}")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake / 'bin'}:{os.environ['PATH']}")
    return fake
