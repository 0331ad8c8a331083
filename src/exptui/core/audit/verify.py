"""Does it reproduce? integrity → private copy → re-run in the clean environment → compare → verdict."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from exptui import chronicle
from exptui.chronicle import Status
from exptui.core.archive import manifest as mf
from exptui.core.archive.manifest import FileEntry
from exptui.core.audit import (
    annotate,
    attribution,
    by_metrics,
    cause,
    compare,
    original,
    packages,
    segments,
)
from exptui.core.audit.compare import FileAudit
from exptui.core.audit.live import LiveComparison
from exptui.core.audit.original import Original
from exptui.core.audit.packages import Prepared
from exptui.core.audit.report import AuditReport, Verdict, mismatch_facts
from exptui.core.audit.request import Request
from exptui.core.audit.rerun import FULL_DISK, Compared, Rerun, Reruns, compared, copied
from exptui.core.errors import Cancelled, CorruptError, ExptuiError
from exptui.core.files import Cancel, Progress, free_bytes
from exptui.core.monitor.readers import find
from exptui.core.runs import launch
from exptui.core.runs.launch import Places
from exptui.core.runs.run import Recipe
from exptui.core.settings import Settings

ORIGINAL, RERUN = "original", "rerun"
OnPhase = Callable[[str, str], Progress]
"""Called with what begins now and its unit; what it returns is called with (done, total)."""


class Verification:
    """One verification in a directory of its own; `run` returns the report and never raises for a verdict."""

    def __init__(
        self, request: Request, directory: Path, settings: Settings, places: Places, cancel: Cancel
    ) -> None:
        self.request, self.directory = request, directory
        self.settings, self.places, self.cancel = settings, places, cancel
        self.started_at = launch.now()
        self.original: Original | None = None
        self.rerun: Rerun | None = None
        self.facts: dict[str, Any] = {}  # of the report, whatever the verdict

    def run(self, phase: OnPhase) -> AuditReport:
        """Verify, and say so: whatever goes wrong becomes a verdict with its reason.

        Raises:
            Cancelled: somebody asked for it; nothing works any more.
        """
        try:
            target, progress = self.directory / ORIGINAL, phase("reading every byte of the original", "bytes")
            self.original = original.take(self.request, target, progress, self.cancel)
            prepared = self._prepared(self.original, phase)
            folder = self.directory / RERUN
            reruns = Reruns(
                self.original, self.request, self.settings, self.places, self.cancel, folder, prepared
            )
            self.facts = {"code": reruns.code.words, "prepared": prepared.words if prepared else ""}
            if self.request.options.segments:
                return self._segments(reruns, phase)
            return self._straight(reruns, phase)
        except CorruptError as error:
            damaged = self.request.archived and self.original is None
            verdict = Verdict.CORRUPT if damaged else Verdict.UNKNOWN
            return self._report(verdict, error.message)
        except Cancelled:
            raise
        except ExptuiError as error:
            return self._report(Verdict.UNKNOWN, error.message)
        except OSError as error:
            return self._report(
                Verdict.UNKNOWN, f"cannot go on: {error.filename or ''} {error.strerror or error}"
            )

    def _prepared(self, original: Original, phase: OnPhase) -> Prepared | None:
        """The recorded packages, where that is asked for."""
        if not self.request.options.prepare_env:
            return None
        progress = phase("installing the recorded packages", "packages")
        captured = original.snapshot if self.request.options.code != "current" else None
        own = captured.packages if captured else ()
        return packages.prepare(original.fingerprint, own, self.directory / "env", progress, self.cancel)

    def _straight(self, reruns: Reruns, phase: OnPhase) -> AuditReport:
        assert self.original is not None
        live = self._live(self.original)
        total = live.total if live else sum(file.size for file in self.original.outputs)
        progress = phase("running it again", "cycles" if live else "bytes")

        def watch(directory: Path) -> str:
            if live is None:
                progress(min(_size(directory), total), total)
                return ""
            found = live.look(directory)
            progress(live.cycles, total)
            return "stopped at the first mismatch" if found and not self.request.options.to_the_end else ""

        self.rerun = reruns.run("straight", watch)
        report = self._judge(self.original, self.rerun, live, phase("comparing", "bytes"))
        return self._with_cause(
            report,
            phase,
            partial(cause.examine, reruns, self.rerun, report.first_mismatch_cycle, report.mismatch_phase),
        )

    def _with_cause(self, report: AuditReport, phase: OnPhase, examine: Callable[[], str]) -> AuditReport:
        """Why it diverged, where that was asked for, or is cheap."""
        assert self.original is not None
        assert self.rerun is not None
        wanted = self.request.options.cause
        cheap = wanted is None and self.rerun.seconds <= cause.CHEAP
        if report.verdict is not Verdict.DIVERGED or not (wanted or cheap):
            return report
        phase("running it once more: is it deterministic?", "cycles")
        why = examine()
        guesses = attribution.suspects(self.original, report.environment, why)
        return msgspec.structs.replace(report, cause=why, suspects=guesses)

    def _live(self, original: Original) -> LiveComparison | None:
        """What the re-run is compared with while it works; None where the original has no whole chronicle that counts."""
        found = chronicle.read_for(original.directory) if _counts(compared(original)) else None
        return LiveComparison(found) if found is not None and found.status is Status.SEALED else None

    def _judge(
        self, original: Original, rerun: Rerun, live: LiveComparison | None, progress: Progress
    ) -> AuditReport:
        recipe = rerun.record.recipe
        files = mf.scan(rerun.directory, recipe.observational, None, self.cancel)
        progress(1, 2)
        sides = original.directory, rerun.directory
        whole = compare.compare_chronicles(*sides, complete=rerun.finished) if _counts(recipe) else None
        found = [one for one in (live.mismatch if live else None, whole) if one is not None]
        mismatch = min(found, key=lambda one: one.cycle, default=None)
        self._check_unchanged(original)
        if mismatch is None and not rerun.finished:
            return self._not_finished(rerun)
        made = [
            file
            for file in files
            if file.size and file.file_class == "identity" and file.path != compare.CONFIG
        ]
        metrics = recipe.compare == "metrics"
        if rerun.finished and not (made or metrics):
            return self._report(Verdict.FAILED, "the re-run wrote nothing to compare")
        audits = compare.compare_files((sides[0], original.files), (sides[1], files), recipe)
        if metrics and (not made or any(audit.diverged for audit in audits)):
            return self._by_metrics(original, rerun, files, audits)
        if not rerun.finished:
            audits = [_unfinished(file) for file in audits]
        same = rerun.finished and mismatch is None and not any(audit.diverged for audit in audits)
        old = copied(rerun.directory, rerun.began, files)
        if same and len(old) == len(made):
            return self._report(
                Verdict.UNKNOWN, f"the re-run made nothing: {old[0]} is older than it, or a link"
            )
        if same and not compare.something(audits, original.files):
            return self._report(
                Verdict.UNKNOWN, "nothing was compared: every field is declared volatile", files=tuple(audits)
            )
        agrees = any(audit.status == "agrees" for audit in audits)
        notes = self._notes(original, rerun, old)
        if not same and rerun.finished:
            notes += annotate.of_files(original, rerun, files, audits, self.request.options.tolerance)
        return self._report(
            (Verdict.AGREES if agrees else Verdict.REPRODUCED) if same else Verdict.DIVERGED,
            "" if rerun.finished else f"{rerun.why()}: files not all compared",
            scope="full" if rerun.finished else "up to where the re-run ended",
            run_b_hash=compare.files_digest(files) if rerun.finished else "",
            is_identical=same
            and all(a.status in ("equal", "equal to attested") for a in audits if a.file_class == "identity"),
            files=tuple(audits),
            notes=notes,
            **mismatch_facts(mismatch),
        )

    def _by_metrics(
        self, original: Original, rerun: Rerun, files: list[FileEntry], audits: list[FileAudit]
    ) -> AuditReport:
        """Where the metrics alone count, by declaration: all values within the tolerances agree, and no file more."""
        recipe = rerun.record.recipe
        found = by_metrics.compare(original.directory, rerun.directory, recipe, recipe.metrics)
        differs = any(one.status == "differs" for one in found)
        sources = {"metrics.json", *find.candidates(rerun.directory)}
        read = [
            msgspec.structs.replace(file, file_class="identity") for file in files if file.path in sources
        ]
        old = copied(rerun.directory, rerun.began, read)
        if old and not differs:
            return self._report(
                Verdict.UNKNOWN, f"the metrics may be copied: {old[0]} is older than the re-run, or a link"
            )
        notes = self._notes(original, rerun, old)
        if differs:
            notes += annotate.of_metrics(original, rerun, found, self.request.options.tolerance)
        return self._report(
            Verdict.DIVERGED if differs else Verdict.AGREES,
            "",
            scope="metrics alone, as declared",
            run_b_hash=compare.files_digest(files),
            metrics=found,
            files=tuple(_uncounted(file) for file in audits),
            notes=notes,
        )

    def _not_finished(self, rerun: Rerun) -> AuditReport:
        if free_bytes(self.directory) < FULL_DISK:
            return self._report(Verdict.UNKNOWN, f"the disk is full: {rerun.why()}")
        return self._report(Verdict.FAILED if rerun.failed else Verdict.UNKNOWN, rerun.why())

    def _segments(self, reruns: Reruns, phase: OnPhase) -> AuditReport:
        assert self.original is not None
        found = segments.verify(self.original, reruns, phase)
        self._check_unchanged(self.original)
        worst = found.worst
        self.rerun = worst.rerun
        report = self._report(
            found.verdict,
            found.reason,
            scope=found.scope,
            files=found.files,
            segments=found.segments,
            is_identical=found.verdict is Verdict.REPRODUCED and found.whole,
            **mismatch_facts(found.mismatch),
        )
        prepare = segments.prepare(self.original, worst.piece)
        cycle, at = (worst.mismatch.cycle, worst.mismatch.phase) if worst.mismatch else (None, "")
        return self._with_cause(
            report, phase, partial(cause.examine, reruns, worst.rerun, cycle, at, prepare)
        )

    def _check_unchanged(self, was: Original) -> None:
        original.check_unchanged(was, self.request, self.cancel)

    def _notes(self, original: Original, rerun: Rerun, old: list[str]) -> tuple[str, ...]:
        """What a reader should know of a verdict, whichever it is."""
        notes = [f"{path} is older than the re-run, or a link: copied, not made by it" for path in old]
        if rerun.began is None:
            notes.append("the clock was set during the re-run: copied files could not be told")
        if original.seconds and original.seconds > 10 and rerun.seconds < original.seconds / 4:
            notes.append(
                f"the re-run took {rerun.seconds:.0f} s and the original {original.seconds:.0f} s: "
                "does the trainer keep its results somewhere?"
            )
        return tuple(notes)

    def _report(self, verdict: Verdict, reason: str, **facts: Any) -> AuditReport:
        original, record = self.original, self.rerun.record if self.rerun else None
        found = attribution.changes(original, record)
        diverged = verdict in (Verdict.DIVERGED, Verdict.FAILED)
        return AuditReport(
            run_id=self.request.run_id,
            verdict=verdict,
            reason=reason,
            source=self.request.source,
            identity=original.identity if original else "",
            run_a_hash=compare.files_digest(original.files) if original else "",
            isolation=record.isolation if record else "",
            attempts=original.attempts if original else 0,
            environment=found,
            suspects=attribution.suspects(original, found, "") if diverged else (),
            command=(record.argv or record.recipe.argv) if record else (),
            started_at=self.started_at,
            ended_at=launch.now(),
            **self.facts,
            **facts,
        )


def _counts(declared: Compared | Recipe) -> bool:
    """Whether the chronicle is compared."""
    named = mf.matches(chronicle.NAME, declared.observational)
    return declared.compare == "files" and not named


def _uncounted(file: FileAudit) -> FileAudit:
    """Of a file that differs where only metrics count."""
    return msgspec.structs.replace(file, status="not compared", offset=None) if file.diverged else file


def _unfinished(file: FileAudit) -> FileAudit:
    """Of a re-run that did not come to its end only what is equal already is known."""
    same = file.status in (
        "equal",
        "equal except declared",
        "equal to attested",
        "agrees",
        "not compared",
    )
    return file if same else msgspec.structs.replace(file, status="not compared", offset=None)


def _size(directory: Path) -> int:
    """Bytes in a directory that somebody is writing into."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
