"""Archives kept elsewhere, by two commands of the workspace's settings: nothing counts before it was read back.

`RUN.remote.json` beside the sidecars says where an archive is and what its file was when it came back from there. Only
with it may `RUN.tar.gz` itself be dropped; all that lists and plots stays here.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from exptui.core import user
from exptui.core.archive import ledger
from exptui.core.archive.listing import REMOTE, TARBALL, beside
from exptui.core.errors import ArchiveError, CorruptError, UsageError
from exptui.core.files import (
    PARTIAL,
    Cancel,
    append_durable,
    canonical_json,
    free_bytes,
    fsync_dir,
    pretty_json,
    publish,
    read_json,
    sha256_bytes,
    sha256_file,
    storage_errors,
    write_atomic,
)
from exptui.core.runs.alone import alone
from exptui.core.settings import Remote

TRUSTED = "trusted-commands"
POLL = 0.1
_SAID = 2000  # bytes of what a command says that are kept for its error


class Stored(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an archive is, and what came back from there."""

    schema: Literal[1] = 1
    place: str
    identity: str
    gz_sha256: str
    gz_size: int


def stored(archive_dir: Path, run_id: str) -> Stored | None:
    """Where an archive is besides here; None where nothing was confirmed.

    Raises:
        CorruptError: it says so, and cannot be read.
    """
    try:
        return read_json(beside(archive_dir, run_id, REMOTE), Stored)
    except FileNotFoundError:
        return None


def is_stored(archive_dir: Path, run_id: str) -> bool:
    """Whether something says that it is."""
    return os.path.isfile(beside(archive_dir, run_id, REMOTE))  # noqa: PTH113  False where it cannot be read


@dataclass(frozen=True)
class Store:
    """The commands, and where they are executed."""

    commands: Remote
    root: Path

    def place(self, run_id: str) -> str:
        """Where an archive goes: the words of `get` that name it."""
        words = (word for word in self.commands.get if "{name}" in word)
        return " ".join(word.replace("{name}", f"{run_id}{TARBALL}") for word in words)

    @property
    def _key(self) -> str:
        return sha256_bytes(canonical_json([str(self.root), self.commands.put, self.commands.get]))

    def allow(self) -> None:
        """From now on these commands may be executed here; others are asked for again."""
        file = user.state() / TRUSTED
        with storage_errors("remember that the commands are trusted"):
            file.parent.mkdir(parents=True, exist_ok=True)
            append_durable(file, f"{self._key}\n".encode())

    def check_allowed(self) -> None:
        """Commands of a workspace are executed once its user has seen them and said yes.

        Raises:
            UsageError: there are none, or they were not allowed.
        """
        if not self.commands.put:
            raise UsageError(
                "there is no place to keep archives", "Set [archive.remote] put and get (docs/archive.md)."
            )
        with storage_errors("read which commands are trusted"):
            file = user.state() / TRUSTED
            if file.exists() and self._key in file.read_text().split():
                return
        put, get = shlex.join(self.commands.put), shlex.join(self.commands.get)
        raise UsageError(
            f"the settings of this workspace would run: {put}  and: {get}",
            "If you trust both commands: exptui push ARCHIVE --yes; you are asked again when they change.",
        )

    def execute(self, words: Sequence[str], file: Path, run_id: str, cancel: Cancel | None = None) -> None:
        """Run one of them to its end, without a shell.

        Raises:
            ArchiveError: it cannot be started, or failed; with its last words.
            Cancelled: somebody asked; it was ended.
        """
        argv = [word.replace("{file}", str(file)).replace("{name}", f"{run_id}{TARBALL}") for word in words]
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    argv,
                    cwd=self.root.parent,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                raise ArchiveError(f"cannot run {argv[0]}: {error}", "Mend [archive.remote].") from error
            try:
                while process.poll() is None:
                    if cancel is not None:
                        cancel.check()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(POLL)
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
            if process.returncode:
                said.seek(max(0, said.seek(0, os.SEEK_END) - _SAID))
                last = said.read().decode(errors="replace").strip().splitlines()[-1:]
                raise ArchiveError(
                    f"{shlex.join(argv)} ended with {process.returncode}{''.join(f': {line}' for line in last)}",
                    "Nothing was changed here; try that command yourself.",
                )

    @contextlib.contextmanager
    def fetched(
        self, archive_dir: Path, run_id: str, size: int, cancel: Cancel | None = None
    ) -> Iterator[tuple[Path, str]]:
        """What comes back, in a temporary file, and its digest; the file is gone afterwards unless it was renamed."""
        partial = archive_dir / f".{run_id}{TARBALL}.{os.getpid()}{PARTIAL}"
        if free_bytes(archive_dir) < size:
            raise ArchiveError(f"{run_id} needs {size} bytes to be read back", "Free some space first.")
        try:
            self.execute(self.commands.get, partial, run_id, cancel)
            if partial.is_symlink() or not partial.is_file():
                raise ArchiveError(
                    f"nothing came back from {self.place(run_id)}", "Look at [archive.remote] get."
                )
            with storage_errors("read what came back"):
                yield partial, sha256_file(partial)[0]
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()

    def prove(self, archive_dir: Path, run_id: str, where: Stored, cancel: Cancel | None = None) -> None:
        """Read back what is there.

        Raises:
            CorruptError: it is not what was stored.
            ArchiveError, UsageError: it cannot be read back.
        """
        self.check_allowed()
        with self.fetched(archive_dir, run_id, where.gz_size, cancel) as (_, digest):
            if digest != where.gz_sha256:
                raise CorruptError(f"other bytes came back from {where.place}", "Look at that copy.")


