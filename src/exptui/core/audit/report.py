"""The AuditReport: a verdict, why, where the divergence began, and what could explain it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from exptui.chronicle import Mismatch
from exptui.core.audit.by_metrics import MetricAudit
from exptui.core.audit.compare import FileAudit


class Verdict(enum.StrEnum):
    """What a verification found, the worst first (contract §7)."""

    CORRUPT = "CORRUPT"
    DIVERGED = "DIVERGED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    AGREES = "AGREES"
    REPRODUCED = "REPRODUCED"

    @property
    def exit_code(self) -> int:
        """What `exptui verify` ends with."""
        return {"REPRODUCED": 0, "DIVERGED": 1, "FAILED": 3, "CORRUPT": 4, "UNKNOWN": 5, "AGREES": 6}[
            self.value
        ]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that stands for several; UNKNOWN for none."""
    order = list(Verdict)
    return min(verdicts, key=order.index, default=Verdict.UNKNOWN)


class Change(msgspec.Struct, frozen=True):
    """One thing that was not the same in the original and in the re-run, as text."""

    key: str
    baseline: str
    candidate: str


def mismatch_facts(mismatch: Mismatch | None) -> dict[str, Any]:
    """The fields of a report, or of a conformance row, that say where two chronicles part."""
    if mismatch is None:
        return {}
    return {
        "first_mismatch_cycle": mismatch.cycle,
        "mismatch_phase": mismatch.phase,
        "mismatch_details": tuple(Change(*fields) for fields in mismatch.fields),
    }


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where a verification was made; `id` tells machines apart and nothing else."""

    id: str
    host: str
    user: str
    cpu: str
    system: str
    libc: str


SegmentStatus = Literal["equal", "differs", "failed", "unknown"]


class SegmentAudit(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of a run that was run again on its own; `cycle`: the first that differs."""

    number: int
    begin: str
    end: str
    status: SegmentStatus
    cycle: int | None = None
    detail: str = ""


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `audit.json` holds. The original is the baseline (a), the re-run the candidate (b)."""

    schema: int = 1
    run_id: str
    verdict: Verdict
    reason: str
    source: str
    identity: str = ""  # of the archive: the SHA-256 of its uncompressed tar
    run_a_hash: str = ""
    run_b_hash: str = ""
    is_identical: bool = False
    first_mismatch_cycle: int | None = None
    mismatch_phase: str = ""
    mismatch_details: tuple[Change, ...] = ()
    scope: str = "none"
    cause: str = "not examined"
    isolation: str = ""
    code: str = ""  # which the re-run worked from, where the original or it has a snapshot
    prepared: str = ""  # the environment that was built for the re-run
    attempts: int = 0
    environment: tuple[Change, ...] | None = None  # None: one side is unknown
    suspects: tuple[str, ...] = ()
    files: tuple[FileAudit, ...] = ()
    metrics: tuple[MetricAudit, ...] = ()  # where they alone count
    segments: tuple[SegmentAudit, ...] = ()
    notes: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    started_at: str = ""
    ended_at: str = ""
    kept: str = ""  # where the re-run is, when it was kept
    machine: Machine | None = None  # None: made before this was recorded

    @property
    def diverged_files(self) -> list[FileAudit]:
        """The identity files that are not the same."""
        return [file for file in self.files if file.diverged]


def headline(report: AuditReport) -> str:
    """The first line for people: verdict, first cycle, how many files."""
    compared = [file for file in report.files if file.file_class == "identity"]
    words = [str(report.verdict)]
    if report.first_mismatch_cycle is not None:
        fields = ", ".join(f"{c.key} {c.baseline} → {c.candidate}" for c in report.mismatch_details[:2])
        words.append(f"at cycle {report.first_mismatch_cycle} ({fields})")
    if bad := report.diverged_files:
        words.append(f"{len(bad)} of {len(compared)} files differ")
    words += _metrics_words(report)
    if report.segments:
        words.append(report.scope)
    declared = [f"{f.path} {' '.join(f.declared)}" for f in report.files if f.declared]
    if report.verdict is Verdict.REPRODUCED:
        equal = [file for file in compared if file.status != "not compared"]
        words.append(f"{len(equal)} of {len(compared)} files equal")
        if gone := sum(file.status == "equal to attested" for file in compared):
            words.append(f"{gone} of them to an attested digest alone")
        words += [f"except declared: {'; '.join(declared)}"] if declared else []
    elif report.verdict is Verdict.AGREES:
        words += _agreement(report, compared, declared)
    elif report.reason:
        words.append(report.reason)
    return f"{words[0]}  " + ", ".join(words[1:]) if len(words) > 1 else words[0]


def _metrics_words(report: AuditReport) -> list[str]:
    """Where only metrics were compared: that, and the first ones that differ."""
    if not report.metrics:
        return []
    bad = [one for one in report.metrics if one.status == "differs"]
    if bad:
        return [f"{len(bad)} of {len(report.metrics)} metrics differ", f"{bad[0].name} {bad[0].detail}"]
    values = sum(one.values for one in report.metrics)
    count = sum(one.values > 0 for one in report.metrics)
    return [f"{values:,} values of {count} metric{'s' * (count > 1)} compared, and no file"]


def _agreement(report: AuditReport, compared: list[FileAudit], declared: list[str]) -> list[str]:
    """How far it is from the same, and what was declared."""
    words = []
    if agreeing := [file for file in compared if file.status == "agrees"]:
        words.append(
            f"{len(agreeing)} of {len(compared)} files differ within the tolerances declared before the run"
        )
    found = [(file.delta, f"{file.path} {file.largest}") for file in agreeing if file.delta is not None]
    found += [(one.delta, one.name) for one in report.metrics if one.status == "agrees"]
    if found:
        words.append("max Δ {:.3g} ({})".format(*max(found)))
    return [*words, *([f"except declared: {'; '.join(declared)}"] if declared else [])]


def lines(report: AuditReport) -> list[str]:
    """The whole report as text: where it differs, then what could explain it, then what was run and how."""
    out = [headline(report), ""]
    if report.first_mismatch_cycle is not None:
        out.append(f"First mismatch: cycle {report.first_mismatch_cycle}, {report.mismatch_phase}")
        out += [f"  {c.key:16} {c.baseline} → {c.candidate}" for c in report.mismatch_details]
        out.append("")
    if report.segments:
        out += ["Segments:", *map(_segment, report.segments), ""]
    if report.metrics:
        out += ["Metrics:", *map(_metric, report.metrics), ""]
    if bad := report.diverged_files:
        out += ["Files that differ:", *map(_file, bad), ""]
    if report.suspects:
        out += ["What could explain it:", *(f"  {suspect}" for suspect in report.suspects), ""]
    if report.environment:
        out += ["Not the same in the re-run:"]
        out += [f"  {c.key}: {_short(c.baseline)} → {_short(c.candidate)}" for c in report.environment]
        out.append("")
    if report.notes:
        out += [*report.notes, ""]
    out += _facts(report)
    if rest := [file for file in report.files if not file.diverged]:
        out += ["", "Files:", *map(_file, sorted(rest, key=lambda file: file.status == "not compared"))]
    if report.kept:
        out += ["", f"The re-run is kept in {report.kept}"]
    return out


def _facts(report: AuditReport) -> list[str]:
    facts = {
        "run": report.run_id,
        "source": report.source,
        "identity": report.identity,
        "original": report.run_a_hash,
        "re-run": report.run_b_hash,
        "scope": report.scope,
        "cause": report.cause if report.verdict is Verdict.DIVERGED else "",
        "attempts": str(report.attempts or "unknown"),
        "isolation": report.isolation,
        "code": report.code,
        "packages": report.prepared,
        "environment": _environment(report),
        "command": " ".join(report.command),
        "time": f"{report.started_at} to {report.ended_at}",
    }
    return [f"{name:12} {text}" for name, text in facts.items() if text]


def _segment(one: SegmentAudit) -> str:
    return f"  {one.status:8} {one.number:3}  {one.begin} to {one.end}  {one.detail}".rstrip()


def _file(file: FileAudit) -> str:
    return f"  {file.status:21} {file.path}{_where(file)}"


def _metric(one: MetricAudit) -> str:
    how = f"max Δ {one.delta:.3g}" if one.status == "agrees" else one.detail
    values = f"{one.values:,} values" if one.values else ""
    return f"  {one.status:12} {one.name}  {', '.join(filter(None, (values, how)))}".rstrip()


def _where(file: FileAudit) -> str:
    facts = [" ".join(file.declared), file.detail]
    if file.delta is not None:
        facts.insert(0, f"max Δ {file.delta:.3g} ({file.largest})")
    if file.offset is not None:
        facts.insert(0, f"from byte {file.offset:,}")
    found = "; ".join(filter(None, facts))
    return f"  ({found})" if found else ""


def _environment(report: AuditReport) -> str:
    if report.environment is None:
        return "unknown on one side"
    return f"{len(report.environment)} differences" if report.environment else "the same"


def _short(text: str, cap: int = 60) -> str:
    return text if len(text) <= cap else f"{text[: cap - 1]}…"
