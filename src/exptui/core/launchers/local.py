"""This machine: each run has a supervisor that waits for a slot; locks tell of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exptui.core.launchers.protocol import Start
from exptui.core.runs.run import RunView

if TYPE_CHECKING:
    from exptui.core.runs.launch import Places


class Local:
    """The launcher of a run whose record names none."""

    def probe(self) -> str:
        """It is always there."""
        return "this machine"

    def submit(self, starts: Sequence[Start], places: Places) -> None:
        """A supervisor each."""
        from exptui.core.runs.launch import start_supervisor

        for start in starts:
            start_supervisor(start.directory, start.record, places, start.ticket)

    def poll(self, _: Sequence[RunView], /) -> Mapping[str, str]:
        """The locks say all there is."""
        return {}

    def cancel(self, view: RunView) -> None:
        """Through its supervisor, or process by process where that is gone."""
        from exptui.core.runs import stop

        stop.end(view.path)

    def find(self, _: Path, /) -> bool:
        """Never needed: the supervisor holds its lock before run.json exists."""
        return False
