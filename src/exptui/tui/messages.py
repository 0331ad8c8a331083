"""Facts that cross from threads to the screen: frozen, in the past tense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from textual.message import Message

from exptui.core.monitor.catalog import Snapshot


@dataclass
class SnapshotTaken(Message):
    """The workspace looked different from before."""

    snapshot: Snapshot


@dataclass
class Answered(Message):
    """A question put to the reading thread has its answer; `reply` takes it on the screen's side."""

    reply: Callable[[Any], None]
    value: Any


@dataclass
class Failed(Message):
    """Something could not be done; said as it is to the person."""

    message: str
    hint: str = ""


@dataclass
class OperationMoved(Message):
    """How far a long operation is, in bytes."""

    name: str
    title: str
    done: int
    total: int


@dataclass
class OperationEnded(Message):
    """A long operation is over; `text` says what came of it."""

    name: str
    text: str
    good: bool
