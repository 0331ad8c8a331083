from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core.curves.series import Series
from exptui.tui.braille import CURSOR, MARK, Curve, Plot, View, nice, plot

ANY = st.floats(allow_nan=True, allow_infinity=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
CURVES = st.lists(
    st.builds(
        Curve,
        st.text(max_size=8),
        st.lists(st.tuples(ANY, ANY), max_size=30).map(Series.of),
        st.integers(0, 9),
    ),
    max_size=4,
)
VIEWS = st.builds(
    View,
    st.none() | ANY,
    st.none() | ANY,
    st.booleans(),
    st.floats(-1, 2) | st.just(math.nan),
    st.none() | ANY,
)


def line(*ys: float, color: int = 0) -> Curve:
    return Curve("line", Series.of((float(x), y) for x, y in enumerate(ys)), color)


def text(drawn: Plot) -> list[str]:
    return ["".join(part for part, _ in row) for row in drawn.rows]


def dots(drawn: Plot) -> set[tuple[int, int]]:
    """Each dot set, as (column, row) from the top left."""
    where = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
    return {
        (2 * x + dx, 4 * y + dy)
        for y, row in enumerate(text(drawn))
        for x, char in enumerate(row)
        if "\u2800" <= char <= "\u28ff"
        for bit, (dx, dy) in enumerate(where)
        if (ord(char) - 0x2800) >> bit & 1
    }


@given(CURVES, VIEWS, st.integers(-1, 40), st.integers(-1, 12), st.sampled_from(["", "●", "●◆"]))
def test_any_numbers_at_any_size(
    curves: list[Curve], view: View, width: int, height: int, markers: str
) -> None:
    drawn = plot(curves, view, width, height, markers)
    assert [len(row) for row in text(drawn)] == [max(0, width)] * max(0, height)
    assert len(drawn.readings) == len(drawn.non_finite) == len(drawn.skipped) == len(curves)
    for curve, bad in zip(curves, drawn.non_finite, strict=True):
        assert bad == curve.series.lost + sum(not math.isfinite(y) for _, y in curve.series)
    assert all(isinstance(label, str) for label in drawn.y_labels + drawn.x_labels)


@given(st.lists(FINITE, min_size=1, max_size=200), st.integers(1, 60), st.integers(1, 12))
def test_every_finite_point_is_drawn(ys: list[float], width: int, height: int) -> None:
    found = dots(plot([line(*ys)], View(), width, height))
    rows = {y for _, y in found}
    if min(ys) < max(ys):
        assert {0, 4 * height - 1} <= rows
        assert {x for x, _ in found} == set(range(2 * width)) or len(ys) == 1
    else:
        assert rows == {(4 * height - 1) // 2}


@given(st.integers(0, 9_999), st.sampled_from([1.0, -1.0]))
def test_a_single_spike_among_ten_thousand_points_is_kept(at: int, sign: float) -> None:
    ys = [0.0] * 10_000
    ys[at] = sign
    found = dots(plot([line(*ys)], View(), 100, 20))
    column = int(at / 9_999 * 199 + 0.5)
    assert (column, 0 if sign > 0 else 79) in found
    assert len([x for x, y in found if y == (0 if sign > 0 else 79)]) == 1


LONG = [2 + math.sin(at / 999) for at in range(60_000)]
SPIKES = range(17, 60_000, 1_009)
for spike in SPIKES:
    LONG[spike] = 0.5 + spike / 1e5 if spike % 2 else 3.5 + spike / 1e5
LONG_LINE = line(*LONG)


@given(st.integers(0, 59_000), st.integers(1, 60_000), st.booleans(), st.integers(1, 120))
def test_no_spike_is_lost_at_any_zoom(start: int, length: int, log: bool, width: int) -> None:
    end = min(start + length, 59_999)
    drawn = plot([LONG_LINE], View(x0=start, x1=end, log_y=log), width, 20)
    found, seen = dots(drawn), LONG[start : end + 1]
    low, high = (math.log10(f(seen)) if log else f(seen) for f in (min, max))
    for at in SPIKES:
        if start <= at <= end and low < high:
            y = math.log10(LONG[at]) if log else LONG[at]
            row = int((high - y) / (high - low) * 79 + 0.5)
            column = int((at - start) / (end - start) * (2 * width - 1) + 0.5)
            assert {(column + off, row) for off in (-1, 0, 1)} & found
    assert low == high or {0, 79} <= {y for _, y in found}


@pytest.mark.parametrize("power", [0.3, 2, 5])
@pytest.mark.parametrize("count", [300, 6_000])
def test_uneven_steps_are_in_their_columns(power: float, count: int) -> None:
    xs = [at**power for at in range(count)]
    for at in range(1, count, count // 17):
        curve = Curve("", Series.of((x, float(i == at)) for i, x in enumerate(xs)))
        high = {x for x, y in dots(plot([curve], View(), 60, 10)) if y == 0}
        assert high & {int(xs[at] / xs[-1] * 119 + 0.5) + off for off in (-1, 0, 1)}
        assert len(high) == 1


def test_a_long_gap_stays_one_and_a_short_one_has_its_mark() -> None:
    ys = LONG.copy()
    ys[30_000:40_000] = [math.nan] * 10_000
    ys[10_000] = math.inf
    drawn = plot([line(*ys)], View(), 60, 10)
    columns = {x for x, _ in dots(drawn)}
    assert columns >= {*range(59), *range(81, 120)}
    assert not columns & {*range(61, 79)}
    last = text(drawn)[-1]
    assert [at for at, char in enumerate(last) if char == MARK] == [10, *range(29, 40)]
    assert drawn.non_finite == (10_001,)


def test_smoothing_a_long_curve_smooths_what_is_seen() -> None:
    noise = line(*(10 + (at * 7919 % 101) / 50 for at in range(50_000)))
    for view in (View(smoothing=0.8), View(smoothing=0.8, log_y=True), View(20_000, 45_000, smoothing=0.8)):
        drawn = plot([noise], view, 50, 10)
        assert {x for x, _ in dots(drawn)} == set(range(100))
        assert all(10.8 < float(label) < 11.2 for label in drawn.y_labels if label)
    # The window's edge knows what was before it.
    step = line(*[0.0] * 500, *[1.0] * 500)
    assert plot([step], View(505, 999, smoothing=0.95), 100, 10).y_labels[2] != "1"
    assert plot([step], View(0, 300, smoothing=0.95), 100, 10).y_labels == ("", "0", "")


def test_many_curves_of_any_colour() -> None:
    drawn = plot([line(n, n, color=n * 9) for n in range(300)], View(), 10, 75, "●◆")
    assert {len(row) for row in text(drawn)} == {10}
    assert {color for row in drawn.rows for _, color in row} - {None} <= {9 * n for n in range(254)}
    assert "⣿" in text(drawn)[40]


def test_points_are_joined() -> None:
    steep = dots(plot([line(0, 1)], View(), 4, 8))
    assert len({y for _, y in steep}) == 32
    assert {x for x, _ in steep} == set(range(8))
    assert {(0, 31), (7, 0)} <= steep
    shallow = dots(plot([line(1, 0)], View(), 8, 1))
    assert len(shallow) == 16


def test_a_single_point_is_visible_in_the_middle() -> None:
    drawn = plot([line(7.0)], View(), 5, 3)
    assert dots(drawn) == {(4, 5)}
    assert drawn.y_labels == ("", "7", "")
    assert "●" in "".join(text(plot([line(7.0)], View(), 5, 3, "●")))


@pytest.mark.parametrize(
    ("curves", "view", "words"),
    [
        ([], View(), "no values yet"),
        ([Curve("a", Series.of(()))], View(), "no values yet"),
        ([line(1, 2)], View(x0=5, x1=6), "no values in view"),
        ([line(math.nan, math.nan)], View(), "no finite values"),
        ([line(-1, 0)], View(log_y=True), "no values above 0"),
    ],
)
def test_an_empty_plot_says_why(curves: list[Curve], view: View, words: str) -> None:
    assert words in text(plot(curves, view, 30, 5))[2]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_not_finite_is_a_gap_and_a_mark(bad: float) -> None:
    drawn = plot([line(1, 1, bad, 1, 1, color=3)], View(), 21, 4)
    assert text(drawn)[3][10] == MARK
    assert any(part.startswith(MARK) and color == 3 for part, color in drawn.rows[3])
    assert text(drawn)[1][9:12] == "   "
    assert drawn.non_finite == (1,)


def test_the_later_curve_wins_the_colour_of_a_shared_cell() -> None:
    drawn = plot([line(0, 1, color=1), line(0, 1, color=2)], View(), 6, 3)
    assert {color for row in drawn.rows for _, color in row} == {2, None}


def test_the_cursor_reads_what_was_recorded() -> None:
    drawn = plot([line(5, 6, 7), Curve("sparse", Series.of(((0.0, 1.0), (2.0, math.nan)))), Curve("none", Series.of(()))],
                 View(cursor=1.2, smoothing=0.9), 9, 4)  # fmt: skip
    assert str(drawn.readings) == "((1.0, 6.0), (2.0, nan), None)"
    assert drawn.cursor_column == 5
    assert any(row[5] == CURSOR for row in text(drawn))
    assert plot([line(5, 6)], View(cursor=9), 9, 4).cursor_column is None


def test_a_logarithm_is_straight_and_leaves_out_what_has_none() -> None:
    drawn = plot([line(1, 10, 100), line(0, -3, 50)], View(log_y=True), 20, 10)
    assert drawn.y_labels == ("100", "10", "1")
    assert drawn.skipped == (0, 2)
    straight = dots(plot([line(1, 10, 100)], View(log_y=True), 20, 10))
    assert straight == dots(plot([line(0, 1, 2)], View(), 20, 10))


def test_smoothing_starts_at_the_first_value_and_steps_over_gaps() -> None:
    assert plot([line(4, 4, math.nan, 4)], View(smoothing=0.9), 9, 4).y_labels == ("", "4", "")
    drawn = plot([line(0, 1, 0, 1, 0, 1)], View(smoothing=0.5), 9, 4)
    assert drawn.y_labels[0] == "0.667"
    assert drawn.y_labels[2] == "0"


def test_a_window_cuts_lines_at_its_edges() -> None:
    drawn = plot([line(0, 10)], View(x0=0.4, x1=0.6), 10, 5)
    assert drawn.y_labels == ("6", "5", "4")
    assert drawn.x_labels == ("0.4", "0.5", "0.6")
    assert {x for x, _ in dots(drawn)} == set(range(20))


def test_labels_have_as_many_digits_as_tell_them_apart() -> None:
    assert plot([line(0.99991, 0.99993)], View(), 9, 4).y_labels == ("0.99993", "0.99992", "0.99991")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (-0.0, "0"), (0.0012, "0.0012"), (1.2e-5, "1.2e-5"), (12_000, "12k"), (1234, "1234"), (1230, "1230"),
     (12_345, "12.3k"), (0.5, "0.5"), (9999.6, "10k"), (2_500_000, "2.5M"), (1e15, "1e15"), (-3.14159, "-3.14"),
     (100, "100"), (math.inf, "inf"), (math.nan, "nan"), (1e9, "1G")],
)  # fmt: skip
def test_nice_numbers(value: float, shown: str) -> None:
    assert nice(value) == shown


@given(FINITE, st.integers(3, 9))
def test_nice_numbers_are_near(value: float, digits: int) -> None:
    shown = nice(value, digits)
    for letter, power in (("k", "e3"), ("M", "e6"), ("G", "e9")):
        shown = shown.replace(letter, power)
    if abs(value) < 1e308:
        assert math.isclose(float(shown), value, rel_tol=10.0 ** (1 - digits), abs_tol=5e-324)
    assert digits > 3 or len(shown) <= 10
