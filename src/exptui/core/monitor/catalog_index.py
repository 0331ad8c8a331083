"""What was read of runs, kept in the user's cache for the next start: an SQLite file that may go at any time.

It is never believed: each row has a checksum and the stamps of the files it was read from, and who loads it compares
those. Where it cannot be used it is made anew or done without, and `problem` says so.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from zlib import crc32

import msgspec

from exptui.core.monitor.columns import Entry, Group

SCHEMA = 1 << 16 | sys.version_info[0] << 8 | sys.version_info[1]  # a stamp is a hash of this Python
WAIT = 1.0  # seconds for another exptui that writes
BATCH = 250
TABLES = """
CREATE TABLE shapes (shape INTEGER PRIMARY KEY, keys BLOB UNIQUE NOT NULL);
CREATE TABLE runs (name BLOB PRIMARY KEY, folder INTEGER, files INTEGER, queued REAL, shape INTEGER, data BLOB,
                   crc INTEGER) WITHOUT ROWID;
CREATE INDEX newest ON runs (queued);
"""
COLUMNS = "shape, name, folder, files, data, crc"

Stored = tuple[int, bytes, int, int, bytes, int]


class Index:
    """The cached rows of one workspace. Every method does nothing where there is no file to use."""

    def __init__(self, path: Path) -> None:
        self.path, self.problem = path, ""
        self._shapes: dict[bytes, int] = {}
        self._database = self._open()

    def _open(self) -> sqlite3.Connection | None:
        """The file as it is, else a new one in its place, else none."""
        try:
            return self._connect()
        except sqlite3.OperationalError as error:  # locked, read-only, full: not ours to remove
            self._without(error)
        except (sqlite3.Error, OSError):
            with contextlib.suppress(OSError):
                self._remove()
            try:
                return self._connect()
            except (sqlite3.Error, OSError) as error:
                self._without(error)
        return None

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (stat := self.path.parent.stat()).st_uid != os.geteuid() or stat.st_mode & 0o022:
            raise PermissionError(f"{self.path.parent} can be written by others")
        database = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None, check_same_thread=False)
        try:
            # What a power cut leaves is found by the checksums; a process that is killed leaves a whole file anyway.
            database.execute("PRAGMA synchronous = OFF")
            database.execute("PRAGMA cache_size = -256")  # kB: each row is read once
            database.execute("BEGIN IMMEDIATE")
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in TABLES.split(";")[:-1]:
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {SCHEMA}")
            database.execute("COMMIT")
            if version not in (0, SCHEMA):
                raise sqlite3.DatabaseError("of another version")  # noqa: TRY301  closed below
        except BaseException:
            database.close()
            raise
        return database

    def _remove(self) -> None:
        for name in (self.path, self.path.with_name(self.path.name + "-journal")):
            name.unlink(missing_ok=True)

    def _without(self, error: Exception) -> None:
        self.problem = f"the index of runs is not kept: {error}"

    def _damaged(self, error: Exception) -> None:
        """Begin anew; what was read from the files stays in memory and is not written again."""
        self.close()
        with contextlib.suppress(OSError):
            self._remove()
        self.problem = f"the index of runs was damaged and is made anew at the next start: {error}"

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def count(self) -> int:
        """How many rows there are."""
        return next(self._select("SELECT count(*) FROM runs"), (0,))[0]

    def newest(self, count: int) -> list[Group]:
        """The runs queued last."""
        return list(self._groups(f"SELECT {COLUMNS} FROM runs ORDER BY queued DESC LIMIT {count}"))  # noqa: S608

    def load(self) -> Iterator[Group]:
        """All runs, in no order."""
        return self._groups(f"SELECT {COLUMNS} FROM runs")  # noqa: S608

    def _select(self, statement: str) -> Iterator[tuple[int, ...]]:
        try:
            yield from self._database.execute(statement) if self._database else ()
        except sqlite3.OperationalError as error:
            self._without(error)
        except sqlite3.Error as error:
            self._damaged(error)

    def _groups(self, statement: str) -> Iterator[Group]:
        if self._database is None:
            return
        try:
            shapes = {
                number: (
                    keys,
                    tuple(map(tuple, msgspec.msgpack.decode(keys, type=tuple[list[str], list[str]]))),
                )
                for number, keys in self._database.execute("SELECT shape, keys FROM shapes")
            }
            self._shapes |= {keys: number for number, (keys, _) in shapes.items()}
            cursor = self._database.execute(statement)
            while rows := cursor.fetchmany(BATCH):
                by_shape: dict[int, list[Stored]] = {}
                for row in rows:
                    by_shape.setdefault(row[0], []).append(row)
                for number, some in by_shape.items():
                    if number in shapes:
                        yield from _group(*shapes[number], some)
        except sqlite3.OperationalError as error:
            self._without(error)
        except (sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError, struct.error) as error:
            self._damaged(error)

    def save(self, entries: Iterable[Entry], gone: Iterable[str]) -> None:
        """Write these rows and forget those: all or nothing."""
        if self._database is None:
            return
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(
                    "DELETE FROM runs WHERE name = ?", ((os.fsencode(n),) for n in gone)
                )
                self._database.executemany(
                    "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", map(self._stored, entries)
                )
                self._database.execute("COMMIT")
                self.problem = ""
            except BaseException:
                self._shapes.clear()
                self._database.rollback()
                raise
        except sqlite3.OperationalError as error:
            self._without(error)
        except sqlite3.Error as error:
            self._damaged(error)

    def _stored(self, entry: Entry) -> tuple[bytes, int, int, float, int, bytes, int]:
        keys = msgspec.msgpack.encode((tuple(entry.flat), tuple(entry.final)))
        name, data = os.fsencode(entry.run_id), msgspec.msgpack.encode(entry.cells)
        crc = _crc(crc32(keys), name, entry.folder, entry.files, data)
        return name, entry.folder, entry.files, entry.queued, self._shape(keys), data, crc

    def _shape(self, keys: bytes) -> int:
        number = self._shapes.get(keys)
        if number is None:
            assert self._database is not None  # save looked
            self._database.execute("INSERT OR IGNORE INTO shapes (keys) VALUES (?)", (keys,))
            (number,) = self._database.execute("SELECT shape FROM shapes WHERE keys = ?", (keys,)).fetchone()
            self._shapes[keys] = int(number)
        return self._shapes[keys]


def _crc(keys: int, name: bytes, folder: int, files: int, data: bytes) -> int:
    return crc32(data, crc32(name, crc32(struct.pack("<qq", folder, files), keys)))


def _group(keys: bytes, names: Sequence[tuple[str, ...]], rows: list[Stored]) -> Iterator[Group]:
    """The sound ones of these rows, if any."""
    start = crc32(keys)
    sound = [row for row in rows if _crc(start, *row[1:5]) == row[5]]
    if sound:
        _, ids, folders, files, data, _ = zip(*sound, strict=True)
        listed = msgspec.msgpack.decode(b"\xdd" + struct.pack(">I", len(data)) + b"".join(data))
        yield Group(names[0], names[1], list(map(os.fsdecode, ids)), folders, files, listed)
