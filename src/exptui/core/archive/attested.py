"""Files that were of a run and are not kept: what they were is attested by their digest, and nothing calls them present.

In an archive they are `attested` in its manifest; in a run's directory a record of their own says the same, so that a
restored run, or one whose checkpoints were removed, is archived and verified like any other.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Literal

import msgspec

from exptui.core.archive import manifest as mf
from exptui.core.archive.manifest import RECORD, Attested, FileEntry
from exptui.core.errors import CorruptError, RunError
from exptui.core.files import fsync_dir, pretty_json, read_json, write_atomic


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file holds."""

    schema: Literal[1] = 1
    files: list[Attested]


def words(count: int) -> str:
    """How it is said of an archive."""
    return f"{count} {'file' if count == 1 else 'files'} attested by digest, not kept"


def entry(file: FileEntry) -> Attested:
    """The same file, as one that is not kept."""
    return Attested(path=file.path, size=file.size, sha256=file.sha256, file_class=file.file_class)


def read(run_dir: Path) -> list[Attested]:
    """What was of a run and is not there; a file that is there is present, whatever the record says.

    Raises:
        CorruptError: the record cannot be read as one.
        OSError: nor at all.
    """
    path = run_dir / RECORD
    try:
        files = read_json(path, Record).files
    except FileNotFoundError:
        return []
    if problem := mf.entries_problem(files) or mf.collisions([one.path for one in files]):
        raise CorruptError(f"{path}: {problem}", "The file is damaged or was written by something else.")
    return [one for one in files if not os.path.lexists(run_dir / one.path)]


def write(run_dir: Path, files: Iterable[Attested]) -> None:
    """Replace the record, durably."""
    write_atomic(run_dir / RECORD, pretty_json(Record(files=list(files))))


def remove(run_dir: Path, paths: Sequence[str], observational: Sequence[str] = ()) -> int:
    """Hash files of a run, record them as attested, and only then remove them; returns how many.

    Killed at any moment, each file is there, or in the record.

    Raises:
        RunError: one was written to meanwhile; it stays, with those behind it.
        OSError: so does what was not removed before.
    """
    before = {path: _stamp(run_dir / path) for path in paths}
    found = mf.hashed(run_dir, [(path, before[path][0]) for path in paths], observational)
    known = {one.path: one for one in (*read(run_dir), *map(entry, found))}
    write(run_dir, sorted(known.values(), key=lambda one: one.path.encode()))
    for path in paths:
        if _stamp(run_dir / path) != before[path]:
            raise RunError(f"{path} was written to meanwhile", "Look again: exptui prune")
        (run_dir / path).unlink()
    folders = {run_dir / above for path in paths for above in PurePath(path).parents}
    for folder in sorted(folders, reverse=True):  # the inner ones first
        fsync_dir(folder)
        if folder != run_dir:
            with contextlib.suppress(OSError):  # something else is in it
                folder.rmdir()
    return len(paths)


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_size, found.st_mtime_ns, found.st_ino
