"""When a frame may go, with the time in the hand of the test."""

from __future__ import annotations

from exptui.tui.pace import CAP, FRAME, LOST, THRIFT, TINY, TOUCHED, Pace


class Link:
    """A terminal behind a link of so many bytes a second and such a delay there and back, and the pace on it."""

    def __init__(self, rate: float, delay: float, *, answers: bool = True) -> None:
        self.now, self.rate, self.delay, self.answers = 0.0, rate, delay, answers
        self.pace = Pace(lambda: self.now)
        self.free = 0.0  # when all that was sent has gone through
        self.due: list[float] = []
        self.most = 0.0  # seconds of output that ever waited on the way

    def run(self, seconds: float, size: int, *, keys: bool = False) -> int:
        """Send frames of a size as often as the pace lets; returns how many."""
        end, count = self.now + seconds, 0
        while self.now < end:
            if keys:
                self.pace.touch()
            while self.due and self.due[0] <= self.now:
                self.due.pop(0)
                self.pace.answered()
            if self.pace.wait() <= 0:
                asked = self.pace.sent(size)
                self.free = max(self.free, self.now) + size / self.rate
                self.most = max(self.most, self.free - self.now)
                if asked and self.answers:
                    self.due.append(self.free + self.delay)
                count += 1
            self.now += 0.005
        return count


def test_a_fast_terminal_gets_twenty_frames_a_second() -> None:
    assert 19 <= Link(1e9, 0.001).run(1, 500) <= 21


def test_never_more_than_so_many_bytes_a_second() -> None:
    assert Link(1e9, 0.001).run(10, 8000) * 8000 <= CAP * 10 * 1.1


def test_a_slow_link_never_queues_more_than_a_moment() -> None:
    link = Link(16_000, 0.25)
    link.run(3, 2500)
    link.most = 0
    count = link.run(30, 2500)
    assert link.most <= 2500 / 16_000 + 0.01  # the frame itself
    assert count * 2500 > 0.3 * 30 * 16_000  # and it is used


def test_a_terminal_that_never_answers_is_not_waited_for() -> None:
    link = Link(1e9, 0, answers=False)
    assert link.run(10, 500) > 180


def test_a_write_that_blocks_tells_the_rate() -> None:
    pace = Pace(lambda: 100.0)
    pace.written(4000, 1.0)
    pace.sent(2000)
    assert pace.wait() > 0.9


def test_what_a_key_brings_goes_at_once() -> None:
    link = Link(1e9, 0.001)
    link.run(1, 3000)
    link.pace.sent(3000)
    assert link.pace.wait() > TOUCHED
    link.pace.touch()
    assert link.pace.wait() <= TOUCHED


def test_even_that_waits_for_a_link_that_hangs_but_not_for_ever() -> None:
    link = Link(1e9, 0.01)
    link.run(1, 2000)
    link.answers = False
    assert link.run(LOST - 0.2, 2000, keys=True) < 10
    assert link.run(1, 2000, keys=True) > 0


def test_one_late_answer_holds_up_once() -> None:
    link = Link(1e9, 0.001)
    link.run(1, 500)
    link.answers = False
    link.run(1, 500)
    link.answers = True
    link.due.append(link.now)
    assert link.run(1, 500) >= 18


def test_few_new_lines_in_a_pane_wait_for_each_other() -> None:
    link = Link(1e9, 0.001)
    link.run(1, 2400)
    assert link.pace.period(1 / 33) >= 2400 / THRIFT * 0.99
    assert link.pace.period(1.0) == FRAME
    link.run(1, 150)
    assert link.pace.period(1 / 33) == FRAME


def test_a_tiny_frame_hardly_holds_up_what_comes_behind_it() -> None:
    link = Link(1e9, 0.001)
    link.run(1, 500)
    link.pace.sent(TINY)
    assert 0 < link.pace.wait() <= TOUCHED
    link.pace.sent(TINY + 1)
    assert link.pace.wait() > TOUCHED
