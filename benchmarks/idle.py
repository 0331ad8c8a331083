"""Must-show line 7: what an open cockpit costs when nothing happens, and when little does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks import inputs
from benchmarks.bench import Bench
from benchmarks.figures import Figure, alone, missing
from benchmarks.harness import Terminal
from benchmarks.live import Live
from benchmarks.peers import leet_command


def watched(terminal: Terminal, seconds: float) -> tuple[float, float]:
    """Percent of a core, and bytes a second."""
    before, count = terminal.usage().cpu, terminal.total
    time.sleep(seconds)
    return (terminal.usage().cpu - before) / seconds * 100, (terminal.total - count) / seconds


def seconds(bench: Bench) -> float:
    """How long to look."""
    return 10.0 if bench.quick else 30.0


def nothing(bench: Bench) -> Iterator[Figure]:
    """1,000 finished runs and nothing at work."""
    with bench.open(bench.cockpit, inputs.workspace(bench.build, 1_000)) as terminal:
        terminal.shows("exp_0")
        terminal.settle(3.0)
        percent, count = watched(terminal, seconds(bench))
    yield alone("idle, 1,000 runs: CPU", [percent], unit="%", most=0.5)
    yield alone("idle, 1,000 runs: to the terminal", [count], unit="B/s", most=0)


def one_line(bench: Bench) -> Iterator[Figure]:
    """Beside 1,000 finished runs one prints a line a second."""
    with Live(bench, "--rate", "1", runs=1_000) as run, bench.open(bench.cockpit, run.home) as terminal:
        run.go()
        terminal.shows("RUNNING")
        time.sleep(5.0)
        percent, count = watched(terminal, seconds(bench))
    yield alone("one run, a line a second: CPU", [percent], unit="%", most=1.5)
    yield alone("one run, a line a second: to the terminal", [count], unit="B/s", most=1_000)


def leet(bench: Bench) -> Iterator[Figure]:
    """wandb leet over a finished run of 2,000 steps."""
    words = leet_command(bench, 2_000)
    if words is None:
        yield missing("wandb leet, idle", "not installed")
        return
    with bench.open(words, bench.build) as terminal:
        terminal.shows("metric_0")
        time.sleep(5.0)
        percent, count = watched(terminal, seconds(bench))
    yield alone("wandb leet, idle: CPU", [percent], unit="%")
    yield alone("wandb leet, idle: to the terminal", [count], unit="B/s")


PARTS: tuple[Callable[[Bench], Iterator[Figure]], ...] = (nothing, one_line, leet)
TITLE = "7 · Idle"
ABOUT = "Half a minute of the whole process tree, by /proc."
