"""A run proved piece by piece: each piece between two checkpoints is re-run on its own, in parallel.

A piece starts from nothing but the config, or one checkpoint, and must give the next ones bit for bit, with its
slice of the chronicle; the last one must give the final files. By induction that proves the whole run.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace as replace_struct

from exptui import chronicle
from exptui.chronicle import Chronicle, Mismatch, Status
from exptui.core.archive import manifest as mf
from exptui.core.archive.manifest import FileEntry
from exptui.core.audit import compare
from exptui.core.audit.compare import CONFIG, FileAudit
from exptui.core.audit.live import LiveComparison
from exptui.core.audit.original import Original
from exptui.core.audit.pieces import Piece, checkpoints, plan, sample
from exptui.core.audit.report import SegmentAudit, SegmentStatus, Verdict, worst
from exptui.core.audit.rerun import Prepare, Rerun, Reruns, copied
from exptui.core.errors import ArchiveError
from exptui.core.files import Progress
from exptui.core.runs import launch, resume
from exptui.core.runs.run import Recipe, RunState

VERDICTS = {"differs": Verdict.DIVERGED, "failed": Verdict.FAILED, "unknown": Verdict.UNKNOWN}
AGAIN = 3  # times a piece is run again of which a node died
OnPhase = Callable[[str, str], Progress]


@dataclass(frozen=True)
class Done:
    """A piece that was run: what came of it, file by file, and where its chronicle first differs.

    `passing`: the files that are not the piece's to write, as it left them, where it has them.
    """

    piece: Piece
    rerun: Rerun
    audit: SegmentAudit
    files: dict[str, FileAudit]
    mismatch: Mismatch | None
    passing: dict[str, FileAudit] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """What it was to write, or a piece before it, and did not."""
        return [path for path, file in self.files.items() if file.status == "missing"]


@dataclass(frozen=True)
class Outcome:
    """All pieces together; `whole`: none was left out; `worst`: the first that has the verdict of them all."""

    verdict: Verdict
    reason: str
    scope: str
    whole: bool
    files: tuple[FileAudit, ...]
    segments: tuple[SegmentAudit, ...]
    mismatch: Mismatch | None
    worst: Done


def verify(original: Original, reruns: Reruns, phase: OnPhase) -> Outcome:
    """Run the pieces and judge them.

    Raises:
        RunError: the trainer cannot be resumed, or told where to stop.
        ArchiveError: there is nothing to cut the run by.
        Cancelled: somebody asked.
    """
    options = reruns.request.options
    seen = chronicle.read_for(original.directory)
    if seen is not None and seen.status is not Status.SEALED:
        raise ArchiveError(
            f"the original's chronicle cannot be cut into pieces: {seen.problem or 'not sealed'}"
        )
    recipe = reruns.recipe(original.directory)
    if recipe.compare == "metrics":
        raise ArchiveError(
            "metrics alone, as declared, are compared of whole runs: verify it without segments"
        )
    marks = checkpoints(original.files, recipe, seen)
    pieces = plan(marks, options.segments)
    chosen = sample(pieces, options.sample)
    total = sum(len(_slice(seen, piece).records) for piece in chosen) if seen else len(chosen)
    meter = _Meter(phase(f"running {len(chosen)} of {len(pieces)} segments again", "cycles"), total)
    for piece in chosen:  # all of them first: each is kept from the others
        reruns.claim(_label(piece))
    run = partial(_run, original, reruns, seen, meter)
    # One more than may work: it has started, and waits for the slot that comes free.
    workers = reruns.workers + 1
    if reruns.launcher is not None:  # the threads only wait
        reruns.begin({_label(piece): prepare(original, piece) for piece in chosen})
        workers = len(chosen)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        done = list(pool.map(run, chosen))
    return _outcome(original, pieces, done)


class _Meter:
    """Adds up the cycles that the pieces have compared, from several threads."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._lock = progress, total, threading.Lock()
        self._done: dict[int, int] = {}

    def __call__(self, number: int, done: int) -> None:
        with self._lock:
            self._done[number] = done
            self._progress(min(sum(self._done.values()), self._total), self._total)


def _label(piece: Piece) -> str:
    return f"segment-{piece.number:02}"


def _slice(seen: Chronicle, piece: Piece) -> Chronicle:
    """What the original's chronicle says between the two ends of a piece."""
    after = -1 if piece.start is None or piece.start.cycle is None else piece.start.cycle
    upto = float("inf") if piece.end is None or piece.end.cycle is None else piece.end.cycle
    return replace(
        seen,
        records=tuple(record for record in seen.records if after < record.cycle <= upto),
        checkpoints=tuple(mark for mark in seen.checkpoints if after < mark.cycle <= upto),
    )


