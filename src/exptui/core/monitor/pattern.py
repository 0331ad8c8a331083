"""Patterns as people type them, the text of a line that they are held against, and a limit to how long that takes."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

T = TypeVar("T")
SGR = re.compile(rb"\x1b\[[0-9;:]{0,64}m")
_REDRAWN = re.compile(rb"(?m)^[^\n]*\r(?=[^\r\n])")
_RETURNS = re.compile(rb"(?m)\r+$")


class TooSlow(Exception):
    """It took longer than it may."""


def regex_flags(text: str) -> int:
    """Case matters only to a pattern that has a capital."""
    literal = re.sub(r"\\.", "", text)
    return 0 if literal != literal.lower() else re.IGNORECASE


def compile_pattern(text: str) -> re.Pattern[str]:
    """A pattern as a person types it; re.error whatever is wrong with it."""
    try:
        return re.compile(text, regex_flags(text))
    except (OverflowError, RecursionError) as error:
        raise re.error(str(error)) from error


def last_state(line: bytes) -> bytes:
    """Of a line redrawn with carriage returns the last state that shows anything."""
    if b"\r" not in line:
        return line
    return next((state for state in reversed(line.split(b"\r")) if SGR.sub(b"", state)), b"")


def plain(line: bytes) -> bytes:
    """The line as it is shown: its last state, without colours."""
    state = last_state(line)
    return SGR.sub(b"", state) if b"\x1b" in state else state


def plain_lines(data: bytes) -> bytes:
    """`plain` of every line of `data` at once."""
    if b"\x1b" in data:
        data = SGR.sub(b"", data)
    return _RETURNS.sub(b"", _REDRAWN.sub(b"", data)) if b"\r" in data else data


def limited(work: Callable[[], T], seconds: float) -> T:
    """What `work` returns, or TooSlow after so much processor time, even from within a regular expression.

    Only the main thread, where signals arrive, can be limited.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()

    def late(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, late)
    try:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
            return work()
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    finally:
        signal.signal(signal.SIGVTALRM, before)
