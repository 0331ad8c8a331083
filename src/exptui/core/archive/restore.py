"""Restore archives. Nothing an archive says is believed before it is verified."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exptui.core.archive import attested, ledger
from exptui.core.archive import manifest as mf
from exptui.core.archive.check import afterwards, preflight
from exptui.core.archive.listing import MANIFEST, beside, run_id_of
from exptui.core.archive.reader import Reader
from exptui.core.archive.remote import is_stored
from exptui.core.archive.seal import Meter
from exptui.core.errors import ArchiveError, CorruptError, StorageError
from exptui.core.files import (
    Cancel,
    Progress,
    free_bytes,
    fsync_dir,
    locked_directory,
    rename,
    storage_errors,
    write_all,
)

TEMPORARY = ".restore-"
_HEADROOM = 4 << 20


@dataclass(frozen=True, slots=True)
class Restored:
    """What was unpacked, every byte of it verified."""

    manifest: mf.Manifest
    identity: str
    signer: str  # the identity that the user allows for the signature; '' where there is none


def load_manifest(archive_path: Path) -> mf.Manifest:
    """The manifest in an archive; reads only member 1, so says nothing of the rest.

    Of one that is only kept elsewhere the one beside it, with which the archive is compared once it is read.

    Raises:
        CorruptError: it is not one, or of another run.
        StorageError: it cannot be read.
    """
    if not archive_path.exists() and is_stored(archive_path.parent, run_id_of(archive_path)):
        with storage_errors("read the manifest"):
            return mf.decode(beside(archive_path.parent, run_id_of(archive_path), MANIFEST).read_bytes())
    with Reader(archive_path) as reader:
        preflight(reader, {})
        return reader.manifest


def allowed_signer(archive_path: Path) -> str:
    """The identity that the user's own settings allow for an archive's signature; '' where there is none.

    Raises:
        CorruptError: the manifest is damaged, or the signature does not fit it.
        ArchiveError: it cannot be examined.
    """
    with Reader(archive_path) as reader:
        found = preflight(reader, {})
    return found.identity if found else ""


def restore(
    archive_path: Path,
    destination: Path,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    record: bool = True,
) -> Restored:
    """Unpack a verified archive to `destination`, which appears whole by one rename or not at all.

    It is read twice: nothing is written before all of it was found intact, and what is written is verified again.

    Raises:
        ArchiveError: the destination exists, or there is no space.
        CorruptError: anything at all is not as it was sealed.
        StorageError, Cancelled: nothing is left behind.
    """
    run_id, folder = run_id_of(archive_path), archive_path.parent
    with storage_errors("restore the archive"):
        _vacant(destination)
        known = _entry(folder, run_id)
        with Reader(archive_path) as reader:
            found = preflight(reader, known)
            manifest = reader.manifest
            _room(destination, manifest)
            meter = Meter(progress, 2 * manifest.total_bytes)
            reader.meter(meter, cancel)
            reader.verify()
            afterwards(reader, known)
        with Reader(archive_path, meter, cancel) as again:
            _unpack(again, destination, reader.identity)
    if record:
        try:
            ledger.append(folder, ledger.event("restored", run_id, reader.identity))
        except StorageError as error:
            raise StorageError(f"{run_id} was restored, but {error.message}", error.hint) from error
    return Restored(manifest, reader.identity, found.identity if found else "")


def _entry(folder: Path, run_id: str) -> dict[str, Any]:
    """What the ledger says of a run; it must be whole, but for a last line that a crash cut."""
    book = ledger.load(folder)
    if not book.whole:
        raise CorruptError(
            book.problems[0],
            f"Restore {ledger.NAME} from another copy; or move it away, and what is intact is entered again.",
        )
    return ledger.archived(book.events).get(run_id, {})


def _room(destination: Path, manifest: mf.Manifest) -> None:
    above = next(path for path in destination.absolute().parents if path.exists())
    need, free = manifest.total_bytes + 8192 * len(manifest.files) + _HEADROOM, free_bytes(above)
    if need > free:
        raise ArchiveError(
            f"restoring {manifest.run_id} needs {need} bytes and {free} are free", "Free some space first."
        )


def _unpack(reader: Reader, destination: Path, identity: str) -> None:
    """Write all files, verified once more; raises CorruptError where it is no longer the archive of that identity."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(destination) as (temporary, root):
        for entry, blocks in reader.members():
            _write(root, entry, blocks)
        if reader.manifest.absent:
            attested.write(temporary, reader.manifest.absent)
        if reader.identity != identity:
            raise reader.corrupt("it changed while it was being read")
        for where, _, _ in os.walk(temporary, topdown=False):
            fsync_dir(Path(where))
        _vacant(destination)
        rename(temporary, destination)
        fsync_dir(destination.parent)


def _vacant(destination: Path) -> None:
    if os.path.lexists(destination):
        raise ArchiveError(f"{destination} exists already", "Move it away, or restore to another place.")


@contextlib.contextmanager
def _temporary(destination: Path) -> Iterator[tuple[Path, int]]:
    """A private, locked directory next to the destination; gone afterwards unless it was renamed."""
    temporary = destination.with_name(f"{TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}")
    with locked_directory(temporary) as root:
        yield temporary, root
        os.fchmod(root, 0o755)


def _write(root: int, entry: mf.FileEntry, blocks: Iterator[bytes]) -> None:
    """Create one file below the root: no part of its path may be a link, none may exist."""
    parts = entry.path.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        with contextlib.suppress(FileExistsError):
            os.mkdir("/".join(parts[:depth]), 0o755, dir_fd=root)
    fd = mf.open_below(root, entry.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        for block in blocks:
            write_all(fd, block)
        os.fsync(fd)
    finally:
        os.close(fd)
