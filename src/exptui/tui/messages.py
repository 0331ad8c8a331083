"""Facts that cross from threads to the screen: frozen, in the past tense."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message

from exptui.core.monitor.catalog import Snapshot
from exptui.tui.listing import Listing

if TYPE_CHECKING:
    from exptui.core.alerts import Alert
    from exptui.core.monitor.machine import Machine
    from exptui.core.monitor.morning import News


class SnapshotTaken(Message):
    """The workspace looked different from before; `listing` is its list of runs as it was chosen then."""

    def __init__(self, snapshot: Snapshot, listing: Listing) -> None:
        super().__init__()
        self.snapshot, self.listing = snapshot, listing


class LogGrew(Message):
    """The log at one of these places has more lines, or others, than before."""

    def __init__(self, places: tuple[Path, ...]) -> None:
        super().__init__()
        self.places = places


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


class Alerted(Message):
    """A run stalls, turned NaN, crossed a threshold or meets a full disk."""

    def __init__(self, run_id: str, alert: Alert) -> None:
        super().__init__()
        self.run_id, self.alert = run_id, alert


class MachineSeen(Message):
    """The machine looked different from before; None when nothing runs any more."""

    def __init__(self, machine: Machine | None) -> None:
        super().__init__()
        self.machine = machine


class ClusterSaid(Message):
    """What a cluster says of the runs it was given, by their ids."""

    def __init__(self, words: Mapping[str, str]) -> None:
        super().__init__()
        self.words = words


class MorningCame(Message):
    """What came of the runs since a cockpit was open last, in seconds since the epoch."""

    def __init__(self, left: float, news: tuple[News, ...]) -> None:
        super().__init__()
        self.left, self.news = left, news


class WatchingChanged(Message):
    """How changes are noticed now: why by polling, or empty."""

    def __init__(self, polling: str) -> None:
        super().__init__()
        self.polling = polling
