"""Writes tests/exptui/core/compare/scipy.json: what scipy says of small groups, for the test of our own statistics.

scipy is no dependency of exptui: run this with a Python of its own that has it.
    python3 -m venv /tmp/reference && /tmp/reference/bin/pip install scipy
    /tmp/reference/bin/python tools/statistics_reference.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

scipy: Any = import_module("scipy")
stats: Any = import_module("scipy.stats")

OUT = Path(__file__).parents[1] / "tests/exptui/core/compare/scipy.json"
SIZES = (2, 3, 4, 5, 6, 8, 10, 20)
PAIRS = ((2, 2), (3, 3), (3, 4), (4, 4), (4, 5), (5, 5), (6, 6), (5, 8), (8, 8), (10, 10), (6, 20))
RESAMPLES = 100_000


def difference(one: Any, other: Any, axis: int = -1) -> Any:
    """Mean of the second less mean of the first."""
    return np.mean(other, axis=axis) - np.mean(one, axis=axis)


def interval(samples: tuple[list[float], ...], statistic: Any) -> list[float]:
    """scipy's percentile bootstrap."""
    found = stats.bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(1),
        batch=10_000,
    )
    return [float(found.confidence_interval.low), float(found.confidence_interval.high)]


def main() -> None:
    """Losses, accuracies and skewed values, from one seeded generator."""
    rng = np.random.default_rng(7)
    kinds: dict[str, Callable[[int], Any]] = {
        "loss": lambda n: rng.normal(0.4, 0.05, n),
        "accuracy": lambda n: np.round(rng.beta(40, 8, n), 4),
        "skewed": lambda n: rng.lognormal(0, 1, n),
    }
    means, differences = [], []
    for kind, draw in kinds.items():
        for n in SIZES:
            values = draw(n).tolist()
            means.append({"kind": kind, "values": values, "interval": interval((values,), np.mean)})
        for one, other in PAIRS:
            baseline, candidate = draw(one).tolist(), (draw(other) * 1.05).tolist()
            test = stats.permutation_test(
                (baseline, candidate), difference, n_resamples=RESAMPLES, rng=np.random.default_rng(2)
            )
            differences.append(
                {
                    "kind": kind,
                    "baseline": baseline,
                    "candidate": candidate,
                    "interval": interval((baseline, candidate), difference),
                    "p": float(test.pvalue),
                }
            )
    made = f"tools/statistics_reference.py with scipy {scipy.__version__}, numpy {np.__version__}: {RESAMPLES} resamples"
    OUT.write_text(json.dumps({"made": made, "means": means, "differences": differences}, indent=1) + "\n")


if __name__ == "__main__":
    main()
