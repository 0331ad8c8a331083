"""Are the bytes of an archive those that were sealed. Nothing an archive says is believed before it is verified."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exptui.core.archive import ledger, signature
from exptui.core.archive import manifest as mf
from exptui.core.archive.ledger import GZ, Book
from exptui.core.archive.listing import (
    ALL_SIDECARS,
    CARD,
    DIGESTS,
    MANIFEST,
    REMOTE,
    SIDECARS,
    SIGNATURE,
    TARBALL,
    archive_paths,
    beside,
    run_id_of,
)
from exptui.core.archive.reader import Reader
from exptui.core.archive.remote import Store, Stored, is_stored, stored
from exptui.core.archive.seal import Meter
from exptui.core.archive.signature import Signer
from exptui.core.errors import ArchiveError, CorruptError, StorageError, UsageError
from exptui.core.files import Cancel, Progress, open_regular, sha256_bytes, sha256_file, storage_errors

_LINE = re.compile(r"([0-9a-f]{64})  ([^/\n]+)")
_COPY = "Restore it from another copy."


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Are the bytes intact. `identity` is known only when all of them were read and are.

    `signer` says who signed, '' where nobody did. `attested`: how many files it only has the digest of. `place`: where it
    is when it is not here. `unread`: why that is not known: it could not be read. Of the ledger the identity is the digest of its last line.
    """

    run_id: str
    identity: str | None
    problems: list[str]
    signer: str = ""
    unread: str = ""
    attested: int = 0
    place: str = ""


@dataclass(frozen=True, slots=True)
class Subset:
    """The n-th of `of` parts of all archives; which part one is in depends on its run id alone."""

    n: int
    of: int

    def __contains__(self, run_id: object) -> bool:
        return int(hashlib.sha256(str(run_id).encode()).hexdigest(), 16) % self.of == self.n - 1


