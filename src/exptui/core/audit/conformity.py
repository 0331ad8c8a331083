"""What a conformance check found: a row for each thing tried, and what follows from all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from exptui.core.audit import by_tensor
from exptui.core.audit.compare import FileAudit
from exptui.core.audit.fields import pieces
from exptui.core.audit.report import Change
from exptui.core.tensors.contents import NotRead

Status = Literal["same", "differs", "failed", "not possible", "not judged"]
Answer = Literal["yes", "no", "unknown"]
FIRST, TWICE, ALONE, KILLED = "first run", "twice", "resume", "kill"
RESUMES = (ALONE, KILLED)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One thing tried. `detail`: why it is not possible or not judged, how the trainer failed, what of the same was declared."""

    name: str
    what: str
    status: Status
    detail: str = ""
    compared: int = 0
    files: tuple[FileAudit, ...] = ()  # those that are not the same
    first_mismatch_cycle: int | None = None
    mismatch_phase: str = ""
    mismatch_details: tuple[Change, ...] = ()
    hint: str = ""  # what usually explains it
    declare: str = ""  # what to write into [trainer] where it may differ by nature
    seconds: float = 0.0


class Conformity(msgspec.Struct, frozen=True, kw_only=True):
    """All rows. `problem`: why nothing could be compared; `first_seconds`: how long the first run took."""

    schema: int = 1
    config: str
    trainer: str
    command: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()  # settings of the libraries it uses, for what differed
    seen: str = ""  # where those were seen
    problem: str = ""
    runs: int = 0
    first_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """1 where something differs, else 3 where the trainer failed, 0 where all is the same, 5 without a comparison."""
        found = {row.status for row in self.rows}
        if self.problem:
            return 5
        return 1 if "differs" in found else 3 if "failed" in found else 0 if "same" in found else 5

    @property
    def deterministic(self) -> Answer:
        """Whether two runs with nothing changed are the same."""
        return _answer(row for row in self.rows if row.name == TWICE)

    @property
    def resumable(self) -> Answer:
        """Whether a run that was resumed equals a straight one; unknown where resuming is not declared."""
        return _answer(row for row in self.rows if row.name in RESUMES)

    @property
    def varied(self) -> list[Row]:
        """The rows of what was varied."""
        return [row for row in self.rows if row.name not in (FIRST, TWICE, *RESUMES)]

    @property
    def independent(self) -> Answer:
        """Whether nothing that was varied mattered."""
        return _answer(self.varied)


def _answer(rows: Iterable[Row]) -> Answer:
    found = {row.status for row in rows}
    if found & {"differs", "failed"}:
        return "no"
    return "yes" if "same" in found and "not judged" not in found else "unknown"


def declaration(base: Path, other: Path, files: Iterable[FileAudit]) -> str:
    """What to declare where nothing differs but some fields, or what files hold beside their tensors; empty otherwise."""
    fields, tensors = dict[str, list[str]](), list[str]()
    for file in files:
        left, right = base / file.path, other / file.path
        if file.offset is None:
            return ""
        if found := _fields(left, right):
            fields[file.path] = found
        elif _same_tensors(left, right):
            tensors.append(file.path)
        else:
            return ""
    written = ", ".join(f"{json.dumps(path)} = {json.dumps(names)}" for path, names in fields.items())
    return "\n".join(
        [
            *([f"volatile = {{ {written} }}"] if fields else []),
            *([f"tensors = {json.dumps(tensors)}"] if tensors else []),
        ]
    )


def _fields(left: Path, right: Path) -> list[str]:
    """The fields in which two files differ, when they are the same in every other byte."""
    sides = (pieces(path.read_bytes(), path.suffix.lower(), (), lambda _: False) for path in (left, right))
    keys = dict[str, None]()
    try:
        for one, two in zip(*sides, strict=True):
            if one != two:
                keys[one.name] = None
            if one.name != two.name or "" in keys:
                return []
    except ValueError:
        return []
    return list(keys)


def _same_tensors(left: Path, right: Path) -> bool:
    try:
        return not by_tensor.compare(left, right, {}).differs
    except NotRead:
        return False
