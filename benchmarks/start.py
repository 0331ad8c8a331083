"""Must-show line 1: the first painted frame, memory, and `ls --json`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import inputs
from benchmarks.bench import Bench
from benchmarks.figures import Figure, alone, beside, in_turn, median, missing
from benchmarks.peers import leet_command

MEMORY = {1_000: 55, 100_000: 100}  # MB
QUIET = 1.5  # seconds without a byte: the start is over
MINIMAL = "a Textual app with one label"


@dataclass(frozen=True)
class Start:
    """Seconds to the first frame and to the list, and memory and CPU when all was quiet."""

    frame: float
    listed: float
    rss: int
    cpu: float


def sizes(bench: Bench) -> tuple[int, ...]:
    """Numbers of runs."""
    return (1_000,) if bench.quick else (1_000, 100_000)


def cockpit(bench: Bench, home: Path, runs: int) -> Start:
    """exptui until its key bar is there, then until the newest run is."""
    with bench.open(bench.cockpit, home) as terminal:
        frame = terminal.until(lambda screen: "exptui" in screen and "quit" in screen, "the first frame")
        listed = terminal.shows(inputs.newest(runs)[:10])
        terminal.settle(QUIET)
        used = terminal.usage()
    return Start(frame - terminal.start, listed - terminal.start, used.rss, used.cpu)


def until(bench: Bench, words: list[str], home: Path, text: str) -> Start:
    """Another program until a text of its first frame is there; some are never quiet."""
    with bench.open(words, home) as terminal:
        frame = terminal.shows(text) - terminal.start
        time.sleep(QUIET)
        used = terminal.usage()
    return Start(frame, frame, used.rss, used.cpu)


def first_frame(bench: Bench) -> Iterator[Figure]:
    """First frame, list and memory at each number of runs, beside a minimal Textual app."""
    for runs in sizes(bench):
        home = inputs.workspace(bench.build, runs)
        with bench.open(bench.cockpit, home) as terminal:  # makes the index warm
            terminal.until(partial(complete, runs=runs), f"{runs:,} runs in the title", 900)
            terminal.settle(QUIET, 900)
        works = {
            "ours": partial(cockpit, bench, home, runs),
            "minimal": partial(until, bench, bench.app("minimal"), home, "Configs"),
        }
        found = in_turn(bench.rounds, works)
        ours, minimal = found["ours"], found["minimal"]
        for what, pairs, most in (
            (
                "first frame",
                [(one.frame, other.frame) for one, other in zip(ours, minimal, strict=True)],
                1.3,
            ),
            (
                "runs listed",
                [(one.listed, other.frame) for one, other in zip(ours, minimal, strict=True)],
                None,
            ),
            (
                "CPU of the start",
                [(one.cpu, other.cpu) for one, other in zip(ours, minimal, strict=True)],
                None,
            ),
        ):
            mine, theirs = zip(*pairs, strict=True)
            yield beside(f"{what}, {runs:,} runs", mine, MINIMAL, theirs, unit="ms", scale=1e3, most=most)
        yield alone(
            f"resident memory, {runs:,} runs", [one.rss for one in ours], unit="MB", scale=1e-6, most=MEMORY[runs],
            note=f"the minimal app: {min(one.rss for one in minimal) / 1e6:.0f} MB",
        )  # fmt: skip


def complete(screen: str, runs: int) -> bool:
    """Whether the title of the list says that all runs are there."""
    return f"Runs {runs}" in screen or f"Runs {runs:,}" in screen


def peers(bench: Bench) -> Iterator[Figure]:
    """Other terminal apps until their first frame, beside the same minimal app."""
    home = inputs.workspace(bench.build, 1_000)
    cwd = home / "experiments/results" / inputs.newest(1_000)
    apps: tuple[tuple[str, list[str] | None, str], ...] = (
        ("wandb leet", leet_command(bench, 2_000), "Run Overview"),
        ("toolong", _words(bench, "toolong", "tl", "trainer.log"), "epoch 10/10"),
        ("posting", _words(bench, "posting", "posting"), "Collection"),
        ("harlequin", _words(bench, "harlequin", "harlequin"), "Query Editor"),
    )
    for name, words, text in apps:
        if words is None:
            yield missing(f"{name}: first frame", "not installed")
            continue
        works = {
            "theirs": partial(until, bench, words, cwd, text),
            "minimal": partial(until, bench, bench.app("minimal"), cwd, "Configs"),
        }
        found = in_turn(min(bench.rounds, 3), works)
        times, least = ([one.frame for one in found[key]] for key in works)
        memory = f"{median([one.rss for one in found['theirs']]) / 1e6:.0f} MB"
        yield beside(f"{name}: first frame", times, MINIMAL, least, unit="ms", scale=1e3, note=memory)


def _words(bench: Bench, name: str, program: str, *more: str) -> list[str] | None:
    path = bench.peer(name, program)
    return [path, *more] if path else None


def listing(bench: Bench) -> Iterator[Figure]:
    """`ls --json` of 1,000 runs beside an interpreter that does nothing."""
    home = inputs.workspace(bench.build, 1_000)
    works = {
        "ours": lambda: bench.run([*bench.cockpit, "ls", "--json"], home),
        "pass": lambda: bench.run([bench.python, "-c", "pass"], home),
    }
    found = in_turn(bench.rounds, works)
    for what, key, most in (("exptui ls --json, 1,000 runs", "wall", 8.0), ("CPU of the same", "cpu", None)):
        ours, theirs = ([one[key] for one in found[name]] for name in works)
        yield beside(what, ours, "python -c pass", theirs, unit="ms", scale=1e3, most=most)


BOARD = ["--filter", "accuracy>0.9 model.layers=8 state:finished", "--sort", "-accuracy"]


def leaderboard(bench: Bench) -> Iterator[Figure]:
    """`ls --json` with a filter and an order beside the plain one, over 10,000 runs in a warm index."""
    runs = 1_000 if bench.quick else 10_000
    home = inputs.workspace(bench.build, runs)
    works = {
        "chosen": lambda: bench.run([*bench.cockpit, "ls", *BOARD, "--json"], home),
        "all": lambda: bench.run([*bench.cockpit, "ls", "--json"], home),
    }
    found = in_turn(bench.rounds, works)
    what = f"exptui ls --filter … --sort -accuracy --json, {runs:,} runs"
    for text, key in ((what, "wall"), ("CPU of the same", "cpu")):
        chosen, everything = ([one[key] for one in found[name]] for name in works)
        yield beside(text, chosen, "ls --json of all", everything, unit="ms", scale=1e3, most=2.0)


PARTS: tuple[Callable[[Bench], Iterator[Figure]], ...] = (first_frame, peers, listing, leaderboard)
TITLE = "1 · Start"
ABOUT = (
    "From just before the process is made until its key bar (the first frame) or its newest run "
    "(listed) is to be seen on a pty of 120 × 40; memory is that of the whole process tree when "
    "nothing was written for 1.5 s."
)
