"""Broken promises, one at a time: each must be found by the sweep or by the lint, or these prove nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exptui.chronicle import writer
from exptui.chronicle.reader import trailer
from exptui.chronicle.records import COUNT_OFFSET, OPEN_NAME, SEALED_NAME
from exptui.core import files
from exptui.core.archive import ledger, recovery, restore, seal, tarball
from exptui.core.archive.listing import TARBALL
from exptui.core.archive.reader import Reader
from exptui.core.files import Lock
from exptui.core.runs import cleanup, launch, run
from exptui.core.source import snapshot
from faults.inject import EIO, ENOSPC, KILL, LOST, STOP


@dataclass(frozen=True)
class Mutant:
    """`operation` is where it is looked for, with faults of `kinds`; without kinds it is for the lint."""

    name: str
    apply: Callable[[], None]
    operation: str
    kinds: tuple[str, ...]


def apply(name: str) -> None:
    """Break that promise in this process; no name breaks none."""
    if name:
        MUTANTS[name].apply()


def _put(place: object, **values: object) -> None:
    for name, value in values.items():
        setattr(place, name, value)


def _delete_before_commit() -> None:
    publish: Any = seal._publish

    def commit(partial: Path, final: Path) -> None:
        shutil.rmtree(final.parents[1] / "results" / final.name.removesuffix(TARBALL))
        publish(partial, final)

    _put(seal, _publish=commit, _remove_source=lambda *_: None)


def _no_read_back() -> None:
    pack, written = tarball.pack, []

    def remember(*given: Any, **named: Any) -> tuple[int, int]:
        written.append(pack(*given, **named))
        return written[-1]

    def believed(path: Path, *_: Any) -> tarball.Packed:
        digest, size = files.sha256_file(path)
        return tarball.Packed("0" * 64, digest, written[-1][0], size)

    _put(tarball, pack=remember)
    _put(seal, read_back=believed)


def _no_fsync() -> None:
    _put(os, fsync=lambda _: None)


def _no_directory_fsync() -> None:
    for module in (files, seal, launch, ledger, recovery, restore, writer):
        _put(module, fsync_dir=lambda _: None)


def _swallowed_error() -> None:
    write_all = files.write_all

    def careless(fd: int, data: bytes) -> None:
        with contextlib.suppress(OSError):
            write_all(fd, data)

    _put(files, write_all=careless)
    _put(restore, write_all=careless)


def _in_place() -> None:
    def write(path: Path, data: bytes, **_: object) -> None:
        with path.open("wb") as file:
            file.write(data)

    _put(run, write_atomic=write)


def _no_recover() -> None:
    _put(recovery, recover=lambda *_: [])


def _no_cleanup() -> None:
    _put(cleanup, recover=lambda *_: [])


def _code_kept_in_vain() -> None:
    _put(snapshot, prune=lambda _: [])


def _ledger_before_rename() -> None:
    publish, append = seal._publish, ledger.append

    def commit(partial: Path, final: Path) -> None:
        with Reader(partial) as archive:
            archive.verify()
        run_id = final.name.removesuffix(TARBALL)
        append(final.parent, ledger.event("archived", run_id, archive.identity))
        publish(partial, final)

    _put(seal, _publish=commit)


def _lock_not_held() -> None:
    def take(path: Path, *, wait: bool = True) -> Lock:
        return Lock(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), path)

    _put(Lock, take=take)


def _restore_in_place() -> None:
    @contextlib.contextmanager
    def directly(destination: Path) -> Iterator[tuple[Path, int]]:
        destination.mkdir()
        root = os.open(destination, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _put(restore, _vacant=lambda _: None)
            yield destination, root
        finally:
            os.close(root)

    _put(restore, _temporary=directly)


def _count_before_trailer() -> None:
    def hasty(self: Any) -> None:
        os.pwrite(self._handle, struct.pack("<I", self._state.count), COUNT_OFFSET)
        (self._directory / OPEN_NAME).replace(self._directory / SEALED_NAME)
        self._put(trailer(self._state.crc, self._state.count))
        os.fsync(self._handle)
        self.close()

    _put(writer.Writer, seal=hasty)


def _sidecars_after_commit() -> None:
    write, publish = seal._write_sidecars, seal._publish
    waiting: list[tuple[Any, ...]] = []
    _put(seal, _write_sidecars=lambda *given: waiting.append(given))

    def commit(partial: Path, final: Path) -> None:
        publish(partial, final)
        for given in waiting:
            write(*given)

    _put(seal, _publish=commit)


def _torn_line_kept() -> None:
    def careless(archive_dir: Path, event: dict[str, Any]) -> None:
        path = archive_dir / ledger.NAME
        lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
        previous = files.sha256_bytes(lines[-2]) if len(lines) > 1 else ledger.GENESIS
        files.append_durable(path, files.canonical_json({**event, "previous": previous}))

    _put(ledger, append=careless)


MUTANTS = {
    mutant.name: mutant
    for mutant in (
        Mutant("delete before commit", _delete_before_commit, "archive", (KILL,)),
        Mutant("no read-back", _no_read_back, "archive", (LOST,)),
        Mutant("no fsync", _no_fsync, "archive", ()),
        Mutant("no fsync of the directory", _no_directory_fsync, "archive", ()),
        Mutant("swallowed error", _swallowed_error, "restore", (ENOSPC,)),
        Mutant("run.json in place", _in_place, "replace", (KILL,)),
        Mutant("no recover", _no_recover, "archive", (KILL,)),
        Mutant("no cleanup of runs", _no_cleanup, "start", (KILL,)),
        Mutant("code kept in vain", _code_kept_in_vain, "start captured", (KILL,)),
        Mutant("ledger before rename", _ledger_before_rename, "archive", (KILL,)),
        Mutant("lock not held", _lock_not_held, "archive", (STOP,)),
        Mutant("restored in place", _restore_in_place, "restore", (KILL,)),
        Mutant("chronicle's count before its trailer", _count_before_trailer, "chronicle", (KILL,)),
        Mutant("sidecars after the commit", _sidecars_after_commit, "archive", (KILL,)),
        Mutant("torn line kept", _torn_line_kept, "archive torn", (EIO,)),
    )
}
