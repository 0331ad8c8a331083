"""What was read of runs, kept in the user's cache for the next start: an SQLite file that may go at any time.

It is never believed: each page of rows has a checksum, each row the stamps of the files it was read from, and who loads
it compares those. Where it cannot be used it is made anew or done without, and `problem` says so.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from exptui.core.monitor.columns import Table
from exptui.core.monitor.pages import Page, page_of

# A stamp is a hash of this Python, and arrays are kept as they are in memory.
SCHEMA = 2 << 20 | (sys.byteorder == "big") << 16 | sys.version_info[0] << 8 | sys.version_info[1]
WAIT = 1.0  # seconds for another exptui that writes
HEAD = 64  # runs that are shown before the others are loaded: about a screen of them
ROWS = 4096  # of a page, at most
SPARE = 64  # pages beyond those that are needed, before all are written anew
TABLES = "CREATE TABLE pages (page INTEGER PRIMARY KEY, rows INTEGER, data BLOB, crc INTEGER)"


class Index:
    """The cached rows of one workspace. Every method does nothing where there is no file to use."""

    def __init__(self, path: Path) -> None:
        self.path, self.problem = path, ""
        self._new = 0  # rows that were added since all were written
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
            database.execute("PRAGMA cache_size = -256")  # kB: each page is read once
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                database.execute("BEGIN IMMEDIATE")
                if database.execute("PRAGMA user_version").fetchone() == (0,):
                    database.execute(TABLES)
                    database.execute(f"PRAGMA user_version = {SCHEMA}")
                (version,) = database.execute("PRAGMA user_version").fetchone()
                database.execute("COMMIT")
            if version != SCHEMA:
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
        """How many rows there are; a run that changed has several until all are written anew."""
        return next(self._select("SELECT sum(rows) FROM pages"), (0,))[0] or 0

    def newest(self, count: int) -> list[tuple[int, Page]]:
        """The pages that were written last, with that many rows if there are, and their numbers."""
        found, rows = list[tuple[int, Page]](), 0
        for number, page in self.load():
            found.append((number, page))
            rows += len(page.states)
            if rows >= count:
                break
        return found

    def load(self, before: int = sys.maxsize) -> Iterator[tuple[int, Page]]:
        """The pages before that one; the last one first, whose rows count where others have the same run."""
        found = self._select("SELECT page, data, crc FROM pages WHERE page < ? ORDER BY page DESC", before)
        for number, data, crc in found:
            if type(data) is bytes and crc32(data, number) == crc:
                yield number, _PAGES.decode(data)

    def _select(self, statement: str, *values: int) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._database.execute(statement, values) if self._database else ()
        except sqlite3.OperationalError as error:
            self._without(error)
        except sqlite3.Error as error:
            self._damaged(error)

    def save(
        self, table: Table, rows: Sequence[int], whole: Callable[[], Sequence[int]] | None = None
    ) -> None:
        """Add a page of these rows; where there are many pages, write all that are given by `whole` instead.

        The last page that is written has the runs that were queued last: they are shown first.
        """
        if self._database is None or not (rows or whole):
            return
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._add(table, rows)
                if whole is not None:
                    self._tidy(table, whole())
                self._database.execute("COMMIT")
                self.problem = ""
            except BaseException:
                self._database.rollback()
                raise
        except sqlite3.OperationalError as error:
            self._without(error)
        except sqlite3.Error as error:
            self._damaged(error)

    def _add(self, table: Table, rows: Sequence[int]) -> None:
        assert self._database is not None  # save looked
        for at in range(0, len(rows), ROWS):
            some = rows[at : at + ROWS]
            data = msgspec.msgpack.encode(page_of(table, some))
            statement = "INSERT INTO pages (rows, data) VALUES (?, ?)"
            number = self._database.execute(statement, (len(some), data)).lastrowid
            assert number is not None  # it was inserted
            self._database.execute("UPDATE pages SET crc = ? WHERE page = ?", (crc32(data, number), number))
            self._new += len(some)

    def _tidy(self, table: Table, rows: Sequence[int]) -> None:
        """Write these rows, and them alone, where too much else is there or much of it is new."""
        assert self._database is not None  # save looked
        pages, count = self._database.execute("SELECT count(*), sum(rows) FROM pages").fetchone()
        if (
            4 * self._new > len(rows)
            or pages > len(rows) // ROWS + SPARE
            or (count or 0) > 2 * len(rows) + ROWS
        ):
            self._database.execute("DELETE FROM pages")
            order = table.in_order(rows)
            self._add(table, order[:-HEAD])
            self._add(table, order[-HEAD:])
            self._new = 0


_PAGES = msgspec.msgpack.Decoder(Page)
