"""A run proved piece by piece: each piece between two checkpoints is re-run on its own, in parallel.

A piece starts from nothing but the config, or one checkpoint, and must give the next ones bit for bit, with its
slice of the chronicle; the last one must give the final files. By induction that proves the whole run.
"""

from __future__ import annotations

import itertools
import random
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from exptui import chronicle
from exptui.chronicle import Chronicle, Mismatch, Status
from exptui.core.archive import manifest as mf
from exptui.core.archive.manifest import FileEntry
from exptui.core.audit import compare
from exptui.core.audit.compare import CONFIG, FileAudit
from exptui.core.audit.live import LiveComparison
from exptui.core.audit.original import Original
from exptui.core.audit.report import SegmentAudit, SegmentStatus, Verdict, worst
from exptui.core.audit.rerun import Prepare, Rerun, Reruns
from exptui.core.errors import ArchiveError, RunError
from exptui.core.files import Progress
from exptui.core.runs import launch, resume
from exptui.core.runs.run import Recipe

VERDICTS = {"differs": Verdict.DIVERGED, "failed": Verdict.FAILED, "unknown": Verdict.UNKNOWN}
OnPhase = Callable[[str, str], Progress]


@dataclass(frozen=True)
class Mark:
    """A checkpoint of the original: its number, its path, and the cycle it was written after."""

    epoch: int
    path: str
    cycle: int | None


@dataclass(frozen=True)
class Piece:
    """From a checkpoint (None: the config) to another (None: the end); `outputs`: the checkpoints it must write."""

    number: int
    start: Mark | None
    end: Mark | None
    outputs: tuple[str, ...]

    @property
    def names(self) -> tuple[str, str]:
        """Both ends, for people."""
        return self.start.path if self.start else CONFIG, self.end.path if self.end else "the end"


@dataclass(frozen=True)
class Done:
    """A piece that was run: what came of it, file by file, and where its chronicle first differs."""

    piece: Piece
    rerun: Rerun
    audit: SegmentAudit
    files: dict[str, FileAudit]
    mismatch: Mismatch | None


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
    marks = checkpoints(original.files, recipe, seen)
    pieces = plan(marks, options.segments)
    chosen = sample(pieces, options.sample)
    total = sum(len(_slice(seen, piece).records) for piece in chosen) if seen else len(chosen)
    meter = _Meter(phase(f"running {len(chosen)} of {len(pieces)} segments again", "cycles"), total)
    for piece in chosen:  # all of them first: each is kept from the others
        reruns.claim(_label(piece))
    run = partial(_run, original, reruns, seen, meter)
    # One more than may work: it has started, and waits for the slot that comes free.
    with ThreadPoolExecutor(max_workers=reruns.workers + 1) as pool:
        done = list(pool.map(run, chosen))
    return _outcome(original, pieces, done)


def checkpoints(files: Sequence[FileEntry], recipe: Recipe, seen: Chronicle | None) -> list[Mark]:
    """The original's checkpoints by number, each with the cycle that the chronicle gives it.

    Raises:
        RunError: the trainer is not set up for it.
    """
    words = " ".join(recipe.resume)
    if not recipe.checkpoints or "{checkpoint}" not in words or "{epoch}" not in words:
        raise RunError(
            "segments need a trainer that can be resumed and told where to stop",
            "Set [trainer] checkpoints, and resume with {checkpoint} and {epoch}, or verify without --segments.",
        )
    pattern = resume.pattern(recipe.checkpoints)
    found = [
        (int(match[1]), file) for file in files if (match := pattern.fullmatch(file.path)) and match.groups()
    ]
    found.sort(key=lambda one: one[0])
    marks = seen.checkpoints if seen else ()
    digests = {mark.sha256.hex(): mark.cycle for mark in marks}
    cycles: list[int | None] = (
        [mark.cycle for mark in marks]
        if len(marks) == len(found)
        else [digests.get(file.sha256) for _, file in found]
    )
    named = (Mark(epoch, file.path, cycle) for (epoch, file), cycle in zip(found, cycles, strict=True))
    return [mark for mark in named if seen is None or mark.cycle is not None]


