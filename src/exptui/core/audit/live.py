"""A re-run's chronicle beside the original's, while it is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from exptui.chronicle import Checkpoint, Chronicle, CycleRecord, Follower, Mismatch
from exptui.core.audit.compare import first_mismatch_so_far


class LiveComparison:
    """Compares what a directory's chronicle gains with what the baseline holds there.

    `cycles`: how many were equal. `bounded`: what comes behind the baseline's end does not count.
    """

    def __init__(self, baseline: Chronicle, *, bounded: bool = False) -> None:
        self.baseline, self.bounded = baseline, bounded
        self.cycles = self.marks = 0
        self.mismatch: Mismatch | None = None
        self._follower: Follower | None = None

    @property
    def total(self) -> int:
        """How many cycles the baseline has."""
        return len(self.baseline.records)

    @property
    def complete(self) -> bool:
        """Whether everything the baseline holds was there, and equal."""
        return (self.cycles, self.marks) == (self.total, len(self.baseline.checkpoints))

    def look(self, directory: Path) -> Mismatch | None:
        """The first mismatch so far; always of the same directory."""
        self._follower = self._follower or Follower(directory)
        if self.mismatch is None:
            records, marks = self._follower.read()
            if self.bounded:
                del records[self.total - self.cycles :]
                del marks[len(self.baseline.checkpoints) - self.marks :]
            if records or marks:
                self._compare(self._follower.metric_names, tuple(records), tuple(marks))
        return self.mismatch

    def _compare(
        self, names: tuple[str, ...], records: tuple[CycleRecord, ...], marks: tuple[Checkpoint, ...]
    ) -> None:
        ours = replace(
            self.baseline,
            records=self.baseline.records[self.cycles :],
            checkpoints=self.baseline.checkpoints[self.marks :],
        )
        theirs = replace(self.baseline, metric_names=names, records=records, checkpoints=marks)
        self.mismatch = first_mismatch_so_far(ours, theirs)
        if self.mismatch is None:
            self.cycles, self.marks = self.cycles + len(records), self.marks + len(marks)
