"""Must-show line 9, 24 hours in miniature: 20 runs that start and end, logs that rotate, results deleted under the cockpit."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figures import Figure, alone, median
from benchmarks.harness import Terminal
from benchmarks.inputs import SEED
from benchmarks.live import TRAINER
from benchmarks.process import Usage

AT_ONCE = 20
KEPT = 25  # ended runs that stay
LENGTHS = {"short": 45, "middle": 90, "long": 180, "failing": 60}  # seconds
KEYS = (
    "2",
    "j",
    "j",
    "k",
    "L",
    "\x1b[5~",
    "g",
    "G",
    "F",
    "2",
    "G",
    "g",
    "]",
    "]",
    "[",
    "0",
    "1",
    "2",
    "/step 1\r",
    "\x1b",
)
BAD = ("internal error", "Traceback (most")
KEY, ROTATE, SAMPLE = 2.0, 7.0, 5.0  # seconds between two


@dataclass
class World:
    """The workspace, what was done to it so far, and the launches under way."""

    bench: Bench
    home: Path
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))
    started: int = 0
    deleted: int = 0
    rotated: int = 0
    launches: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def furnish(self) -> None:
        """Settings and configs: a trainer of each length."""
        space = self.home / "experiments"
        (space / "configs").mkdir(parents=True)
        parts = [f'[trainer]\ncommand = ["true"]\n[queue]\nslots = {AT_ONCE}\n']
        for name, seconds in LENGTHS.items():
            words = ["--rate", "20", "--seconds", str(seconds), "--metrics", "{output}"]
            words += ["--fail"] if name == "failing" else []
            command = json.dumps([self.bench.python, str(TRAINER), *words])
            parts.append(
                f'[[trainers]]\nname = "{name}"\nconfigs = ["{name}.toml"]\ncommand = {command}\nstop_grace = 1.0\n'
            )
            (space / f"configs/{name}.toml").write_text("[engine]\nbase_seed = 1\n")
        (space / "exptui.toml").write_text("".join(parts))

    def runs(self) -> tuple[list[Path], list[Path]]:
        """Those that are to work or do, and those that ended, the oldest first."""
        live: list[Path] = []
        ended: list[Path] = []
        for path in sorted(self.home.glob("experiments/results/*/run.json")):
            (ended if '"phase": "exited"' in path.read_text() else live).append(path.parent)
        return live, ended

    def step(self) -> None:
        """Start what is missing and delete what is too much."""
        self.launches = [one for one in self.launches if one.poll() is None]
        live, ended = self.runs()
        if len(live) + len(self.launches) < AT_ONCE and len(self.launches) < 2:
            self.exptui("run", self.dice.choice(list(LENGTHS)))
            self.started += 1
        if len(ended) > KEPT:
            victim = self.dice.choice(ended)
            if self.deleted % 2:
                self.exptui("rm", victim.name)
            else:
                shutil.rmtree(victim, ignore_errors=True)
            self.deleted += 1

    def rotate(self) -> None:
        """Cut the log of a run at work, or put it aside for an empty one, as logrotate does both ways."""
        live, _ = self.runs()
        logs = [path / "trainer.log" for path in live if (path / "trainer.log").exists()]
        if not logs:
            return
        log = self.dice.choice(logs)
        if self.rotated % 3 == 2:
            log.rename(log.with_name("trainer.log.1"))
            log.touch()
        else:
            with log.open("r+b") as file:
                file.truncate(0)
        self.rotated += 1

    def exptui(self, *words: str) -> None:
        """A command beside the cockpit."""
        self.launches.append(
            subprocess.Popen(
                [*self.bench.cockpit, *words], cwd=self.home, env=self.bench.environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip

    def end(self) -> None:
        """Nothing goes on."""
        for one in self.launches:
            one.wait()
        for path in self.runs()[0]:
            self.exptui("stop", path.name)
        for one in self.launches:
            one.wait()
        shutil.rmtree(self.home, ignore_errors=True)


@dataclass
class Seen:
    """What was measured: (seconds since the start, usage), and every error that was to be seen."""

    samples: list[tuple[float, Usage]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def day(bench: Bench) -> Iterator[Figure]:
    """The cockpit open for so many minutes, its keys pressed, its memory and descriptors looked at."""
    bench.build.mkdir(parents=True, exist_ok=True)
    world = World(bench, Path(tempfile.mkdtemp(prefix="day-", dir=bench.build)))
    world.furnish()
    try:
        with bench.open(bench.cockpit, world.home) as terminal:
            terminal.shows("Configs")
            seen = live_through(world, terminal, bench.minutes * 60)
            leave(terminal, seen)
    finally:
        world.end()
    yield from summary(world, seen, bench.minutes)


def leave(terminal: Terminal, seen: Seen) -> None:
    """Close what is open, then quit; an end that does not come, or is not a good one, is an error."""
    for key in ("\x1b", "\x1b", "q"):
        time.sleep(1.0)  # at once they would be one key with Alt
        terminal.press(key) if terminal.child.poll() is None else None
    try:
        terminal.ended()
    except subprocess.TimeoutExpired:
        seen.errors.append(f"q did not end it:\n{terminal.text()}")
    if terminal.child.poll():
        seen.errors.append(f"it ended with {terminal.child.returncode}:\n{terminal.text()}")


def live_through(world: World, terminal: Terminal, seconds: float) -> Seen:
    """Turn the wheel until the time is over or the cockpit has ended."""
    seen, begun = Seen(), time.monotonic()
    keys = itertools.cycle(KEYS)
    beats: dict[float, Callable[[float], object]] = {
        KEY: lambda _: terminal.press(next(keys)),
        ROTATE: lambda _: world.rotate(),
        SAMPLE: lambda at: seen.samples.append((at, terminal.usage())),
    }
    due = dict.fromkeys(beats, 0.0)
    while (now := time.monotonic() - begun) < seconds and terminal.child.poll() is None:
        world.step()
        for every in [every for every, at in due.items() if now >= at]:
            due[every] = now + every
            beats[every](now)
        screen = terminal.text()
        terminal.forget()
        for word in BAD:
            if word in screen and len(seen.errors) < 20:
                seen.errors.append(next(line for line in screen.split("\n") if word in line).strip())
        time.sleep(0.5)
    if terminal.child.poll() is not None:
        seen.errors.append(f"it ended by itself:\n{terminal.text()}")
    return seen


def summary(world: World, seen: Seen, minutes: float) -> Iterator[Figure]:
    """Growth since the first sixth of the time: five minutes of half an hour."""
    first = minutes * 60 / 6
    early = [used for at, used in seen.samples if first * 0.8 <= at <= first]
    late = [used for at, used in seen.samples if at > first]
    if not early or not late:
        raise RuntimeError(f"too few samples: {seen.errors[:1] or 'the time was too short'}")
    last = late[-max(1, len(late) // 10) :]
    base = median([used.rss for used in early])
    did = f"{world.started} runs started, {world.deleted} deleted, {world.rotated} logs rotated"
    yield alone(
        f"{minutes:g} minutes: memory growth at the most", [max(used.rss for used in late) - base], unit="MB", scale=1e-6,
        most=15, note=f"from {base / 1e6:.0f} MB; {did}",
    )  # fmt: skip
    yield alone(
        "memory growth at the end", [median([used.rss for used in last]) - base], unit="MB", scale=1e-6
    )
    # One that is leaked is there at every look; one in use for a moment is not.
    leaked = min(used.descriptors for used in last) - min(used.descriptors for used in early)
    yield alone("descriptors more than at the beginning", [float(leaked)], unit="", most=0)
    yield alone(
        "errors", [float(len(seen.errors))], unit="", most=0, note="; ".join(dict.fromkeys(seen.errors))[:200]
    )
    (at, used), (begun, before) = seen.samples[-1], seen.samples[0]
    yield alone("CPU", [(used.cpu - before.cpu) / (at - begun) * 100], unit="%")


PARTS: tuple[Callable[[Bench], Iterator[Figure]], ...] = (day,)
TITLE = "9 · A day in miniature"
ABOUT = (
    "The cockpit stays open while keys are pressed, up to 20 runs work at once, every seventh second "
    "a log is cut or put aside and ended runs are removed, by exptui rm or without a word. Growth "
    "counts from the end of the first sixth of the time."
)
