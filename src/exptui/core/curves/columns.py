"""The series of one file as columns: metrics that always came together share their steps."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Mapping
from itertools import islice, pairwise
from operator import lt

from exptui.core.curves.series import Column, Series

FRESH = 1 << 16  # rows between two times of thinning out


class Group:
    """Metrics with the same steps. Rows come in any order; `settle` sorts them, and the last row of a step counts.

    What was handed out stays as it is: sorting makes new arrays, appending changes no row.
    """

    def __init__(self) -> None:
        self.steps: array[float] = array("d")
        self.columns: dict[str, Column] = {}
        self._settled = 0  # so many rows are in order
        self._least = math.inf  # of the steps behind them

    def add(self, steps: list[float], values: Mapping[str, list[float]]) -> None:
        """Append rows."""
        last = self.steps[-1] if self.steps else -math.inf
        in_order = self._settled == len(self.steps) and last < steps[0]
        if in_order and all(map(lt, steps, islice(steps, 1, None))):
            self._settled += len(steps)
        else:
            self._least = min(self._least, *steps)
        self.steps.fromlist(steps)
        for name, column in self.columns.items():
            column.extend(values[name])

    def settle(self) -> None:
        """Put the rows in order."""
        if self._settled == len(self.steps):
            return
        steps, start = self.steps, bisect_left(self.steps, self._least, 0, self._settled)
        order = sorted(range(start, len(steps)), key=steps.__getitem__)
        kept = [at for at, after in pairwise(order) if steps[at] != steps[after]]
        kept.append(order[-1])
        self.steps = steps[:start]
        self.steps.fromlist([steps[at] for at in kept])
        for name, column in self.columns.items():
            self.columns[name] = column.cut(start)
            self.columns[name].extend([column.values[at] for at in kept])
        self._settled, self._least = len(self.steps), math.inf

    def split(self, names: list[str]) -> Group:
        """Some of the metrics, from now on with steps of their own."""
        group = Group()
        group.steps, group._settled, group._least = self.steps[:], self._settled, self._least
        group.columns = {name: self.columns.pop(name) for name in names}
        return group

    @classmethod
    def settled(cls, steps: array[float], columns: dict[str, Column]) -> Group:
        """A group of rows that are in order."""
        group = cls()
        group.steps, group.columns, group._settled = steps, columns, len(steps)
        return group


class Columns:
    """All metrics of a file, in the order in which they appeared."""

    def __init__(self) -> None:
        self.home: dict[str, Group] = {}

    def add(self, steps: list[float], values: Mapping[str, list[float]]) -> None:
        """Append rows, each of which has all of these metrics."""
        groups: dict[int, tuple[Group, list[str]]] = {}
        fresh = Group()
        for name in values:
            if name not in self.home:
                self.home[name] = fresh
                fresh.columns[name] = Column()
            group = self.home[name]
            groups.setdefault(id(group), (group, []))[1].append(name)
        for group, names in groups.values():
            target = group
            if len(names) < len(group.columns):
                target = group.split(names)
                self.home |= dict.fromkeys(names, target)
            target.add(steps, values)

    def groups(self) -> list[Group]:
        """Every group once."""
        return list({id(group): group for group in self.home.values()}.values())

    def snapshot(self) -> dict[str, Series]:
        """The series as they are now, ready to be drawn."""
        found = self.series()
        for one in found.values():
            one.column.pyramid()
        return found

    def series(self) -> dict[str, Series]:
        """The same, for who draws nothing."""
        for group in self.groups():
            group.settle()
        return {
            name: Series(group.steps, group.columns[name], len(group.steps))
            for name, group in self.home.items()
        }


class Thinned(Columns):
    """Of all metrics so many points that their extremes are still to be seen: it stays small, however long they are."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most, self._fresh = most, 0

    def add(self, steps: list[float], values: Mapping[str, list[float]]) -> None:
        """Append rows, and thin out what there is now and then; a row that comes again later still counts."""
        super().add(steps, values)
        self._fresh += len(steps)
        if self._fresh >= FRESH:
            thin = {name: one.sampled(self._most) for name, one in self.series().items()}
            self.home, self._fresh = {}, 0
            for name, points in thin.items():
                super().add([step for step, _ in points], {name: [value for _, value in points]})

    def snapshot(self) -> dict[str, Series]:
        """As `series`: nobody draws these."""
        return self.series()
