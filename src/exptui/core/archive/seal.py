"""Seal a finished run: hash, pack, read back, commit by one rename, and only then remove the source."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from exptui.core.archive import attested, ledger, signature, tarball
from exptui.core.archive import manifest as mf
from exptui.core.archive.codec import COMPRESSOR
from exptui.core.archive.listing import (
    ALL_SIDECARS,
    CARD,
    DIGESTS,
    MANIFEST,
    REMOTE,
    SIDECARS,
    SIGNATURE,
    TARBALL,
    beside,
)
from exptui.core.archive.reader import Reader
from exptui.core.errors import ArchiveError, CorruptError
from exptui.core.files import (
    PARTIAL,
    Cancel,
    Progress,
    free_bytes,
    fsync_dir,
    rename,
    sha256_bytes,
    sha256_file,
    storage_errors,
    write_atomic,
)
from exptui.core.runs.alone import alone

TRASH = ".trash-"
_HEADROOM = 4 << 20


@dataclass(frozen=True, slots=True)
class Seed:
    """What the manifest says besides the files; as it was frozen when the run was launched."""

    run_id: str
    config_sha256: str
    settings_digest: str
    recipe: dict[str, Any] | None = None
    fingerprint: dict[str, Any] | None = None
    attempts: int = 0
    incomplete: bool = False
    observational: Sequence[str] = field(default=())
    omit: Collection[str] = field(default=())  # paths that are listed as attested and not kept
    attested: Sequence[mf.Attested] = field(default=())  # what is not there any more


@dataclass(frozen=True, slots=True)
class Sealed:
    """A committed archive. `already`: it was there before, with the same identity.

    `skipped` names the empty directories, which an archive does not hold; `attested` the files of which it has the
    digest alone; `compressor` is what it was written with just now, '' when `already`.
    """

    run_id: str
    identity: str
    path: Path
    size: int
    gz_size: int
    already: bool
    skipped: tuple[str, ...]
    compressor: str
    attested: Sequence[mf.Attested] = ()


def partial_path(archive_dir: Path, run_id: str) -> Path:
    """Where the archive is written before it is one."""
    return archive_dir / f".{run_id}{TARBALL}{PARTIAL}"


class Meter:
    """Adds up blocks for a Progress, which is told of every whole MiB and of the end."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, count: int) -> None:
        before, self._done = self._done, self._done + count
        if self._progress is not None and (self._done >= self._total or before >> 20 != self._done >> 20):
            self._progress(min(self._done, self._total), self._total)


def seal(
    run_dir: Path,
    archive_dir: Path,
    seed: Seed,
    card: bytes,
    *,
    keep: bool = False,
    sign: signature.Sign | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    ready: Callable[[], None] = lambda: None,
) -> Sealed:
    """Archive a run. Its source is removed (unless `keep`) only after the archive was read back and committed.

    `ready` is called once no other command can touch the run, and raises where it is not to be archived any more.
    With `sign`, what it makes of the manifest lies beside the archive before that is committed.

    Raises:
        RunError: another command is at work on it.
        ArchiveError: refused, with the reason; the source is untouched and nothing is left behind.
        StorageError: the disk said no; before the commit nothing is left behind.
        Cancelled: somebody asked before the commit; nothing is left behind.
    """
    if problem := mf.run_id_problem(seed.run_id):
        raise ArchiveError(f"cannot archive {seed.run_id!r}: {problem}", "Rename the directory first.")
    if run_dir.name != seed.run_id:
        raise ArchiveError(f"{run_dir.name} is not the directory of {seed.run_id}", "Rename it back first.")
    with alone(archive_dir, seed.run_id):
        ready()
        return _sealed(
            run_dir, archive_dir, seed, card, keep=keep, sign=sign, progress=progress, cancel=cancel
        )


