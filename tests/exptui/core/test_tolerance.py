"""When two numbers agree: exact rules for NaN, infinities, signed zero and very large numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.core.errors import UsageError
from exptui.core.tolerance import Bound, apart, bound_for, parse

MANY = settings(max_examples=1000, deadline=None)
BOUNDS = st.builds(
    Bound,
    abs=st.floats(0, allow_infinity=False, allow_nan=False),
    rel=st.floats(0, 1, exclude_max=True),
)
NUMBERS = st.floats() | st.integers()
INF, NAN = math.inf, math.nan


@MANY
@given(NUMBERS, NUMBERS, BOUNDS)
def test_finite_numbers_agree_within_the_larger_bound(ours: float, theirs: float, bound: Bound) -> None:
    """As real numbers, but for the rounding of the subtraction itself."""
    found = apart(ours, theirs, bound)
    if not (math.isfinite(ours) and math.isfinite(theirs)):
        same = ours == theirs or (math.isnan(ours) and math.isnan(theirs))
        assert found == (0.0 if same else None)
        return
    exact = abs(Fraction(ours) - Fraction(theirs))
    limit = max(Fraction(bound.abs), Fraction(bound.rel) * abs(Fraction(ours)))
    slack = (exact + limit) * Fraction(1, 1 << 50) + Fraction(5e-324)
    if exact <= limit - slack and limit < Fraction(1e308):
        assert found is not None
    if exact > limit + slack:
        assert found is None
    assert found is None or abs(Fraction(found) - exact) <= slack


@MANY
@given(NUMBERS, NUMBERS)
def test_without_a_bound_only_the_same_number_agrees(ours: float, theirs: float) -> None:
    found = apart(ours, theirs, None)
    if math.isnan(ours) or math.isnan(theirs):
        assert (found == 0.0) is (math.isnan(ours) and math.isnan(theirs))
    else:
        assert (found == 0.0) is (ours == theirs and math.copysign(1, ours) == math.copysign(1, theirs))


@MANY
@given(NUMBERS, BOUNDS)
def test_every_number_agrees_with_itself(number: float, bound: Bound) -> None:
    assert apart(number, number, bound) == apart(number, number, None) == 0.0


@pytest.mark.parametrize(
    ("ours", "theirs", "bound", "found"),
    [
        (NAN, NAN, None, 0.0), (NAN, 1.0, Bound(abs=1e9), None), (1.0, NAN, Bound(abs=1e9), None),
        (INF, INF, None, 0.0), (INF, -INF, Bound(abs=1e308, rel=0.9), None), (INF, 1e308, Bound(rel=0.9), None),
        (1e308, INF, Bound(abs=1e308), None), (1e308, -1e308, Bound(abs=1e308), None),
        (0.0, -0.0, None, None), (0.0, -0.0, Bound(), 0.0), (0, -0.0, None, None),
        (1.0, 1.5, Bound(abs=0.5), 0.5), (1.0, 1.5, Bound(abs=0.49), None), (2.0, 3.0, Bound(rel=0.5), 1.0),
        (3.0, 2.0, Bound(rel=0.5), 1.0), (1.0, 2.0, Bound(rel=0.99), None), (0.0, 1e-300, Bound(rel=0.9), None),
        (10**400, 10**400, None, 0.0), (10**400, 10**400 + 1, Bound(rel=0.9), None),
        (2**53, 2**53 + 1, Bound(abs=0.5), None), (2**53, 2**53 + 1, Bound(abs=1), 1.0),
        (0.0, 5e-324, Bound(abs=5e-324), 5e-324), (0.0, 5e-324, Bound(), None),
    ],
)  # fmt: skip
def test_the_rules(ours: float, theirs: float, bound: Bound | None, found: float | None) -> None:
    assert apart(ours, theirs, bound) == found


def test_a_name_comes_before_a_pattern_and_a_long_one_before_a_short_one() -> None:
    bounds = {"*": Bound(abs=1), "eval*": Bound(abs=2), "eval_loss": Bound(abs=3), "l[": Bound(abs=4)}
    found = [bound_for(name, bounds) for name in ("x", "eval_acc", "eval_loss", "l[")]
    assert [one and one.abs for one in found] == [1, 2, 3, 4]
    assert bound_for("x", {"y": Bound()}) is None
    assert [bound_for("ab", dict(pairs)) for pairs in (((a, Bound(abs=1)), (b, Bound(abs=2))) for a, b in (("a*", "*b"), ("*b", "a*")))] == [Bound(abs=1), Bound(abs=2)]  # fmt: skip


def test_what_a_command_line_says() -> None:
    assert parse("abs=1e-6") == ("*", Bound(abs=1e-6))
    assert parse("eval:loss:abs=1, rel=0.5") == ("eval:loss", Bound(abs=1, rel=0.5))
    for text in (
        "",
        "1e-6",
        "loss=1",
        "abs=x",
        "abs=-1",
        "rel=1",
        "abs=inf",
        "abs=nan",
        "abs=1,abs=2",
        "abs=1=2",
    ):
        with pytest.raises(UsageError):
            parse(text)
