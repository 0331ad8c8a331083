"""Is a trainer deterministic, resumable and independent of its environment? Run it with one thing changed at a time."""

from __future__ import annotations

import contextlib
import os
import queue as queues
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from exptui.chronicle import Mismatch
from exptui.core.archive import manifest as mf
from exptui.core.archive.manifest import FileEntry
from exptui.core.archive.recovery import CONFORMANCE
from exptui.core.audit import chained, remedies
from exptui.core.audit.compare import CONFIG, FileAudit, compare_chronicles, compare_files, something
from exptui.core.audit.conformity import ALONE, FIRST, RESUMES, Conformity, Row, declaration
from exptui.core.audit.report import mismatch_facts
from exptui.core.audit.rerun import copied
from exptui.core.audit.trial import Bench, Ended
from exptui.core.audit.variations import UNCHANGED, Variation, variations
from exptui.core.configs.config import Config
from exptui.core.errors import UsageError
from exptui.core.files import Lock, locked_directory, storage_errors
from exptui.core.runs import environment, queue
from exptui.core.runs.launch import Places
from exptui.core.runs.run import RunState, RunView
from exptui.core.settings import Settings

OnRun = Callable[[int, str], None]
"""Called with how many runs have been started and what is tried now."""
UNSTEADY = "two runs with nothing changed differ already"
INCOMPLETE = "the checkpoint does not hold everything (optimizer? random generator? metrics history?)"
CRASHED = "what the killed attempt left is not taken up rightly (appended twice? not cut at the checkpoint?)"