def _words(resume_words: tuple[str, ...], piece: Piece, checkpoint: Path) -> tuple[str, ...]:
    """What tells the trainer where to start and where to stop."""
    words = resume_words if piece.start else resume.without(resume_words, "{checkpoint}")
    if piece.end is None:
        return launch.fill(resume.without(words, "{epoch}"), {"checkpoint": str(checkpoint)})
    return launch.fill(words, {"checkpoint": str(checkpoint), "epoch": str(piece.end.epoch)})


def prepare(original: Original, piece: Piece) -> Prepare:
    """What a re-run of a piece starts from, and with which words."""

    def start(directory: Path, recipe: Recipe) -> tuple[str, ...]:
        checkpoint = directory
        if piece.start is not None:
            checkpoint = directory / piece.start.path
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(original.directory / piece.start.path, checkpoint)
        return (*recipe.argv, *_words(recipe.resume, piece, checkpoint))

    return start


def _run(original: Original, reruns: Reruns, seen: Chronicle | None, meter: _Meter, piece: Piece) -> Done:
    live = LiveComparison(_slice(seen, piece)) if seen else None

    def watch(directory: Path) -> str:
        if live is None:
            return ""
        found = live.look(directory)
        meter(piece.number, live.cycles)
        return "stopped at the first mismatch" if found else ""

    rerun = reruns.run(_label(piece), watch, prepare(original, piece))
    for again in range(1, AGAIN + 1):
        if reruns.launcher is None or rerun.state is not RunState.LOST:
            break
        live = LiveComparison(_slice(seen, piece)) if seen else None  # its node died: that says nothing of it
        rerun = reruns.run(f"{_label(piece)}.{again}", watch, prepare(original, piece))
    done = _judge(original, piece, rerun, live)
    if live is None:
        meter(piece.number, 1)
    if done.audit.status == "equal" and not done.missing:
        shutil.rmtree(rerun.directory.parent, ignore_errors=True)
    return done


def _judge(original: Original, piece: Piece, rerun: Rerun, live: LiveComparison | None) -> Done:
    recipe = rerun.record.recipe
    there = {file.path: file for file in mf.scan(rerun.directory, recipe.observational)}
    here = {file.path: file for file in original.outputs}
    pattern = resume.pattern(recipe.checkpoints)
    new = there.keys() - here.keys()
    wanted = {*piece.outputs, *(path for path in new if pattern.fullmatch(path))}
    if piece.end is None:
        wanted |= {path for path in here if not pattern.fullmatch(path)} | new
        wanted -= {CONFIG, chronicle.NAME if live else ""}  # that one is compared slice by slice

    def compared(paths: set[str]) -> dict[str, FileAudit]:
        ours, theirs = ([f for path, f in side.items() if path in paths] for side in (here, there))
        both = (original.directory, ours), (rerun.directory, theirs)
        return {file.path: file for file in compare.compare_files(*both, recipe)}

    files = compared(wanted)
    apart = {CONFIG, chronicle.NAME, *wanted}
    passing = compared({path for path in here.keys() & there.keys() - apart if not pattern.fullmatch(path)})
    # Whether another file is missing is known when all pieces are: the one that writes it may not be the last.
    bad = [f for f in files.values() if f.diverged and (f.status != "missing" or f.path in piece.outputs)]
    mismatch = live.mismatch if live else None
    names = piece.names

    def audit(status: SegmentStatus, detail: str = "") -> Done:
        cycle = mismatch.cycle if mismatch else None
        found = SegmentAudit(
            number=piece.number, begin=names[0], end=names[1], status=status, cycle=cycle, detail=detail
        )
        return Done(piece, rerun, found, files, mismatch, passing)

    if mismatch is not None:
        files = {p: file for p, file in files.items() if file.status in ("equal", "equal to attested")}
        return audit(
            "differs", ", ".join(f"{name} {ours} → {theirs}" for name, ours, theirs in mismatch.fields[:2])
        )
    if not rerun.finished:
        files = {}
        return audit("failed" if rerun.failed else "unknown", rerun.why())
    if bad:
        return audit("differs", ", ".join(f"{file.path} {_how(file)}" for file in bad[:3]))
    if live is not None and not live.complete:
        return audit("differs", f"its chronicle holds {live.cycles} of {live.total} cycles")
    if problem := _header(original, rerun, piece) if live is not None else "":
        return audit("differs", problem)
    return _made(rerun, list(there.values()), wanted, audit)


