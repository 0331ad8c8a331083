"""How far a live run is: the whole by a key of its config, or both by the pattern that its settings declare for the log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exptui.core.files import open_regular

WITHIN = 16384  # bytes of the log's end that are looked at
TOTALS = frozenset(
    (
        *("epochs", "num_epochs", "n_epochs", "max_epochs", "num_train_epochs", "steps", "num_steps"),
        *("max_steps", "total_steps", "train_steps", "iterations", "max_iters", "max_iter"),
        *("num_iterations", "timesteps", "total_timesteps", "rounds", "num_rounds", "num_boost_round"),
        *("n_estimators",),
    )
)


def total(flat: Mapping[str, Any]) -> tuple[str, int | None]:
    """The key of a config that says how long a run is, and its value; empty where none does."""
    return next(
        (
            (key, value)
            for key, value in flat.items()
            if isinstance(value, int) and key.rpartition(".")[2].replace("-", "_") in TOTALS
        ),
        ("", None),
    )


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


def unused(pattern: str) -> str:
    """Why a pattern is not used any more here; empty as long as it is."""
    from exptui.core.monitor.readers.matching import MATCHER

    why = MATCHER.unused(pattern) if pattern else ""
    return f"progress: the pattern {pattern!r} {why}" if why else ""


def _whole(text: str | None) -> int | None:
    try:
        return int(float(text.replace(",", ""))) if text else None
    except (ValueError, OverflowError):
        return None
