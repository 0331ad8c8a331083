"""What a launcher is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from exptui.core.runs.run import RunRecord, RunView

if TYPE_CHECKING:
    from exptui.core.runs.launch import Places


class Start(NamedTuple):
    """A run that is to be started: its claimed directory and its record. `ticket` names it in the queue."""

    directory: Path
    record: RunRecord
    ticket: str


class Launcher(Protocol):
    """Starts runs and ends them. What came of them is in their directories: a launcher only adds what it alone knows."""

    def probe(self) -> str:
        """What it is, for `doctor`.

        Raises:
            RunError: it cannot be used.
        """

    def submit(self, starts: Sequence[Start], places: Places, /) -> None:
        """Write the queued records and have the runs started.

        Raises:
            RunError, StorageError: none was started.
        """

    def poll(self, views: Sequence[RunView], /) -> Mapping[str, str]:
        """Run id → what it knows of a run that its directory does not say."""

    def cancel(self, view: RunView, /) -> None:
        """Have a run end as a stop does; returns when it has ended, or when that is all that can be done now.

        Raises:
            RunError: it cannot be asked for.
        """

    def find(self, directory: Path, /) -> bool:
        """Find out whether a run whose launch was interrupted was started, and write that down; True when it was."""


def of(record: RunRecord) -> Launcher:
    """The launcher a run was given; the other one is not imported."""
    if record.launcher is not None:
        from exptui.core.launchers.slurm import Slurm

        return Slurm()
    from exptui.core.launchers.local import Local

    return Local()