def _made(
    rerun: Rerun,
    there: list[FileEntry],
    wanted: set[str],
    audit: Callable[[SegmentStatus, str], Done],
) -> Done:
    """Equal it is; whether it made what it was to make itself."""
    mine = (file for file in there if file.path in wanted and file.file_class == "identity")
    outputs = {file.path for file in mine if file.size}
    old = [path for path in copied(rerun.directory, rerun.began, there) if path in outputs]
    if old and len(old) == len(outputs):
        return audit("unknown", f"it made nothing: {old[0]} is older than it, or a link")
    if rerun.began is None:
        return audit("equal", "the clock was set meanwhile: copied files could not be told")
    return audit("equal", f"copied, not made by it: {', '.join(old[:3])}" if old else "")


def _inherited(done: list[Done], *, whole: bool) -> Done:
    """The last piece; what it did not write again is as the latest piece before it left it (a vocabulary, a best)."""
    *earlier, last = done
    files = dict(last.files)
    for path in last.missing:
        found = next((one.passing[path] for one in reversed(earlier) if path in one.passing), None)
        if found is not None:
            files[path] = found
        elif not whole:
            files[path] = replace_struct(files[path], status="not compared")
    audit, bad = last.audit, [file for file in files.values() if file.diverged]
    if bad and audit.status == "equal":
        detail = ", ".join(f"{file.path} {_how(file)}" for file in bad[:3])
        audit = replace_struct(audit, status="differs", detail=detail)
    elif audit.status == "equal":
        shutil.rmtree(last.rerun.directory.parent, ignore_errors=True)
    return replace(last, audit=audit, files=files)


def _how(file: FileAudit) -> str:
    return file.status if file.offset is None else f"differs from byte {file.offset:,}"


def _header(original: Original, rerun: Rerun, piece: Piece) -> str:
    """What of a chronicle is not in its cycles: the config it is of, and that it was sealed at the end."""
    ours, theirs = chronicle.read_for(original.directory), chronicle.read_for(rerun.directory)
    if ours is None or theirs is None or ours.config_sha256 != theirs.config_sha256:
        return "its chronicle is of another config"
    return "its chronicle is not sealed" if piece.end is None and theirs.status is not Status.SEALED else ""


def _outcome(original: Original, pieces: list[Piece], done: list[Done]) -> Outcome:
    known: dict[str, FileAudit] = {}
    whole = len(done) == len(pieces)
    done = [*done[:-1], _inherited(done, whole=whole)]
    for one in done:
        known |= one.files
    slices = all(one.audit.status == "equal" for one in done)
    files = [known.get(file.path) or _not_compared(file, slices=slices and whole) for file in original.files]
    extra = [file for path, file in known.items() if path not in {file.path for file in original.files}]
    audits = tuple(one.audit for one in done)
    verdict = worst(
        [VERDICTS[audit.status] for audit in audits if audit.status != "equal"] or [Verdict.REPRODUCED]
    )
    bad = [f"segment {audit.number} {audit.status}" for audit in audits if audit.status != "equal"]
    left = [
        f.path for f in files if (f.file_class, f.status) == ("identity", "not compared") and not f.declared
    ]
    if verdict is Verdict.REPRODUCED and whole and left:
        verdict, bad = Verdict.UNKNOWN, [f"not compared: {', '.join(left[:3])}"]
    if verdict is Verdict.REPRODUCED and any(file.status == "agrees" for file in files):
        verdict = Verdict.AGREES
    if verdict in (Verdict.REPRODUCED, Verdict.AGREES) and not compare.something(files, original.files):
        verdict, bad = Verdict.UNKNOWN, ["nothing was compared: every field is declared volatile"]
    scope = f"{len(done)} of {len(pieces)} segments"
    if verdict is Verdict.AGREES:
        scope += ", each by itself: over the whole run differences may add up"
    if not whole:
        scope += f": one bad segment would be caught with a probability of {len(done) / len(pieces):.0%}"
    mismatches = [one.mismatch for one in done if one.mismatch]
    return Outcome(
        verdict,
        ", ".join(bad),
        scope,
        whole,
        (*files, *extra),
        audits,
        min(mismatches, key=lambda found: found.cycle, default=None),
        next((one for one in done if VERDICTS.get(one.audit.status) is verdict), done[0]),
    )


def _not_compared(file: FileEntry, *, slices: bool) -> FileAudit:
    """The config is what every piece started from; the chronicle is compared slice by slice."""
    status = "not compared"
    if file.path == CONFIG:
        status = "equal"
    elif file.path == chronicle.NAME and slices:
        status = "slices equal"
    return msgspec.convert({"path": file.path, "class": file.file_class, "status": status}, FileAudit)
