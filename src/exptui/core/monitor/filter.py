"""A filter over lists: words, and expressions like `accuracy>0.9 state:failed model.layers=8`. All must hold."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from exptui.core.monitor.columns import STATES, Column, Numbers, Rows, Table

TERM = re.compile(r"([^\s<>=:!]+)(<=|>=|!=|<|>|=|:)(\S*)")
IN_A_NUMBER = re.compile(r"[0-9.e+\-nanif]*", re.IGNORECASE)
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
NOTHING: Mapping[str, Facts] = {}


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


def passing(query: str, table: Table, rows: Rows, said: Mapping[str, Facts] = NOTHING) -> bytes:
    """1 for each of these rows that `matches` the query with its facts, else 0: column by column.

    `said`: more facts by id, which few rows have.
    """
    left = _ones(len(rows))
    for word in query.split():
        left &= _any((*_columns(word, table, rows), _said(word, table, rows, said)))
    return left.to_bytes(len(rows), "little")


def _columns(word: str, table: Table, rows: Rows) -> Iterable[bytes]:
    """Where a term holds, for each column it looks into."""
    match = TERM.fullmatch(word)
    name, sign, text = match.groups() if match else ("", ":", word)

    def test(value: object) -> bool:
        return _holds(value, sign, text) if text else True

    def wanted(key: str) -> bool:
        return not match or key == name or key.rpartition(".")[2] == name

    if wanted("id"):
        yield bytes(map(test, map(table.ids.__getitem__, rows)))
    if wanted("state"):
        holds = [test(state.value) for state in STATES]
        yield bytes(map(holds.__getitem__, map(table.states.__getitem__, rows)))
    for key in filter(wanted, dict.fromkeys((*table.config, *table.metrics))):
        metric, config = table.metrics.get(key), table.config.get(key)
        if key in ("id", "state"):
            continue
        if metric and config:  # one name for both: the metric counts
            there, other = _number_of(metric.present(rows)), _number_of(config.mask(test, rows))
            found = (other & ~there) | _number_of(metric.mask(test, rows))
            yield found.to_bytes(len(rows), "little")
        else:
            column: Column | None = metric or config
            if column and not (
                isinstance(column, Numbers) and sign == ":" and not IN_A_NUMBER.fullmatch(text)
            ):
                yield column.mask(test, rows)


def _said(word: str, table: Table, rows: Rows, said: Mapping[str, Facts]) -> bytes:
    found = {run_id for run_id, facts in said.items() if _term(word, facts)}
    return bytes(table.ids[row] in found for row in rows) if found else bytes(len(rows))


def _any(masks: Iterable[bytes]) -> int:
    found = 0
    for mask in masks:
        found |= _number_of(mask)
    return found


def _number_of(mask: bytes) -> int:
    return int.from_bytes(mask, "little")


def _ones(count: int) -> int:
    return _number_of(b"\1" * count)


def _holds(value: object, sign: str, text: str) -> bool:
    if sign == ":":
        return text.casefold() in str(value).casefold()
    number = _number(text)
    if number is not None and isinstance(value, int | float) and not isinstance(value, bool):
        return NUMERIC[sign](value, number) if value == value else sign == "!="
    if sign in ("=", "!="):
        return (str(value).casefold() == text.casefold()) == (sign == "=")
    return False


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
