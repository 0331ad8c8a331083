"""A chronicle read while it is written: only what is new, each frame checked once."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from exptui.chronicle.reader import Scan
from exptui.chronicle.records import HEADER, OPEN_NAME, SEALED_NAME, BadBodyError, Checkpoint, CycleRecord
from exptui.core.files import open_regular


class Follower:
    """The growing chronicle of a directory; `damaged` says that nothing behind a bad frame is read any more."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.damaged = directory, False
        self._offset, self._rest, self._scan = 0, b"", Scan()
        self._at = HEADER.size  # where in the rest the next frame begins

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The names in its schema; empty before that was read."""
        return self._scan.metric_names

    @property
    def config_sha256(self) -> str:
        """The config in its schema; empty before that was read."""
        return self._scan.config_sha256

    def read(self) -> tuple[list[CycleRecord], list[Checkpoint]]:
        """The whole frames that came since the last call; none while there is no file.

        Raises:
            OSError: the file is there and cannot be read.
        """
        if not self.damaged and (file := self._open()) is not None:
            with file:
                self._feed(file)
        records, marks = self._scan.records, [mark for mark, _ in self._scan.checkpoints]
        self._scan.records, self._scan.checkpoints = [], []
        return records, marks

    def _open(self) -> BinaryIO | None:
        for name in (OPEN_NAME, SEALED_NAME):
            try:
                return open_regular(self.directory / name)
            except FileNotFoundError:
                continue
        return None

    def _feed(self, file: BinaryIO) -> None:
        file.seek(self._offset)
        while new := file.read(1 << 20):
            self._offset += len(new)
            self._rest += new
            if len(self._rest) < self._at:
                continue
            try:
                # One that does not match its checksum may be the trailer of a sealed file: it is looked at
                # again with what comes behind it.
                self._scan.run(self._rest, len(self._rest), self._at)
            except BadBodyError:
                self.damaged = True
                return
            self._rest, self._at = self._rest[self._scan.at :], 0
