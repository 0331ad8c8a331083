"""A filter over lists: words, and expressions like `accuracy>0.9 state:failed model.layers=8`. All must hold."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

TERM = re.compile(r"([^\s<>=:!]+)(<=|>=|!=|<|>|=|:)(\S*)")
NUMERIC: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}

Facts = Mapping[str, Any]
"""Dotted key → value: the config's keys, the metrics, `state`, `id`, …"""


def matches(query: str, facts: Facts) -> bool:
    """Whether every term holds. A plain word is looked for in any text; a key may be given by its last part."""
    return all(_term(word, facts) for word in query.split())


def _term(word: str, facts: Facts) -> bool:
    match = TERM.fullmatch(word)
    if match is None:
        return any(word.casefold() in str(value).casefold() for value in facts.values())
    name, sign, text = match.groups()
    values = [value for key, value in facts.items() if key == name or key.rpartition(".")[2] == name]
    if not text:
        return bool(values)
    return any(_holds(value, sign, text) for value in values)


def _holds(value: object, sign: str, text: str) -> bool:
    if sign == ":":
        return text.casefold() in str(value).casefold()
    number = _number(text)
    if number is not None and isinstance(value, int | float) and not isinstance(value, bool):
        return NUMERIC[sign](float(value), number) if not math.isnan(value) else sign == "!="
    if sign in ("=", "!="):
        return (str(value).casefold() == text.casefold()) == (sign == "=")
    return False


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
