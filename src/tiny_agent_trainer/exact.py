"""Arithmetic that gives the same bits on every CPU.

Only operations IEEE 754 rounds correctly are used (add, subtract, multiply, divide, square root,
comparison, conversion), one array operation at a time and in a fixed order, so neither the width of
the vector unit nor a fused multiply-add can change a bit. Library calls whose order or accuracy is
free (`@`, `np.sum`, `np.exp`, …) are not used on floats.

Random numbers come from PCG64 (PCG XSL RR 128/64, O'Neill 2014) as numpy seeds it; only its raw
64-bit words are used, and turned into numbers here by shifts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

_F = np.float32
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
_LN2_HIGH = _F(0.693359375)
_LN2_LOW = _F(-2.12194440e-4)
_BLOCK = 1 << 17


def _polynomial(x: Floats, coefficients: tuple[float, ...]) -> Floats:
    """Horner's rule, highest power first; any shape."""
    value = np.full_like(x, _F(coefficients[0]))
    for coefficient in coefficients[1:]:
        value *= x
        value += _F(coefficient)
    return value


def exp(x: Floats) -> Floats:
    """e**x elementwise, any shape; inputs are held to [-87, 88], where the result is a normal number."""
    x = np.minimum(np.maximum(x, _F(-87.0)), _F(88.0))
    power = np.rint(x * _F(1.4426950408889634))
    rest = x - power * _LN2_HIGH
    rest -= power * _LN2_LOW
    value = _polynomial(rest, _EXP) * (rest * rest)
    value += rest
    value += _F(1.0)
    bits = (power.astype(np.int32) + np.int32(127)) << np.int32(23)
    return np.asarray(value * bits.view(np.float32), dtype=np.float32)


def log(x: Floats) -> Floats:
    """The natural logarithm elementwise, any shape; for positive normal numbers."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.int32)
    power = (bits >> np.int32(23)) - np.int32(126)
    half = ((bits & np.int32(0x007FFFFF)) | np.int32(0x3F000000)).view(np.float32)
    small = half < _F(0.70710678)
    exponent = (power - small.astype(np.int32)).astype(np.float32)
    rest = np.where(small, half + half, half) - _F(1.0)
    square = rest * rest
    value = _polynomial(rest, _LOG) * rest * square
    value += exponent * _LN2_LOW
    value -= square * _F(0.5)
    value = rest + value
    value += exponent * _LN2_HIGH
    return np.asarray(value, dtype=np.float32)


def tanh(x: Floats) -> Floats:
    """The hyperbolic tangent elementwise, any shape: a polynomial near zero, from `exp` elsewhere."""
    size = np.minimum(np.abs(x), _F(9.5))
    square = size * size
    near = _polynomial(square, _TANH) * square * x + x
    far = _F(1.0) - _F(2.0) / (exp(size + size) + _F(1.0))
    value = np.where(size < _F(0.625), near, np.where(x < _F(0.0), -far, far))
    return np.asarray(value, dtype=np.float32)


def fold(values: Floats, keep: int = 1) -> Floats:
    """Sum the first axis down to at most `keep` slices in place by a fixed tree of pairs; returns a view.

    `values` is (n, …) and is overwritten; the result is (m, …), m <= keep.
    """
    n = values.shape[0]
    while n > keep:
        half = n // 2
        values[:half] += values[n - half : n]
        n -= half
    return values[:n]


def fold_last(values: Floats, keep: int = 1) -> Floats:
    """As `fold`, over the last axis: (…, n) is overwritten, the result is (…, m), m <= keep."""
    n = values.shape[-1]
    while n > keep:
        half = n // 2
        values[..., :half] += values[..., n - half : n]
        n -= half
    return values[..., :n]


def total(values: Floats) -> Floats:
    """The sum over the last axis, (…, n) to (…), by the fixed tree; the input is left alone."""
    return fold_last(values.copy())[..., 0]


def mean(values: Floats) -> float:
    """The mean of a vector (n,), summed in float64 by the fixed tree."""
    wide: Doubles = values.astype(np.float64)
    n = wide.shape[0]
    while n > 1:
        half = n // 2
        wide[:half] += wide[n - half : n]
        n -= half
    return float(wide[0]) / len(values)


def matmul(a: Floats, b: Floats) -> Floats:
    """The product (n, k) × (k, m) to (n, m): outer products along k, summed by a tree in blocks.

    The size of a block follows from the shapes alone.
    """
    n, inner = a.shape
    m = b.shape[1]
    block = max(1, min(inner, _BLOCK // (n * m)))
    left = np.ascontiguousarray(a.T)[:, :, None]
    right = b[:, None, :]
    result = np.zeros((n, m), dtype=np.float32)
    for start in range(0, inner, block):
        result += fold(left[start : start + block] * right[start : start + block])[0]
    return result


def uniform(generator: np.random.PCG64, count: int) -> Floats:
    """`count` float32 numbers in [0, 1), each the top 24 bits of one raw word; shape (count,)."""
    raw = generator.random_raw(count)
    return (raw >> np.uint64(40)).astype(np.float32) * _F(2.0**-24)


def permutation(generator: np.random.PCG64, count: int) -> Integers:
    """A shuffled 0 … count-1, shape (count,): the stable order of `count` raw words."""
    order = np.argsort(generator.random_raw(count), kind="stable")
    return order.astype(np.int64)