def _sealed(
    run_dir: Path,
    archive_dir: Path,
    seed: Seed,
    card: bytes,
    *,
    keep: bool,
    sign: signature.Sign | None,
    progress: Progress | None,
    cancel: Cancel | None,
) -> Sealed:
    final = beside(archive_dir, seed.run_id, TARBALL)
    skipped = mf.empty_directories(run_dir)
    before = _stamps(run_dir)
    omitted = [stamp for stamp in before if stamp[0] in seed.omit]
    meter = Meter(progress, sum(size * (1 if path in seed.omit else 3) for path, size, _ in before))
    manifest = _manifest(seed, mf.scan(run_dir, seed.observational, meter, cancel))
    data = mf.encode(manifest)
    mf.decode(data)
    signed = sign(data) if sign is not None else b""
    already = os.path.lexists(final)
    if not already and os.path.lexists(beside(archive_dir, seed.run_id, REMOTE)):
        raise ArchiveError(
            f"{seed.run_id} is archived already, and kept elsewhere",
            "First get it back: exptui fetch ARCHIVE",
        )
    wrote = not already or not _complete(archive_dir, seed.run_id, signed)
    if not already:

        def ready() -> None:  # nothing reads back what is not packed
            for path, size, written in omitted:
                now = (run_dir / path).lstat()
                if (now.st_size, now.st_mtime_ns) != (size, written):
                    raise tarball.changed(path)

        packed = _commit(run_dir, archive_dir, manifest, data, card, signed, meter, cancel, ready)
    else:
        packed = _same_or_refused(final, data, meter, cancel)
        if wrote:
            _write_sidecars(archive_dir, seed.run_id, packed, data, card, signed)
    known = ledger.archived(ledger.read(archive_dir)[0]).get(seed.run_id, {})
    if wrote or known.get("identity") != packed.identity:
        # Once signed, missed when gone.
        facts = {name: known[name] for name in ("signed_by",) if name in known}
        facts |= {ledger.GZ: packed.gz_sha256, **sidecar_facts(archive_dir, seed.run_id)}
        ledger.append(archive_dir, ledger.event("archived", seed.run_id, packed.identity, **facts))
    if not keep:
        _remove_source(run_dir, before)
    return Sealed(
        seed.run_id,
        packed.identity,
        final,
        manifest.total_bytes,
        packed.gz_size,
        already,
        skipped,
        "" if already else COMPRESSOR,
        manifest.absent,
    )


def _manifest(seed: Seed, entries: list[mf.FileEntry]) -> mf.Manifest:
    omitted = [attested.entry(one) for one in entries if one.path in seed.omit]
    entries = [one for one in entries if one.path not in seed.omit]
    absent = sorted((*omitted, *seed.attested), key=lambda one: one.path.encode())
    return mf.Manifest(
        schema=2 if absent else 1,
        attested=absent or msgspec.UNSET,
        run_id=seed.run_id,
        config_sha256=seed.config_sha256,
        settings_digest=seed.settings_digest,
        recipe=seed.recipe,
        fingerprint=seed.fingerprint,
        attempts=seed.attempts,
        incomplete=seed.incomplete,
        files=entries,
        total_bytes=sum(entry.size for entry in entries),
    )


def _same_or_refused(final: Path, data: bytes, meter: Meter, cancel: Cancel | None) -> tarball.Packed:
    hint = "Check it with `exptui check --read-data`; the source was kept."
    try:
        return read_back(final, data, meter, cancel)
    except CorruptError as error:
        raise ArchiveError(
            f"{final.name} exists and is not this run intact: {error.message}", hint
        ) from error


def read_back(path: Path, data: bytes, meter: Meter, cancel: Cancel | None) -> tarball.Packed:
    """Read an archive from disk, whole, and compare it with the manifest.

    Raises:
        CorruptError: it is damaged, or holds another manifest.
    """
    with Reader(path, meter, cancel, cold=True) as reader:
        if reader.manifest_bytes != data:
            raise reader.corrupt("it holds a different run or different files")
        reader.verify()
        return tarball.Packed(reader.identity, reader.gz_sha256, reader.gz_crc32, reader.gz_size)


def _commit(
    run_dir: Path,
    archive_dir: Path,
    manifest: mf.Manifest,
    data: bytes,
    card: bytes,
    signed: bytes,
    meter: Meter,
    cancel: Cancel | None,
    ready: Callable[[], None],
) -> tarball.Packed:
    run_id = manifest.run_id
    final, partial = beside(archive_dir, run_id, TARBALL), partial_path(archive_dir, run_id)
    overhead = 2 * len(data) + len(card) + len(signed) + 4096 * len(manifest.files) + _HEADROOM
    with storage_errors("prepare the archive"):
        free = free_bytes(archive_dir)
    if free < manifest.total_bytes + overhead:
        raise ArchiveError(
            f"{run_id} may need {manifest.total_bytes + overhead} bytes and {free} are free",
            "Free some space on the disk of archive/, then try again.",
        )
    try:
        written = tarball.pack(run_dir, data, manifest, partial, meter, cancel)
        try:
            packed = read_back(partial, data, meter, cancel)
        except CorruptError:
            _refuse_changed(run_dir, manifest, cancel)
            raise
        if (packed.gz_crc32, packed.gz_size) != written:
            raise ArchiveError(f"{run_id}: the disk gave back other bytes", "Check that disk.")  # noqa: TRY301
        _write_sidecars(archive_dir, run_id, packed, data, card, signed)
        if cancel is not None:
            cancel.check()
        with storage_errors("look at the files that are not kept"):
            ready()
        _publish(partial, final)
    except BaseException:
        if not os.path.lexists(final):
            for left in (partial, *(beside(archive_dir, run_id, suffix) for suffix in ALL_SIDECARS)):
                with contextlib.suppress(OSError):
                    left.unlink()
        raise
    return packed


