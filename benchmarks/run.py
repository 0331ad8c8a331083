"""`make bench`: exptui beside its peers, in turn in one run; medians and ratios. Prints what it measured on."""

from __future__ import annotations

import fcntl
import os
import platform
import pty
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path

from exptui.core.files import pretty_json
from exptui.core.runs.run import Exit, Phase, Recipe, RunRecord

ROUNDS = 7
RUNS = 1000
PAYLOAD = 64 << 20  # bytes of the run that is archived, half of them incompressible
EXPTUI = [sys.executable, "-m", "exptui"]


def main() -> None:
    """Every pair, one after the other."""
    print(
        f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} CPUs, {ROUNDS} rounds\n"
    )
    with tempfile.TemporaryDirectory() as parent:
        home = Path(parent)
        listing(home / "many")
        archive(home / "big")
        first_frame(home / "many")


def pair(name: str, ours: Callable[[], None], theirs: Callable[[], None], peer: str) -> None:
    """Run both in turn and print the medians and their ratio."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for work, kept in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            work()
            kept.append(time.perf_counter() - start)
    mine, other = map(statistics.median, times)
    print(f"{name:42} {mine * 1000:9.1f} ms   {peer:30} {other * 1000:9.1f} ms   ratio {mine / other:5.2f}")


def command(*words: str, cwd: Path) -> Callable[[], None]:
    """A command as a whole process."""
    return lambda: void(subprocess.run(words, cwd=cwd, check=True, capture_output=True))


def void(_: object) -> None:
    """Nothing."""


def listing(home: Path) -> None:
    """`ls --json` with many finished runs."""
    (home / "experiments/configs").mkdir(parents=True)
    recipe = Recipe(
        trainer="default", command=("t",), argv=("/t",), cwd="/", resume=(), checkpoints="", code=(), passed=(),
        set={}, secret=(), preset="", threads=1, stop_grace=1.0, observational=(), slots=1,
    )  # fmt: skip
    for number in range(RUNS):
        run_id = f"exp_{number:05d}_20260101T000000Z"
        directory = home / "experiments/results" / run_id
        directory.mkdir(parents=True)
        record = RunRecord(
            run_id=run_id, config_name="exp.toml", config_sha256="0" * 64, settings_digest="0" * 64, user="u",
            host=platform.node(), queued_at="2026-01-01T00:00:00Z", recipe=recipe, phase=Phase.EXITED, exit=Exit(code=0),
        )  # fmt: skip
        (directory / "run.json").write_bytes(pretty_json(record))
        (directory / "config.toml").write_text(f"[engine]\nbase_seed = {number}\nlearning_rate = 0.001\n")
        (directory / "metrics.json").write_text(f'{{"accuracy": 0.{number:05d}}}')
    ours = command(*EXPTUI, "ls", "--json", cwd=home)
    pair(f"ls --json, {RUNS} runs", ours, command(sys.executable, "-c", "pass", cwd=home), "python -c pass")
    pair(
        "--version",
        command(*EXPTUI, "--version", cwd=home),
        command(sys.executable, "-c", "pass", cwd=home),
        "python -c pass",
    )


def archive(home: Path) -> None:
    """Seal a run: hashed, packed, read back and compared; a plain tar does none of the checking."""
    (home / "experiments/configs").mkdir(parents=True)
    run = home / "experiments/results/big_20260101T000000Z"
    run.mkdir(parents=True)
    (run / "config.toml").write_text("x = 1\n")
    (run / "weights.bin").write_bytes(os.urandom(PAYLOAD // 2))
    (run / "log.txt").write_bytes(b"epoch 1 loss 0.25\n" * (PAYLOAD // 36))
    target = home / "experiments/archive"

    def ours() -> None:
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run([*EXPTUI, "archive", "--keep", run.name], cwd=home, check=True, capture_output=True)

    def tar() -> None:
        subprocess.run(["tar", "czf", str(home / "peer.tar.gz"), run.name], cwd=run.parent, check=True)
        subprocess.run(["gzip", "-t", str(home / "peer.tar.gz")], check=True)

    pair(f"archive {PAYLOAD >> 20} MiB, read back and hashed", ours, tar, "tar czf, then gzip -t")
    packed = next(target.glob("*.tar.gz")).stat().st_size
    print(f"{'':42} {packed / 1e6:9.1f} MB   {'':30} {(home / 'peer.tar.gz').stat().st_size / 1e6:9.1f} MB")


def first_frame(home: Path) -> None:
    """From the start of the process to the first frame on a pty."""
    minimal = (
        "from textual.app import App\nfrom textual.widgets import Static\n"
        "class A(App):\n def compose(self): yield Static('Configs')\nA().run()"
    )
    pair(
        f"first frame with {RUNS} runs",
        lambda: frame([*EXPTUI], home, b"2 Runs"),
        lambda: frame([sys.executable, "-c", minimal], home, b"Configs"),
        "a Textual app with one label",
    )


def frame(words: list[str], cwd: Path, wanted: bytes) -> None:
    """Start a program on a pty and wait for a text of its first frame."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    child = subprocess.Popen(
        words, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(slave)
    seen = b""
    while wanted not in seen:
        seen += os.read(master, 65536)
    child.kill()
    child.wait()
    os.close(master)


if __name__ == "__main__":
    main()
