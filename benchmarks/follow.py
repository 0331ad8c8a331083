"""Must-show line 4: following a log of 100,000 lines a second, and what ten lines a second cost on the wire."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figures import Figure, alone, beside, in_turn, median, missing
from benchmarks.harness import Never, Terminal
from benchmarks.live import PATIENCE, Alone, Live

FRAME = 0.05  # seconds: 20 frames a second at most
RATE, SECONDS = 100_000, 10.0
FLOOD = ("--rate", str(RATE), "--seconds", str(SECONDS), "--stay", "3")
MARK = re.compile(r"mark\d{4}mark")


@dataclass(frozen=True)
class Followed:
    """How many of the markers came to be seen, how late, and what it cost while the lines came."""

    seen: int
    of: int
    p99: float
    cpu: float
    bytes: float  # a second
    growth: int

    @property
    def unseen(self) -> float:
        """Markers that were never to be seen."""
        return float(self.of - self.seen)


def watched(terminal: Terminal, go: Callable[[], float], marks: Path, *, raw: bool) -> Followed:
    """Let the lines come to a program that is at the end of the log, and look when each marker was to be seen."""
    before = terminal.usage()
    count = terminal.total
    begun = go()
    deadline = begun + SECONDS + PATIENCE
    while not marks.exists():
        if time.monotonic() > deadline:
            raise Never("the trainer never ended")
        time.sleep(0.05)
    time.sleep(0.5)
    after = terminal.usage()
    count = terminal.total - count
    written: dict[str, float] = json.loads(marks.read_text())
    seen = in_bytes(terminal, written) if raw else on_screen(terminal, written, begun)
    late = sorted(seen[name] - at for name, at in written.items() if name in seen)
    p99 = late[math.ceil(len(late) * 0.99) - 1] if late else math.inf
    return Followed(
        len(late), len(written), p99, after.cpu - before.cpu, count / SECONDS, after.rss - before.rss
    )


def on_screen(terminal: Terminal, names: Mapping[str, float], since: float) -> dict[str, float]:
    """The moment each name came to be seen."""
    found: dict[str, float] = {}

    def look(at: float, screen: str) -> None:
        for name in MARK.findall(screen):
            if name in names:
                found.setdefault(name, at)

    terminal.replay(look, since)
    return found


def in_bytes(terminal: Terminal, names: Mapping[str, float]) -> dict[str, float]:
    """The same for a program that only ever appends."""
    found: dict[str, float] = {}
    rest = ""
    for at, data in terminal.chunks:
        text = rest + data.decode("latin-1")
        for name in MARK.findall(text):
            if name in names:
                found.setdefault(name, at)
        rest = text[-11:]  # one less than a marker: it may be cut, and is not found twice
    return found


def cockpit(bench: Bench) -> Followed:
    """exptui with the log zoomed."""
    with Live(bench, *FLOOD, marks=True) as run, bench.open(bench.cockpit, run.home) as terminal:
        at_end(terminal, zoomed=True)
        return watched(terminal, run.go, run.marks, raw=False)


def at_end(terminal: Terminal, *, zoomed: bool) -> None:
    """The log of the only run, followed, and quiet."""
    terminal.shows("RUNNING")
    terminal.press("L")
    terminal.shows("following")
    if zoomed:
        terminal.press("+")
        terminal.lacks("Configs")
    terminal.settle(1.0, 10)


def other(bench: Bench, words: list[str], *, raw: bool = False) -> Followed:
    """A program that follows a file, of which it is given the path."""
    with Alone(bench, *FLOOD, marks=True) as run, bench.open([*words, str(run.log)], run.home) as terminal:
        terminal.shows("ready")
        time.sleep(1.0)  # some are never quiet
        return watched(terminal, run.go, run.marks, raw=raw)


def followers(bench: Bench) -> dict[str, list[str]]:
    """The peers that are there."""
    found = {"a RichLog app": bench.app("rich_log")}
    if lnav := bench.peer("lnav", "lnav"):
        found["lnav"] = [lnav, "-N"]
    if toolong := bench.peer("toolong", "tl"):
        found["toolong"] = [toolong]
    return found


def flood(bench: Bench) -> Iterator[Figure]:
    """100,000 lines a second for 10 s."""
    rounds = 1 if bench.quick else min(3, bench.rounds)
    tail = partial(other, bench, ["tail", "-f"], raw=True)
    found = in_turn(rounds, {"ours": partial(cockpit, bench), "tail": tail}, warm=False)
    ours, tails = found["ours"], found["tail"]
    what = "100,000 lines/s for 10 s"
    count = f"of {ours[0].of}"
    yield alone(f"{what}: markers never seen", [one.unseen for one in ours], unit=count, most=0)
    yield alone(
        f"{what}: p99 from write to screen",
        [one.p99 for one in ours],
        unit="ms",
        scale=1e3,
        most=1.5 * FRAME * 1e3,
    )
    yield beside(
        f"{what}: CPU", [one.cpu for one in ours], "tail -f", [one.cpu for one in tails], unit="s", most=2.5
    )
    yield alone(f"{what}: to the terminal", [one.bytes for one in ours], unit="kB/s", scale=1e-3, most=70)
    yield alone(f"{what}: memory growth", [one.growth for one in ours], unit="MB", scale=1e-6, most=5)
    for name, words in {"tail -f": [], **followers(bench)}.items():
        one = other(bench, words) if words else tails[0]
        cpu = median([each.cpu for each in tails])
        p99 = f"p99 {one.p99 * 1e3:.0f} ms, " if one.seen else ""
        note = (
            f"{one.unseen:.0f} of {one.of} markers never seen, {p99}"
            f"{one.bytes / 1e3:,.0f} kB/s, memory {one.growth / 1e6:+.0f} MB"
        )
        yield Figure(f"{name}: CPU of the same", one.cpu, "s", "tail -f", cpu, one.cpu / cpu, note=note)
    for name in {"lnav", "toolong"} - followers(bench).keys():
        yield missing(f"{name}, the same", "not installed")


def trickle(bench: Bench) -> Iterator[Figure]:
    """Ten lines a second: what goes to the terminal. All follow one run at once: bytes do not depend on the load."""
    seconds = 5.0 if bench.quick else 15.0
    with Live(bench, "--rate", "10") as run, ExitStack() as stack:
        terminals: dict[str, Terminal] = {}
        for name, zoomed in (("zoomed", True), ("split", False)):
            terminal = terminals[name] = stack.enter_context(bench.open(bench.cockpit, run.home))
            at_end(terminal, zoomed=zoomed)
        for name, words in {"tail -f": ["tail", "-f"], **followers(bench)}.items():
            terminals[name] = stack.enter_context(bench.open([*words, str(run.log)], run.home))
        run.go()
        time.sleep(6.0)
        before = {name: terminal.total for name, terminal in terminals.items()}
        time.sleep(seconds)
        rates = {name: (terminal.total - before[name]) / seconds for name, terminal in terminals.items()}
    tail = [rates["tail -f"]]
    for name, most in (("zoomed", 3.0), ("split", 8.0)):
        yield Figure(
            f"10 lines/s, {name}: to the terminal", rates[name] / 1e3, "kB/s", "tail -f", tail[0] / 1e3,
            rates[name] / tail[0], most,
        )  # fmt: skip
    for name in followers(bench):
        yield Figure(f"10 lines/s, {name}: to the terminal", rates[name] / 1e3, "kB/s")


PARTS: tuple[Callable[[Bench], Iterator[Figure]], ...] = (flood, trickle)
TITLE = "4 · Following a log"
ABOUT = (
    "Each tenth of a second 10,000 lines come within 20 ms, the last of them a marker that stands "
    "for 80 ms; a marker counts as seen when it is on the screen that the program's bytes paint. "
    "Peers follow the same trainer."
)