class Conformance:
    """One check of the trainer of a config; `most_runs` is how many runs it takes at most."""

    def __init__(
        self,
        config: Config,
        settings: Settings,
        places: Places,
        *,
        workers: int = 1,
        timeout: float | None = None,
    ) -> None:
        """Raises UsageError for workers or a timeout that are none."""
        if workers < 1 or (timeout is not None and timeout <= 0):
            raise UsageError("--workers is 1 or more, --timeout more than 0 seconds")
        self.config, self.settings, self.places = config, settings, places
        self.workers, self.timeout = workers, timeout
        self.trainer = settings.trainer_for(config.path.name)
        self.resumes = bool(self.trainer.resume and self.trainer.checkpoints)
        self.most_runs = workers + 11 + 3 * self.resumes
        self.cancelled = threading.Event()
        self.free: queues.SimpleQueue[Bench] = queues.SimpleQueue()
        self.files: dict[Path, list[FileEntry]] = {}  # of the first run, by its bench
        self.notes: list[str] = []
        self.started = 0
        self.limit = 0.0

    def run(self, on_run: OnRun) -> Conformity:
        """Run the trainer again and again, in a private directory below `results/` that is gone afterwards.

        Raises:
            RunError, UsageError, StorageError: it cannot be started at all.
            ArchiveError: it writes something that could not be archived either; it is named.
        """
        self.on_run, began = on_run, time.monotonic()
        with storage_errors("check the trainer"), contextlib.ExitStack() as held:
            self.places.results.mkdir(exist_ok=True)
            root = self.places.results / f"{CONFORMANCE}{os.getpid()}-{os.urandom(4).hex()}"
            fd = held.enter_context(locked_directory(root))
            (root / "stage").mkdir()
            scratch = queue.lock_directory(self.places.results) / root.name
            held.callback(shutil.rmtree, scratch, ignore_errors=True)
            parts = (self.config, self.settings, self.places, fd, self.cancelled)
            benches = [Bench(root / f"w{n}", scratch / f"w{n}", *parts) for n in range(self.workers)]
            recipe = benches[0].recipe()
            if recipe.adopts:
                held.callback(self._alone().release)
            code = environment.code_digest(recipe.code, self.places.project)
            problem, rows, first = self._try(benches)
            source = remedies.seen(recipe, self.places.project)
            advice = remedies.remedies(source, rows, recipe)
            if environment.code_digest(recipe.code, self.places.project) != code:
                problem = "the code changed meanwhile: nothing of this counts"
        return Conformity(
            config=self.config.stem,
            trainer=self.trainer.name,
            command=self.trainer.command,
            rows=tuple(rows),
            notes=tuple(dict.fromkeys(self.notes)),
            remedies=advice,
            seen=source.how if advice else "",
            problem=problem,
            runs=self.started,
            first_seconds=first.seconds,
            seconds=time.monotonic() - began,
        )

    def _alone(self) -> Lock:
        """Of the trainers that may make a directory of their own in `results/` one works at a time."""
        if self.workers > 1:
            raise UsageError(
                "a trainer without {output} in its command runs one at a time", "Leave --workers out."
            )
        lock = Lock.take(queue.lock_directory(self.places.results) / queue.ADOPTING)
        assert lock is not None  # waited for
        return lock

    def _try(self, benches: list[Bench]) -> tuple[str, list[Row], Ended]:
        """Why nothing could be compared, all rows, and how the first run ended."""
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                firsts = list(pool.map(self._first, benches))
                first = next((ended for ended in firsts if ended.problem), firsts[0])
                problem, rows = self._rows(pool, benches[0], first)
            except BaseException:
                self.cancelled.set()
                raise
        return problem, rows, first

    def _rows(self, pool: ThreadPoolExecutor, bench: Bench, first: Ended) -> tuple[str, list[Row]]:
        if first.problem:
            return "", [Row(name=FIRST, what=UNCHANGED.what, status="failed", detail=first.problem)]
        made = self.files[bench.root]
        if not any(f.size and f.file_class == "identity" and f.path != CONFIG for f in made):
            return "the trainer wrote nothing to compare", []
        self.notes.append(f"not compared: {', '.join(f.path for f in made if f.file_class != 'identity')}")
        self.limit = self.timeout or 5 * first.seconds + 30
        whole = (self.places.results.parent, self.places.results)
        varied = variations(bench.recipe(), whole, bench.root.parent / "stage", own=first.own_directory)
        twice = pool.submit(self._varied, UNCHANGED).result()
        if twice.status == "not judged":
            return twice.detail, []
        if twice.status != "same":
            return "", [twice, *pool.map(self._unsteady, varied)]
        rows = [twice, *pool.map(self._varied, varied)]
        resumed = [row for row in pool.map(self._resumed, RESUMES) if row]
        if not resumed:
            self.notes.append(self._not_resumable())
        return "", [*rows, *resumed]

    @contextlib.contextmanager
    def _bench(self) -> Iterator[Bench]:
        """A free bench, for the time of one row."""
        bench = self.free.get()
        try:
            yield bench
        finally:
            self.free.put(bench)

    def _run(self, bench: Bench, name: str, variation: Variation = UNCHANGED) -> Ended:
        """One run in a fresh directory."""
        self._step(name)
        bench.fresh(variation)
        ended = bench.run(variation, timeout=self.limit or self.timeout)
        if ended.leftovers:
            self.notes.append("it leaves processes behind; they were ended")
        return ended

    def _step(self, name: str) -> None:
        self.started += 1
        self.on_run(self.started, name)

    def _scan(self, directory: Path) -> list[FileEntry]:
        return mf.scan(directory, self.trainer.observational)

    def _audit(self, base: Path, directory: Path, files: list[FileEntry]) -> list[FileAudit]:
        return compare_files((base, files), (directory, self._scan(directory)), self.trainer)

    def _first(self, bench: Bench) -> Ended:
        """The run that all others on this bench are compared with."""
        ended = self._run(bench, FIRST)
        if not ended.problem:
            bench.directory().rename(bench.base)
            self.files[bench.root] = self._scan(bench.base)
        self.free.put(bench)
        return ended

    def _varied(self, variation: Variation) -> Row:
        """One run under a variation beside the first one."""
        with self._bench() as bench:
            row = Row(name=variation.name, what=variation.what, status="same")
            if why := bench.impossible(variation):
                return replace(row, status="not possible", detail=why)
            ended = self._run(bench, variation.name, variation)
            if ended.problem:
                return replace(row, status="failed", detail=ended.problem, hint=variation.hint)
            directory = bench.directory(variation)
            audits = self._audit(bench.base, directory, self.files[bench.root])
            mismatch = compare_chronicles(bench.base, directory, complete=True)
            row = replace(row, seconds=ended.seconds, hint=variation.hint)
            row = judged(row, audits, mismatch, (bench.base, directory))
            why = in_vain(audits, directory, ended.began, self._scan(directory))
            return replace(row, status="not judged", detail=why) if why and row.status == "same" else row

    def _unsteady(self, variation: Variation) -> Row:
        """Where unchanged runs differ nothing can be said; but two runs under a variation that steadies may agree."""
        row = Row(name=variation.name, what=variation.what, status="not judged", detail=UNSTEADY)
        with self._bench() as bench:
            if not variation.steadies or bench.impossible(variation):
                return row
            one, two = bench.root / "one", bench.directory(variation)
            ends = [self._run(bench, variation.name, variation)]
            two.rename(one)
            ends.append(self._run(bench, variation.name, variation))
            try:
                if any(ended.problem for ended in ends):
                    return row
                agree = not any(audit.diverged for audit in self._audit(one, two, self._scan(one)))
                hint = variation.hint if agree else ""
                return replace(row, detail=f"two such runs {'agree' if agree else 'differ too'}", hint=hint)
            finally:
                shutil.rmtree(one)

    def _resumed(self, name: str) -> Row | None:
        """A run that was resumed beside the first one; None where there is no checkpoint."""
        with self._bench() as bench:
            if not self.resumes or (middle := chained.middle(bench)) is None:
                return None
            alone = name == ALONE
            self._step(name)
            self.started += not alone  # the one that is killed and its resume
            files = self.files[bench.root]
            try_one = chained.alone if alone else chained.killed
            found = try_one(bench, files, middle, self.limit)
            what = f"from {found.checkpoint}{' alone' if alone else ' after SIGKILL'}"
            row = Row(name=name, what=what, status="same", seconds=found.seconds)
            row = replace(row, hint=INCOMPLETE if alone else CRASHED)
            if found.impossible:
                return replace(row, status="not possible", detail=found.impossible, hint="")
            if found.failed:
                return replace(row, status="failed", detail=found.failed)
            return judged(row, found.audits, found.mismatch, (bench.base, bench.directory()))

    def _not_resumable(self) -> str:
        if not self.resumes:
            return "not resumable: [trainer] declares no resume and checkpoints"
        return f"not resumable: it wrote no {self.trainer.checkpoints}"


