"""The side to be reproduced: a private copy of its files, and what was recorded of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from exptui.core.archive import attested, restore
from exptui.core.archive import manifest as mf
from exptui.core.archive.manifest import FileEntry
from exptui.core.audit import compare
from exptui.core.audit.compare import CONFIG
from exptui.core.audit.request import Request
from exptui.core.audit.trust import snapshot_of
from exptui.core.errors import ArchiveError, CorruptError
from exptui.core.files import Cancel, Progress, free_bytes, sha256_bytes, storage_errors
from exptui.core.runs import run
from exptui.core.runs.alone import alone
from exptui.core.runs.run import RunState, Snapshot
from exptui.core.source import pack
from exptui.core.source.snapshot import NAME


@dataclass(frozen=True)
class Original:
    """A run as it was, every byte of it verified or hashed. `seconds`: how long it took, where that is known.

    `files`: also those of which there is only the digest (`Attested`).
    """

    directory: Path
    files: list[FileEntry]
    recipe: dict[str, Any] | None
    fingerprint: dict[str, Any] | None
    attempts: int
    identity: str
    incomplete: bool
    code_changed: bool
    seconds: float | None
    snapshot: Snapshot | None = None  # of its code, which lies with its files

    @property
    def outputs(self) -> list[FileEntry]:
        """What is compared: the identity files, without the config."""
        return [file for file in self.files if file.file_class == "identity" and file.path != CONFIG]


def take(request: Request, target: Path, progress: Progress, cancel: Cancel) -> Original:
    """Copy what is to be verified to `target`.

    Raises:
        CorruptError: the archive is damaged.
        ArchiveError: no re-run could ever give a verdict, or there is no room for one.
    """
    original = (_archived if request.archived else _run)(request, target, progress, cancel)
    original = replace(original, snapshot=_captured(original))
    if original.incomplete:
        raise ArchiveError("the original did not finish: there is no whole run to compare with")
    counted = original.files if (original.recipe or {}).get("compare") == "metrics" else original.outputs
    if not any(file.size and file.path not in (CONFIG, "run.json") for file in counted):
        raise ArchiveError("the original has no output to compare: nothing but config.toml")
    if CONFIG not in {file.path for file in original.files}:
        raise ArchiveError("the original has no config.toml: it cannot be run again")
    return original


def _captured(original: Original) -> Snapshot | None:
    """What was captured of its code; the file is that, and nothing in it could be unpacked elsewhere.

    Raises:
        CorruptError: it is not so.
    """
    if (known := snapshot_of(original.recipe)) is None:
        return None
    try:
        with (original.directory / NAME).open("rb") as file:
            found = pack.check(file, NAME)
    except FileNotFoundError:
        raise CorruptError(f"{NAME} is missing, the code it was run with") from None
    if found.digest != known.digest:
        raise found.corrupt("it is not the code that was captured")
    return known


def _archived(request: Request, target: Path, progress: Progress, cancel: Cancel) -> Original:
    source = Path(request.source)
    restored = restore.restore(source, target, progress=progress, cancel=cancel, record=False)
    sealed = restored.manifest
    if request.seen and request.seen != sha256_bytes(mf.encode(sealed)):
        raise ArchiveError("it is not the archive any more that you were shown")
    if request.signer not in ("", restored.signer):
        raise ArchiveError(f"it is not the archive that {request.signer} signed any more")
    try:
        # Observational: one that cannot be read says nothing, and is not compared either.
        record = run.read(target)
    except CorruptError:
        record = None
    return Original(
        target,
        _by_path(sealed.files, sealed.absent),
        sealed.recipe,
        sealed.fingerprint,
        sealed.attempts,
        restored.identity,
        sealed.incomplete,
        record is not None and record.code_changed,
        record.seconds if record else None,
    )


def _run(request: Request, target: Path, progress: Progress, cancel: Cancel) -> Original:
    source = Path(request.source)
    with alone(target.parents[2], request.run_id, cancel):
        return _copy(source, target, progress, cancel)


def _copy(source: Path, target: Path, progress: Progress, cancel: Cancel) -> Original:
    if not source.is_dir():
        raise ArchiveError(f"{source.name} is not there any more: archived or removed meanwhile")
    record, state = run.observe(source)
    if state.live or (record is not None and run.is_working(source, record)):
        raise ArchiveError(f"{source.name} is at work again")
    if problem := run.config_problem(source, record):
        raise ArchiveError(f"the original is not whole: {problem}")
    total = sum(size for _, size in mf.listing(source))
    if (free := free_bytes(target.parent)) < 2 * total:
        raise ArchiveError(f"a copy and a re-run need {2 * total} bytes and {free} are free")
    with storage_errors("copy the run"):
        shutil.copytree(source, target, symlinks=True)
    progress(total, 2 * total)
    files = mf.scan(target, record.recipe.observational if record else (), None, cancel)
    whole = state in (RunState.FINISHED, RunState.EXTERNAL)
    recipe = msgspec.to_builtins(record.recipe) if record else None
    attempts, seen = (record.attempts, record.fingerprint) if record else (0, None)
    changed, seconds = (record.code_changed, record.seconds) if record else (False, None)
    files = _by_path(files, attested.read(target))
    return Original(target, files, recipe, seen, attempts, "", not whole, changed, seconds)


def _by_path(files: list[FileEntry], absent: list[mf.Attested]) -> list[FileEntry]:
    return sorted((*files, *absent), key=lambda file: file.path.encode())


def check_unchanged(original: Original, request: Request, cancel: Cancel) -> None:
    """Of a run in results/: its files are still those that were copied at the start.

    Raises:
        ArchiveError: they are not.
    """
    if not request.archived:
        if not Path(request.source).is_dir():
            raise ArchiveError("the original was archived or removed while it was verified")
        classes = (original.recipe or {}).get("observational", ())
        now = mf.scan(Path(request.source), classes, None, cancel)
        was = [file for file in original.files if not isinstance(file, mf.Attested)]
        if compare.files_digest(now) != compare.files_digest(was):
            raise ArchiveError("the original changed while it was verified")
