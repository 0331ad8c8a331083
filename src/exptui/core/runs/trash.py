"""The trash of `results/`: a removed run can be taken back until the trash is emptied by hand."""

from __future__ import annotations

import os
from pathlib import Path

from exptui.core.errors import RunError, UsageError
from exptui.core.files import fsync_dir, rename, storage_errors

TRASH = ".trash"


def put(run_dir: Path) -> Path:
    """Move a run into `results/.trash/`; returns where it is."""
    folder = run_dir.parent / TRASH
    with storage_errors("move the run to the trash"):
        folder.mkdir(exist_ok=True)
        place, number = folder / run_dir.name, 1
        while os.path.lexists(place):
            number += 1
            place = folder / f"{run_dir.name}.{number}"
        rename(run_dir, place)
        os.utime(place)  # the order of removal, for undo
        fsync_dir(folder)
        fsync_dir(run_dir.parent)
    return place


def take_back(results: Path, name: str = "") -> Path:
    """Move a run out of the trash again: the one of that name, else the one removed last.

    Raises:
        UsageError: there is none.
        RunError: a run of that name exists again.
    """
    folder = results / TRASH
    found = [p for p in folder.iterdir() if name in ("", p.name)] if folder.is_dir() else []
    if not found:
        raise UsageError(
            f"nothing{f' named {name}' if name else ''} is in {folder}",
            "exptui rm RUN puts runs there; nothing was removed since it was emptied.",
        )
    last = max(found, key=lambda path: path.stat().st_mtime_ns)
    back = results / last.name
    if os.path.lexists(back):
        raise RunError(f"{back} exists again", "Move one of the two away.")
    with storage_errors("take the run back"):
        rename(last, back)
        fsync_dir(results)
    return back
