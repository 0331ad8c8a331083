"""(baseline, candidate) → what differs: config keys, fingerprint, final metrics. Nothing that is equal."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

LOWER = re.compile(r"loss|error|perplexity|(^|[/._])(mse|mae|rmse|nll|wer|cer)($|[/._])", re.IGNORECASE)
HIGHER = re.compile(
    r"acc|f1|auc|precision|recall|reward|score|bleu|rouge|(^|[/._])(map|iou|r2)($|[/._])", re.IGNORECASE
)


class Missing:
    """The key is not there: another thing than a null or an empty value."""

    def __repr__(self) -> str:
        return "–"


MISSING = Missing()


class Difference(msgspec.Struct, frozen=True):
    """One key whose values differ between the two sides."""

    key: str
    baseline: Any
    candidate: Any


class MetricDelta(msgspec.Struct, frozen=True):
    """One metric on both sides; `better` is None where the metric has no known direction or nothing changed."""

    name: str
    baseline: float | None
    candidate: float | None
    delta: float | None
    percent: float | None
    better: bool | None


def same(baseline: object, candidate: object) -> bool:
    """Equal in value and type; NaN is itself; 1 is not 1.0 and not true."""
    if isinstance(baseline, float) and isinstance(candidate, float):
        return baseline == candidate or (math.isnan(baseline) and math.isnan(candidate))
    if isinstance(baseline, list) and isinstance(candidate, list):
        return len(baseline) == len(candidate) and all(map(same, baseline, candidate))
    return type(baseline) is type(candidate) and baseline == candidate


def differences(baseline: dict[str, Any], candidate: dict[str, Any]) -> list[Difference]:
    """The keys that differ, those of the baseline first, in its order."""
    keys = dict.fromkeys((*baseline, *candidate))
    pairs = ((key, baseline.get(key, MISSING), candidate.get(key, MISSING)) for key in keys)
    return [Difference(*pair) for pair in pairs if not same(pair[1], pair[2])]


def number_text(value: float | None) -> str:
    """Six significant digits, `–` for a missing value."""
    return "–" if value is None else f"{value:.6g}"


def direction(name: str) -> int:
    """-1 where less is better, +1 where more is, 0 where the name does not tell."""
    return -1 if LOWER.search(name) else 1 if HIGHER.search(name) else 0


def metric_deltas(baseline: dict[str, float], candidate: dict[str, float]) -> list[MetricDelta]:
    """Every metric that either side has; a side that lacks it is None, and so is the difference."""
    rows = []
    for name in dict.fromkeys((*baseline, *candidate)):
        old, new = baseline.get(name), candidate.get(name)
        delta = new - old if old is not None and new is not None else None
        percent = 100 * delta / abs(old) if delta is not None and old else None
        better = delta * direction(name) > 0 if delta and not math.isnan(delta) and direction(name) else None
        rows.append(MetricDelta(name, old, new, delta, percent, better))
    return rows
