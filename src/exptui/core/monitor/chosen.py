"""The columns a person chose for the runs of a workspace: theirs, so not in the workspace, and not in a cache."""

from __future__ import annotations

from pathlib import Path

import msgspec

from exptui.core.errors import CorruptError
from exptui.core.files import pretty_json, read_json, storage_errors, write_atomic
from exptui.core.monitor import places


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """columns.json; None means those that differ."""

    columns: tuple[str, ...] | None = None


def _path(root: Path) -> Path:
    return places.state(root) / "columns.json"


def load(root: Path) -> tuple[str, ...] | None:
    """The columns, None where none were chosen.

    Raises:
        CorruptError: the file is not one of ours.
        OSError: it cannot be read.
    """
    try:
        return read_json(_path(root), Chosen).columns
    except FileNotFoundError:
        return None
    except CorruptError as error:
        raise CorruptError(error.message, "S chooses the columns anew.") from error


def save(root: Path, columns: tuple[str, ...] | None) -> None:
    """Remember them.

    Raises:
        StorageError: they cannot be written.
    """
    with storage_errors("remember the columns"):
        _path(root).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(_path(root), pretty_json(Chosen(columns=columns)))
