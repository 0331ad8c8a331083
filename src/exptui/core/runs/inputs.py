"""The data a run reads, by name: where it is, and what it holds, so that a changed dataset is named and not guessed."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from exptui.core.errors import RunError, UsageError
from exptui.core.files import canonical_json, sha256_bytes, sha256_file
from exptui.core.user import cache

if TYPE_CHECKING:
    import sqlite3  # at work only for runs with inputs

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
RACY = 2_000_000_000
"""A file touched less than so many ns ago may change again without its time changing: it is not remembered."""
OnBytes = Callable[[int], None] | None
TABLE = "CREATE TABLE IF NOT EXISTS digests (path BLOB PRIMARY KEY, stamp TEXT, sha256 TEXT) WITHOUT ROWID"


def located(inputs: Mapping[str, str], project: Path) -> dict[str, str]:
    """The absolute path of each input.

    Raises:
        UsageError: a name that is none.
        RunError: one is not there.
    """
    found = {}
    for name, given in inputs.items():
        if not NAME.fullmatch(name):
            raise UsageError(
                f"[inputs] {name!r} is no name for an input", "Small letters, digits and _, as in train_set."
            )
        path = (project / os.path.expanduser(given)).resolve()  # noqa: PTH111  never raises
        if not path.exists():
            raise RunError(
                f"the input {name} is not there: {path}",
                "Mend [inputs] in exptui.toml; for a verification also: --input NAME=PATH",
            )
        found[name] = str(path)
    return found


def variables(inputs: Mapping[str, str]) -> dict[str, str]:
    """What the trainer's environment says of them."""
    return {f"EXPTUI_INPUT_{name.upper()}": path for name, path in inputs.items()}


def digests(inputs: Mapping[str, str], on_bytes: OnBytes = None) -> dict[str, str]:
    """Name → SHA-256: of a file its own, of a directory that of the paths and digests of all files below it.

    Raises:
        OSError: one cannot be read.
    """
    known = _known() if inputs else None
    try:
        return {name: _digest(Path(path), known, on_bytes) for name, path in inputs.items()}
    finally:
        if known:
            known.close()


def _digest(path: Path, known: sqlite3.Connection | None, on_bytes: OnBytes) -> str:
    if not path.is_dir():
        return _file(path, known, on_bytes)
    listed = [
        [os.fsencode(file.relative_to(path)).hex(), _file(file, known, on_bytes)] for file in _below(path)
    ]
    return sha256_bytes(canonical_json(listed))


def _below(top: Path) -> list[Path]:
    """Every regular file, through links too, but no directory twice."""
    found, seen = list[Path](), set[tuple[int, int]]()
    for folder, folders, names in os.walk(top, followlinks=True):
        here = Path(folder).stat()
        if (here.st_dev, here.st_ino) in seen:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        folders.sort()
        found += [path for name in names if stat.S_ISREG((path := Path(folder, name)).stat().st_mode)]
    return sorted(found)


def _file(path: Path, known: sqlite3.Connection | None, on_bytes: OnBytes) -> str:
    """The digest of one file, remembered for as long as its size, times and inode are the same."""
    import sqlite3

    found, key = path.stat(), os.fsencode(path)
    stamp = f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    if known:
        with contextlib.suppress(sqlite3.Error):
            row = known.execute("SELECT stamp, sha256 FROM digests WHERE path = ?", (key,)).fetchone()
            if row and row[0] == stamp:
                return str(row[1])
    digest, _ = sha256_file(path, on_bytes)
    if known and time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > RACY:
        with contextlib.suppress(sqlite3.Error):
            known.execute("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", (key, stamp, digest))
    return digest


def _known() -> sqlite3.Connection | None:
    """What was hashed before, in the user's cache; where there can be none everything is hashed."""
    import sqlite3

    path = cache() / "digests.sqlite"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    except (sqlite3.Error, OSError):
        return None
    try:
        database.execute("PRAGMA synchronous = OFF")  # what a power cut takes is hashed again
        database.execute(TABLE)
    except sqlite3.Error:
        database.close()
        return None
    return database
