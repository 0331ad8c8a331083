"""The log of a run: its last lines at once, whatever its size, and what is appended from there on."""

from __future__ import annotations

from pathlib import Path

from exptui.core.files import open_regular

BLOCK = 1 << 16
LINE_CAP = 1 << 20


class LogTail:
    """Reads a growing file from near its end. A line is given out once it is whole, or longer than LINE_CAP."""

    def __init__(self, path: Path, lines: int) -> None:
        self.path = path
        self.offset = _start_of_last(path, lines)
        self._rest = b""
        self._inode = 0

    def read(self) -> list[bytes]:
        """The whole lines that came since the last call, without their newlines.

        A file that was cut or replaced is read again from its start.
        """
        try:
            with open_regular(self.path) as file:
                size, inode = file.seek(0, 2), self.path.stat().st_ino
                if size < self.offset or (self._inode and inode != self._inode):
                    self.offset, self._rest = 0, b""
                self._inode = inode
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return []
        self.offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_CAP:
            whole, self._rest = [*whole, self._rest], b""
        return whole

    def rest(self) -> list[bytes]:
        """The unfinished last line, for when nobody writes any more."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def _start_of_last(path: Path, lines: int) -> int:
    """Offset at which the last `lines` lines begin, found backwards from the end."""
    try:
        with open_regular(path) as file:
            end = position = file.seek(0, 2)
            wanted = lines
            while position > 0:
                start = max(0, position - BLOCK)
                file.seek(start)
                block = file.read(position - start)
                at = len(block) - 1 if position == end and block.endswith(b"\n") else len(block)
                while (at := block.rfind(b"\n", 0, at)) >= 0:
                    wanted -= 1
                    if wanted <= 0:
                        return start + at + 1
                position = start
    except FileNotFoundError:
        pass
    return 0
