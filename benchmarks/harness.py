"""A program on a pty of its own: every byte it writes is counted and kept with its moment, and pyte says what is to be seen.

The moments are those of the read from the pty, so that what pyte costs here falsifies none of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from benchmarks.process import Usage, usage
from benchmarks.screen import Screen, Stream

COLUMNS, ROWS = 120, 40
PATIENCE = 60.0
ASKED = re.compile(rb"\x1b\[(?P<device>0?c)|\x1b\[(?P<where>6n)|\x1b\](?P<colour>1[01]);\?(?:\x07|\x1b\\)")

sys.setswitchinterval(0.0005)  # the reader is not kept waiting by pyte


class Never(Exception):
    """What was waited for did not come; the text says what was to be seen instead."""


class Terminal:
    """Starts a program at once. `start` is the moment before; all moments are those of time.monotonic()."""

    def __init__(
        self,
        words: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        *,
        size: tuple[int, int] = (COLUMNS, ROWS),
        typed: str = "",
    ) -> None:
        columns, rows = size
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.chunks: list[tuple[float, bytes]] = []
        self.total = 0
        self._news = threading.Condition()
        self._ended = False
        self._fed = 0
        self._screen = Screen(columns, rows)
        self._stream = Stream(self._screen)
        if typed:
            self.press(typed)
        self.start = time.monotonic()
        self.child = subprocess.Popen(
            words, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  some programs open /dev/tty
            env={**environment, "COLUMNS": str(columns), "LINES": str(rows)},
        )  # fmt: skip
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while data := os.read(self._master, 1 << 16):
                now = time.monotonic()
                with self._news:
                    self.chunks.append((now, data))
                    self.total += len(data)
                    self._news.notify_all()
                for asked in ASKED.finditer(data):
                    self._answer(asked)
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _answer(self, asked: re.Match[bytes]) -> None:
        """As a terminal does; some programs wait for seconds where none answers."""
        if asked["device"]:
            reply = b"\x1b[?62;22c"
        elif asked["where"]:
            reply = b"\x1b[1;1R"
        else:
            reply = b"\x1b]%s;rgb:1010/1010/1010\x1b\\" % asked["colour"]
        os.write(self._master, reply)

    def press(self, keys: str) -> float:
        """Type; returns the moment."""
        now = time.monotonic()
        os.write(self._master, keys.encode())
        return now

    def until(self, condition: Callable[[str], bool], what: str, patience: float = PATIENCE) -> float:
        """The moment of the first bytes, of those not yet looked at, after which the screen is so."""
        deadline = time.monotonic() + patience
        last = self.chunks[self._fed - 1][0] if self._fed else self.start
        while True:
            if condition(self._screen.text()):
                return last
            with self._news:
                while self._fed >= len(self.chunks):
                    left = deadline - time.monotonic()
                    if self._ended or left <= 0:
                        raise Never(
                            f"{what} never came ({'ended' if self._ended else 'waited'}):\n{self.text()}"
                        )
                    self._news.wait(left)
                last, data = self.chunks[self._fed]
                self._fed += 1
            self._stream.feed(data)

    def shows(self, text: str, patience: float = PATIENCE) -> float:
        """The moment this text came to be seen."""
        return self.until(lambda screen: text in screen, repr(text), patience)

    def lacks(self, text: str, patience: float = PATIENCE) -> float:
        """The moment it had gone."""
        return self.until(lambda screen: text not in screen, f"the end of {text!r}", patience)

    def settle(self, quiet: float = 0.5, patience: float = PATIENCE) -> None:
        """Wait until nothing was written for so long."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            with self._news:
                last = self.chunks[-1][0] if self.chunks else self.start
            left = last + quiet - time.monotonic()
            if left <= 0:
                return
            time.sleep(left)
        raise Never(f"it never was quiet for {quiet} s")

    def text(self) -> str:
        """What is to be seen now, of all that has come."""
        with self._news:
            waiting = self.chunks[self._fed :]
            self._fed += len(waiting)
        for _, data in waiting:
            self._stream.feed(data)
        return self._screen.text()

    def forget(self) -> None:
        """Keep no longer what was looked at: for what goes on for long."""
        with self._news:
            del self.chunks[: self._fed]
            self._fed = 0

    def replay(self, look: Callable[[float, str], None], since: float = 0.0) -> None:
        """Show everything again, chunk by chunk, on a fresh screen."""
        screen = Screen(self._screen.columns, self._screen.lines)
        stream = Stream(screen)
        for at, data in list(self.chunks):
            stream.feed(data)
            if at >= since:
                look(at, screen.text())

    def usage(self) -> Usage:
        """What it and its descendants used so far."""
        return usage(self.child.pid)

    def ended(self, patience: float = PATIENCE) -> float:
        """Wait for the end of the program and of its bytes; returns the moment of noticing it."""
        self.child.wait(patience)
        now = time.monotonic()
        self._reader.join(patience)
        return now

    def close(self) -> None:
        """Whatever happened, nothing is left."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self._reader.join(PATIENCE)
        os.close(self._master)
