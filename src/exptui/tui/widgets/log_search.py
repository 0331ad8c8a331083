"""What is searched in a log, as the pane needs it: in words, and lit up; never for longer than nobody notices."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from exptui.core.monitor.pattern import compile_pattern, limited
from exptui.core.monitor.text import clean

ERRORS = r"error|exception|traceback|panic|failed|\bnan\b"
HITS_CAP = 200
"""Matches lit up in one line."""
SOON = 0.01
"""Processor seconds that a pattern may take on one line."""


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern; re.error when it is none, TooSlow when it takes too long to know."""
    return limited(lambda: compile_pattern(pattern), 10 * SOON)


def spans(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    """Where it matches; TooSlow when that takes too long to know."""
    return limited(lambda: [match.span() for match in islice(pattern.finditer(text), HITS_CAP)], SOON)


def named(pattern: str) -> str:
    """What is looked for."""
    return "errors" if pattern == ERRORS else f"'{clean(pattern, 60)}'"


def fitted(status: str, patterns: Iterable[str], width: int) -> str:
    """A status as short as that, where the patterns named in it can give way."""
    for pattern in patterns:
        shown, over = clean(pattern, 60), len(status) - width
        if over > 0 and len(shown) > 2:
            kept = f"{shown[: max(1, len(shown) - over - 1)]}…"
            for before in ("'", "filter: "):
                status = status.replace(f"{before}{shown}", f"{before}{kept}")
    return status


def matched(pattern: str, place: int, total: int, *, more: bool = False) -> str:
    """Which match it is, of how many, or 0 for none; `more` while there may be more."""
    if not place:
        return f"no {f'further match of {total:,}' if total else 'match'} {named(pattern)}"
    return f"match {place:,} of {'≥ ' * more}{total:,} {named(pattern)}{' …searching' * more}"
