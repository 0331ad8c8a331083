"""The log of a run: its last lines at once, whatever its size, and what is appended from there on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from exptui.core.files import open_regular
from exptui.core.monitor.lines import before

LINE_CAP = 1 << 20
READ = 4 << 20
"""So much is read at a time."""
WITHIN = 4 << 20
"""Where only the last lines matter they are looked for in so many bytes."""


class LogTail:
    """Reads a growing file from near its end. A line is given out once it is whole, or longer than LINE_CAP."""

    def __init__(self, path: Path, lines: int, within: int | None = None) -> None:
        self.path = path
        self.offset = _start_of_last(path, lines, within)
        self._rest = b""
        self._inode = 0

    def read(self) -> Iterator[bytes]:
        """The whole lines that came since the last call, without their newlines.

        A file that was cut or replaced is read again from its start.
        """
        while data := self._more():
            *whole, self._rest = (self._rest + data).split(b"\n")
            if len(self._rest) > LINE_CAP:
                whole, self._rest = [*whole, self._rest], b""
            yield from whole

    def _more(self) -> bytes:
        try:
            with open_regular(self.path) as file:
                size, inode = file.seek(0, 2), self.path.stat().st_ino
                if size < self.offset or (self._inode and inode != self._inode):
                    self.offset, self._rest = 0, b""
                self._inode = inode
                file.seek(self.offset)
                data = file.read(READ)
        except FileNotFoundError:
            return b""
        self.offset += len(data)
        return data

    def rest(self) -> list[bytes]:
        """The unfinished last line, for when nobody writes any more."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def _start_of_last(path: Path, lines: int, within: int | None) -> int:
    """Offset at which the last `lines` lines begin, found backwards from the end."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            return before(file.fileno(), size, lines, size if within is None else within)
    except FileNotFoundError:
        return 0