def plan(marks: Sequence[Mark], wanted: int) -> list[Piece]:
    """At most `wanted` pieces of about the same number of checkpoints; the last mark is inside the last piece.

    Raises:
        ArchiveError: there are no two checkpoints.
    """
    inner = marks[:-1]
    if not inner:
        raise ArchiveError("segments need at least two checkpoints; the original has fewer: verify the whole")
    count = min(wanted, len(marks))
    cuts = [inner[round(number * len(marks) / count) - 1] for number in range(1, count)]
    bounds: list[Mark | None] = [None, *cuts, None]
    pieces = []
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        after, upto = start.epoch if start else -1, end.epoch if end else marks[-1].epoch
        outputs = tuple(mark.path for mark in marks if after < mark.epoch <= upto)
        pieces.append(Piece(number, start, end, outputs))
    return pieces


def sample(pieces: list[Piece], wanted: int) -> list[Piece]:
    """The first, the last, and as many of the others as `wanted` leaves; all of them for 0. Not to be foreseen."""
    if not wanted or wanted >= len(pieces):
        return pieces
    chosen = random.SystemRandom().sample(pieces[1:-1], wanted - 2)
    return [pieces[0], *sorted(chosen, key=lambda piece: piece.number), pieces[-1]]


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
    done = _judge(original, piece, rerun, live)
    if live is None:
        meter(piece.number, 1)
    if done.audit.status == "equal":
        shutil.rmtree(rerun.directory.parent, ignore_errors=True)
    return done


def _judge(original: Original, piece: Piece, rerun: Rerun, live: LiveComparison | None) -> Done:
    recipe = rerun.record.recipe
    there = {file.path: file for file in mf.scan(rerun.directory, recipe.observational)}
    here = {file.path: file for file in original.outputs}
    wanted = set(piece.outputs)
    if piece.end is None:
        others = (here.keys() | there.keys()) - set(_checkpoint_paths(original, recipe)) - {CONFIG}
        wanted |= {path for path in others if not path.startswith("chronicle.cmeta")}
    audits = compare.compare_files(
        (original.directory, [file for path, file in here.items() if path in wanted]),
        (rerun.directory, [file for path, file in there.items() if path in wanted]),
        recipe.volatile,
    )
    files = {file.path: file for file in audits}
    bad = [file for file in audits if file.diverged]
    mismatch = live.mismatch if live else None
    names = piece.names

    def audit(status: SegmentStatus, detail: str = "") -> Done:
        cycle = mismatch.cycle if mismatch else None
        found = SegmentAudit(
            number=piece.number, begin=names[0], end=names[1], status=status, cycle=cycle, detail=detail
        )
        return Done(piece, rerun, found, files, mismatch)

    if mismatch is not None:
        files = {path: file for path, file in files.items() if file.status == "equal"}
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
    return audit("equal")


def _how(file: FileAudit) -> str:
    return file.status if file.offset is None else f"differs from byte {file.offset:,}"


def _checkpoint_paths(original: Original, recipe: Recipe) -> list[str]:
    pattern = resume.pattern(recipe.checkpoints)
    return [file.path for file in original.files if pattern.fullmatch(file.path)]


def _outcome(original: Original, pieces: list[Piece], done: list[Done]) -> Outcome:
    known: dict[str, FileAudit] = {}
    for one in done:
        known |= one.files
    whole = len(done) == len(pieces)
    slices = all(one.audit.status == "equal" for one in done)
    files = [known.get(file.path) or _not_compared(file, slices=slices and whole) for file in original.files]
    extra = [file for path, file in known.items() if path not in {file.path for file in original.files}]
    audits = tuple(one.audit for one in done)
    verdict = worst(
        [VERDICTS[audit.status] for audit in audits if audit.status != "equal"] or [Verdict.REPRODUCED]
    )
    bad = [f"segment {audit.number} {audit.status}" for audit in audits if audit.status != "equal"]
    scope = f"{len(done)} of {len(pieces)} segments"
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
