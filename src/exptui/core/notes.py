"""`experiments/notes.json`: the pinned baseline and a person's notes and tags. Covered by no digest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from exptui.core.files import Lock, pretty_json, read_json, storage_errors, write_atomic


class Notes(msgspec.Struct, kw_only=True):
    """`baseline` is a run id, empty for none; `notes` and `tags` are by run id."""

    schema: int = 1
    baseline: str = ""
    notes: dict[str, str] = {}
    tags: dict[str, tuple[str, ...]] = {}

    @property
    def said(self) -> dict[str, dict[str, str]]:
        """By run id what a filter can ask: `tag` under a key of each, and `note`."""
        found = {run_id: {f"{tag}.tag": tag for tag in tags} for run_id, tags in self.tags.items()}
        for run_id, text in self.notes.items():
            found.setdefault(run_id, {})["note"] = text
        return found


def load(root: Path) -> Notes:
    """The notes of a workspace; a missing file means none.

    Raises:
        CorruptError: notes.json cannot be read as one.
    """
    try:
        return read_json(root / "notes.json", Notes)
    except FileNotFoundError:
        return Notes()


@contextlib.contextmanager
def changing(root: Path) -> Iterator[Notes]:
    """The notes as they are, to be changed inside; they replace notes.json at the end. One at a time does so.

    Raises:
        CorruptError: notes.json cannot be read as one; nothing was replaced.
        StorageError: nothing was replaced.
    """
    with storage_errors("write notes.json"), Lock.take(root / ".notes.lock") or contextlib.nullcontext():
        now = load(root)
        yield now
        now.notes = {run_id: text for run_id, text in now.notes.items() if text}
        now.tags = {run_id: tags for run_id, tags in now.tags.items() if tags}
        write_atomic(root / "notes.json", pretty_json(now))
