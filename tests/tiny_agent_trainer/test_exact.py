"""The arithmetic against the math module, and the trees against integers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tiny_agent_trainer import exact
from tiny_agent_trainer.exact import Floats


@pytest.mark.parametrize(
    ("ours", "theirs", "low", "high"),
    [
        (exact.exp, math.exp, -87.0, 88.0),
        (exact.exp, math.exp, -1e-3, 1e-3),
        (exact.log, math.log, 1e-30, 1e-3),
        (exact.log, math.log, 0.2, 5.0),
        (exact.log, math.log, 1.0, 1e30),
        (exact.tanh, math.tanh, -12.0, 12.0),
        (exact.tanh, math.tanh, -0.7, 0.7),
    ],
)
def test_functions_agree_with_math(
    ours: Callable[[Floats], Floats], theirs: Callable[[float], float], low: float, high: float
) -> None:
    points = np.linspace(low, high, 20_001).astype(np.float32)
    expected = np.array([theirs(float(x)) for x in points])
    error = np.abs(ours(points).astype(np.float64) - expected)
    assert float(np.max(error / np.maximum(np.abs(expected), 1e-30))) < 1e-6


def test_exp_and_log_at_the_edges() -> None:
    assert exact.exp(np.zeros(1, dtype=np.float32))[0] == 1.0
    assert exact.log(np.ones(1, dtype=np.float32))[0] == 0.0
    assert exact.exp(np.array([-1e9], dtype=np.float32))[0] < 1e-37


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 1857])
def test_the_trees_sum_everything_once(n: int) -> None:
    values = np.arange(1, n + 1, dtype=np.float32)
    expected = n * (n + 1) // 2
    assert exact.total(values) == expected
    assert exact.fold(values.copy())[0] == expected
    assert exact.mean(values) == expected / n


@pytest.mark.parametrize("shape", [(2, 3, 4), (10, 512, 32), (300, 7, 900)])
def test_matmul_of_small_integers_is_exact(shape: tuple[int, int, int]) -> None:
    n, k, m = shape
    a = (np.arange(n * k) % 7 - 3).reshape(n, k)
    b = (np.arange(k * m) % 5 - 2).reshape(k, m)
    result = exact.matmul(a.astype(np.float32), b.astype(np.float32))
    assert np.array_equal(result, (a @ b).astype(np.float32))


def test_the_generator_is_fixed() -> None:
    order = exact.permutation(np.random.PCG64(42), 1437)
    assert sorted(order.tolist()) == list(range(1437))
    values = exact.uniform(np.random.PCG64(42), 1000)
    assert 0.0 <= values.min() <= values.max() < 1.0
    assert values[0] == np.float32((int(np.random.PCG64(42).random_raw()) >> 40) / 2**24)
