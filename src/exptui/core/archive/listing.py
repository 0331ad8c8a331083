"""The files of an archive by their names, and what is listed of it: nothing is unpacked for this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from exptui.core.archive import ledger, tally
from exptui.core.archive.tally import Heard
from exptui.core.errors import ArchiveError, CorruptError
from exptui.core.files import open_regular, storage_errors

TARBALL, MANIFEST, DIGESTS, CARD = ".tar.gz", ".manifest.json", ".sha256", ".card.json"
SIDECARS = (MANIFEST, DIGESTS, CARD)
SIGNATURE = ".sig"  # optional; written last, so never without the other three
ALL_SIDECARS = (*SIDECARS, SIGNATURE)
REMOTE = (
    ".remote.json"  # where it is kept besides (`remote`); of one that is only there the .tar.gz is missing
)
MAX_CARD = 16 << 20


class Archived(msgspec.Struct, frozen=True):
    """An archive as it is listed: nothing is unpacked for this."""

    run_id: str
    path: Path
    gz_size: int
    identity: str | None
    card: dict[str, Any] | None
    verdict: str | None  # the leading one of those that were heard
    verified_at: str | None
    place: str = ""  # where its file is, when that is not here
    heard: tuple[Heard, ...] = ()  # oldest first

    @property
    def attested(self) -> int:
        """Of how many files it has the digest alone."""
        found = (self.card or {}).get("attested")
        count = found.get("files") if isinstance(found, dict) else 0
        return count if isinstance(count, int) else 0


def beside(archive_dir: Path, run_id: str, suffix: str) -> Path:
    """The file of an archive with that suffix."""
    return archive_dir / f"{run_id}{suffix}"


def run_id_of(archive_path: Path) -> str:
    """The run id in an archive's file name.

    Raises:
        ArchiveError: it is not the name of one.
    """
    if not archive_path.name.endswith(TARBALL):
        raise ArchiveError(f"{archive_path.name} is not an archive (.tar.gz)", "Name the .tar.gz itself.")
    return archive_path.name.removesuffix(TARBALL)


def list_archives(archive_dir: Path) -> list[Archived]:
    """Every committed archive, by run id; damaged cards are None, never an error.

    Raises:
        StorageError: the directory cannot be read.
    """
    found: list[Archived] = []
    with storage_errors("list the archive"):
        events, _ = ledger.read(archive_dir)
        known, heard = ledger.identities(events), tally.heard(events)
        for path in archive_paths(archive_dir):
            run_id = path.name.removesuffix(TARBALL)
            identity, card = known.get(run_id), card_of(path)
            size, place = (path.stat().st_size, "") if path.exists() else _elsewhere(archive_dir, run_id)
            verdicts = heard.get((run_id, identity or ""), ())
            first = tally.leading(verdicts)
            word, at = (first.verdict, first.at) if first else (None, None)
            found.append(Archived(run_id, path, size, identity, card, word, at, place, verdicts))
    return found


def archive_paths(archive_dir: Path) -> list[Path]:
    """The file of every committed archive, also where it is only kept elsewhere."""
    names = {name for end in (TARBALL, REMOTE) for name in _run_ids(archive_dir, end)}
    return [beside(archive_dir, run_id, TARBALL) for run_id in sorted(names)]


def _run_ids(archive_dir: Path, suffix: str) -> list[str]:
    paths = archive_dir.glob(f"*{suffix}")
    return [path.name.removesuffix(suffix) for path in paths if path.name[0] != "."]


def _elsewhere(archive_dir: Path, run_id: str) -> tuple[int, str]:
    """Size and place of an archive that is not here; what cannot be read is said by `check`."""
    from exptui.core.archive.remote import stored

    try:
        found = stored(archive_dir, run_id)
    except (OSError, CorruptError):
        found = None
    return (found.gz_size, found.place) if found else (0, "elsewhere")


def card_of(archive_path: Path) -> dict[str, Any] | None:
    """The card of an archive; None where there is none, or none that can be read."""
    path = beside(archive_path.parent, run_id_of(archive_path), CARD)
    try:
        with open_regular(path) as file:
            return msgspec.json.decode(file.read(MAX_CARD), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
