"""Must-show line 8: keys and leaving over a link of 250 ms and 128 kbit/s while a trainer prints 1,000 lines a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks.bench import Bench
from benchmarks.figures import Figure, alone
from benchmarks.harness import Terminal
from benchmarks.live import Live

ROUND_TRIP, RATE = 0.25, 128_000 / 8
TYPED = "qzxjvqzxjv"
BEAT = 0.8  # seconds between two keys
ENOUGH = 30.0  # seconds waited for keys in all: it will not get better


def echoes(terminal: Terminal) -> list[float]:
    """Seconds from each key typed into the search prompt until it is to be seen there."""
    terminal.press("/")
    terminal.shows("regular expression")
    found: list[float] = []
    for number in range(1, len(TYPED) + 1):
        if sum(found) > ENOUGH:
            break
        time.sleep(BEAT)
        terminal.text()
        pressed = terminal.press(TYPED[number - 1])
        found.append(terminal.shows(TYPED[:number][-4:]) - pressed)
    terminal.press("\x1b")
    terminal.lacks("regular expression")
    return found


def keys(bench: Bench) -> Iterator[Figure]:
    """The log is followed, in the split screen and zoomed."""
    for zoomed in (False, True):
        with Live(bench, "--rate", "1000") as run:
            link = (ROUND_TRIP / 2, RATE)
            with bench.open(bench.cockpit, run.home, link=link) as terminal:
                terminal.shows("RUNNING")
                terminal.press("L")
                terminal.shows("following")
                if zoomed:
                    terminal.press("+")
                    terminal.lacks("Configs")
                run.go()
                time.sleep(6.0)
                count, begun = terminal.total, time.monotonic()
                echo = echoes(terminal)
                rate = (terminal.total - count) / (time.monotonic() - begun)
                pressed = terminal.press("q")
                left = terminal.ended() - pressed
        where = "zoomed" if zoomed else "split"
        note = f"worst of {len(echo)}: {max(echo) * 1e3:.0f} ms"
        most = 2 * ROUND_TRIP * 1e3
        yield alone(
            f"{where}: a key until it is to be seen", echo, unit="ms", scale=1e3, most=most, note=note
        )
        yield alone(f"{where}: leaving", [left], unit="s", most=2)
        yield alone(f"{where}: over the link meanwhile", [rate], unit="kB/s", scale=1e-3)


PARTS: tuple[Callable[[Bench], Iterator[Figure]], ...] = (keys,)
TITLE = "8 · A slow link: 250 ms there and back, 128 kbit/s, a trainer that prints 1,000 lines a second"
ABOUT = (
    "A relay of two ptys delays each way by 125 ms, carries 16,000 bytes a second to the terminal "
    "and takes 16 kB ahead, as a socket does. A key is one letter in the search prompt over the "
    "followed log."
)
