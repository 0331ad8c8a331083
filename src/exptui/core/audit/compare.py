"""Two sets of files → which are the same, and where the others begin to differ. Nothing is run here."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import msgspec

from exptui import chronicle
from exptui.chronicle import Chronicle, Mismatch, Status
from exptui.core.archive.manifest import Attested, FileEntry
from exptui.core.files import BLOCK, canonical_json, sha256_bytes

CONFIG = "config.toml"
FileStatus = Literal[
    "equal",
    "equal except declared",
    "equal to attested",
    "slices equal",
    "differs",
    "missing",
    "extra",
    "not compared",
]


class FileAudit(msgspec.Struct, frozen=True, kw_only=True):
    """One file of either side. `offset`: the first byte that differs, of a file that is on both sides."""

    path: str
    file_class: Literal["identity", "observational"] = msgspec.field(name="class")
    status: FileStatus
    offset: int | None = None
    declared: tuple[str, ...] = ()

    @property
    def diverged(self) -> bool:
        """Whether this file alone makes the two runs different."""
        return self.status in ("differs", "missing", "extra")


def compare_files(
    baseline: tuple[Path, Iterable[FileEntry]],
    candidate: tuple[Path, Iterable[FileEntry]],
    volatile: Mapping[str, tuple[str, ...]],
) -> list[FileAudit]:
    """Every file of either side, by path. Observational ones are listed as not compared."""
    ours, theirs = ({entry.path: entry for entry in side[1]} for side in (baseline, candidate))
    return [
        _compare(
            path, (baseline[0], ours.get(path)), (candidate[0], theirs.get(path)), volatile.get(path, ())
        )
        for path in sorted(ours.keys() | theirs.keys(), key=str.encode)
    ]


def _compare(
    path: str,
    base: tuple[Path, FileEntry | None],
    new: tuple[Path, FileEntry | None],
    fields: tuple[str, ...],
) -> FileAudit:
    known = base[1] or new[1]
    assert known is not None  # the path is of one of the two
    if known.file_class == "observational":
        return FileAudit(path=path, file_class="observational", status="not compared")
    if base[1] is None or new[1] is None:
        return FileAudit(path=path, file_class="identity", status="extra" if base[1] is None else "missing")
    gone = isinstance(base[1], Attested)  # its digest is all there is: it counts, and is told apart
    if base[1].sha256 == new[1].sha256:
        return FileAudit(path=path, file_class="identity", status="equal to attested" if gone else "equal")
    if gone:
        return FileAudit(path=path, file_class="identity", status="differs")
    left, right = base[0] / path, new[0] / path
    if fields and (found := _declared(left, right, fields)):
        return FileAudit(path=path, file_class="identity", status=found[0], declared=found[1])
    offset = first_difference(left, right)
    return FileAudit(path=path, file_class="identity", status="differs", offset=offset)


def _declared(left: Path, right: Path, fields: tuple[str, ...]) -> tuple[FileStatus, tuple[str, ...]] | None:
    """The declared fields that differ, when the two files are the same in every other byte; None otherwise."""
    try:
        text = left.read_bytes().decode()
        (ours, base), (theirs, new) = blanked(text, fields), blanked(right.read_bytes().decode(), fields)
        status: FileStatus = (
            "not compared" if _all_declared(json.loads(text), fields) else "equal except declared"
        )
    except (ValueError, RecursionError):
        return None
    differing = tuple(name for name in base if base[name] != new.get(name))
    return (status, differing) if ours == theirs and differing else None


def _all_declared(value: object, fields: Collection[str], path: str = "") -> bool:
    """Whether no value in it is left that would be compared."""
    inside = value.items() if isinstance(value, dict) else ()
    return path in fields or (
        isinstance(value, dict)
        and all(_all_declared(item, fields, f"{path}.{key}" if path else key) for key, item in inside)
    )


def something(audits: Iterable[FileAudit], files: Iterable[FileEntry]) -> bool:
    """Whether of a file that is neither empty nor the config at least a part was compared."""
    full = {file.path for file in files if file.size and file.path != CONFIG}
    return any(audit.path in full and audit.status != "not compared" for audit in audits)


def blanked(text: str, fields: Collection[str]) -> tuple[str, dict[str, str]]:
    """JSON text without the values at these dotted keys, and those values as they were written.

    Raises:
        ValueError: not JSON, or such a key is there twice.
    """
    json.loads(text)
    decoder, out, found = json.JSONDecoder(), list[str](), dict[str, str]()

    def space(at: int) -> int:
        end = at
        while end < len(text) and text[end] in " \t\r\n":
            end += 1
        out.append(text[at:end])
        return end

    def value(at: int, path: str) -> int:
        at = space(at)
        if path not in fields and text[at] == "{":
            return members(at, path)
        end = int(decoder.raw_decode(text, at)[1])
        if path not in fields:
            out.append(text[at:end])
        elif path in found:
            raise ValueError(f"{path} is there twice")
        else:
            found[path] = text[at:end]
        return end

    def members(at: int, path: str) -> int:
        while text[at] != "}":
            out.append(text[at])
            at = space(at + 1)
            if text[at] == "}":
                break
            key, end = decoder.raw_decode(text, at)
            out.append(text[at:end])
            at = space(end)
            out.append(text[at])
            at = space(value(at + 1, f"{path}.{key}" if path else str(key)))
        out.append("}")
        return at + 1

    space(value(0, ""))
    return "".join(out), found


def first_difference(left: Path, right: Path) -> int:
    """Offset of the first byte in which two files differ; the shorter one's length when it is a prefix."""
    offset = 0
    with left.open("rb", buffering=0) as one, right.open("rb", buffering=0) as two:
        while (a := one.read(BLOCK)) and (b := two.read(BLOCK)):
            if a != b:
                pairs = enumerate(zip_longest(a, b))
                return offset + next(at for at, (x, y) in pairs if x != y)
            offset += len(a)
    return offset


def files_digest(files: Iterable[FileEntry]) -> str:
    """One digest for all identity files of a run: their paths and SHA-256."""
    return sha256_bytes(canonical_json([[f.path, f.sha256] for f in files if f.file_class == "identity"]))


def compare_chronicles(baseline: Path, candidate: Path, *, complete: bool) -> Mismatch | None:
    """The first cycle in which the two directories' chronicles differ; of an unfinished one only what it holds.

    None where either has none, or one that is damaged beyond its first frame: then the files decide.
    """
    ours, theirs = chronicle.read_for(baseline), chronicle.read_for(candidate)
    if ours is None or theirs is None or Status.CORRUPT in (ours.status, theirs.status):
        return None
    return (chronicle.first_mismatch if complete else first_mismatch_so_far)(ours, theirs)


def first_mismatch_so_far(baseline: Chronicle, candidate: Chronicle) -> Mismatch | None:
    """The first cycle that differs, when the candidate may still grow: what it lacks at its end is no difference.

    A checkpoint may be noted late; but where a record differs, one that was due before it is missing.
    """
    ours = replace(baseline, records=baseline.records[: len(candidate.records)])
    found = chronicle.first_mismatch(
        replace(ours, checkpoints=ours.checkpoints[: len(candidate.checkpoints)]), candidate
    )
    if found is None:
        return None
    due = sum(mark.cycle < found.cycle for mark in baseline.checkpoints)
    due = max(due, len(candidate.checkpoints))
    return chronicle.first_mismatch(replace(ours, checkpoints=ours.checkpoints[:due]), candidate)
