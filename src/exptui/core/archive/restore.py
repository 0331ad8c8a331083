"""List, check and restore archives. Nothing an archive says is believed before it is verified."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from exptui.core.archive import ledger
from exptui.core.archive import manifest as mf
from exptui.core.archive.reader import Reader
from exptui.core.archive.seal import CARD, DIGESTS, MANIFEST, SIDECARS, TARBALL, Meter, beside
from exptui.core.errors import ArchiveError, CorruptError, StorageError
from exptui.core.files import (
    Cancel,
    Progress,
    free_bytes,
    fsync_dir,
    locked_directory,
    sha256_bytes,
    storage_errors,
    write_all,
)

TEMPORARY = ".restore-"
_LINE = re.compile(r"([0-9a-f]{64})  ([^/\n]+)")
_HEADROOM = 4 << 20


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Are the bytes intact. `identity` is known only when all of them were read and are."""

    run_id: str
    identity: str | None
    problems: list[str]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was unpacked, every byte of it verified."""

    manifest: mf.Manifest
    identity: str


@dataclass(frozen=True, slots=True)
class Archived:
    """An archive as it is listed: nothing is unpacked for this."""

    run_id: str
    path: Path
    gz_size: int
    identity: str | None
    card: dict[str, Any] | None
    verdict: str | None
    verified_at: str | None


def _run_id(archive_path: Path) -> str:
    if not archive_path.name.endswith(TARBALL):
        raise ArchiveError(f"{archive_path.name} is not an archive (.tar.gz)", "Name the .tar.gz itself.")
    return archive_path.name.removesuffix(TARBALL)


def load_manifest(archive_path: Path) -> mf.Manifest:
    """The manifest in an archive; reads only member 1, so says nothing of the rest.

    Raises:
        CorruptError: it is not one, or of another run.
        StorageError: it cannot be read.
    """
    with Reader(archive_path) as reader:
        _same_run(reader, _run_id(archive_path))
        return reader.manifest


def _same_run(reader: Reader, run_id: str) -> None:
    if reader.manifest.run_id != run_id:
        raise reader.corrupt(f"it holds the run {reader.manifest.run_id}")


def _digests(archive_dir: Path, run_id: str) -> dict[str, str] | None:
    """The digests in `.sha256` by file name; None when the file is missing.

    Raises:
        CorruptError: it is not exactly the two lines that were written.
    """
    path = beside(archive_dir, run_id, DIGESTS)
    try:
        lines = path.read_bytes()[:4096].decode().split("\n")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise CorruptError(f"{path.name}: {error}", "Restore it from another copy.") from error
    found = {match[2]: match[1] for line in lines if (match := _LINE.fullmatch(line))}
    if list(found) != [f"{run_id}{TARBALL}", f"{run_id}{MANIFEST}"] or lines[2:] != [""]:
        raise CorruptError(f"{path.name} is damaged", "Restore it from another copy.")
    return found


def _sidecar_manifest(archive_dir: Path, run_id: str) -> bytes | None:
    path = beside(archive_dir, run_id, MANIFEST)
    try:
        with path.open("rb") as file:
            return file.read(mf.MAX_MANIFEST + 1)
    except FileNotFoundError:
        return None


def check(
    archive_path: Path,
    *,
    read_data: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> CheckResult:
    """Whether the archive's bytes are those that were sealed; every problem is one line.

    Raises:
        StorageError, Cancelled.
    """
    run_id, folder = _run_id(archive_path), archive_path.parent
    problems = [
        f"{run_id}{suffix} is missing" for suffix in SIDECARS if not beside(folder, run_id, suffix).exists()
    ]
    identity: str | None = None
    with storage_errors("check the archive"):
        events, ledger_problems = ledger.read(folder)
        problems += ledger_problems
        known = ledger.identities(events).get(run_id)
        if known is None:
            problems.append(f"{run_id} is not in the ledger")
        if not archive_path.exists():
            return CheckResult(run_id, None, [f"{archive_path.name} is missing", *problems])
        try:
            with Reader(archive_path) as reader:
                _preflight(reader, folder, run_id)
                if read_data:
                    reader.meter(Meter(progress, reader.manifest.total_bytes), cancel)
                    reader.verify()
                    _afterwards(reader, folder, run_id, known)
                    identity = reader.identity
        except CorruptError as error:
            problems.append(error.message)
    return CheckResult(run_id, identity, problems)


def _preflight(reader: Reader, folder: Path, run_id: str) -> None:
    """Everything that can be refused knowing member 1 and the sidecars."""
    _same_run(reader, run_id)
    sidecar = _sidecar_manifest(folder, run_id)
    if sidecar is not None and sidecar != reader.manifest_bytes:
        raise reader.corrupt(f"{run_id}{MANIFEST} differs from the manifest inside")
    digests = _digests(folder, run_id)
    if digests is not None and digests[f"{run_id}{MANIFEST}"] != sha256_bytes(reader.manifest_bytes):
        raise reader.corrupt(f"{run_id}{DIGESTS} gives another digest for the manifest")


def _afterwards(reader: Reader, folder: Path, run_id: str, known: str | None) -> None:
    """What can be said only once every byte was read."""
    digests = _digests(folder, run_id)
    if digests is not None and digests[f"{run_id}{TARBALL}"] != reader.gz_sha256:
        raise reader.corrupt(f"its digest is not the one in {run_id}{DIGESTS}")
    if known is not None and known != reader.identity:
        raise reader.corrupt("its identity is not the one in the ledger")


def restore(
    archive_path: Path,
    destination: Path,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    record: bool = True,
) -> Restored:
    """Unpack a verified archive to `destination`, which appears whole by one rename or not at all.

    Raises:
        ArchiveError: the destination exists, or there is no space.
        CorruptError: anything at all is not as it was sealed.
        StorageError, Cancelled: nothing is left behind.
    """
    run_id, folder = _run_id(archive_path), archive_path.parent
    with storage_errors("restore the archive"):
        _vacant(destination)
        known = ledger.identities(ledger.read(folder)[0]).get(run_id)
        with Reader(archive_path) as reader:
            _preflight(reader, folder, run_id)
            manifest = reader.manifest
            reader.meter(Meter(progress, manifest.total_bytes), cancel)
            destination.parent.mkdir(parents=True, exist_ok=True)
            need = manifest.total_bytes + 8192 * len(manifest.files) + _HEADROOM
            free = free_bytes(destination.parent)
            if need > free:
                raise ArchiveError(
                    f"restoring {run_id} needs {need} bytes and {free} are free", "Free some space first."
                )
            with _temporary(destination) as (temporary, root):
                for entry, blocks in reader.members():
                    _write(root, entry, blocks)
                _afterwards(reader, folder, run_id, known)
                for where, _, _ in os.walk(temporary, topdown=False):
                    fsync_dir(Path(where))
                _vacant(destination)
                temporary.rename(destination)
                fsync_dir(destination.parent)
            identity = reader.identity
    if record:
        try:
            ledger.append(folder, ledger.event("restored", run_id, identity))
        except StorageError as error:
            raise StorageError(f"{run_id} was restored, but {error.message}", error.hint) from error
    return Restored(manifest, identity)


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
    digest = hashlib.sha256()
    try:
        for block in blocks:
            digest.update(block)
            write_all(fd, block)
        os.fsync(fd)
    finally:
        os.close(fd)
    if digest.hexdigest() != entry.sha256:
        raise CorruptError(f"{entry.path} is not the file that was sealed", "Use another copy.")


def list_archives(archive_dir: Path) -> list[Archived]:
    """Every committed archive, by run id; damaged cards are None, never an error.

    Raises:
        StorageError: the directory cannot be read.
    """
    found: list[Archived] = []
    with storage_errors("list the archive"):
        events, _ = ledger.read(archive_dir)
        known = ledger.identities(events)
        for path in sorted(archive_dir.glob(f"*{TARBALL}")):
            if path.name.startswith("."):
                continue
            run_id = path.name.removesuffix(TARBALL)
            verdict, at = _verdict(events, run_id, known.get(run_id))
            card = _card(beside(archive_dir, run_id, CARD))
            found.append(Archived(run_id, path, path.stat().st_size, known.get(run_id), card, verdict, at))
    return found


def _verdict(
    events: list[dict[str, Any]], run_id: str, identity: str | None
) -> tuple[str | None, str | None]:
    for event in reversed(events):
        if event.get("event") == "verified" and event.get("run_id") == run_id:
            if event.get("identity") != identity:
                break
            verdict, at = event.get("verdict"), event.get("at")
            return str(verdict) if verdict is not None else None, str(at) if at is not None else None
    return None, None


def _card(path: Path) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
