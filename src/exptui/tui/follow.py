"""Whether the log on the screen grew: a stat twenty times a second, and nothing else of the workspace."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from exptui.tui.messages import LogGrew

UNSEEN = 0.25
"""Seconds between two looks at a log of which little or nothing is to be seen."""
LATE = 1.0
"""After so long without a word from the screen there is another look."""


class Follower:
    """`look` belongs on a thread that does it again and again; each look says when the next one is due.

    After a word that it grew none follows before what grew is `shown`: the screen says how fast it can.
    """

    def __init__(self, post: Callable[[LogGrew], object]) -> None:
        self._post = post
        self._places: tuple[Path, ...] = ()
        self._seen: object = None
        self._period = self._rest = UNSEEN
        self._free = threading.Event()

    def follow(self, places: tuple[Path, ...]) -> None:
        """From now on the log at one of these places."""
        self._places = places

    def shown(self, period: float = UNSEEN, rest: float = UNSEEN) -> None:
        """The next look is due in `period` seconds; from then on, as long as nothing comes, every `rest` seconds."""
        self._period, self._rest = period, rest
        self._free.set()

    def look(self) -> float:
        """Say so if it grew; returns the seconds until the next look."""
        places = self._places
        now = (places, *map(_stamp, places))
        if now != self._seen:
            self._seen = now
            self._free.clear()
            self._post(LogGrew(places))
            self._free.wait(LATE)
            return self._period
        return self._rest


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
