"""Which values are the same: equal in type and value; missing is not null, and NaN is itself."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import msgspec


class Missing:
    """No value: another thing than a null or an empty one."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


MISSING = Missing("–")  # the key is not there
UNKNOWN = Missing("?")  # nobody recorded whether it is


class Difference(msgspec.Struct, frozen=True):
    """One key whose values differ between the two sides."""

    key: str
    baseline: Any
    candidate: Any


class Varying(msgspec.Struct, frozen=True):
    """One key whose values are not the same on all sides, in their order."""

    key: str
    values: tuple[Any, ...]


def token(value: object) -> Hashable:
    """Equal for values that are the same: 1 is not 1.0, not true and not "1", also inside of lists and tables."""
    if isinstance(value, dict):
        return "table", frozenset((key, token(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return "list", tuple(map(token, value))
    return type(value).__name__, value if value == value else "nan"


def same(baseline: object, candidate: object) -> bool:
    """Whether two values have one token."""
    return token(baseline) == token(candidate)


def differences(baseline: dict[str, Any], candidate: dict[str, Any]) -> list[Difference]:
    """The keys that differ, those of the baseline first, in its order."""
    return [Difference(row.key, *row.values) for row in varying((baseline, candidate))]


def varying(sides: Sequence[dict[str, Any] | None]) -> list[Varying]:
    """The keys that are not the same on all sides whose values are known; a side that is None is UNKNOWN."""
    known = [side for side in sides if side is not None]
    rows = []
    for key in dict.fromkeys(key for side in known for key in side):
        if len({token(side.get(key, MISSING)) for side in known}) > 1:
            values = (UNKNOWN if side is None else side.get(key, MISSING) for side in sides)
            rows.append(Varying(key, tuple(values)))
    return rows


def number_text(value: float | None) -> str:
    """Six significant digits, `–` for a missing value."""
    return "–" if value is None else f"{value:.6g}"
