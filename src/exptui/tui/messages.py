"""Facts that cross from threads to the screen: frozen, in the past tense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.message import Message

from exptui.core.monitor.catalog import Snapshot
from exptui.tui.listing import Listing


class SnapshotTaken(Message):
    """The workspace looked different from before; `listing` is its list of runs as it was chosen then."""

    def __init__(self, snapshot: Snapshot, listing: Listing) -> None:
        super().__init__()
        self.snapshot, self.listing = snapshot, listing


class Answered(Message):
    """A question put to the reading thread has its answer; `reply` takes it on the screen's side."""

    def __init__(self, reply: Callable[[Any], None], value: Any) -> None:
        super().__init__()
        self.reply = reply
        self.value = value


class Failed(Message):
    """Something could not be done; said as it is to the person."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__()
        self.message = message
        self.hint = hint


class OperationMoved(Message):
    """How far a long operation is, in bytes."""

    def __init__(self, name: str, title: str, done: int, total: int) -> None:
        super().__init__()
        self.name = name
        self.title = title
        self.done = done
        self.total = total


class OperationEnded(Message):
    """A long operation is over; `text` says what came of it."""

    def __init__(self, name: str, text: str, good: bool) -> None:
        super().__init__()
        self.name = name
        self.text = text
        self.good = good
