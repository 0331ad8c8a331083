"""What a conformance check found: a row for each thing tried, and what follows from all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from exptui.core.audit.compare import FileAudit
from exptui.core.audit.fields import cut
from exptui.core.audit.report import Change
from exptui.core.configs.config import flatten

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
    declare: str = ""  # what to write into exptui.toml where only fields of JSON files differ
    seconds: float = 0.0


class Conformity(msgspec.Struct, frozen=True, kw_only=True):
    """All rows. `problem`: why nothing could be compared; `first_seconds`: how long the first run took."""

    schema: int = 1
    config: str
    trainer: str
    command: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
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


def volatile(base: Path, other: Path, files: Iterable[FileAudit]) -> str:
    """What to declare where nothing but some fields of JSON files differ; empty otherwise."""
    found: dict[str, list[str]] = {}
    for file in files:
        fields = _fields(base / file.path, other / file.path) if file.offset is not None else []
        if not fields:
            return ""
        found[file.path] = fields
    written = ", ".join(f"{json.dumps(path)} = {json.dumps(fields)}" for path, fields in found.items())
    return f"volatile = {{ {written} }}" if found else ""


def _fields(left: Path, right: Path) -> list[str]:
    """The dotted keys in which two JSON files differ, when they are the same in every other byte."""
    try:
        texts = [path.read_bytes().decode() for path in (left, right)]
        values = [json.loads(text) for text in texts]
        if not all(isinstance(value, dict) for value in values):
            return []
        ours, theirs = map(flatten, values)
        keys = [key for key in ours if ours[key] != theirs.get(key)]
        one, two = (cut(text.encode(), ".json", keys, lambda _: False).parts for text in texts)
    except (ValueError, RecursionError):
        return []
    return keys if one == two else []
