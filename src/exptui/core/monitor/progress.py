"""How far a live run is, by the pattern that its trainer's settings declare for the log."""

from __future__ import annotations

from pathlib import Path

from exptui.core.files import open_regular

WITHIN = 16384  # bytes of the log's end that are looked at


def said(log: Path, pattern: str) -> tuple[int | None, int | None]:
    """The last `done` and `total` in a line of the log; None for what it does not say.

    A recipe may be of anywhere: its pattern is at work where one that backtracks for ever holds nobody up.
    """
    from exptui.core.monitor.readers.matching import MATCHER
    from exptui.core.monitor.readers.protocol import Problems

    try:
        with open_regular(log) as file:
            file.seek(max(0, file.seek(0, 2) - WITHIN))
            end = file.read(WITHIN).decode(errors="replace")
    except OSError:
        return None, None
    rows = MATCHER.rows((pattern,), end.replace("\r", "\n").split("\n"), Problems(log.name))
    named = rows[-1][1] if rows else {}
    return _whole(named.get("done")), _whole(named.get("total"))


def _whole(text: str | None) -> int | None:
    try:
        return int(float(text.replace(",", ""))) if text else None
    except (ValueError, OverflowError):
        return None