def _refuse_changed(run_dir: Path, manifest: mf.Manifest, cancel: Cancel | None) -> None:
    """Name the file that is not what the hash pass saw, if there is one."""
    now = {entry.path: entry.sha256 for entry in mf.scan(run_dir, (), None, cancel)}
    for entry in manifest.files:
        if now.get(entry.path) != entry.sha256:
            raise tarball.changed(entry.path)


def _complete(archive_dir: Path, run_id: str, signed: bytes) -> bool:
    wanted = ALL_SIDECARS if signed else SIDECARS
    with storage_errors("look at the archive's sidecars"):
        return all(beside(archive_dir, run_id, suffix).exists() for suffix in wanted)


def sidecar_facts(archive_dir: Path, run_id: str) -> dict[str, str]:
    """What the ledger keeps of the sidecars that nothing else covers: the card's digest, whose key signed.

    Raises:
        CorruptError: the signature is damaged.
        StorageError: one of them cannot be read.
    """
    facts: dict[str, str] = {}
    with storage_errors("read the archive's sidecars"):
        card, made = beside(archive_dir, run_id, CARD), signature.load(beside(archive_dir, run_id, SIGNATURE))
        if card.exists():
            facts["card"] = sha256_file(card)[0]
        if made is not None:
            facts["signed_by"] = signature.key_of(made)
    return facts


def _write_sidecars(
    archive_dir: Path, run_id: str, packed: tarball.Packed, data: bytes, card: bytes, signed: bytes
) -> None:
    lines = f"{packed.gz_sha256}  {run_id}{TARBALL}\n{sha256_bytes(data)}  {run_id}{MANIFEST}\n"
    with storage_errors("write the archive's sidecars"):
        write_atomic(beside(archive_dir, run_id, MANIFEST), data)
        write_atomic(beside(archive_dir, run_id, DIGESTS), lines.encode())
        write_atomic(beside(archive_dir, run_id, CARD), card)
        if signed:
            write_atomic(beside(archive_dir, run_id, SIGNATURE), signed)


def _publish(partial: Path, final: Path) -> None:
    """The commit."""
    with storage_errors("commit the archive"):
        rename(partial, final)
        fsync_dir(final.parent)


def _stamps(run_dir: Path) -> list[tuple[str, int, int]]:
    """Every file with its size and when it was last written: a change of the same size must not be lost either."""
    with storage_errors("read the run directory"):
        return [(path, size, (run_dir / path).lstat().st_mtime_ns) for path, size in mf.listing(run_dir)]


def _remove_source(run_dir: Path, before: list[tuple[str, int, int]]) -> None:
    if _stamps(run_dir) != before:
        raise ArchiveError(
            f"{run_dir.name} is archived, but its directory changed meanwhile and was kept",
            "Compare the two, then remove the directory yourself.",
        )
    trash = run_dir.with_name(f"{TRASH}{run_dir.name}")
    with storage_errors("remove the archived run"):
        _to_trash(run_dir, trash)
        remove_tree(trash)


def _to_trash(run_dir: Path, trash: Path) -> None:
    rename(run_dir, trash)
    fsync_dir(run_dir.parent)


def remove_tree(path: Path) -> None:
    """Remove a directory of ours; a name that is gone already is fine."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def partial_run_id(name: str) -> str | None:
    """The run id of a temporary file in archive/, or None when it is not ours."""
    suffixes = "|".join(re.escape(suffix) for suffix in (TARBALL, REMOTE, *ALL_SIDECARS))
    match = re.fullmatch(rf"\.(.+?)(?:{suffixes})(?:\.\d+)?{re.escape(PARTIAL)}", name)
    return match[1] if match else None
