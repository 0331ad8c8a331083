"""`experiments/notes.json`: the pinned baseline and a person's notes. Covered by no digest."""

from __future__ import annotations

from pathlib import Path

import msgspec

from exptui.core.files import pretty_json, read_json, storage_errors, write_atomic


class Notes(msgspec.Struct, frozen=True, kw_only=True):
    """`baseline` is a run id, empty for none; `notes` and `tags` are by run id."""

    schema: int = 1
    baseline: str = ""
    notes: dict[str, str] = {}
    tags: dict[str, tuple[str, ...]] = {}


def load(root: Path) -> Notes:
    """The notes of a workspace; a missing file means none.

    Raises:
        CorruptError: notes.json cannot be read as one.
    """
    try:
        return read_json(root / "notes.json", Notes)
    except FileNotFoundError:
        return Notes()


def save(root: Path, notes: Notes) -> None:
    """Replace notes.json.

    Raises:
        StorageError: nothing was replaced.
    """
    with storage_errors("write notes.json"):
        write_atomic(root / "notes.json", pretty_json(notes))
