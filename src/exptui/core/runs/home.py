"""Where the code of a run is while it works: the project itself, or a snapshot of it that is the run's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from exptui.core.runs import environment
from exptui.core.runs.run import RunRecord


class Home:
    """The project itself: it is there, and stays."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def enter(self) -> None:
        """Make it ready, before anything of the run is started."""

    def environ(self, given: Mapping[str, str]) -> dict[str, str]:
        """The environment of what works in it."""
        return dict(given)

    def patch(self, seen: Mapping[str, object]) -> bytes:
        """What is uncommitted in it now, for a fingerprint that was just taken."""
        return environment.code_patch(self.path, seen)

    def begin(self) -> None:
        """The trainer is about to be started."""

    def leave(self) -> None:
        """The trainer has ended."""


def of(record: RunRecord, project: Path, directory: Path, scratch: Path) -> Home:
    """Where a run works; all that takes is imported now."""
    if record.recipe.snapshot is None:
        return Home(project)
    from exptui.core.source.working import Own

    return Own(record.recipe.snapshot, directory, scratch)
