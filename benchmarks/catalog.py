"""Must-show line 2: a cold index of 10,000 runs, the list usable meanwhile, and looking again at 100,000."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from operator import ne
from pathlib import Path

from benchmarks import inputs
from benchmarks.bench import Bench
from benchmarks.figures import Figure, alone, beside, in_turn
from benchmarks.start import complete

KEYS = "jjjjjkkkkk"


def cold(bench: Bench) -> Bench:
    """The same with a home in which nothing was kept yet."""
    home = bench.build / "cold-home"
    shutil.rmtree(home, ignore_errors=True)
    return replace(bench, home=home)


def indexed(bench: Bench, home: Path) -> dict[str, float]:
    """Everything read for the first time."""
    found = cold(bench).probe("catalog", home)
    shutil.rmtree(bench.build / "cold-home", ignore_errors=True)
    return found


def cold_index(bench: Bench) -> Iterator[Figure]:
    """Beside reading and decoding the same files."""
    runs = 1_000 if bench.quick else 10_000
    home = inputs.workspace(bench.build, runs)
    works = {"ours": partial(indexed, bench, home), "plain": partial(bench.probe, "decoding", home)}
    found = in_turn(min(bench.rounds, 5), works)
    ours, plain = found["ours"], found["plain"]
    peer = "msgspec and tomli, the same files"
    what = f"cold index of {runs:,} runs"
    yield beside(
        what, [one["wall"] for one in ours], peer, [one["wall"] for one in plain], unit="s", most=2.5
    )
    yield beside(f"{what}, CPU", [one["cpu"] for one in ours], peer, [one["cpu"] for one in plain], unit="s")


def meanwhile(bench: Bench) -> Iterator[Figure]:
    """The cockpit over an index that is being made: when rows are there, when all, and how soon a key is answered."""
    runs = 1_000 if bench.quick else 10_000
    home = inputs.workspace(bench.build, runs)
    listed, finished, answers = [], [], list[float]()
    for _ in range(min(bench.rounds, 3)):
        with cold(bench).open(bench.cockpit, home) as terminal:
            listed.append(terminal.shows("exp_0", 300) - terminal.start)
            for key in KEYS:
                before = terminal.text()
                pressed = terminal.press(key)
                changed = terminal.until(partial(ne, before), f"an answer to {key}")
                answers.append(changed - pressed)
            finished.append(
                terminal.until(partial(complete, runs=runs), f"{runs:,} runs in the title", 300)
                - terminal.start
            )
    yield alone(f"first rows while {runs:,} runs are indexed", listed, unit="ms", scale=1e3)
    yield alone("a key answered meanwhile, worst of all", [max(answers)], unit="ms", scale=1e3)
    yield alone(f"all {runs:,} runs listed, cold", finished, unit="ms", scale=1e3)


def again(bench: Bench) -> Iterator[Figure]:
    """A new process over a warm index, until all runs are listed; then every file compared once more."""
    runs = 10_000 if bench.quick else 100_000
    home = inputs.workspace(bench.build, runs)
    bench.probe("catalog", home)  # makes the index warm
    works = {"ours": partial(bench.probe, "catalog", home), "plain": partial(bench.probe, "stats", home)}
    found = in_turn(min(bench.rounds, 3), works)

    def side(name: str, key: str) -> list[float]:
        return [one[key] for one in found[name]]

    for what, peer, ours, plain, most in (
        (
            f"{runs:,} runs listed by a new process, each compared with its directory",
            "a stat of each run.json",
            "listed",
            "wall",
            1.5,
        ),
        ("CPU of the same", "a stat of each run.json", "listed_cpu", "cpu", None),
        (
            f"every file of {runs:,} runs compared with the disk",
            "a stat of the same files",
            "again",
            "every",
            1.5,
        ),
        ("CPU of the same", "a stat of the same files", "again_cpu", "every_cpu", None),
        ("the list and every file, by a new process", "a stat of the same files", "wall", "every", None),
    ):
        yield beside(what, side("ours", ours), peer, side("plain", plain), unit="s", most=most)


PARTS: tuple[Callable[[Bench], Iterator[Figure]], ...] = (cold_index, meanwhile, again)
TITLE = "2 · The catalog"
ABOUT = (
    "The catalog in a process of its own, without an index, then with one; the plain ways read the "
    "same files in Python. Keys are pressed in the cockpit while it reads everything for the first "
    "time."
)
