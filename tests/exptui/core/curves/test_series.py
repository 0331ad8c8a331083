"""What the pyramid says is what the values say, however it grew."""

from __future__ import annotations

import math
import random
from array import array
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core.curves import columns
from exptui.core.curves.columns import Columns, Thinned
from exptui.core.curves.series import BUCKET, FACTOR, Column, Kind, Series

ANY = st.floats() | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1.5e308, -1.0])


def repeated(values: list[float], count: int) -> list[float]:
    chosen = random.Random(len(values))
    return [chosen.choice(values) for _ in range(count)]


@given(st.lists(ANY, min_size=1, max_size=6), st.lists(st.integers(0, 900), min_size=1, max_size=4))
def test_every_level_agrees_with_the_values(some: list[float], lengths: list[int]) -> None:
    column = Column()
    for length in lengths:
        column.extend(repeated(some, length))
        column.pyramid()
        column.level(Kind.MEAN_POSITIVE, BUCKET)
    column = column.cut(max(0, len(column.values) - 3))
    values = list(column.values)
    assert list(column.holes) == [at for at, value in enumerate(values) if not math.isfinite(value)]
    for kind in Kind:
        for depth in range(3):
            size = BUCKET * FACTOR**depth
            level = column.level(kind, size)
            assert len(level) == len(values) // size
            for at, found in enumerate(level):
                part = [v for v in values[at * size : (at + 1) * size] if math.isfinite(v)]
                part = [v for v in part if v > 0] if kind.positive else part
                if not part:
                    assert repr(found) == repr(kind.empty)
                elif kind in (Kind.MEAN, Kind.MEAN_POSITIVE):
                    assert min(part) - 1e-9 * abs(min(part)) <= found <= max(part) + 1e-9 * abs(max(part))
                else:
                    assert found == kind.reduce(part)


def test_a_mean_is_that_of_all_values() -> None:
    values = [math.sin(at) + 1 for at in range(BUCKET * FACTOR)]
    (mean,) = Column(values).level(Kind.MEAN, BUCKET * FACTOR)
    assert mean == pytest.approx(math.fsum(values) / len(values))


@given(st.lists(st.tuples(st.floats(), st.floats())), st.floats(allow_nan=False))
def test_a_series_is_in_order_whatever_it_is_made_of(points: list[tuple[float, float]], step: float) -> None:
    series = Series.of(points)
    kept = sorted((p for p in points if math.isfinite(p[0])), key=lambda p: p[0])
    assert repr(list(series)) == repr(kept)
    assert series.lost == len(points) - len(kept)
    assert series.not_finite == sum(not math.isfinite(y) for _, y in kept)
    earlier = [y for x, y in kept if x <= step]
    assert repr(series.before(step)) == repr(earlier[-1] if earlier else None)
    assert [x for x, _ in kept if -1 <= x <= step] == [series[at][0] for at in series.between(-1, step)]
    assert series == Series.of(points)
    assert series != Series.of([*points, (0.0, 0.0)])
    assert not kept or repr(series[-1]) == repr(kept[-1])
    with pytest.raises(IndexError):
        series[len(kept)]


@given(st.lists(ANY, min_size=1, max_size=5), st.integers(1, 3000))
def test_samples_keep_the_extremes_the_ends_and_a_sign_of_what_is_no_number(
    some: list[float], count: int
) -> None:
    values = repeated(some, count)
    kept = Series.of(enumerate(values)).sampled(100)
    assert len(kept) <= 152
    assert all(a < b for (a, _), (b, _) in pairwise(kept))
    assert all(repr(values[int(x)]) == repr(y) for x, y in kept)
    assert {0, count - 1} <= {x for x, _ in kept}
    numbers = [value for value in values if not math.isnan(value)]
    if numbers:
        assert {min(numbers), max(numbers)} <= {y for _, y in kept}
    assert any(math.isnan(y) for _, y in kept) == any(map(math.isnan, values))


def test_so_many_are_not_above_zero() -> None:
    values = [*repeated([1.0, -1.0, 0.0, math.nan, -math.inf, math.inf], 5000), *[1.0] * 5000]
    column = Column(values)
    expected = [sum(math.isfinite(v) and v <= 0 for v in values[:count]) for count in (0, 7, 5000, 9000, 3)]
    assert [column.skipped(count) for count in (0, 7, 5000, 9000, 3)] == expected


def test_a_series_is_the_length_it_was() -> None:
    column, steps = Column([1.0, 2.0]), array("d", [0.0, 1.0])
    series = Series(steps, column, 2)
    column.extend([math.nan])
    steps.append(2.0)
    assert (list(series), series.not_finite, len(series.between(-9, 9))) == ([(0, 1), (1, 2)], 0, 2)
    assert Series(steps, column, 2) == series != Series(steps, column, 3)


@given(st.integers(0, 2), st.lists(st.tuples(st.integers(0, 40), ANY), min_size=1, max_size=400))
def test_what_is_thinned_out_keeps_extremes_ends_and_the_last_row_of_a_step(
    less: int, rows: list[tuple[int, float]]
) -> None:
    exact, thin = Columns(), Thinned(8)
    with mock.patch.object(columns, "FRESH", 10 + less):
        for at in range(0, len(rows), 7):
            part = rows[at : at + 7]
            for sink in (exact, thin):
                sink.add(
                    [float(x) for x, _ in part], {"a": [y for _, y in part], "b": [float(x) for x, _ in part]}
                )
    for name, whole in exact.series().items():
        kept, points = thin.snapshot()[name], list(map(repr, whole))
        assert {repr(whole[0]), repr(whole[-1])} <= set(map(repr, kept))
        assert [x for x, _ in kept] == sorted({x for x, _ in kept})
        assert all(repr(one) in points for one in kept)


def test_what_is_thinned_out_stays_small_and_shows_every_spike() -> None:
    thin = Thinned(100)
    for start in range(0, 1 << 18, 1 << 12):
        values = [1e9 if at == 77_777 else float(at % 10) for at in range(start, start + (1 << 12))]
        thin.add([float(at) for at in range(start, start + (1 << 12))], {"a": values})
    kept = thin.snapshot()["a"]
    assert len(kept) < columns.FRESH + 200
    assert (77_777.0, 1e9) in list(kept)
    assert kept[-1][0] == (1 << 18) - 1
