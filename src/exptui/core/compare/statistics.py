"""What a few runs say: the mean with its interval, a difference with its interval, and a p where so few allow one.

After Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021): intervals instead
of single numbers, the percentile bootstrap, no run left out, and how often a run of the one is above one of the other.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, combinations, combinations_with_replacement
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXHAUSTIVE = 6  # runs up to which all n^n resamples count
RESAMPLES, ENTRIES = (
    100_000,
    10_000_000,
)  # beyond it; of more than a hundred runs fewer, for the memory's sake
SPLITS = 20_000  # ways to split two groups up to which all are looked at; beyond it so many are drawn
TAIL = 40  # one in so many is below a 95 % interval, one above
MEANINGFUL = 0.05  # the largest least p with which one is given
LARGE = 1e300
SEED = 2021
HALVINGS = 60


class Estimate(msgspec.Struct, frozen=True):
    """The mean of `n` runs with its 95 % interval: None for one run, and where a value is not finite."""

    n: int
    mean: float
    low: float | None = None
    high: float | None = None


class Contrast(msgspec.Struct, frozen=True):
    """Mean of the candidate less that of the baseline, with its 95 % interval where both have two runs.

    `p`: two-sided, of a permutation test; None where `least`, the smallest possible, tells nothing.
    `above`: the share of pairs of runs in which the candidate's value is the greater one, half of the equal ones.
    """

    delta: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    least: float = 1.0
    above: float | None = None


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of at least one value, with the percentile bootstrap's interval."""
    mean, n = _mean(values), len(values)
    if n < 2 or not _usable(values):
        return Estimate(n, mean)
    if n <= EXHAUSTIVE:
        means, weights = _means(values)
        return Estimate(
            n, mean, _lowest(means, weights), -_lowest([-one for one in reversed(means)], weights[::-1])
        )
    return Estimate(n, mean, *_ends(_drawn_means(values, SEED)))


def contrast(baseline: Sequence[float], candidate: Sequence[float]) -> Contrast:
    """How far a candidate's mean is from the baseline's; each has at least one value."""
    delta, sizes = _mean(candidate) - _mean(baseline), (len(baseline), len(candidate))
    if min(sizes) < 2 or not _usable((*baseline, *candidate)):
        return Contrast(delta)
    if max(sizes) <= EXHAUSTIVE:
        low, high = _lowest_difference(baseline, candidate), -_lowest_difference(candidate, baseline)
    else:
        drawn, theirs = _drawn_means(candidate, SEED), _drawn_means(baseline, SEED + 1)
        count = min(len(drawn), len(theirs))
        low, high = _ends(drawn[:count] - theirs[:count])
    least = least_p(*sizes)
    p = permutation_p(baseline, candidate) if least <= MEANINGFUL else None
    pairs = [(one > other) + (one == other) / 2 for one in candidate for other in baseline]
    return Contrast(delta, low, high, p, least, sum(pairs) / len(pairs))


def least_p(one: int, other: int) -> float:
    """The smallest p that a permutation of two groups of these sizes can come to."""
    return min(1.0, 2 / math.comb(one + other, one))


def permutation_p(baseline: Sequence[float], candidate: Sequence[float]) -> float:
    """Twice the share of splits of all values whose means are as far apart on the same side, or farther."""
    small, large = sorted((baseline, candidate), key=len)
    pooled, size = [*small, *large], len(small)
    # With the total fixed, the sum of the small part alone says how far apart the means are.
    found, slack = math.fsum(small), 1e-12 * max(map(abs, pooled)) * size
    if (splits := math.comb(len(pooled), size)) <= SPLITS:
        sums = [sum(part) for part in combinations(pooled, size)]
        below, above = sum(one <= found + slack for one in sums), sum(one >= found - slack for one in sums)
        return min(1.0, 2 * min(below, above) / splits)
    drawn = _splits(len(pooled), size) @ pooled
    below, above = (
        1 + (drawn <= found + slack).sum(),
        1 + (drawn >= found - slack).sum(),
    )  # and the one there is
    return min(1.0, 2 * int(min(below, above)) / (SPLITS + 1))


def _mean(values: Sequence[float]) -> float:
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)
    except ValueError:  # infinities of both signs
        return math.nan


def _usable(values: Iterable[float]) -> bool:
    """Whether all are finite, and no sum of them will not be."""
    return all(abs(value) < LARGE for value in values)


# All resamples


@lru_cache(maxsize=EXHAUSTIVE)
def _multisets(n: int) -> list[tuple[tuple[int, ...], int]]:
    """Every resample of n runs, as which runs it has, and in how many orders they come: n^n together."""

    def orders(chosen: Iterable[int]) -> int:
        return math.factorial(n) // math.prod(map(math.factorial, Counter(chosen).values()))

    return [(chosen, orders(chosen)) for chosen in combinations_with_replacement(range(n), n)]


def _means(values: Sequence[float]) -> tuple[list[float], list[int]]:
    """The means of all resamples in ascending order, and how often each comes."""
    pairs = sorted(
        (_mean([values[at] for at in chosen]), weight) for chosen, weight in _multisets(len(values))
    )
    return [mean for mean, _ in pairs], [weight for _, weight in pairs]


def _lowest(ascending: Sequence[float], weights: Sequence[int]) -> float:
    """The least value that, with all below it, has a TAIL of the weight."""
    total = sum(weights)
    sums = accumulate(weights)
    return next(value for value, below in zip(ascending, sums, strict=True) if below * TAIL >= total)


def _lowest_difference(baseline: Sequence[float], candidate: Sequence[float]) -> float:
    """The same of all differences of two resampled means, of which there are too many to sort: by halving."""
    means, weights = _means(candidate)
    below, others = [0, *accumulate(weights)], list(zip(*_means(baseline), strict=True))
    enough = below[-1] * sum(weight for _, weight in others)
    low, high = means[0] - others[-1][0], means[-1] - others[0][0]

    def reached(value: float) -> bool:
        return (
            TAIL * sum(weight * below[bisect_right(means, value + mean)] for mean, weight in others) >= enough
        )

    if reached(low):
        return low
    for _ in range(HALVINGS):
        middle = low + (high - low) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


# Drawn resamples; the stream of RandomState is promised not to change with a version of numpy


@lru_cache(maxsize=4)
def _resamples(n: int, seed: int) -> NDArray[np.float64]:
    """Resamples of n runs, as the share that each run has in them."""
    import numpy as np

    draws = min(RESAMPLES, ENTRIES // n)
    return np.random.RandomState(seed).multinomial(n, [1 / n] * n, size=draws) / n


@lru_cache(maxsize=2)
def _splits(n: int, size: int) -> NDArray[np.float64]:
    """Splits of n runs: 1 for each that is in the part of that size."""
    import numpy as np

    order = np.random.RandomState(SEED).random_sample((SPLITS, n)).argsort(axis=1).argsort(axis=1)
    return (order < size).astype(float)


def _drawn_means(values: Sequence[float], seed: int) -> NDArray[np.float64]:
    return _resamples(len(values), seed) @ values


def _ends(drawn: NDArray[np.float64]) -> tuple[float, float]:
    import numpy as np

    low, high = np.quantile(drawn, (1 / TAIL, 1 - 1 / TAIL))
    return float(low), float(high)
