"""Is an attempt alive? By a counter that grows, and the clock of whoever reads it."""

from __future__ import annotations

import time
from collections.abc import Callable


class Heart:
    """How long a heartbeat has been standing still, by the reader's clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beat: object = self
        self._since = 0.0

    def silent(self, beat: object) -> float:
        """Seconds since it was another one; 0 at the first look."""
        if beat != self._beat:
            self._beat, self._since = beat, self._clock()
        return self._clock() - self._since
