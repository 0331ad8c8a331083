"""One metric over its steps, as columns that only grow at their end; and what stretches of it come to."""

from __future__ import annotations

import math
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum

BUCKET, FACTOR = 32, 4  # values in a bucket of the lowest level; buckets in one of the next
PIECE = 1 << 12  # values summed up at a time, a multiple of BUCKET: other threads get their turn
SMALL = 1 << 12


def _mean(values: Sequence[float]) -> float:
    count = len(values)
    if math.isfinite(total := sum(values)):
        return total / count
    finite = [value for value in values if not math.isnan(value)]
    return sum(value / len(finite) for value in finite) if finite else math.nan


class Kind(Enum):
    """What is known of a bucket: a reduction, what an empty one comes to, and whether only values above 0 count."""

    LOW = (min, math.inf, False)
    HIGH = (max, -math.inf, False)
    MEAN = (_mean, math.nan, False)
    LOW_POSITIVE = (min, math.inf, True)
    MEAN_POSITIVE = (_mean, math.nan, True)

    def __init__(self, reduce: Callable[[Sequence[float]], float], empty: float, positive: bool) -> None:
        self.reduce, self.empty, self.positive = reduce, empty, positive


class Column:
    """The values of one metric, where they are not finite, and their pyramid. Shared by threads: append only."""

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.values: array[float] = array("d")
        self.holes: array[int] = array("q")  # where values are not finite
        self._levels: dict[Kind, list[array[float]]] = {}
        self._skipped = (0, 0)  # so many of the first are not above zero
        self._lock = threading.RLock()
        self.extend(list(values))

    def extend(self, values: list[float]) -> None:
        """Append values."""
        start = len(self.values)
        if not math.isfinite(sum(values)):  # also where a sum is too large: then none is found
            self.holes.extend(start + at for at, value in enumerate(values) if not math.isfinite(value))
        self.values.fromlist(values)

    def whole(self, start: int, end: int) -> bool:
        """Whether all values of a stretch are finite."""
        at = bisect_left(self.holes, start)
        return at == len(self.holes) or self.holes[at] >= end

    def usable(self, start: int, end: int, *, positive: bool) -> Sequence[float]:
        """The finite values of a stretch; only those above 0 where a logarithm is to be taken."""
        values: Sequence[float] = self.values[start:end]
        if not self.whole(start, end):
            values = [value for value in values if math.isfinite(value)]
        if positive and values and min(values) <= 0:
            values = [value for value in values if value > 0]
        return values

    def level(self, kind: Kind, size: int) -> array[float]:
        """What each full bucket of `size` values comes to, up to the present end."""
        with self._lock:
            levels = self._levels.setdefault(kind, [array("d")])
            self._extend_lowest(kind, levels[0])
            at = 0
            while BUCKET * FACTOR**at < size:
                at += 1
                if at == len(levels):
                    levels.append(array("d"))
                below, level = levels[at - 1], levels[at]
                for start in range(len(level) * FACTOR, len(below) - FACTOR + 1, FACTOR):
                    level.append(kind.reduce(below[start : start + FACTOR]))
            return levels[at]

    def _extend_lowest(self, kind: Kind, level: array[float]) -> None:
        reduce, values, end = kind.reduce, self.values, len(self.values) // BUCKET * BUCKET
        for start in range(len(level) * BUCKET, end, PIECE):
            stop = min(start + PIECE, end)
            if self.whole(start, stop) and not (kind.positive and min(values[start:stop]) <= 0):
                level.extend([reduce(values[at : at + BUCKET]) for at in range(start, stop, BUCKET)])
                continue
            for at in range(start, stop, BUCKET):
                found = self.usable(at, at + BUCKET, positive=kind.positive)
                level.append(reduce(found) if found else kind.empty)

    def skipped(self, count: int) -> int:
        """How many of the first `count` values are finite and not above zero."""
        with self._lock:
            seen, found = self._skipped if self._skipped[0] <= count else (0, 0)
            for start in range(seen, count, PIECE):
                values = self.values[start : min(start + PIECE, count)]
                if not min(values) > 0 or not self.whole(start, start + PIECE):
                    found += sum(value <= 0 and value > -math.inf for value in values)
            self._skipped = (count, found)
            return found

    def cut(self, count: int) -> Column:
        """A column of the first values, with the pyramid they have."""
        column = Column()
        with self._lock:
            column.values, column.holes = self.values[:count], self.holes[: bisect_left(self.holes, count)]
            for kind, levels in self._levels.items():
                column._levels[kind] = [
                    level[: count // (BUCKET * FACTOR**at)] for at, level in enumerate(levels)
                ]
        return column

    def pyramid(self) -> dict[Kind, list[array[float]]]:
        """Least and greatest, on all levels there are: what is kept beside the values."""
        size = BUCKET
        while size * FACTOR <= len(self.values):
            size *= FACTOR
        for kind in (Kind.LOW, Kind.HIGH):
            self.level(kind, size)
        return {kind: self._levels[kind] for kind in (Kind.LOW, Kind.HIGH)}

    @classmethod
    def kept(cls, values: array[float], holes: array[int], levels: dict[Kind, list[array[float]]]) -> Column:
        """A column that was kept, with what its `pyramid` was."""
        column = cls()
        column.values, column.holes, column._levels = values, holes, levels
        return column


class Series:
    """A metric over its steps as it was at one moment: the first `count` rows of columns that only grow.

    Steps ascend and are finite; a value may be anything. `lost` counts points that had no finite step.
    """

    __slots__ = ("column", "count", "lost", "steps")

    def __init__(self, steps: array[float], column: Column, count: int, lost: int = 0) -> None:
        self.steps, self.column, self.count, self.lost = steps, column, count, lost

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]]) -> Series:
        """A series of points in any order."""
        given = list(points)
        kept = [point for point in given if math.isfinite(point[0])]
        kept.sort(key=lambda point: point[0])
        column = Column([float(y) for _, y in kept])
        return cls(array("d", [x for x, _ in kept]), column, len(kept), len(given) - len(kept))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return zip(self.steps[: self.count], self.column.values[: self.count], strict=True)

    def __getitem__(self, at: int) -> tuple[float, float]:
        at += self.count if at < 0 else 0
        if not 0 <= at < self.count:
            raise IndexError(at)
        return self.steps[at], self.column.values[at]

    def __eq__(self, other: object) -> bool:
        """Whether they show the same. NaN is itself here; long ones are the same only as the same columns."""
        if not isinstance(other, Series) or (self.count, self.lost) != (other.count, other.lost):
            return False
        if self.steps is other.steps and self.column is other.column:
            return True
        return self.count <= SMALL and self._bytes() == other._bytes()

    __hash__ = None  # type: ignore[assignment]  # equality looks at columns that may be long

    def __repr__(self) -> str:
        return f"Series({list(self)[:8]}{'…' if self.count > 8 else ''})"

    def _bytes(self) -> bytes:
        return self.steps[: self.count].tobytes() + self.column.values[: self.count].tobytes()

    def followed_by(self, other: Series) -> Series:
        """This one up to the first step of another, and then that."""
        start = bisect_left(self.steps, other.steps[0], 0, self.count) if other else self.count
        column, steps = self.column.cut(start), self.steps[:start]
        column.extend(other.column.values[: other.count].tolist())
        steps.extend(other.steps[: other.count])
        return Series(steps, column, len(steps), self.lost + other.lost)

    def before(self, step: float) -> float | None:
        """The value at a step, or the last one before it."""
        at = bisect_right(self.steps, step, 0, self.count)
        return self.column.values[at - 1] if at else None

    def between(self, first: float, final: float) -> range:
        """Which rows have a step from `first` to `final`."""
        return range(
            bisect_left(self.steps, first, 0, self.count), bisect_right(self.steps, final, 0, self.count)
        )

    @property
    def not_finite(self) -> int:
        """How many values are NaN or infinite."""
        return bisect_left(self.column.holes, self.count)

    def sampled(self, most: int) -> list[tuple[float, float]]:
        """At most about `most` points that still show the extremes: the least and greatest of each stretch.

        Where a stretch has values that are not finite, the first of them is kept too, whatever it is.
        """
        if self.count <= most:
            return list(self)
        values, size = self.column.values, 2 * self.count / most
        kept: set[int] = {0, self.count - 1}
        for number in range(most // 2):
            start, end = int(number * size), min(int((number + 1) * size), self.count)
            part: Sequence[float] = values[start:end]
            numbers = part
            if not self.column.whole(start, end):
                kept.add(self.column.holes[bisect_left(self.column.holes, start)])
                numbers = [value for value in part if not math.isnan(value)]
            if numbers:
                kept |= {start + part.index(min(numbers)), start + part.index(max(numbers))}
        return [self[at] for at in sorted(kept)]
