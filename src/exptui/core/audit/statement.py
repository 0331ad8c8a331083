"""What one verification found, in a form that is the same for one made here and one a colleague sent."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import msgspec

from exptui.core.audit.report import AuditReport, Machine, Verdict, headline
from exptui.core.files import canonical_json, sha256_bytes
from exptui.core.runs import environment
from exptui.core.runs.process import user

NAMED = 50  # files or differences that are named; of more it is said how many
MACHINE_ID = Path("/etc/machine-id")
HEADLINE = 1000  # characters


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict over the archive of that identity. `headline`: its first line for people, with how it was compared.

    `compared`: how many identity files were; `declared`: except these fields.
    `environment`: how the re-run's surroundings differed from the original's; None where one side is unknown.
    """

    schema: int = 1
    run_id: str
    identity: str
    verdict: Verdict
    headline: str
    at: str
    machine: Machine | None
    scope: str
    cause: str
    isolation: str
    code: str
    prepared: str
    first_mismatch_cycle: int | None
    original: str
    rerun: str
    compared: int
    differing: tuple[str, ...]
    not_compared: tuple[str, ...]
    declared: tuple[str, ...]
    environment: tuple[str, ...] | None
    notes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The same for two copies of one statement, and for no two others."""
        return sha256_bytes(canonical_json(self))

    @property
    def place(self) -> str:
        """The machine it was made on, as far as that is known."""
        return self.machine.id if self.machine else ""


class Seen(msgspec.Struct, frozen=True):
    """A verdict that is known here; `signer`: of whom it came, empty where it was made here."""

    statement: Statement
    signer: str = ""


def of(report: AuditReport) -> Statement:
    """What an audit report states."""
    identity = [file for file in report.files if file.file_class == "identity"]
    around = report.environment
    return Statement(
        run_id=report.run_id,
        identity=report.identity,
        verdict=report.verdict,
        headline=headline(report)[:HEADLINE],
        at=report.ended_at,
        machine=report.machine,
        scope=report.scope,
        cause=report.cause if report.verdict is Verdict.DIVERGED else "",
        isolation=report.isolation,
        code=report.code,
        prepared=report.prepared,
        first_mismatch_cycle=report.first_mismatch_cycle,
        original=report.run_a_hash,
        rerun=report.run_b_hash,
        compared=sum(file.status != "not compared" for file in identity),
        differing=_few([f"{file.path} {file.status}" for file in report.diverged_files]),
        not_compared=_few([file.path for file in report.files if file.status == "not compared"]),
        declared=_few([f"{file.path} {' '.join(file.declared)}" for file in report.files if file.declared]),
        environment=None
        if around is None
        else _few([f"{one.key}: {one.baseline[:NAMED]} → {one.candidate[:NAMED]}" for one in around]),
        notes=_few(list(report.notes)),
    )


def here() -> Machine:
    """This machine, as a verdict names it."""
    try:
        known = MACHINE_ID.read_text().strip()
    except OSError:
        known = ""
    # Not the id itself: whoever gets the statement could know the machine by it elsewhere.
    secret = f"exptui machine {known or os.uname().nodename}".encode()
    return Machine(
        id=hashlib.sha256(secret).hexdigest()[:16],
        host=os.uname().nodename,
        user=user(),
        cpu=environment.cpu()["model"],
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        libc=" ".join(platform.libc_ver()),
    )


def _few(texts: list[str]) -> tuple[str, ...]:
    more = [f"… and {len(texts) - NAMED:,} more"] if len(texts) > NAMED else []
    return (*texts[:NAMED], *more)
