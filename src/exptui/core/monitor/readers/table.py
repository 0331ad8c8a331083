"""Tables: Lightning's metrics.csv, progress.csv, results.csv, and the .tsv files of dvclive."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby

from exptui.core.monitor.readers.protocol import STEPS, Batch, Problems, Sink, Unit, batches, row_of


class Csv:
    """A table with a header; an empty cell is no value, and what is not a number is no metric."""

    unit, comma = Unit.LINES, ","

    @staticmethod
    def probe(head: bytes) -> bool:
        """Whether the first line names a step and something else."""
        names = [name.strip(' "\r') for name in head.partition(b"\n")[0].decode(errors="replace").split(",")]
        return len(names) > 1 and any(name in STEPS for name in names)

    def __init__(self, file: str) -> None:
        self.problems, self.lines, self.header = Problems(file), 0, list[str]()

    def read(self, block: bytes, sink: Sink) -> int:
        """Decode lines; a cell cannot hold a line break."""
        lines = block.decode(errors="replace").removeprefix("\ufeff").split("\n")[:-1]
        rows = [row for row in self._rows(lines) if self._fits(*row)]
        self.lines += len(lines)
        for _, run in groupby(rows, lambda row: tuple(map(bool, row[1]))):
            members = list(run)
            batch = self._at_once(members)
            for steps, values in [batch] if batch else self._one_by_one(members):
                if values:
                    sink.add(steps, values)
        return len(block)

    def is_whole(self, line: bytes) -> bool:  # noqa: ARG002  the protocol's
        """A number may always have another digit."""
        return False

    def _rows(self, lines: Sequence[str]) -> Iterable[tuple[int, list[str]]]:
        import csv

        for number, line in enumerate(lines, self.lines + 1):
            if not line.strip():
                continue
            plain = line.rstrip("\r")
            if '"' not in plain:
                yield number, plain.split(self.comma)
                continue
            try:
                yield number, next(csv.reader([plain], delimiter=self.comma, strict=True))
            except csv.Error as error:
                self.problems.add(number, f"is not CSV: {error}")

    def _fits(self, number: int, cells: list[str]) -> bool:
        """Whether it is a row of the table: neither the header nor of another width."""
        if not self.header:
            self.header = [cell.strip() for cell in cells]
            return False
        if len(cells) != len(self.header):
            self.problems.add(number, f"has {len(cells)} cells, not {len(self.header)}")
        return len(cells) == len(self.header)

    def _at_once(self, rows: Sequence[tuple[int, list[str]]]) -> Batch | None:
        """Rows with the same cells filled as columns; None where not every column is all numbers or all text."""
        found: dict[str, list[float]] = {}
        for name, cells in zip(self.header, zip(*(cells for _, cells in rows), strict=True), strict=True):
            try:
                found |= {name: list(map(float, cells))} if cells[0] else {}
            except ValueError:
                if any(_number(cell) is not None for cell in cells):
                    return None
        step = next((name for name in STEPS if name in found), "")
        if not math.isfinite(sum(found.get(step, ()))):
            return None
        steps = found[step] if step else [float(number - 1) for number, _ in rows]
        return steps, {name: values for name, values in found.items() if name not in STEPS}

    def _one_by_one(self, rows: Sequence[tuple[int, list[str]]]) -> Iterable[Batch]:
        pairs = [(number - 1, zip(self.header, map(_number, cells), strict=True)) for number, cells in rows]
        return batches([row_of({n: v for n, v in row if v is not None}, number) for number, row in pairs])


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


class Tsv(Csv):
    """The same with tabs."""

    comma = "\t"
