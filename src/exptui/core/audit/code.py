"""Which code re-runs work from: that of the original, or that of now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from exptui.core.audit.original import Original
from exptui.core.errors import RunError
from exptui.core.files import storage_errors
from exptui.core.runs.launch import Places
from exptui.core.settings import TrainerSettings
from exptui.core.source import pack, snapshot
from exptui.core.source.snapshot import NAME, Captured


@dataclass(frozen=True)
class Code:
    """What re-runs work from; `source` is its tar, `words` say what it is."""

    captured: Captured | None
    source: Path
    words: str

    def at(self, results: Path, ticket: str) -> Captured | None:
        """As the run of that ticket will find it."""
        return self.captured and replace(self.captured, tree=snapshot.tree(results, ticket))

    def put(self, directory: Path) -> None:
        """Into the directory of a re-run.

        Raises:
            StorageError: the disk said no.
        """
        if self.captured and not (directory / NAME).exists():
            with storage_errors("put the code into the re-run's directory"):
                snapshot.share(self.source, directory / NAME)


def choose(original: Original, wanted: str, trainer: TrainerSettings, places: Places, folder: Path) -> Code:
    """The code that was captured with the original, unless that of now is wanted; `folder` is made for it then.

    Raises:
        ExptuiError: there is none that could be used.
    """
    known, source = original.snapshot, original.directory / NAME
    if known and wanted != "current":
        recorded = tuple((original.recipe or {}).get("code", ()))
        listed = tuple(entry for entry in recorded if not Path(entry).is_absolute())
        if listed != recorded:  # what lies outside of the project lies elsewhere on another machine
            listed += tuple(entry for entry in trainer.code if Path(entry).is_absolute())
        files = frozenset(pack.paths(source))
        return Code(
            Captured(known, files, folder, listed), source, f"as it was captured ({known.digest[:12]})"
        )
    if wanted == "archived":
        raise RunError(
            "the original has no snapshot of its code", "Set snapshot = true in exptui.toml for the next one."
        )
    if not trainer.snapshot:
        return Code(None, source, "of now, in the project" if known else "")
    with storage_errors("capture the code"):
        folder.mkdir()
    now = snapshot.capture(places.project, places.results, trainer.snapshot, trainer.code, folder, folder)
    return Code(now, folder / NAME, f"of now ({now.snapshot.digest[:12]})")
