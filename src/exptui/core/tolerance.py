"""How far numbers may be apart and still agree: declared in the settings and frozen with a run, never chosen afterwards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal, Protocol

import msgspec

from exptui.core.errors import UsageError

EXAMPLE = "For example: abs=1e-6, loss:rel=1e-4, or 'eval*:abs=0.01,rel=1e-3'."
Number = int | float


class Bound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two numbers agree where |Δ| ≤ max(abs, rel × |the original's|)."""

    abs: float = 0.0
    rel: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError for what bounds nothing."""
        if not (0 <= self.abs < math.inf and 0 <= self.rel < 1):
            raise ValueError("a tolerance is abs ≥ 0 and finite, 0 ≤ rel < 1")


class Tolerances(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By the names of metrics and of tensors, or patterns of them."""

    metrics: dict[str, Bound] = {}
    tensors: dict[str, Bound] = {}


class Declared(Protocol):
    """What a recipe, or a trainer's settings, say of how its files are compared."""

    @property
    def volatile(self) -> Mapping[str, tuple[str, ...]]:
        """File → fields that are left out."""

    @property
    def tensors(self) -> tuple[str, ...]:
        """Files that are compared by the tensors they hold, where their bytes differ."""

    @property
    def tolerance(self) -> Tolerances:
        """How far numbers may be apart."""

    @property
    def compare(self) -> Literal["files", "metrics"]:
        """Whether all files count, or the metrics alone."""


def bound_for(name: str, bounds: Mapping[str, Bound]) -> Bound | None:
    """That of the name itself, else of the longest pattern it matches; None where there is none.

    The order in which they were written does not count: what was archived is sorted.
    """
    if name in bounds:
        return bounds[name]
    found = [pattern for pattern in bounds if fnmatchcase(name, pattern)]
    return bounds[max(found, key=lambda pattern: (len(pattern), pattern))] if found else None


def apart(ours: Number, theirs: Number, bound: Bound | None) -> float | None:
    """How far two numbers are apart when they agree; None where they do not.

    NaN agrees with NaN, an infinity with itself, and neither with anything else. Without a bound only the same number
    agrees, and -0.0 is not 0.0; within one it is. Numbers that are too large to be subtracted do not agree.
    """
    if ours != ours or theirs != theirs:
        return 0.0 if ours != ours and theirs != theirs else None
    if ours == theirs:
        same_sign = math.copysign(1, ours) == math.copysign(1, theirs) if ours == 0 else True
        return 0.0 if bound is not None or same_sign else None
    try:
        distance = float(abs(ours - theirs))
        within = (
            bound is not None and distance <= max(bound.abs, bound.rel * abs(ours)) and distance < math.inf
        )
    except OverflowError:
        return None
    return distance if within else None


def parse(text: str) -> tuple[str, Bound]:
    """`NAME:abs=X,rel=Y` of a command line; without a name it is of all.

    Raises:
        UsageError: it is none.
    """
    name, _, numbers = text.rpartition(":")
    try:
        pairs = [part.split("=") for part in numbers.split(",")]
        values = {key.strip(): float(value) for key, value in pairs}
        if len(values) < len(pairs):
            raise UsageError(f"no tolerance: {text!r} has a bound twice", EXAMPLE)
        return name or "*", Bound(**values)
    except (ValueError, TypeError) as error:
        raise UsageError(f"no tolerance: {text!r} ({error})", EXAMPLE) from error
