"""`make bench-archive`: sealing and checking 1 GB beside tar, pigz and gzip, in turn in one run.

Whole processes, medians of the ratios of each round. Exit 1 where a target is missed on a CPU with SHA extensions.
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 3
RUN = "big_20260101T000000Z"
EPOCHS, WEIGHTS = 20, 5_000_000  # float32 numbers of a checkpoint, and as many of an optimizer's moments
LINES = 100_000
ROOM = 5_000_000_000
EXPTUI = [sys.executable, "-m", "exptui"]


def main() -> int:
    """Make the run, measure, print; 1 where a target is missed."""
    build = Path(__file__).resolve().parent.parent / "build"
    build.mkdir(exist_ok=True)
    if shutil.disk_usage(build).free < ROOM:
        print(f"{build} needs {ROOM / 1e9:.0f} GB free", file=sys.stderr)
        return 2
    cpu = cpu_info()
    print(f"{platform.platform()}, Python {platform.python_version()}, {compressor()}")
    print(
        f"{cpu['name']}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, SHA extensions: {'yes' if cpu['sha'] else 'no'}"
    )
    with tempfile.TemporaryDirectory(dir=build, prefix="bench-") as parent:
        maker = multiprocessing.Process(target=make, args=(Path(parent),))  # its memory is not ours
        maker.start()
        maker.join()
        met = measure(Path(parent))
    return 0 if met or not cpu["sha"] else 1


def make(home: Path) -> None:
    """A seeded run of 1 GB: checkpoints that drift as in training, a text log, JSON lines."""
    import numpy as np

    run = home / "experiments/results" / RUN
    for directory in (run / "checkpoints", run / "logs", home / "experiments/configs"):
        directory.mkdir(parents=True)
    (run / "config.toml").write_text("x = 1\n")
    rng = np.random.default_rng(1)

    def normal(scale: float) -> np.ndarray:
        return rng.standard_normal(WEIGHTS, dtype=np.float32) * np.float32(scale)

    weights = normal(0.02)
    for epoch in range(EPOCHS):
        weights += normal(0.001)
        with (run / f"checkpoints/epoch_{epoch:04d}.ckpt").open("wb") as file:
            weights.tofile(file)
            normal(1e-4).tofile(file)
    with (run / "trainer.log").open("w") as log, (run / "logs/events.jsonl").open("w") as events:
        for part in range(11):
            for number, (loss, accuracy, speed) in enumerate(rng.random((LINES, 3)).tolist(), part * LINES):
                clock = f"{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}"
                log.write(
                    f"2026-01-01T{clock}Z INFO step {number} loss {loss:.6f} accuracy {accuracy:.4f}"
                    f" lr 0.000300 tokens/s {speed * 1e4:.1f}\n"
                )
                events.write(f'{{"step":{number},"loss":{loss:.6f},"grad_norm":{speed:.5f},"lr":0.0003}}\n')


def measure(home: Path) -> bool:
    """All rounds, the table, and whether every target was met."""
    run, archive = home / "experiments/results" / RUN, home / "experiments/archive"
    ours, tar, pigz = archive / f"{RUN}.tar.gz", home / "tar.tar.gz", home / "pigz.tar.gz"
    commands: dict[str, list[str]] = {
        "exptui archive --keep": [*EXPTUI, "archive", "--keep", RUN],
        "tar czf": ["tar", "czf", str(tar), "-C", str(run.parent), RUN],
        "tar | pigz -6": shell(f"tar cf - -C {run.parent} {RUN} | pigz -6 > {pigz}"),
        "exptui check --read-data": [*EXPTUI, "check", "--read-data", RUN],
        "gzip -dc | sha256sum": shell(f"gzip -dc {ours} | sha256sum"),
    }
    if shutil.which("pigz") is None:
        del commands["tar | pigz -6"]
    took: dict[str, list[float]] = {name: [] for name in commands}
    worked: dict[str, list[float]] = {name: [] for name in commands}
    peak = 0
    for number in range(ROUNDS):
        shutil.rmtree(archive, ignore_errors=True)
        for name, words in commands.items():
            seconds, usage = timed(words, home)
            took[name].append(seconds)
            worked[name].append(usage.ru_utime + usage.ru_stime)
            peak = max(peak, usage.ru_maxrss << 10 if words[0] == sys.executable else 0)
        print(f"round {number + 1}: " + ", ".join(f"{name} {took[name][-1]:.2f} s" for name in took))
    size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    print(
        f"\n{size / 1e6:,.0f} MB → {ours.stat().st_size / 1e6:,.1f} MB, tar czf {tar.stat().st_size / 1e6:,.1f} MB"
    )
    for name, times in took.items():
        wall, cpu = statistics.median(times), statistics.median(worked[name])
        print(f"  {name:26} {wall:7.2f} s   {cpu:7.2f} CPU s   {size / wall / 1e6:6,.0f} MB/s")

    def against(mine: str, peer: str) -> float:
        return statistics.median(a / b for a, b in zip(took[mine], took[peer], strict=True))

    say = verdicts()
    seal, check = "exptui archive --keep", "exptui check --read-data"
    say("archive, time / tar czf", against(seal, "tar czf"), 0.17)
    if "tar | pigz -6" in took:
        say("archive, time / tar | pigz -6", against(seal, "tar | pigz -6"), 0.43)
    say("archive, size / tar czf", ours.stat().st_size / tar.stat().st_size, 1.02)
    say("check, time / gzip -dc | sha256sum", against(check, "gzip -dc | sha256sum"), 0.5)
    return say("peak memory, MB", peak / 1e6, 64)


def verdicts() -> Callable[[str, float, float], bool]:
    """Prints a figure beside its target; says whether all were met so far."""
    missed: list[str] = []

    def say(what: str, value: float, most: float) -> bool:
        if value > most:
            missed.append(what)
        print(f"  {what:36} {value:7.3f}   target ≤ {most:g}   {'MISSED' if value > most else 'met'}")
        return not missed

    return say


def timed(words: list[str], cwd: Path) -> tuple[float, resource.struct_rusage]:
    """Wall time in seconds of a whole process, and what it used."""
    start = time.perf_counter()
    process = subprocess.Popen(words, cwd=cwd, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return time.perf_counter() - start, usage


def shell(line: str) -> list[str]:
    """A pipe; the paths are our own."""
    return ["sh", "-c", line]


def compressor() -> str:
    """What exptui compresses with here."""
    try:
        return f"isal {importlib.metadata.version('isal')}"
    except importlib.metadata.PackageNotFoundError:
        return "zlib (isal is missing)"


def cpu_info() -> dict[str, str]:
    """The model, and whether it has SHA instructions (x86 and Arm name them differently)."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = (found.get("flags", "") + found.get("Features", "")).split()
    name = found.get("model name", platform.machine())
    return {"name": name, "sha": "yes" if {"sha_ni", "sha2"} & set(flags) else ""}


if __name__ == "__main__":
    sys.exit(main())
