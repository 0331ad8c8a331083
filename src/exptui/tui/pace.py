"""When the next frame may go to the terminal, so that what waits on the way to it is never more than about one frame.

Behind a frame goes a question (where is the cursor?); its answer comes when everything before it has been shown,
whatever buffers lie between. On a terminal that does not answer, how long a write blocks tells how fast it is.
"""

from __future__ import annotations

from collections.abc import Callable

FRAME = 0.05
"""Seconds between two frames of what changes by itself."""
TOUCHED = 1 / 60
"""The same in the quarter of a second after somebody typed or scrolled."""
TINY = 128
"""Bytes of a frame (a clock, a number) that does not hold up for long what comes behind it."""
CAP = 64_000
"""Bytes a second that are not exceeded for long, however fast the terminal is."""
THRIFT = 5_500
"""The same where nearly all of what is sent only moves what was there."""
ASK_EVERY = 0.2
"""Seconds between two questions to a terminal that answers at once."""
LOST = 2.0
"""After so long an answer will not come any more."""
IN_FLIGHT = 4096
"""With so much on its way, unanswered, even what a key brings waits."""
BLOCKED = 0.02
"""A write that takes longer than this waits for the terminal."""
SHARE = 0.5
"""Of what such a terminal takes, so much is used: what a key brings finds it free."""


class Pace:
    """Fed with what was sent, written and answered; says how long to wait."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = self._asked = self._touched = float("-inf")
        self._bytes = self._flight = 0
        """Bytes of the last frame; bytes that may still be on their way."""
        self._open = False
        """Whether a question waits for its answer."""
        self._took: float | None = None
        """How long the last answer took; None as long as there was none."""
        self._rate = float("inf")
        """Bytes a second that a terminal takes which does not answer, as far as it was too slow."""

    @property
    def answers(self) -> bool:
        """Whether the terminal ever answered."""
        return self._took is not None

    def touch(self) -> None:
        """A key was pressed: what comes of it is urgent."""
        self._touched = self._clock()

    def sent(self, count: int) -> bool:
        """A frame of so many bytes is handed over; True when to ask for an answer behind it."""
        self._last, self._bytes = self._clock(), count
        self._flight += count
        quick = self._took is None or self._took < FRAME
        if self._last - self._asked < (LOST if self._open else ASK_EVERY if quick else 0):
            return False
        self._asked, self._open = self._last, True
        return True

    def answered(self) -> None:
        """Everything up to the last question has been shown."""
        if self._open:
            self._open, self._flight = False, 0
            self._took = self._clock() - self._asked

    def written(self, count: int, seconds: float) -> None:
        """The system took over so many bytes in so long."""
        if self.answers:
            return
        if seconds > BLOCKED:
            self._rate = min(count / seconds, 2 * self._rate)
        else:
            self._rate *= 1.02

    def wait(self) -> float:
        """Seconds until the next frame may go; while an answer is waited for, until it is worth to look again."""
        now = self._clock()
        urgent = now - self._touched < 0.25
        if (
            self._open
            and self.answers
            and now - self._asked < LOST
            and (not urgent or self._flight >= IN_FLIGHT)
        ):
            return FRAME
        soon = urgent or self._bytes <= TINY
        return max(0.0, self._last + (TOUCHED if soon else self._period(CAP)) - now)

    def period(self, news: float) -> float:
        """Seconds between two frames that repaint a pane of which a share of `news` is new in the time of a frame.

        One line more, which moves all others, costs as much as a pane of new ones where the terminal cannot move
        them; so a few lines wait a moment for each other.
        """
        return min(0.45, self._period(max(THRIFT, CAP * min(1.0, news))))

    def _period(self, most: float) -> float:
        return max(FRAME, self._bytes / min(most, self._rate * SHARE))
