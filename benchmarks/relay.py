"""A slow link between two ptys: `python -m benchmarks.relay DELAY RATE -- PROGRAM…` delays both ways and limits what comes back.

Like a socket it takes HELD bytes beyond what the link has carried, then stops reading: a program that writes
faster first builds a queue and is only then made to wait.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Sequence

HELD = 16_384  # bytes: the send buffer a Linux socket begins with
PIECE = 512


class Way:
    """One direction. It knows no clock: it is told what time it is."""

    def __init__(self, delay: float, rate: float | None, held: int = HELD) -> None:
        self.delay, self.rate, self.held = delay, rate, held
        self._free = 0.0  # when the link has carried all it was given
        self._flying: deque[tuple[float, bytes]] = deque()

    def room(self, now: float) -> bool:
        """Whether it takes more."""
        return self.rate is None or (self._free - now) * self.rate < self.held

    def push(self, now: float, data: bytes) -> None:
        """Give it bytes."""
        self._free = max(now, self._free) + (len(data) / self.rate if self.rate else 0)
        self._flying.append((self._free + self.delay, data))

    def arrived(self, now: float) -> bytes:
        """What comes out by now."""
        out = bytearray()
        while self._flying and self._flying[0][0] <= now:
            out += self._flying.popleft()[1]
        return bytes(out)

    def next(self, now: float) -> float | None:
        """Seconds until something happens by itself: an arrival, or room again."""
        waits = [self._flying[0][0] - now] if self._flying else []
        if not self.room(now) and self.rate:
            waits.append(self._free - now - self.held / self.rate)
        return max(0.0, min(waits)) if waits else None


def main(words: Sequence[str]) -> int:
    """Run the program on an inner pty of the outer one's size until it ends and all has arrived."""
    delay, rate, _, *program = words
    tty.setraw(0, termios.TCSANOW)  # what was typed ahead stays
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))
    child = subprocess.Popen(
        program, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )  # fmt: skip
    os.close(slave)
    carry(master, Way(float(delay), None), Way(float(delay), float(rate)))
    return child.wait()


def carry(master: int, there: Way, back: Way) -> None:
    """Both ways, until the program has closed its side and the last byte has come back."""
    opened = True
    while opened or back.next(time.monotonic()) is not None:
        now = time.monotonic()
        wanted = [0] if opened else []
        wanted += [master] if opened and back.room(now) else []
        waits = [wait for way in (there, back) if (wait := way.next(now)) is not None]
        ready, _, _ = select.select(wanted, [], [], min(waits, default=None))
        now = time.monotonic()
        if 0 in ready:
            there.push(now, os.read(0, PIECE))
        if master in ready:
            try:
                data = os.read(master, PIECE)
            except OSError:  # EIO: closed
                data = b""
            opened = bool(data)
            back.push(now, data)
        if arrived := there.arrived(now):
            try:
                os.write(master, arrived)
            except OSError:
                opened = False
        if arrived := back.arrived(now):
            os.write(1, arrived)


def linked(delay: float, rate: float, words: Sequence[str]) -> list[str]:
    """The command that runs a program behind such a link; the delay is that of one way."""
    return [sys.executable, "-m", "benchmarks.relay", str(delay), str(rate), "--", *words]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
