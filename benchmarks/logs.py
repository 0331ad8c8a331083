"""Must-show line 3: a log of 1 GB shown at its end, its index, search, and jumps while both run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks import inputs
from benchmarks.bench import Bench
from benchmarks.figures import Figure, alone, beside, in_turn, missing
from benchmarks.harness import Terminal

LAST = "the very last line"
# Each has a capital: with none, exptui takes no notice of case, and grep would.
PATTERNS = (
    ("a literal", "Needle", 4.0),
    ("a regex", r"INFO step [0-9]+ loss 0\.99999[0-9]", 1.5),
    ("a regex of alternatives", "WARNING .*batch|Needle", 1.5),
)
ENDLESS = "[0-9] [a-z]+ [0-9.]+ [a-z]+ [0-9.]+ [a-z]+[0-9]"  # matches nowhere, and no part of it is rare


def size(bench: Bench) -> int:
    """Bytes of the huge log."""
    return 100_000_000 if bench.quick else inputs.LOG_BYTES


def run_with(bench: Bench, log: Path) -> Path:
    """A workspace of one finished run whose log this is, by a hard link."""
    home = bench.build / f"inputs/with-{log.name}"
    if not home.exists():
        inputs.fill(home, 1)
        link = home / "experiments/results" / inputs.newest(1) / "trainer.log"
        link.unlink()
        os.link(log, link)
    return home


def homes(bench: Bench) -> tuple[Path, Path]:
    """With the huge log, and with one of a few lines."""
    return run_with(bench, inputs.log(bench.build, size(bench))), run_with(
        bench, inputs.log(bench.build, 300_000)
    )


def opened(bench: Bench, home: Path) -> tuple[float, float]:
    """Seconds until the end of the log is to be seen in its pane, L being typed ahead; and memory when all is indexed."""
    with bench.open(bench.cockpit, home, typed="L") as terminal:
        at = terminal.until(lambda screen: LAST in screen and "following" in screen, "the end of the log")
        terminal.lacks("indexing", 120)
        terminal.settle(1.5, 120)
        return at - terminal.start, terminal.usage().rss


def own_start(bench: Bench, home: Path) -> tuple[float, float]:
    """The cockpit until its run is listed."""
    with bench.open(bench.cockpit, home) as terminal:
        return terminal.until(
            lambda screen: "exp_0" in screen and "FINISHED" in screen, "the run"
        ) - terminal.start, 0


def shown(bench: Bench) -> Iterator[Figure]:
    """The end of the log, beside the cockpit's own start and the same with a few lines."""
    big, small = homes(bench)
    works = {
        "big": partial(opened, bench, big),
        "start": partial(own_start, bench, big),
        "small": partial(opened, bench, small),
    }
    found = in_turn(bench.rounds, works)
    first = {name: [at for at, _ in pairs] for name, pairs in found.items()}
    memory = [a[1] - b[1] for a, b in zip(found["big"], found["small"], strict=True)]
    what = f"a log of {size(bench) / 1e9:g} GB shown at its end"
    yield beside(
        what, first["big"], "the cockpit's own start", first["start"], unit="ms", scale=1e3, most=1.15
    )
    yield beside(what, first["big"], "the same with a few lines", first["small"], unit="ms", scale=1e3)
    yield alone("memory for it, when all is indexed", memory, unit="MB", scale=1e-6, most=10)


def peers(bench: Bench) -> Iterator[Figure]:
    """The same log in other programs until its end is to be seen."""
    big, _ = homes(bench)
    log = inputs.log(bench.build, size(bench))
    words = {"lnav": ("lnav", "-N"), "toolong": ("tl",), "less": ("less", "+G")}
    for name, (program, *options) in words.items():
        path = bench.peer(name, program)
        if path is None:
            yield missing(f"{name}: the same log at its end", "not installed")
            continue

        def theirs(command: tuple[str, ...] = (path, *options, str(log))) -> float:
            with bench.open(command, big) as terminal:
                return terminal.shows(LAST, 300) - terminal.start

        found = in_turn(1 if bench.quick else 3, {"theirs": theirs}, warm=False)
        yield alone(f"{name}: the same log at its end", found["theirs"], unit="ms", scale=1e3)


def indexing(bench: Bench) -> Iterator[Figure]:
    """The index of the whole log, beside wc -l."""
    log = inputs.log(bench.build, size(bench))
    works = {
        "ours": partial(bench.probe, "index", log),
        "wc": partial(bench.run, ["wc", "-l", str(log)], bench.build),
    }
    found = in_turn(min(bench.rounds, 5), works)
    yield beside(
        "index of the log", [one["wall"] for one in found["ours"]], "wc -l", [one["wall"] for one in found["wc"]],
        unit="s", most=3,
    )  # fmt: skip


def searching(bench: Bench) -> Iterator[Figure]:
    """All matches, beside grep -c."""
    log = inputs.log(bench.build, size(bench))
    if shutil.which("grep") is None:
        yield missing("search", "grep is not installed")
        return
    for what, pattern, most in PATTERNS:
        works = {
            "ours": partial(bench.probe, "search", log, pattern),
            "grep": partial(bench.run, ["grep", "-cE", pattern, str(log)], bench.build),
        }
        found = in_turn(min(bench.rounds, 3), works)
        ours, grep = ([one["wall"] for one in found[name]] for name in works)
        yield beside(f"search for {what}: {pattern}", ours, "grep -cE, UTF-8", grep, unit="s", most=most)


def jumps(bench: Bench) -> Iterator[Figure]:
    """g, G and pages while the log is being indexed and searched for what is not in it."""
    big, _ = homes(bench)
    answers: dict[str, list[float]] = {"g": [], "G": [], "page up": []}
    indexing, searching = 0, 0
    for _ in range(bench.rounds):
        with bench.open(bench.cockpit, big, typed="L") as terminal:
            terminal.until(lambda screen: LAST in screen and "following" in screen, "the end of the log")
            terminal.press("L")  # what was typed ahead may have lost the focus to the list
            terminal.press("+")  # in the split screen the long pattern hides what goes on
            terminal.lacks("Configs")
            terminal.press("/")
            terminal.shows("regular expression")
            terminal.press(f"{ENDLESS}\r")
            terminal.shows("searching")
            indexing += "indexing" in terminal.text()
            answers["g"].append(answer(terminal, "g", "step 0 "))
            answers["G"].append(answer(terminal, "G", LAST))
            searching += "searching" in terminal.text()
            pressed = terminal.press("\x1b[5~")
            answers["page up"].append(terminal.lacks(LAST) - pressed)
    note = f"of {len(answers['g'])} rounds the index was being made in {indexing} at first, the search went on in {searching} at last"
    for name, times in answers.items():
        yield alone(f"{name}, while indexed and searched", times, unit="ms", scale=1e3, most=50, note=note)


def answer(terminal: Terminal, key: str, text: str) -> float:
    """Seconds from a key to a text."""
    terminal.text()
    pressed = terminal.press(key)
    return terminal.shows(text) - pressed


PARTS: tuple[Callable[[Bench], Iterator[Figure]], ...] = (shown, peers, indexing, searching, jumps)
TITLE = "3 · Logs"
ABOUT = (
    "The log is the seeded one, in the page cache. L is typed ahead, and the end counts as shown "
    "when its last line stands in the log's own pane. Index and search are processes of their own, "
    "so are wc and grep (UTF-8, case kept)."
)
