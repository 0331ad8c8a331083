"""Two files of tensors: the same ones, the same but for numbers within a tolerance, or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from exptui.core.tensors import find
from exptui.core.tensors.contents import Contents, Tensor
from exptui.core.tolerance import Bound, bound_for

NAMED = 3


class Found(NamedTuple):
    """What came of it. `differs`: where, empty where nothing does; `delta`: the largest within a tolerance, and whose.

    `said`: what was compared, and what was not.
    """

    differs: str
    said: str
    delta: float | None = None
    largest: str = ""


def compare(left: Path, right: Path, bounds: Mapping[str, Bound]) -> Found:
    """Compare the tensors by name: type, shape, and every byte, or every number where one has a tolerance.

    Raises:
        NotRead: one of them cannot be read as tensors.
    """
    ours, theirs = find.read(left), find.read(right)
    bad = [*_kinds(ours, theirs)]
    delta, largest = None, ""
    for name in () if bad else ours.tensors:
        far = _apart(ours.tensors[name], theirs.tensors[name], bound_for(name, bounds))
        if far is None:
            bad.append(f"{name} differs")
        elif far >= 0 and (delta is None or far > delta):
            delta, largest = far, name
    more = f", and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    return Found(", ".join(bad[:NAMED]) + more, _said(ours, theirs), delta, largest)


def _kinds(ours: Contents, theirs: Contents) -> Iterator[str]:
    """Where they do not hold the same names, types and shapes."""
    if ours.format != theirs.format:
        yield f"{ours.format} → {theirs.format}"
        return
    for name in sorted(ours.tensors.keys() | theirs.tensors.keys()):
        one, two = ours.tensors.get(name), theirs.tensors.get(name)
        if one is None or two is None:
            yield f"{name} is {'new' if one is None else 'gone'}"
        elif one.kind != two.kind:
            yield f"{name} {one.kind} → {two.kind}"


def _apart(ours: Tensor, theirs: Tensor, bound: Bound | None) -> float | None:
    """How far two tensors are apart; below 0 where every byte is the same, None where they do not agree."""
    far = -1.0
    if ours.size != theirs.size:
        return None
    for one, two in zip(ours.blocks(), theirs.blocks(), strict=True):
        if one != two:
            found = _block(one, two, ours.floats, bound) if bound and ours.floats else None
            if found is None:
                return None
            far = max(far, found)
    return far


def _block(one: bytes, two: bytes, floats: str, bound: Bound) -> float | None:
    """As `tolerance.apart` for every pair of numbers; the largest distance of them."""
    import numpy as np

    def numbers(data: bytes) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        if floats == "bfloat16":
            return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").astype(np.float64)
        return np.frombuffer(data, floats).astype(np.float64)

    ours, theirs = numbers(one), numbers(two)
    with np.errstate(all="ignore"):
        distance = np.abs(ours - theirs)
        distance[(ours == theirs) | (np.isnan(ours) & np.isnan(theirs))] = 0.0
        within = (distance <= np.maximum(bound.abs, bound.rel * np.abs(ours))) & (distance < np.inf)
    return float(distance.max()) if bool((within | (distance == 0.0)).all()) else None


def _said(ours: Contents, theirs: Contents) -> str:
    """What was compared, and what was not: of that, what is known to differ."""
    names = sorted(
        name
        for name in ours.other.keys() | theirs.other.keys()
        if ours.other.get(name) != theirs.other.get(name)
    )
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    known = f" (they differ in {', '.join(names[:NAMED])}{more})" if names else ""
    count = len(ours.tensors)
    return (
        f"compared by tensor content, {count:,} tensor{'s' if count > 1 else ''}; "
        f"{ours.metadata:,} bytes of metadata not compared{known}"
    )