def judged(row: Row, audits: Sequence[FileAudit], mismatch: Mismatch | None, sides: tuple[Path, Path]) -> Row:
    """The row with what became of the comparison; one that is the same needs no hint."""
    row = replace(row, compared=sum(audit.file_class == "identity" for audit in audits))
    differing = tuple(audit for audit in audits if audit.diverged)
    if not differing and mismatch is None:
        used = [f"{audit.path} {' '.join(audit.declared)}" for audit in audits if audit.declared]
        far = [f"{audit.path} max Δ {audit.delta:.3g}" for audit in audits if audit.delta is not None]
        words = [f"except declared: {'; '.join(used)}"] if used else []
        words += [f"within declared tolerances: {'; '.join(far)}"] if far else []
        return replace(row, hint="", detail=", ".join(words))
    return replace(
        row,
        status="differs",
        files=differing,
        declare=declaration(*sides, differing),
        **mismatch_facts(mismatch),
    )


def in_vain(audits: Sequence[FileAudit], directory: Path, began: int, made: list[FileEntry]) -> str:
    """Why it proves nothing that nothing differs; empty where it does."""
    old = copied(directory, began, made)
    if old and len(old) == sum(f.size > 0 and f.file_class == "identity" and f.path != CONFIG for f in made):
        return f"it made nothing: {old[0]} is older than the run, or a link"
    return "" if something(audits, made) else "nothing was compared: every field is declared volatile"


def last_seconds(views: Iterable[RunView], stem: str) -> float | None:
    """How long the newest finished run of a config took; None where there is none."""
    finished = (v.record for v in views if v.stem == stem and v.state is RunState.FINISHED and v.record)
    newest = max(finished, key=lambda record: record.ended_at, default=None)
    if newest is None:
        return None
    began, ended = (datetime.fromisoformat(text) for text in (newest.started_at, newest.ended_at))
    return (ended - began).total_seconds()
