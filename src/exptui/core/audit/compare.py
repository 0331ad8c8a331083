"""Two sets of files → which are the same, and where the others begin to differ. Nothing is run here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace as replace_struct

from exptui import chronicle
from exptui.chronicle import Chronicle, Mismatch, Status
from exptui.core.archive.manifest import Attested, FileEntry, matches
from exptui.core.audit import by_tensor
from exptui.core.audit.fields import SUFFIXES, Piece, number_of, pieces
from exptui.core.files import BLOCK, canonical_json, sha256_bytes
from exptui.core.tensors.contents import NotRead
from exptui.core.tolerance import Bound, Declared, apart, bound_for

CONFIG = "config.toml"
FileStatus = Literal[
    "equal",
    "equal except declared",
    "equal to attested",
    "slices equal",
    "agrees",
    "differs",
    "missing",
    "extra",
    "not compared",
]


class FileAudit(msgspec.Struct, frozen=True, kw_only=True):
    """One file of either side. `offset`: the first byte that differs, of a file that is on both sides.

    `declared`: what was left out, as declared, and does differ. `delta`: of one that agrees the largest distance of two
    numbers, and `largest` whose it is. `detail`: how it was compared, where not by its bytes, or why it was not.
    """

    path: str
    file_class: Literal["identity", "observational"] = msgspec.field(name="class")
    status: FileStatus
    offset: int | None = None
    declared: tuple[str, ...] = ()
    detail: str = ""
    delta: float | None = None
    largest: str = ""

    @property
    def diverged(self) -> bool:
        """Whether this file alone makes the two runs different."""
        return self.status in ("differs", "missing", "extra")


def compare_files(
    baseline: tuple[Path, Iterable[FileEntry]],
    candidate: tuple[Path, Iterable[FileEntry]],
    declared: Declared,
) -> list[FileAudit]:
    """Every file of either side, by path, as was declared. Observational ones are listed as not compared."""
    ours, theirs = ({entry.path: entry for entry in side[1]} for side in (baseline, candidate))
    return [
        _compare(path, (baseline[0], ours.get(path)), (candidate[0], theirs.get(path)), declared)
        for path in sorted(ours.keys() | theirs.keys(), key=str.encode)
    ]


def _compare(
    path: str,
    base: tuple[Path, FileEntry | None],
    new: tuple[Path, FileEntry | None],
    declared: Declared,
) -> FileAudit:
    known = base[1] or new[1]
    assert known is not None  # the path is of one of the two
    if known.file_class == "observational":
        return FileAudit(path=path, file_class="observational", status="not compared")
    if base[1] is None or new[1] is None:
        return FileAudit(path=path, file_class="identity", status="extra" if base[1] is None else "missing")
    gone = isinstance(base[1], Attested)  # its digest is all there is: it counts, and is told apart
    same = FileAudit(path=path, file_class="identity", status="equal to attested" if gone else "equal")
    if base[1].sha256 == new[1].sha256:
        return same
    if gone:
        return replace_struct(same, status="differs")
    left, right = base[0] / path, new[0] / path
    differs = replace_struct(same, status="differs", offset=first_difference(left, right))
    if matches(path, declared.tensors):
        return _by_tensor(left, right, differs, declared)
    return _by_field(left, right, differs, declared)


def _by_tensor(left: Path, right: Path, differs: FileAudit, declared: Declared) -> FileAudit:
    """The audit of two files of tensors whose bytes differ; where one is not read, the bytes count."""
    try:
        found = by_tensor.compare(left, right, declared.tolerance.tensors)
    except NotRead as error:
        return replace_struct(differs, detail=f"not read: {error.message}")
    if found.differs:
        return replace_struct(differs, detail=found.differs)
    if found.delta is None:
        return replace_struct(differs, status="equal except declared", offset=None, declared=(found.said,))
    return replace_struct(
        differs, status="agrees", offset=None, detail=found.said, delta=found.delta, largest=found.largest
    )


def _by_field(left: Path, right: Path, differs: FileAudit, declared: Declared) -> FileAudit:
    """The audit of two files whose bytes differ, when they have fields that are volatile or have a tolerance."""
    suffix, bounds = left.suffix.lower(), declared.tolerance.metrics
    if suffix not in SUFFIXES:  # one that is named for itself is JSON, whatever it is called
        fields, bounds = declared.volatile.get(differs.path, ()), {}
    else:
        files = [path for path in declared.volatile if path == differs.path or matches(differs.path, (path,))]
        fields = tuple(field for path in files for field in declared.volatile[path])
    if not fields and not bounds:
        return differs
    try:
        found = _Fields(bounds, differs)
        sides = (
            pieces(path.read_bytes(), suffix, fields, lambda name: bound_for(name, bounds) is not None)
            for path in (left, right)
        )
        return found.compare(*sides)
    except ValueError as error:
        return replace_struct(differs, detail=f"not read: {error}")


class _Fields:
    """Two texts piece by piece; `differs`: what is said where they are not the same."""

    def __init__(self, bounds: Mapping[str, Bound], differs: FileAudit) -> None:
        self.bounds, self.differs = bounds, differs
        self.values, self.used = 0, dict[str, None]()
        self.delta: float | None = None
        self.largest = ""

    def compare(self, ours: Iterator[Piece], theirs: Iterator[Piece]) -> FileAudit:
        for one, two in zip_longest(ours, theirs):
            if one == two:
                self.values += one.how in ("value", "number") and one.text != ""
            elif one is None or two is None or (one.how, one.name) != (two.how, two.name):
                return self._differs("something else than a declared field differs")
            elif one.how == "volatile":
                self.used[one.name] = None
            elif one.how != "number" or (far := self._apart(one, two)) is None:
                where = f"{one.name} {one.text[:40]} → {two.text[:40]}" if one.name else ""
                return self._differs(where or "something else than a declared field differs")
            else:
                self.values += 1
                if self.delta is None or far > self.delta:
                    self.delta, self.largest = far, one.name
        status: FileStatus = "equal except declared" if self.delta is None else "agrees"
        return replace_struct(
            self.differs,
            status=status if self.values else "not compared",
            offset=None,
            declared=tuple(self.used),
            delta=self.delta,
            largest=self.largest,
        )

    def _apart(self, one: Piece, two: Piece) -> float | None:
        ours, theirs = number_of(one.text), number_of(two.text)
        return (
            None if ours is None or theirs is None else apart(ours, theirs, bound_for(one.name, self.bounds))
        )

    def _differs(self, detail: str) -> FileAudit:
        return replace_struct(self.differs, detail=detail)


def something(audits: Iterable[FileAudit], files: Iterable[FileEntry]) -> bool:
    """Whether of a file that is neither empty nor the config at least a part was compared."""
    full = {file.path for file in files if file.size and file.path != CONFIG}
    return any(audit.path in full and audit.status != "not compared" for audit in audits)


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
