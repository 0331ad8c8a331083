"""The intervals are scipy's, the small ones exactly those of all resamples; a p is that of all splits."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.core.compare import statistics
from exptui.core.compare.statistics import contrast, estimate, least_p, permutation_p

SCIPY: dict[str, Any] = json.loads((Path(__file__).parent / "scipy.json").read_text())  # "made" says how
WIDTH = 0.01  # of an interval's width
NOISE = 0.0015  # three standard errors of a share of 2.5 % among 100,000 drawn resamples

values = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
few = st.lists(values, min_size=2, max_size=4)
Shares = dict[Fraction, Fraction]


def means(sample: Sequence[float]) -> Shares:
    """Every resample one by one, in exact arithmetic."""
    sums = Counter(sum(map(Fraction, chosen), Fraction()) for chosen in product(sample, repeat=len(sample)))
    total = len(sample) ** len(sample)
    return {mean / len(sample): Fraction(count, total) for mean, count in sums.items()}


def minus(one: Shares, other: Shares) -> Shares:
    found: Shares = {}
    for x, p in one.items():
        for y, q in other.items():
            found[x - y] = found.get(x - y, Fraction()) + p * q
    return found


def ends(shares: Shares) -> tuple[float, float]:
    """The innermost values with at least 2.5 % at or beyond them."""
    low = next(x for x in sorted(shares) if below(shares, x) >= Fraction(1, 40))
    flipped = {-x: p for x, p in shares.items()}
    return float(low), -float(next(x for x in sorted(flipped) if below(flipped, x) >= Fraction(1, 40)))


def below(shares: Shares, value: Fraction) -> Fraction:
    return sum((p for x, p in shares.items() if x <= value), Fraction())


@pytest.mark.parametrize("case", SCIPY["means"])
def test_an_interval_is_that_of_scipy(case: dict[str, Any]) -> None:
    found, (low, high) = estimate(case["values"]), case["interval"]
    assert (found.low, found.high) == pytest.approx((low, high), abs=WIDTH * (high - low))


@pytest.mark.parametrize("case", SCIPY["differences"])
def test_the_interval_of_a_difference_is_that_of_scipy(case: dict[str, Any]) -> None:
    found, (low, high) = contrast(case["baseline"], case["candidate"]), case["interval"]
    assert found.high == pytest.approx(high, abs=WIDTH * (high - low))
    if found.low != pytest.approx(low, abs=WIDTH * (high - low)):  # a gap just where scipy's draw ends
        shares = minus(means(case["candidate"]), means(case["baseline"]))
        assert abs(float(below(shares, Fraction(low))) - 0.025) < NOISE
        assert found.low == pytest.approx(ends(shares)[0])


def test_only_one_of_scipys_intervals_ends_beside_a_gap() -> None:
    def far(case: dict[str, Any]) -> bool:
        found, (low, high) = contrast(case["baseline"], case["candidate"]), case["interval"]
        return found.low != pytest.approx(low, abs=WIDTH * (high - low))

    assert sum(map(far, SCIPY["differences"])) == 1


@pytest.mark.parametrize("case", SCIPY["differences"])
def test_a_p_is_that_of_scipy(case: dict[str, Any]) -> None:
    one, other = case["baseline"], case["candidate"]
    exact = math.comb(len(one) + len(other), len(one)) <= statistics.SPLITS
    assert permutation_p(one, other) == pytest.approx(case["p"], abs=1e-9 if exact else 0.01)


@given(few)
def test_a_small_interval_is_that_of_all_resamples(sample: list[float]) -> None:
    found = estimate(sample)
    assert (found.low, found.high) == pytest.approx(ends(means(sample)), rel=1e-9, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(few, few)
def test_a_small_difference_is_that_of_all_resamples(one: list[float], other: list[float]) -> None:
    found = contrast(one, other)
    assert (found.low, found.high) == pytest.approx(ends(minus(means(other), means(one))), rel=1e-6, abs=1e-6)


@given(few, few)
def test_a_p_is_that_of_all_splits(one: list[float], other: list[float]) -> None:
    pooled = [Fraction(value) for value in (*one, *other)]
    seen = Fraction(sum(map(Fraction, one)))
    sums = [sum(part, Fraction()) for part in combinations(pooled, len(one))]
    tails = (sum(one <= seen for one in sums), sum(one >= seen for one in sums))
    assert permutation_p(one, other) == pytest.approx(min(1.0, 2 * min(tails) / len(sums)))


@settings(max_examples=50, deadline=None)
@given(st.lists(values, min_size=2, max_size=8), st.lists(values, min_size=2, max_size=8))
def test_what_always_holds(one: list[float], other: list[float]) -> None:
    found, back = contrast(one, other), contrast(other, one)
    assert found == contrast(one, other)
    assert found.low is not None
    assert found.high is not None
    assert back.low is not None
    slack = 1e-6 * max(1.0, *map(abs, (*one, *other)))
    assert min(other) - max(one) - slack <= found.low <= found.high <= max(other) - min(one) + slack
    assert found.low - slack <= found.delta <= found.high + slack or found.low == found.high
    if max(len(one), len(other)) <= statistics.EXHAUSTIVE:
        assert back.low == pytest.approx(-found.high, abs=slack)
    assert found.least == least_p(len(one), len(other))
    assert found.p is None or found.least - 1e-9 <= found.p <= 1
    assert found.above is not None
    assert back.above == pytest.approx(1 - found.above)
    mean = estimate(one)
    assert mean.low is not None
    assert mean.high is not None
    assert min(one) - slack <= mean.low <= mean.high <= max(one) + slack


def test_three_against_three_has_no_p() -> None:
    assert least_p(3, 3) == pytest.approx(0.1)
    assert contrast([1, 2, 3], [11, 12, 13]).p is None
    assert contrast([1, 2, 3, 4], [11, 12, 13, 14]).p == pytest.approx(2 / 70)
    assert contrast([1, 2, 3, 4], [11, 12, 13, 14]).above == 1


@pytest.mark.parametrize(
    ("sample", "mean"),
    [
        ([0.5], 0.5),
        ([0.5, math.nan], math.nan),
        ([math.inf, -math.inf], math.nan),
        ([math.inf, 1.0], math.inf),
        ([1.7e308, 1.7e308], 1.7e308),
    ],
)
def test_no_interval_where_there_can_be_none(sample: list[float], mean: float) -> None:
    found = estimate(sample)
    assert (found.n, found.low, found.high) == (len(sample), None, None)
    assert found.mean == mean or math.isnan(mean) == math.isnan(found.mean) is True
    assert contrast(sample, [1.0, 2.0]).low is None


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert estimate([0.25] * 3) == statistics.Estimate(3, 0.25, 0.25, 0.25)
    assert contrast([0.25] * 4, [0.25] * 4) == statistics.Contrast(0.0, 0.0, 0.0, 1.0, least_p(4, 4), 0.5)


def test_numpy_is_imported_for_large_groups_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    contrast(list(range(6)), list(range(6)))
    with pytest.raises(ImportError):
        estimate(list(range(7)))
