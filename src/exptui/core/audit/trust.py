"""What a verification would execute that is not this workspace's own, and who has to say yes to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from exptui.core.archive import ledger, restore
from exptui.core.archive.manifest import Manifest, encode
from exptui.core.audit.request import Request, recorded_trainer
from exptui.core.errors import CorruptError, ExptuiError, UsageError
from exptui.core.files import sha256_bytes
from exptui.core.runs import run
from exptui.core.runs.cleanup import STORE
from exptui.core.runs.run import Snapshot
from exptui.core.source.snapshot import NAME


class UntrustedError(UsageError):
    """Somebody has to say yes first; `request` is what is then done."""

    def __init__(self, message: str, hint: str, request: Request) -> None:
        super().__init__(message, hint)
        self.request = request


def asked(request: Request, archives: Path, *, trust: bool) -> Request:
    """The request, if it executes nothing foreign, or what the user's `trust` or allowed signer stands for.

    Raises:
        UntrustedError: neither is so.
        UsageError: what would be executed cannot be told.
    """
    found = _foreign(request, archives)
    if found is None:
        return request
    sealed, command = found
    if sealed:
        request = replace(request, recorded=command, seen=sha256_bytes(encode(sealed)))
        if not trust and (signer := restore.allowed_signer(Path(request.source))):
            return replace(request, signer=signer)
    would = words(request)
    if trust:
        return request
    where = (
        f"{Path(request.source).name} is from elsewhere"
        if command
        else f"{request.run_id} has code from elsewhere"
    )
    raise UntrustedError(
        f"{where}; it would run: {' '.join(would)}",
        "If you trust that: exptui verify … --yes; or allow its signer (docs/archive.md)."
        + ("" if command else " Or with the code of now: --code current."),
        request,
    )


def _foreign(request: Request, archives: Path) -> tuple[Manifest | None, bool] | None:
    """What is executed of an archive or a run that was not made here: its manifest, and whether its command too."""
    source, own = Path(request.source), request.options.code == "current"
    if not request.archived:
        return None if own or _captured_here(source, archives) else (None, False)
    try:
        sealed = restore.load_manifest(source)
    except CorruptError:
        return None  # its verdict will say so
    if source.parent != archives:
        return sealed, True
    entered = ledger.archived(ledger.read(archives)[0]).get(request.run_id, {}).get("event") == "archived"
    return None if own or entered or snapshot_of(sealed.recipe) is None else (sealed, False)


def _captured_here(directory: Path, archives: Path) -> bool:
    """Whether the code of a run, where there is any, is the very file that was captured in this workspace."""
    try:
        record = run.read(directory)
        if record is None or record.recipe.snapshot is None:
            return True
        stored = archives.parent / "results" / STORE / f"{record.recipe.snapshot.digest}.tar"
        return stored.samefile(directory / NAME)
    except FileNotFoundError:
        return False
    except (OSError, ExptuiError):
        return True  # its verdict will say so


def snapshot_of(recipe: Mapping[str, Any] | None) -> Snapshot | None:
    """What a recipe says of the code that was captured.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return msgspec.convert((recipe or {}).get("snapshot"), Snapshot | None)
    except msgspec.ValidationError as error:
        raise UsageError(f"what is recorded of its code cannot be read: {error}") from error


def words(request: Request) -> list[str]:
    """What a request executes that is not this workspace's own, a line each.

    Raises:
        UsageError: it cannot be told.
        ExptuiError: the archive or the run cannot be read.
    """
    source = Path(request.source)
    if request.archived:
        recipe = restore.load_manifest(source).recipe
    else:
        record = run.read(source)
        recipe = msgspec.to_builtins(record.recipe) if record else None
    lines = []
    if request.recorded:
        trainer = recorded_trainer(recipe)
        policy = trainer.environment
        lines += [f"{' '.join(trainer.prepare)}, and then:"] if trainer.prepare else []
        lines.append(" ".join((*(f"{key}={value}" for key, value in policy.set.items()), *trainer.command)))
        if names := (*policy.passed, *policy.secret):
            lines.append(f"with your {', '.join(names)}")
    known = snapshot_of(recipe) if request.options.code != "current" else None
    if known:
        lines.append(
            f"with its own code: {known.files:,} files, {known.size:,} bytes, sha256 {known.digest[:12]}"
        )
    elif request.recorded:
        lines.append("with code of this machine: the archive has none")
    return lines
