"""The trash of `results/`: a removed run can be taken back until the trash is emptied."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from exptui.core.errors import RunError, UsageError
from exptui.core.files import fsync_dir, rename, storage_errors

TRASH = ".trash"
GOING = ".going"  # in the trash: what is being removed for good, and is nobody's to take back


class Trashed(msgspec.Struct, frozen=True):
    """A run in the trash; `removed` in seconds since the epoch."""

    run_id: str
    path: Path
    removed: float


def put(run_dir: Path) -> Path:
    """Move a run into `results/.trash/`; returns where it is. One of the same name there gets a folder of its own."""
    trash = run_dir.parent / TRASH
    with storage_errors("move the run to the trash"):
        folder, number = trash, 1
        while os.path.lexists(folder / run_dir.name):
            number += 1
            folder = trash / f".{number}"
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(run_dir)  # when it was removed, from before it is
        rename(run_dir, folder / run_dir.name)
        for above in dict.fromkeys((folder, folder.parent, run_dir.parent)):
            fsync_dir(above)
    return folder / run_dir.name


def listed(results: Path) -> list[Trashed]:
    """What is in the trash, what was removed last at the end."""
    trash, found = results / TRASH, list[Trashed]()
    with storage_errors("look into the trash"):
        folders = [
            trash,
            *(trash / name for name in _names(trash) if name[0] == "." and name[1:].isdecimal()),
        ]
        for folder in folders:
            for name in _names(folder):
                path = folder / name
                with contextlib.suppress(FileNotFoundError):  # taken back meanwhile
                    if name[0] != ".":
                        found.append(Trashed(name, path, path.lstat().st_mtime))
    return sorted(found, key=lambda one: one.removed)


def take_back(results: Path, name: str = "") -> Path:
    """Move a run out of the trash again: the one of that name, else the one removed last.

    Raises:
        UsageError: there is none.
        RunError: a run of that name exists again.
    """
    found = [one for one in listed(results) if name in ("", one.run_id)]
    if not found:
        raise UsageError(
            f"nothing{f' named {name}' if name else ''} is in {results / TRASH}",
            "What is there: exptui rm --list. Runs get there with: exptui rm RUN",
        )
    last = found[-1]
    back = results / last.run_id
    if os.path.lexists(back):
        raise RunError(f"{back} exists again", "Move one of the two away.")
    with storage_errors("take the run back"):
        rename(last.path, back)
        fsync_dir(results)
    return back


def empty(results: Path, chosen: Sequence[Trashed]) -> Iterator[Trashed]:
    """Remove these for good; yields each when it is gone. One that was taken back meanwhile is left alone."""
    going = results / TRASH / GOING
    for one in chosen:
        with storage_errors("empty the trash"):
            going.mkdir(exist_ok=True)
            try:
                # Out of the way by one rename: no half of it can be taken back.
                one.path.rename(going / os.urandom(8).hex())
            except FileNotFoundError:
                continue
            fsync_dir(going)
            _clear(going)
        yield one


def recover(results: Path) -> list[str]:
    """Go on with removing what a killed command left half-way; a message where there was something."""
    going = results / TRASH / GOING
    if not _names(going):
        return []
    with storage_errors("empty the trash"):
        _clear(going)
    return ["finished emptying the trash"]


def _clear(going: Path) -> None:
    for name in _names(going):
        path = going / name
        with contextlib.suppress(FileNotFoundError):  # somebody else is at it
            if path.is_symlink() or not path.is_dir():
                path.unlink()
            else:
                shutil.rmtree(path)


def _names(folder: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(os.listdir(folder))  # noqa: PTH208
    return []
