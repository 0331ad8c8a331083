"""Does it reproduce? integrity → private copy → re-run in the clean environment → compare → verdict."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from exptui.chronicle import Mismatch
from exptui.core.archive import manifest as mf
from exptui.core.archive import restore
from exptui.core.archive.manifest import FileEntry
from exptui.core.audit import compare
from exptui.core.audit.compare import CONFIG
from exptui.core.audit.report import AuditReport, Change, Verdict
from exptui.core.compare.deltas import differences
from exptui.core.compare.report import value_text
from exptui.core.configs import config
from exptui.core.configs.config import Config
from exptui.core.errors import ArchiveError, Cancelled, CorruptError, ExptuiError, RunError, UsageError
from exptui.core.files import Cancel, Progress, storage_errors
from exptui.core.runs import launch, run
from exptui.core.runs.launch import Places
from exptui.core.runs.run import Recipe, RunRecord, RunState
from exptui.core.settings import Settings, TrainerSettings

ORIGINAL, RERUN = "original", "rerun"
POLL = 0.1
OnPhase = Callable[[str], Progress]
"""Called with what begins now; what it returns is called with (done, total)."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be verified. `recorded`: the recipe in the archive is run, the user having said yes."""

    run_id: str
    source: str
    archived: bool
    recorded: bool = False
    keep: bool = False


@dataclass(frozen=True)
class Original:
    """The side to be reproduced: a private copy of its files, and what was recorded of it."""

    directory: Path
    files: list[FileEntry]
    recipe: dict[str, Any] | None
    fingerprint: dict[str, Any] | None
    attempts: int
    identity: str
    incomplete: bool
    code_changed: bool


