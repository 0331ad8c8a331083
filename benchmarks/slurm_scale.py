"""What runs on a cluster cost the login node: `python benchmarks/slurm_scale.py [N …]`, with a fake Slurm; docs/scale.md.

Its squeue prints a file of N jobs, another reason for one of them each time, so that the cockpit asks as often as it ever does.
"""

from __future__ import annotations

import fcntl
import os
import pty
import resource
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

from exptui.core.launchers import job as jobs
from exptui.core.launchers.watch import Watch
from exptui.core.runs import launch
from exptui.core.workspace import Workspace

WATCHED = 60.0  # seconds
TIMED = 200  # submissions
SETTINGS = '[trainer]\ncommand = ["true", "{output}"]\n[launcher]\nkind = "slurm"\n'
SQUEUE = """#!/bin/sh
read -r n < {at}/turn; echo $((n + 1)) > {at}/turn
sed "1s/Priority/Priority$n/" {at}/queue
"""


def main() -> None:
    """Each size, and a line each."""
    for count in map(int, sys.argv[1:] or ["1000"]):
        with tempfile.TemporaryDirectory() as at:
            measure(Path(at), count)


def fake(at: Path) -> None:
    """A Slurm that takes everything and starts nothing."""
    for name, text in (
        ("sbatch", "#!/bin/sh\ncat > /dev/null\necho 7\n"),
        ("squeue", SQUEUE.replace("{at}", str(at))),
    ):
        (at / name).write_text(text)
        (at / name).chmod(0o755)
    (at / "turn").write_text("0\n")
    os.environ["PATH"] = f"{at}:{os.environ['PATH']}"


def measure(at: Path, count: int) -> None:
    """Submit that many as one array, ask for them, and look at them in the cockpit."""
    fake(at)
    root = at / "experiments"
    (root / "configs").mkdir(parents=True)
    (root / "exptui.toml").write_text(SETTINGS)
    for number in range(count):
        (root / f"configs/c{number:05}.toml").write_text(f"seed = {number}\n")
    space = Workspace(root)
    configs = [space.config(f"c{number:05}") for number in range(count)]
    first, rest = configs[:TIMED], configs[TIMED:]
    runs: list[Path] = []
    took, cpu = timed(lambda: runs.extend(launch.launch_all(first, space.settings, space.places)))
    print(
        f"{len(first):,} runs submitted as one array: {took:.1f} s, {len(first) / took:,.0f}/s, {cpu:.1f} s of CPU"
    )
    sync, os.fsync = os.fsync, lambda fd: None  # noqa: ARG005  the others are only there to be asked for
    runs.extend(launch.launch_all(rest, space.settings, space.places))
    os.fsync = sync
    files = sum(len(names) for _, _, names in os.walk(runs[0]))
    print(f"{count:,} queued, {files} files each")
    lines = []
    for run in runs:
        mine = jobs.read(run)
        assert mine is not None
        lines.append(f"{mine.job_id}|PENDING|2026-01-01T00:00:00||Priority|{mine.name}\n")
    (at / "queue").write_text("".join(lines))
    views, watch = space.list_runs(), Watch()
    watch.look(views)
    rounds = 10
    took, cpu = timed(lambda: [watch.look(views) for _ in range(rounds)])
    print(
        f"  one query for all: {took / rounds * 1e3:.0f} ms, {cpu / rounds * 1e3:.0f} ms of CPU, that of squeue's {size(at)} included"
    )
    print(f"  the cockpit, {WATCHED:g} s: {cockpit(root):.2%} of a core")


def size(at: Path) -> str:
    """Of squeue's answer."""
    return f"{(at / 'queue').stat().st_size / 1e6:.1f} MB"


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and CPU seconds of this process and its children."""
    before, began = used(), time.perf_counter()
    work()
    return time.perf_counter() - began, used() - before


def used() -> float:
    """CPU seconds so far."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def cockpit(root: Path) -> float:
    """Its share of a core, with all it starts, while nobody touches a key; from the time on when it has settled."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(sys.executable, [sys.executable, "-m", "exptui", "--workspace", str(root)])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    threading.Thread(target=drain, args=(fd,), daemon=True).start()
    time.sleep(30)
    before = of(pid)
    time.sleep(WATCHED)
    share = (of(pid) - before) / WATCHED
    os.kill(pid, 15)
    os.waitpid(pid, 0)
    return share


def drain(fd: int) -> None:
    """As a terminal does."""
    try:
        while os.read(fd, 65536):
            pass
    except OSError:
        pass


def of(pid: int) -> float:
    """CPU seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
