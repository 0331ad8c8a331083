"""Must-show lines 5 and 6: a million steps decoded and drawn, and a page of a long list."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import inputs
from benchmarks.bench import ROOT, Bench
from benchmarks.figures import Figure, alone, beside, in_turn, missing
from benchmarks.harness import Terminal
from benchmarks.peers import leet_command
from benchmarks.start import complete

PAGES = 40
APART = 0.15  # seconds between two pages
DOWN = "\x1b[6~"


def decoding(bench: Bench) -> Iterator[Figure]:
    """The first curve, and all, beside json.loads a line."""
    count = 100_000 if bench.quick else inputs.STEPS
    path = inputs.steps(bench.build, count)
    home = bench.build / f"inputs/with-steps-{count}"
    home.mkdir(exist_ok=True)
    link = home / "metrics.jsonl"
    if not link.exists():
        link.hardlink_to(path)
    works = {name: partial(bench.probe, name, link) for name in ("first_curve", "every_curve", "json_lines")}
    found = in_turn(min(bench.rounds, 3), works)
    wall = {name: [one["wall"] for one in each] for name, each in found.items()}
    peer, steps = "json.loads a line", f"{count:,} steps × 5"
    yield beside(
        f"{steps}: the first curve", wall["first_curve"], peer, wall["json_lines"], unit="s", most=0.2
    )
    yield beside(f"{steps}: all curves", wall["every_curve"], peer, wall["json_lines"], unit="s", most=0.35)
    peaks = [one["peak"] for one in found["every_curve"]]
    yield alone(f"{steps}: memory at the most", peaks, unit="MB", scale=1e-6, most=300)


def reopened(bench: Bench) -> Iterator[Figure]:
    """A second look at the same million steps, beside array.fromfile of as many doubles."""
    count = 100_000 if bench.quick else inputs.STEPS
    path = bench.build / f"inputs/with-steps-{count}/metrics.jsonl"
    works = {
        "ours": partial(bench.probe, "reopened_curves", path, bench.build / "kept-columns"),
        "array": partial(bench.probe, "columns", bench.build / "inputs/columns", str(count)),
    }
    found = in_turn(min(bench.rounds, 5), works)
    ours, array = ([one["wall"] for one in found[name]] for name in works)
    yield beside(
        f"{count:,} steps × 5 opened again", ours, "array.fromfile", array, unit="ms", scale=1e3, most=3
    )


def leet(bench: Bench) -> Iterator[Figure]:
    """wandb leet with as many steps, until its charts are there."""
    count = 2_000 if bench.quick else 100_000  # wandb itself would take many minutes to write a million
    words = leet_command(bench, count)
    if words is None:
        yield missing("wandb leet", "not installed")
        return
    with bench.open(words, bench.build) as terminal:
        shown = terminal.until(
            lambda screen: f"{count - 1}" in screen and "metric_0" in screen, "the last step", 300
        )
        used = terminal.usage()
    note = f"{used.peak / 1e6:.0f} MB at the most"
    yield alone(
        f"wandb leet: {count:,} steps × 5 until the last is there",
        [shown - terminal.start],
        unit="s",
        note=note,
    )


def frame(bench: Bench) -> Iterator[Figure]:
    """CPU of a chart frame, whatever the number of points; and of the plotting widgets."""
    rounds = range(min(bench.rounds, 3))
    for points in (2_000, 100_000 if bench.quick else 1_000_000):
        found = [bench.probe("chart", str(points)) for _ in rounds]
        what = f"a chart frame, 3 curves of {points:,} points"
        yield alone(what, [one["own"] for one in found], unit="ms", scale=1e3, most=4)
        yield alone(f"{what}, with Textual's part", [one["whole"] for one in found], unit="ms", scale=1e3)
    for name in ("textual-plot", "textual-plotext"):
        python = bench.build / f"peers/{name}/bin/python"
        if not python.exists():
            yield missing(f"{name}: a chart frame", "not installed")
            continue
        words = [str(python), str(ROOT / "benchmarks/apps/plots.py"), name]
        said = [
            subprocess.run(words, check=True, capture_output=True, text=True, env=bench.environment).stdout
            for _ in rounds
        ]
        yield alone(
            f"{name}: the same, 3 curves of 2,000 points, with Textual's part",
            [float(text) for text in said],
            unit="ms",
        )


def paged(terminal: Terminal) -> tuple[float, float]:
    """CPU seconds and bytes of a page."""
    before, count = terminal.usage().cpu, terminal.total
    for _ in range(PAGES):
        terminal.press(DOWN)
        time.sleep(APART)
    terminal.settle(0.5)
    return (terminal.usage().cpu - before) / PAGES, (terminal.total - count) / PAGES


def quiet(terminal: Terminal) -> None:
    """Wait until the program has come to rest: after its start it compares its index with the disk."""
    before = -1.0
    while (now := terminal.usage().cpu) - before > 0.05:
        before = now
        time.sleep(1)


def our_pages(bench: Bench, home: Path, runs: int, *, zoomed: bool) -> tuple[float, float]:
    """Page-down through all runs."""
    with bench.open(bench.cockpit, home) as terminal:
        terminal.until(partial(complete, runs=runs), f"{runs:,} runs in the title", 300)
        quiet(terminal)
        terminal.press("2")
        if zoomed:
            terminal.press("+")
            terminal.lacks("Overview")
        terminal.settle(1.0)
        return paged(terminal)


def table_pages(bench: Bench, runs: int) -> tuple[float, float]:
    """The same in a DataTable."""
    with bench.open(bench.app("data_table", str(runs)), bench.build) as terminal:
        terminal.shows("exp_000005", 300)
        terminal.settle(1.0)
        return paged(terminal)


def pages(bench: Bench) -> Iterator[Figure]:
    """A page of 100,000 runs: the list on the whole screen, as the table is; and beside the detail."""
    runs = 10_000 if bench.quick else 100_000
    home = inputs.workspace(bench.build, runs)
    works = {
        "zoomed": partial(our_pages, bench, home, runs, zoomed=True),
        "split": partial(our_pages, bench, home, runs, zoomed=False),
        "table": partial(table_pages, bench, runs),
    }
    found = in_turn(min(bench.rounds, 3), works, warm=False)
    cpu, count = ({name: [one[at] for one in each] for name, each in found.items()} for at in (0, 1))
    what, table = f"page-down in {runs:,} runs", "DataTable"
    figure = beside(f"{what}: CPU", cpu["zoomed"], table, cpu["table"], unit="ms", scale=1e3, most=8)
    yield replace(figure, of="ours")
    yield beside(f"{what}: bytes", count["zoomed"], table, count["table"], unit="kB", scale=1e-3, most=0.5)
    yield alone(f"{what} beside the detail: CPU", cpu["split"], unit="ms", scale=1e3)
    yield alone(f"{what} beside the detail: bytes", count["split"], unit="kB", scale=1e-3)


PARTS: tuple[Callable[[Bench], Iterator[Figure]], ...] = (decoding, reopened, leet, frame, pages)
TITLE = "5, 6 · Curves and lists"
ABOUT = (
    "One metrics.jsonl of five metrics, read in a process of its own. Chart frames are panned and "
    "read off by turns, their CPU is measured without and with what Textual does around; pages are "
    "40 presses of page-down, 150 ms apart."
)
