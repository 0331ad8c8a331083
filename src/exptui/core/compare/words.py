"""Words for what a comparison found: values, groups, better or worse."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

import tomli
import tomli_w
from msgspec.structs import replace

from exptui.core.compare.comparison import Comparison, Group, Measured, letter
from exptui.core.compare.deltas import Missing, Varying, token
from exptui.core.compare.statistics import Contrast, Estimate

Spread = list[tuple[str, list[int]]]
DIGEST = re.compile(r"[0-9a-f]{40,}")


def value_text(value: object) -> str:
    """A value as TOML writes it; a text without quotes, of a digest the beginning."""
    if isinstance(value, Missing):
        return repr(value)
    if isinstance(value, str):
        return value[:12] if DIGEST.fullmatch(value) else value
    return _toml(value)


def exact_text(value: object) -> str:
    """The same, but a text in quotes where it can be taken for something else."""
    return _toml(value) if isinstance(value, str) and _ambiguous(value) else value_text(value)


def _toml(value: object) -> str:
    """In one line; null, which TOML has not, as JSON writes it."""
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml(item)}' for key, item in value.items())}}}"
    try:
        return tomli_w.dumps({"v": value}).removeprefix("v = ").removesuffix("\n")
    except TypeError:
        return str(value)


def _ambiguous(text: str) -> bool:
    """Whether it looks like a number, a boolean, a list, nothing, …"""
    if text.strip() in ("", "null", "–", "?"):
        return True
    try:
        return bool(tomli.loads(f"v = {text}"))
    except (ValueError, RecursionError):
        return False


def spread(row: Varying, groups: Sequence[Group], text_of: Callable[[object], str] = exact_text) -> Spread:
    """The values of a key, each with the numbers of the groups that have it; of a group with several, all of them."""
    found: dict[Hashable, tuple[str, list[int]]] = {}
    for number, group in enumerate(groups):
        values = {token(value): value for value in (row.values[run] for run in group.runs)}
        some = list(values.values())
        if all(isinstance(value, int | float) for value in some):
            some.sort()
        text = ", ".join(map(text_of, some))
        found.setdefault(frozenset(values), (text, []))[1].append(number)
    return list(found.values())


def letters(numbers: Sequence[int]) -> str:
    """Groups by their letters, neighbours as a range: `A C–F`."""
    ends: list[list[int]] = []
    for number in numbers:
        if ends and number == ends[-1][1] + 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    parts = (
        [letter(first)] if first == last else [letter(first), "–" if last - first > 1 else " ", letter(last)]
        for first, last in ends
    )
    return " ".join("".join(part) for part in parts)


def told(comparison: Comparison) -> list[Measured]:
    """The metrics that differ; several with the very same values are one row: `accuracy = validate/accuracy`."""
    rows: dict[Hashable, Measured] = {}
    for row in comparison.metrics:
        key = row.measure, row.direction, token(row.values)
        first = rows.get(key)
        rows[key] = replace(first, name=f"{first.name} = {row.name}") if first else row
    return list(rows.values())


def called(group: Group, comparison: Comparison) -> str:
    """A group by what tells it from the others, else by its first run: `layers=8 lr=0.01`."""
    first = group.runs[0]
    if not group.keys:
        more = len(group.runs) - 1
        return comparison.runs[first] + (f" and {more} more" if more else "")
    values = {row.key: row.values[first] for row in comparison.config}
    short = [key.rpartition(".")[2] for key in group.keys]
    names = short if len(set(short)) == len(short) else group.keys
    return " ".join(f"{name}={exact_text(values[key])}" for name, key in zip(names, group.keys, strict=True))


def word(row: Measured, contrast: Contrast | None) -> str:
    """Better or worse, by the metric's direction; unclear where the interval of the difference holds zero."""
    if contrast is None or not row.direction or not contrast.delta or math.isnan(contrast.delta):
        return ""
    if contrast.low is not None and contrast.high is not None and contrast.low <= 0 <= contrast.high:
        return "unclear"
    return "better" if contrast.delta * row.direction > 0 else "worse"


def measure(row: Measured) -> str:
    """How the values of a metric were taken; empty for the final ones."""
    return "" if row.measure == "final" else row.measure


def percent(row: Measured, contrast: Contrast | None) -> float | None:
    """The difference in percent of the baseline's mean."""
    base = row.estimates[0]
    if contrast is None or base is None or not base.mean or not math.isfinite(base.mean):
        return None
    return 100 * contrast.delta / abs(base.mean)


def chance(row: Measured, contrast: Contrast | None) -> float | None:
    """The share of pairs of runs in which the candidate is the better one."""
    if contrast is None or contrast.above is None or not row.direction:
        return None
    return contrast.above if row.direction > 0 else 1 - contrast.above


def ranked(row: Measured) -> list[int]:
    """The numbers of the groups, the best first where there is a direction; those without a value last."""

    def rank(at: int) -> tuple[bool, float]:
        found = row.estimates[at]
        if found is None or math.isnan(found.mean):
            return True, 0.0
        return False, -row.direction * found.mean if row.direction else 0.0

    return sorted(range(len(row.estimates)), key=rank)


def interval(low: float | None, high: float | None, sign: str = "") -> str:
    """`[0.91, 0.94]`; empty where there is none."""
    return "" if low is None or high is None else f"[{low:{sign}.4g}, {high:{sign}.4g}]"


def signed(value: float | None, form: str = ".6g") -> str:
    """`+0.013`; `–` for a missing value."""
    return "–" if value is None else f"{value:+{form}}"


def count(found: Estimate | None, group: Group) -> str:
    """How many runs a mean is of: `3`, or `2 of 3` where one has no such metric."""
    n, size = found.n if found else 0, len(group.runs)
    return str(n) if n == size else f"{n} of {size}"


def title(comparison: Comparison) -> str:
    """`exp_001 vs exp_002`, or how many runs and groups there are."""
    first, *others = comparison.runs
    if len(others) == 1:
        return f"{first} vs {others[0]}"
    groups = len(comparison.groups)
    return f"{first} vs {len(others)} others" + (f", in {groups} groups" if groups <= len(others) else "")


class Section(NamedTuple):
    """Config or fingerprint: the keys that differ, each with its `spread`, or what is said where none does."""

    head: str
    rows: list[tuple[str, Spread]]
    nothing: str


def sections(comparison: Comparison) -> Iterator[Section]:
    """Config and fingerprint. What a fingerprint holds is text."""
    for head, rows, text_of, known in (
        ("config", comparison.config, exact_text, comparison.known[0]),
        ("fingerprint", comparison.fingerprint, value_text, comparison.known[1]),
    ):
        some = [(row.key, spread(row, comparison.groups, text_of)) for row in rows]
        whole = known == len(comparison.runs)
        yield Section(
            head, some, "the same" if whole else "unknown" if known < 2 else "the same where it is known"
        )
