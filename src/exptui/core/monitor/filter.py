"""A filter over lists: words, and expressions like `accuracy>0.9 state:failed model.layers=8`. All must hold."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from exptui.core.directions import BY_NAME, Directions
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


def arranged(
    table: Table, order: Rows, sort: str, *, reverse: bool = False, directions: Directions = BY_NAME
) -> list[int]:
    """The rows in the order of a key as `catalog.ordered` puts them."""
    wanted, down = directions.order(sort, reverse=reverse)
    keys = dict.fromkeys((*table.config, *table.metrics, "id", "state"))
    gets = [_value_of(table, key) for key in keys if wanted in (key, key.rpartition(".")[2])]
    if len(gets) == 1:
        return by(order, gets[0], down=down)
    return by(
        order, lambda row: next((value for get in gets if (value := get(row)) is not None), None), down=down
    )


def _value_of(table: Table, key: str) -> Callable[[int], Any]:
    """What `facts` has under that key."""
    if key == "id":
        return table.ids.__getitem__
    if key == "state":
        return lambda row: table.state(row).value
    metric, config = table.metrics.get(key), table.config.get(key)
    if metric and config:
        return lambda row: value if (value := metric.get(row)) is not None else config.get(row)
    column: Column | None = metric or config
    assert column is not None  # the key is one of theirs
    return column.get


def by(order: Iterable[int], value_of: Callable[[int], Any], *, down: bool) -> list[int]:
    """Numbers before texts; those without a value, or with NaN, come last either way."""
    numbers: list[tuple[float, int]] = []
    texts: list[tuple[str, int]] = []
    rest: list[int] = []
    for row in order:
        value = value_of(row)
        if value is None or value != value:
            rest.append(row)
        elif isinstance(value, int | float):
            numbers.append((value, row))
        else:
            texts.append((value, row))
    numbers.sort(key=itemgetter(0), reverse=down)
    texts.sort(key=itemgetter(0), reverse=down)
    return [row for _, row in (*numbers, *texts)] + rest


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