class Verification:
    """One verification in a directory of its own; `run` returns the report and never raises for a verdict."""

    def __init__(
        self, request: Request, directory: Path, settings: Settings, places: Places, cancel: Cancel
    ) -> None:
        self.request, self.directory = request, directory
        self.settings, self.places, self.cancel = settings, places, cancel
        self.started_at = launch.now()
        self.original: Original | None = None
        self.rerun = directory / RERUN / request.run_id
        self.record: RunRecord | None = None
        self.scope = "none"

    def run(self, phase: OnPhase) -> AuditReport:
        """Verify, and say so: whatever goes wrong becomes a verdict with its reason."""
        try:
            self.original = self._take_original(phase("reading every byte of the original"))
            self._worth_it(self.original)
            self._rerun(self.original, phase("running it again"))
            return self._judge(self.original, phase("comparing"))
        except CorruptError as error:
            damaged = self.request.archived and self.original is None
            verdict = Verdict.CORRUPT if damaged else Verdict.UNKNOWN
            return self._report(verdict, error.message)
        except Cancelled:
            return self._report(Verdict.UNKNOWN, "interrupted: no comparison was made")
        except (ExptuiError, OSError) as error:
            return self._report(Verdict.UNKNOWN, str(error))

    def _take_original(self, progress: Progress) -> Original:
        """A private copy, every byte of it verified or hashed.

        Raises:
            CorruptError: the archive is damaged.
        """
        target, source = self.directory / ORIGINAL, Path(self.request.source)
        if self.request.archived:
            restored = restore.restore(source, target, progress=progress, cancel=self.cancel, record=False)
            sealed = restored.manifest
            return Original(
                target,
                sealed.files,
                sealed.recipe,
                sealed.fingerprint,
                sealed.attempts,
                restored.identity,
                sealed.incomplete,
                _code_changed(target),
            )
        record, state = run.observe(source)
        with storage_errors("copy the run"):
            shutil.copytree(source, target, symlinks=True)
        files = mf.scan(target, record.recipe.observational if record else (), None, self.cancel)
        whole = state in (RunState.FINISHED, RunState.EXTERNAL)
        recipe = msgspec.to_builtins(record.recipe) if record else None
        attempts, seen = (record.attempts, record.fingerprint) if record else (0, None)
        changed = record is not None and record.code_changed
        return Original(target, files, recipe, seen, attempts, "", not whole, changed)

    def _worth_it(self, original: Original) -> None:
        """Raises ArchiveError where no re-run could ever give a verdict."""
        if original.incomplete:
            raise ArchiveError("the original did not finish: there is no whole run to compare with")
        if not any(f.size and f.file_class == "identity" and f.path != CONFIG for f in original.files):
            raise ArchiveError("the original has no output to compare: nothing but config.toml")
        if CONFIG not in {f.path for f in original.files}:
            raise ArchiveError("the original has no config.toml: it cannot be run again")

    def _trainer(self, stem: str) -> TrainerSettings:
        """From this workspace's settings; from the archive only after the user's yes."""
        if not self.request.recorded:
            return self.settings.trainer_for(f"{stem}.toml")
        return recorded_trainer(self.original.recipe if self.original else None)

    def _rerun(self, original: Original, progress: Progress) -> None:
        """Queue the re-run like any other run and wait for its end."""
        stem = run.stem_of(self.request.run_id)
        data = config.read_bytes(original.directory / CONFIG)
        parsed = config.parse(Path(CONFIG), data)
        again = Config(self.places.results / f"{stem}.toml", data, parsed.values)
        self.rerun.mkdir(parents=True)
        recipe = launch.freeze(again, self._trainer(stem), self.settings, self.places, self.rerun)
        recipe = _same_classes(recipe, original.recipe)
        self.cancel.check()
        launch.begin(self.rerun, again, recipe, self.places, ticket=self.directory.name)
        total = sum(f.size for f in original.files if f.file_class == "identity")
        while True:
            self.record, state = run.observe(self.rerun)
            if not (state.live or (self.record and run.has_leftovers(self.record))):
                return
            try:
                self.cancel.check()
            except Cancelled:
                run.end(self.rerun)
                raise
            progress(min(_size(self.rerun), total), total)
            time.sleep(POLL)

    def _judge(self, original: Original, progress: Progress) -> AuditReport:
        assert self.record is not None  # the re-run was queued
        state, end = run.state_of(self.record), self.record.exit
        finished = state is RunState.FINISHED
        observational = self.record.recipe.observational
        files = mf.scan(self.rerun, observational, None, self.cancel)
        progress(1, 2)
        mismatch = compare.compare_chronicles(original.directory, self.rerun, complete=finished)
        self._unchanged(original)
        if not finished and mismatch is None:
            if state is not RunState.FAILED or end is None or (end.code is None and end.signal is None):
                why = end.error if end and end.error else f"the re-run is {state}"
                return self._report(Verdict.UNKNOWN, why)
            how = f"exit code {end.code}" if end.code else f"signal {end.signal}"
            return self._report(
                Verdict.FAILED, f"the trainer failed on the re-run: {how}{self._last_words()}"
            )
        if finished and not any(f.size and f.file_class == "identity" and f.path != CONFIG for f in files):
            return self._report(Verdict.FAILED, "the re-run wrote nothing to compare")
        volatile = self.record.recipe.volatile
        audits = compare.compare_files((original.directory, original.files), (self.rerun, files), volatile)
        same = finished and not any(audit.diverged for audit in audits)
        self.scope = "full" if finished else "up to where the re-run failed"
        reason = "" if finished else f"and the re-run then failed ({state})"
        return self._report(
            Verdict.REPRODUCED if same and mismatch is None else Verdict.DIVERGED,
            reason,
            run_b_hash=compare.files_digest(files),
            is_identical=all(a.status in ("equal", "not compared") for a in audits) and finished,
            files=tuple(audits) if finished else (),
            **_details(mismatch),
        )

    def _unchanged(self, original: Original) -> None:
        """Of a run in results/: its files are still those that were copied at the start."""
        if not self.request.archived:
            classes = (original.recipe or {}).get("observational", ())
            now = mf.scan(Path(self.request.source), classes, None, self.cancel)
            if compare.files_digest(now) != compare.files_digest(original.files):
                raise ArchiveError("the original changed while it was verified")

    def _last_words(self) -> str:
        """The end of the re-run's log, for a person to see why it failed."""
        try:
            data = (self.rerun / "trainer.log").read_bytes()[-2000:]
        except OSError:
            return ""
        last = data.decode(errors="replace").strip().splitlines()[-1:]
        return f" ({last[0]})" if last else ""

    def _report(self, verdict: Verdict, reason: str, **facts: Any) -> AuditReport:
        original, record = self.original, self.record
        changes = _environment(original, record)
        return AuditReport(
            run_id=self.request.run_id,
            verdict=verdict,
            reason=reason,
            source=self.request.source,
            identity=original.identity if original else "",
            run_a_hash=compare.files_digest(original.files) if original else "",
            scope=self.scope,
            isolation="clean environment; network not cut; original readable" if record else "",
            attempts=original.attempts if original else 0,
            environment=changes,
            suspects=_suspects(original, changes) if verdict in (Verdict.DIVERGED, Verdict.FAILED) else (),
            command=record.recipe.argv if record else (),
            started_at=self.started_at,
            ended_at=launch.now(),
            **facts,
        )


