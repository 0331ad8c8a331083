"""The cockpit on a pty of our own: every byte it writes is kept, and pyte says what is to be seen."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyte

COLUMNS, ROWS = 120, 40
PATIENCE = 30  # seconds


class Screen(pyte.Screen):
    """Textual asks for the kitty keyboard with `CSI > 1 u`, which pyte takes for a restore with an argument."""

    def restore_cursor(self, *_: object, **__: object) -> None:
        """Nothing was saved."""

    def select_graphic_rendition(self, *attrs: int, private: bool = False) -> None:
        """`CSI ? … m` is no colour."""
        if not private:
            super().select_graphic_rendition(*attrs)


class Terminal:
    """`python -m exptui`, or another command, with stdin, stdout and stderr on a terminal of 120 by 40."""

    def __init__(self, cwd: Path, command: Sequence[str] = (sys.executable, "-m", "exptui")) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
        self.child = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=environment,
        )
        os.close(slave)
        self._bytes, self._fed, self._lock = bytearray(), 0, threading.Lock()
        self._screen = Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._reading = threading.Event()
        self._reading.set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while self._reading.wait() and (chunk := os.read(self._master, 1 << 16)):
                with self._lock:
                    self._bytes += chunk
        except OSError:
            pass  # the other side is closed

    @property
    def written(self) -> bytes:
        """Every byte so far."""
        with self._lock:
            return bytes(self._bytes)

    def screen(self) -> str:
        """What is to be seen."""
        written = self.written
        self._stream.feed(written[self._fed :])
        self._fed = len(written)
        return "\n".join(line.rstrip() for line in self._screen.display)

    def stop_reading(self) -> None:
        """From now on what is written stays where it is, as on a link that hangs."""
        self._reading.clear()

    def read_on(self) -> None:
        """The link is back."""
        self._reading.set()

    def quiet(self, seconds: float) -> int:
        """How many bytes came in so long."""
        before = len(self.written)
        threading.Event().wait(seconds)
        return len(self.written) - before

    def keys(self, pressed: str) -> None:
        """Press keys, one byte each."""
        os.write(self._master, pressed.encode())

    def shows(self, *texts: str) -> None:
        """Wait until one of these is on the screen."""
        self.until(lambda screen: any(text in screen for text in texts), f"{texts} never came")

    def lacks(self, text: str) -> None:
        """Wait until it has gone."""
        self.until(lambda screen: text not in screen, f"{text!r} never went")

    def until(self, condition: Callable[[str], bool], what: str, seconds: float = PATIENCE) -> None:
        """Wait until the screen is as it should be."""
        deadline = time.monotonic() + seconds
        while not condition(self.screen()):
            assert self.child.poll() is None, f"the cockpit ended with {self.child.poll()}:\n{self.screen()}"
            assert time.monotonic() < deadline, f"{what}:\n{self.screen()}"
            time.sleep(0.03)

    def leave(self) -> int:
        """Press q; returns the exit code."""
        self.keys("q")
        code = self.child.wait(PATIENCE)
        self.read_on()
        self._reader.join(PATIENCE)
        return code

    def close(self) -> None:
        """Whatever happened, nothing is left."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self.read_on()
        self._reader.join(PATIENCE)
        os.close(self._master)