def check(
    archive_path: Path,
    *,
    read_data: bool = False,
    book: Book | None = None,
    store: Store | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> CheckResult:
    """Whether the archive's bytes are those that were sealed; every problem is one line.

    Without `book` the ledger is read for this, and its problems are named too. The bytes of one that is kept elsewhere are
    read where there is a `store` to get them from.

    Raises:
        StorageError, Cancelled.
        ArchiveError: there is a signature, and no ssh-keygen to examine it with.
    """
    run_id, folder = run_id_of(archive_path), archive_path.parent
    problems = [f"{run_id}{end} is missing" for end in SIDECARS if not beside(folder, run_id, end).exists()]
    if book is None:
        book = ledger.load(folder)
        problems += book.problems
    known = ledger.archived(book.events).get(run_id)
    if known is None:
        problems.append(f"{run_id} is not in the ledger")
    names = (beside(folder, run_id, end) for end in (TARBALL, *ALL_SIDECARS))
    if odd := [f"{path.name} is not a file" for path in names if path.exists() and not path.is_file()]:
        return CheckResult(run_id, None, [*problems, *odd])
    if not archive_path.exists():
        if is_stored(folder, run_id):
            return _elsewhere(folder, run_id, known or {}, problems, store if read_data else None, cancel)
        return CheckResult(run_id, None, [f"{archive_path.name} is missing", *problems])
    identity, signer, absent = None, "", 0
    with storage_errors("check the archive"):
        try:
            _check_card(folder, run_id, known or {})
            with Reader(archive_path) as reader:
                found = preflight(reader, known or {})
                absent = len(reader.manifest.absent)
                if found is not None:
                    signer = str(found)
                    if found.refused:
                        problems.append(f"{run_id}{SIGNATURE} is by {found}, whom you do not allow")
                if read_data:
                    trusted = known if known and book.whole and found is None else {}
                    identity = _as_sealed(archive_path, trusted, progress, cancel)
                    if identity is None:
                        reader.meter(Meter(progress, reader.manifest.total_bytes), cancel)
                        reader.verify()
                        afterwards(reader, known or {})
                        identity = reader.identity
        except CorruptError as error:
            problems.append(error.message)
    return CheckResult(run_id, identity, problems, signer, attested=absent)


def _as_sealed(
    path: Path, known: Mapping[str, Any], progress: Progress | None, cancel: Cancel | None
) -> str | None:
    """The identity of an archive that is, byte for byte, the file that was read back before it was committed.

    The same bytes hold what they held then. None where that cannot be said, or they differ: then what is inside tells,
    as it does where a signature binds it.
    """
    if GZ not in known:
        return None
    meter = Meter(progress, path.stat().st_size)

    def on_bytes(count: int) -> None:
        if cancel is not None:
            cancel.check()
        meter(count)

    digest, _ = sha256_file(path, on_bytes)
    recorded = _digests(path.parent, run_id_of(path)) or {path.name: digest}
    return str(known["identity"]) if known[GZ] == digest == recorded[path.name] else None


def _elsewhere(
    folder: Path,
    run_id: str,
    known: Mapping[str, Any],
    problems: list[str],
    store: Store | None,
    cancel: Cancel | None,
) -> CheckResult:
    """An archive that is not here: its sidecars, that all say the same of it, and with a `store` its bytes."""
    identity, place, signer, absent, unread = None, "elsewhere", "", 0, ""
    try:
        with storage_errors("check the archive"):
            where, sealed, found = _told(folder, run_id, known)
        place, absent = where.place, len(sealed.absent)
        if found is not None:
            signer = str(found)
            problems += [f"{run_id}{SIGNATURE} is by {found}, whom you do not allow"] * found.refused
        if store is not None:
            store.prove(folder, run_id, where, cancel)
            identity = where.identity
    except CorruptError as error:
        problems.append(error.message)
    except (ArchiveError, UsageError) as error:
        unread = error.message
    return CheckResult(run_id, identity, problems, signer, unread, absent, place)


def _told(folder: Path, run_id: str, known: Mapping[str, Any]) -> tuple[Stored, mf.Manifest, Signer | None]:
    """What the sidecars of an archive say that is not here; raises CorruptError where they do not agree."""
    _check_card(folder, run_id, known)
    where, data = stored(folder, run_id), _sidecar_manifest(folder, run_id) or b""
    sealed, digests = mf.decode(data), _digests(folder, run_id) or {}
    names = (f"{run_id}{TARBALL}", f"{run_id}{MANIFEST}")
    said = [sealed.run_id, known.get("identity"), *map(digests.get, names)]
    if where is None or said != [run_id, where.identity, where.gz_sha256, sha256_bytes(data)]:
        raise CorruptError(f"{run_id}{REMOTE}, the other sidecars and the ledger do not agree", _COPY)
    return where, sealed, _signer(data, beside(folder, run_id, SIGNATURE), known.get("signed_by"))


def check_all(
    archive_dir: Path,
    paths: Sequence[Path] = (),
    *,
    read_data: bool = False,
    subset: Subset = Subset(1, 1),
    head: str = "",
    store: Store | None = None,
    progress: Callable[[str], Progress] | None = None,
) -> Iterator[CheckResult]:
    """Check these archives, or all, and then the ledger itself; the bytes only of those in the subset.

    One that the disk does not give hides no other. With `head` the ledger must hold the line with that digest. `progress` is asked once for each archive.
    """
    book = ledger.load(archive_dir)
    there = archive_paths(archive_dir)
    for path in paths or there:
        run_id = run_id_of(path)
        meter = progress(run_id) if progress is not None else None
        try:
            yield check(
                path, read_data=read_data and run_id in subset, book=book, store=store, progress=meter
            )
        except StorageError as error:
            yield CheckResult(run_id, None, [], unread=error.message)
    problems = list(book.problems)
    if not paths:
        gone = ledger.archived(book.events).keys() - {run_id_of(path) for path in there}
        problems += [f"{run_id}{TARBALL} is missing: the ledger knows it" for run_id in sorted(gone)]
    if head and head not in book.digests:
        problems.append(
            f"{ledger.NAME}: no line has the digest {head}: the end was cut, or it was written anew"
        )
    yield CheckResult(ledger.NAME, book.digests[-1] if book.digests else None, problems)


def preflight(reader: Reader, known: Mapping[str, Any]) -> Signer | None:
    """Prove all that member 1, the sidecars and the ledger's entry can; whose signature there is.

    Raises:
        CorruptError: something does not fit.
        ArchiveError: a signature cannot be examined.
    """
    run_id, folder = run_id_of(reader.path), reader.path.parent
    if reader.manifest.run_id != run_id:
        raise reader.corrupt(f"it holds the run {reader.manifest.run_id}")
    sidecar = _sidecar_manifest(folder, run_id)
    if sidecar is not None and sidecar != reader.manifest_bytes:
        raise reader.corrupt(f"{run_id}{MANIFEST} differs from the manifest inside")
    digests = _digests(folder, run_id)
    if digests is not None and digests[f"{run_id}{MANIFEST}"] != sha256_bytes(reader.manifest_bytes):
        raise reader.corrupt(f"{run_id}{DIGESTS} gives another digest for the manifest")
    return _signer(reader.manifest_bytes, beside(folder, run_id, SIGNATURE), known.get("signed_by"))


def _signer(manifest: bytes, path: Path, recorded: object) -> Signer | None:
    made = signature.load(path)
    if made is None:
        if recorded is not None:
            raise CorruptError(f"{path.name} is missing: the ledger says that {recorded} signed it", _COPY)
        return None
    try:
        found = signature.examine(manifest, made)
    except CorruptError as error:
        raise CorruptError(f"{path.name}: {error.message}", error.hint) from error
    if recorded is not None and recorded != found.key:
        raise CorruptError(f"{path.name} is by {found}, the ledger says {recorded}", _COPY)
    return found


def afterwards(reader: Reader, known: Mapping[str, Any]) -> None:
    """Prove what can be proved only once every byte was read; raises CorruptError."""
    run_id = run_id_of(reader.path)
    digests = _digests(reader.path.parent, run_id)
    if digests is not None and digests[f"{run_id}{TARBALL}"] != reader.gz_sha256:
        raise reader.corrupt(f"its digest is not the one in {run_id}{DIGESTS}")
    if known.get(GZ, reader.gz_sha256) != reader.gz_sha256:
        raise reader.corrupt("its digest is not the one in the ledger")
    if known.get("identity", reader.identity) != reader.identity:
        raise reader.corrupt("its identity is not the one in the ledger")


def _check_card(folder: Path, run_id: str, known: Mapping[str, Any]) -> None:
    """Lists and plots come from the card; nothing else does, so that a restore does not ask."""
    path = beside(folder, run_id, CARD)
    if "card" in known and path.exists() and sha256_file(path)[0] != known["card"]:
        raise CorruptError(f"{path.name} is not the one that was written: the ledger has its digest", _COPY)


def _digests(archive_dir: Path, run_id: str) -> dict[str, str] | None:
    """The digests in `.sha256` by file name; None when the file is missing.

    Raises:
        CorruptError: it is not exactly the two lines that were written.
    """
    path = beside(archive_dir, run_id, DIGESTS)
    try:
        with open_regular(path) as file:
            lines = file.read(4096).decode().split("\n")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise CorruptError(f"{path.name}: {error}", _COPY) from error
    found = {match[2]: match[1] for line in lines if (match := _LINE.fullmatch(line))}
    if list(found) != [f"{run_id}{TARBALL}", f"{run_id}{MANIFEST}"] or lines[2:] != [""]:
        raise CorruptError(f"{path.name} is damaged", _COPY)
    return found


def _sidecar_manifest(archive_dir: Path, run_id: str) -> bytes | None:
    path = beside(archive_dir, run_id, MANIFEST)
    try:
        with open_regular(path) as file:
            return file.read(mf.MAX_MANIFEST + 1)
    except FileNotFoundError:
        return None