def _code_changed(directory: Path) -> bool:
    """Whether the original's run.json says so; one that cannot be read says nothing, and is not compared either."""
    try:
        record = run.read(directory)
    except CorruptError:
        return False
    return record is not None and record.code_changed


def recorded_trainer(recipe: Mapping[str, Any] | None) -> TrainerSettings:
    """The trainer an archive says it was made with; environment variables of its own included.

    Raises:
        RunError: it records none.
    """
    if recipe is None:
        raise RunError("the archive does not say how it was run", "Set [trainer] in exptui.toml instead.")
    try:
        known = msgspec.convert(dict(recipe), Recipe)
    except msgspec.ValidationError as error:
        raise UsageError(f"the archive's recipe cannot be read: {error}") from error
    policy = {"pass": known.passed, "set": known.set, "secret": known.secret, "preset": known.preset}
    names = ("command", "resume", "checkpoints", "code", "stop_grace", "observational", "volatile")
    return msgspec.convert(
        {
            **{name: getattr(known, name) for name in names},
            "name": known.trainer,
            "cwd": known.cwd_setting,
            "environment": policy,
        },
        TrainerSettings,
    )


def request_for_file(path: Path, archives: Path, *, trust: bool) -> Request:
    """An archive by its path; of one from elsewhere the command is shown, and run only after a yes.

    Raises:
        UsageError: there is no such file, or it is from elsewhere and not trusted.
    """
    if not path.is_file():
        raise UsageError(f"no file {path}", "List the archives here with: exptui ls archive")
    run_id = path.name.removesuffix(".tar.gz")
    if path.parent == archives:
        return Request(run_id=run_id, source=str(path), archived=True)
    if not trust:
        try:
            trainer = recorded_trainer(restore.load_manifest(path).recipe)
        except CorruptError:
            pass  # the verification itself says so, and runs nothing
        else:
            extra = "".join(f" {key}={value}" for key, value in trainer.environment.set.items())
            raise UsageError(
                f"{path.name} is from elsewhere; it would run:{extra} {' '.join(trainer.command)}",
                "If you trust that command: exptui verify FILE --yes",
            )
    return Request(run_id=run_id, source=str(path), archived=True, recorded=True)


def _same_classes(recipe: Recipe, frozen: Mapping[str, Any] | None) -> Recipe:
    """What is compared is what was frozen when the original was launched, whatever the settings say by now."""
    classes = frozen or {}
    return msgspec.structs.replace(
        recipe,
        observational=tuple(classes.get("observational", ())),
        volatile={path: tuple(fields) for path, fields in dict(classes.get("volatile", {})).items()},
    )


def _size(directory: Path) -> int:
    """Bytes in a directory that somebody is writing into."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _details(mismatch: Mismatch | None) -> dict[str, Any]:
    if mismatch is None:
        return {}
    return {
        "first_mismatch_cycle": mismatch.cycle,
        "mismatch_phase": mismatch.phase,
        "mismatch_details": tuple(Change(*field) for field in mismatch.fields),
    }


def _environment(original: Original | None, record: RunRecord | None) -> tuple[Change, ...] | None:
    """What differed between the two starts: fingerprint, command, environment policy. None where one is unknown."""
    if original is None or record is None or original.fingerprint is None or record.fingerprint is None:
        return None
    started = ("command", "passed", "set", "secret", "preset", "threads")
    ours = {**original.fingerprint, "recipe": {name: (original.recipe or {}).get(name) for name in started}}
    theirs = {**record.fingerprint, "recipe": {name: getattr(record.recipe, name) for name in started}}
    # Through JSON, as one side came from there: a tuple is then a list on both.
    sides = [msgspec.json.decode(msgspec.json.encode(side)) for side in (ours, theirs)]
    found = differences(*map(config.flatten, sides))
    changes = [Change(d.key, value_text(d.baseline), value_text(d.candidate)) for d in found]
    if original.code_changed or record.code_changed:
        texts = [
            "changed while it ran" if side else "the same"
            for side in (original.code_changed, record.code_changed)
        ]
        changes.append(Change("code.while_running", *texts))
    return tuple(changes)


def _suspects(original: Original | None, changes: tuple[Change, ...] | None) -> tuple[str, ...]:
    if changes is None:
        return ("how the original was run is unknown: its code and environment may differ",)
    heads = dict.fromkeys(change.key.partition(".")[0] for change in changes)
    found = [f"{'how it is started' if head == 'recipe' else head} differs" for head in heads]
    if original and original.attempts > 1:
        found.append(f"the original took {original.attempts} attempts: a resume may not equal a straight run")
    return tuple(found) or (
        "code and environment are the same: the trainer is not deterministic, or reads something exptui does not see",
    )
