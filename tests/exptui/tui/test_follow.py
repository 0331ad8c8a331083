from __future__ import annotations

import threading
from pathlib import Path

from exptui.tui.follow import UNSEEN, Follower
from exptui.tui.messages import LogGrew


class Screen:
    """Shows at once whatever it is told of."""

    def __init__(self, path: Path) -> None:
        self.told: list[LogGrew] = []
        self.follower = Follower(self.take)
        self.follower.follow((path,))

    def take(self, message: LogGrew) -> None:
        self.told.append(message)
        self.follower.shown(0.3, 0.05)


def test_what_grew_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    screen = Screen(path)
    screen.follower.look()
    assert screen.follower.look() == 0.05
    before = len(screen.told)
    path.write_text("a\n")
    assert screen.follower.look() == 0.3
    assert screen.follower.look() == 0.05
    assert len(screen.told) == before + 1
    path.write_text("b\n" * 2)
    screen.follower.look()
    assert [message.places for message in screen.told[before:]] == [(path,), (path,)]


def test_a_log_that_was_replaced_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    path.write_text("a\n")
    screen = Screen(path)
    screen.follower.look()
    path.rename(tmp_path / "old")
    (tmp_path / "new").write_text("a\n")
    (tmp_path / "new").rename(path)
    screen.follower.look()
    assert len(screen.told) == 2


def test_another_log_is_looked_at_at_once(tmp_path: Path) -> None:
    screen = Screen(tmp_path / "a")
    screen.follower.look()
    screen.follower.follow((tmp_path / "b",))
    screen.follower.look()
    assert screen.told[-1].places == (tmp_path / "b",)


def test_nothing_more_is_said_before_it_is_shown(tmp_path: Path) -> None:
    path, told = tmp_path / "trainer.log", threading.Event()
    follower = Follower(lambda _: told.set())
    follower.follow((path,))
    looking = threading.Thread(target=follower.look)
    looking.start()
    assert told.wait(10)
    assert looking.is_alive()
    follower.shown()
    looking.join(10)
    assert follower.look() == UNSEEN
