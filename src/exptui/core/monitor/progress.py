"""How far a live run is, by the pattern that its trainer's settings declare for the log."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from exptui.core.files import open_regular

WITHIN = 16384  # bytes of the log's end that are looked at


def said(log: Path, pattern: str) -> tuple[int | None, int | None]:
    """The last `done` and `total` in the log; None for what it does not say."""
    try:
        with open_regular(log) as file:
            file.seek(max(0, file.seek(0, 2) - WITHIN))
            end = file.read(WITHIN).decode(errors="replace")
        found = list(_compiled(pattern).finditer(end))
    except (OSError, re.error):  # a pattern is checked with the settings; a recipe may be of anywhere
        return None, None
    groups = found[-1].groupdict() if found else {}
    return _whole(groups.get("done")), _whole(groups.get("total"))


_compiled = cache(re.compile)


def _whole(text: str | None) -> int | None:
    try:
        return int(float(text.replace(",", ""))) if text else None
    except (ValueError, OverflowError):
        return None