def push(
    store: Store, archive_dir: Path, run_id: str, *, drop: bool = False, cancel: Cancel | None = None
) -> Stored:
    """Put an archive there, read it back, record it; then, with `drop`, its file here goes.

    What is there already is only read back.

    Raises:
        ArchiveError: refused, a command failed, or other bytes came back; nothing here was changed.
        CorruptError: the archive here is not intact.
    """
    from exptui.core.archive.check import check

    store.check_allowed()
    path = beside(archive_dir, run_id, TARBALL)
    with alone(archive_dir, run_id), storage_errors("store the archive"):
        before = stored(archive_dir, run_id)
        if before is not None and not path.exists():
            return before
        found = check(path, read_data=True, cancel=cancel)
        if found.problems or found.identity is None:
            raise CorruptError(
                f"{path.name} is not intact: {'; '.join(found.problems)}", "Restore it from another copy."
            )
        digest, size = sha256_file(path)
        now = Stored(place=store.place(run_id), identity=found.identity, gz_sha256=digest, gz_size=size)
        if before != now or not _still_there(store, archive_dir, now, run_id, cancel):
            beside(archive_dir, run_id, REMOTE).unlink(missing_ok=True)
            store.execute(store.commands.put, path, run_id, cancel)
            if not _came_back(store, archive_dir, now, run_id, cancel):
                raise ArchiveError(
                    f"other bytes came back from {now.place}: it is not stored",
                    "The archive here was not touched.",
                )
            event = ledger.event("stored", run_id, now.identity, place=now.place, gz_sha256=digest)
            ledger.append(archive_dir, event)
            write_atomic(beside(archive_dir, run_id, REMOTE), pretty_json(now))
        if drop:
            path.unlink()
            fsync_dir(archive_dir)
    return now


def _came_back(store: Store, archive_dir: Path, wanted: Stored, run_id: str, cancel: Cancel | None) -> bool:
    with store.fetched(archive_dir, run_id, wanted.gz_size, cancel) as (_, digest):
        return digest == wanted.gz_sha256


def _still_there(store: Store, archive_dir: Path, wanted: Stored, run_id: str, cancel: Cancel | None) -> bool:
    try:
        return _came_back(store, archive_dir, wanted, run_id, cancel)
    except ArchiveError:  # then it is put there again, which says why where that fails too
        return False


def fetch(store: Store, archive_dir: Path, run_id: str, *, cancel: Cancel | None = None) -> Stored:
    """Bring the file of an archive back; it appears whole and as it was stored, or not at all.

    Raises:
        ArchiveError: it is not stored, or the command failed.
        CorruptError: other bytes came back.
    """
    store.check_allowed()
    with alone(archive_dir, run_id), storage_errors("fetch the archive"):
        where = stored(archive_dir, run_id)
        if where is None:
            raise ArchiveError(f"{run_id} is not kept elsewhere", "Store it with: exptui push ARCHIVE")
        path = beside(archive_dir, run_id, TARBALL)
        if not path.exists():
            with store.fetched(archive_dir, run_id, where.gz_size, cancel) as (partial, digest):
                if digest != where.gz_sha256:
                    raise CorruptError(f"other bytes came back from {where.place}", "Look at that copy.")
                _durable(partial)
                publish(partial, path)
    return where


def _durable(path: Path) -> None:
    """Somebody else's program wrote it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
