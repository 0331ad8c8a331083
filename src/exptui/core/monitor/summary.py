"""What lists show of a run's numbers: the last value of each series and how far it is, without making the series."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from exptui.core.monitor.metrics import STEPS, Reader, as_float
from exptui.core.runs.run import read_bytes

LONG = 1 << 20  # bytes from which a file is read on, and never as a whole
EXACT = 2**53  # beyond it the series, whose steps are floats, have one step for several
Summary = tuple[dict[str, float], int | None]
_ROWS, _ROW = msgspec.json.Decoder(dict[str, Any]), msgspec.json.Decoder(dict[str, Any])
_NOT_FINAL = {*STEPS, "epochs"}


class _OtherwiseError(Exception):
    """Not as most trainers write it: the careful way is taken."""


def summary(directory: Path, reader: Callable[[], Reader] | None = None) -> Summary:
    """The final numbers and the last step, as `metrics.read` gives them.

    `reader` is asked for where another way than that of most is to be taken: one that reads on from where it was.
    """
    try:
        return _plain(str(directory))
    except (_OtherwiseError, OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        numbers = (reader() if reader else Reader(directory)).read()
        return numbers.final, numbers.step


def _plain(directory: str) -> Summary:
    if os.stat(f"{directory}/metrics.jsonl").st_size > LONG:  # noqa: PTH116  of 100,000 runs
        raise _OtherwiseError
    rows = _ROWS.decode_lines(read_bytes(f"{directory}/metrics.jsonl"))
    if not rows:
        raise _OtherwiseError
    names = dict.fromkeys(chain.from_iterable(rows))
    name = next((name for name in STEPS if name in names), "")
    steps = [step for row in rows if type(step := row.get(name)) is int]
    kinds = set(map(type, chain.from_iterable(map(dict.values, rows))))
    odd = len(steps) < len(rows) or steps != sorted(set(steps)) or max(abs(steps[0]), abs(steps[-1])) > EXACT
    if odd or dict in kinds:
        raise _OtherwiseError
    final, last = dict[str, float](), None
    wanted = [key for key in names if key not in STEPS]
    for step, row in zip(reversed(steps), reversed(rows), strict=True):
        for key in [key for key in row if key not in final and key not in STEPS]:
            if (value := _number(row[key])) is not None:
                final[key] = value
                last = step if last is None else last
        if len(final) == len(wanted):
            break
    if not final:  # the chronicle may have a series
        raise _OtherwiseError
    final = {key: final[key] for key in wanted if key in final}
    try:
        report = _ROW.decode(read_bytes(f"{directory}/metrics.json"))
    except FileNotFoundError:
        return final, last
    for key, item in report.items():
        if (value := _number(item)) is not None and key not in _NOT_FINAL:
            final[key] = value
    return final, last


def _number(value: object) -> float | None:
    if type(value) is float:
        return value
    if type(value) is int:
        return as_float(value)
    if isinstance(value, dict):
        raise _OtherwiseError
    return None
