"""What Slurm says of the runs at work, by one query for all; and the end of a run that can no longer write it itself.

That is written only by Slurm's word and a heartbeat that stands still by our own clock: neither alone is enough.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import structs

from exptui.core.errors import CorruptError, ExptuiError, RunError
from exptui.core.files import read_json
from exptui.core.launchers import job as jobs
from exptui.core.launchers import slurm, words
from exptui.core.launchers.heart import Heart
from exptui.core.launchers.job import Job
from exptui.core.launchers.slurm import Listing, Seen
from exptui.core.runs import process, run
from exptui.core.runs.alone import alone
from exptui.core.runs.launch import now
from exptui.core.runs.run import Attempt, Exit, Phase, RunRecord, RunView

SOON, LATE, GROWTH = 5.0, 60.0, 1.5  # seconds between two queries: at first, at most, and how that grows
ABSENT = 3  # queries that do not know it: one may come before the job, or between two of its lives
STOPPED = ("CANCELLED",)
LOST = ("NODE_FAIL", "BOOT_FAIL", "COMPLETED", "REVOKED")


class Watch:
    """Remembers between two looks. `ask` and `accounts` are Slurm's, `clock` the reader's."""

    def __init__(
        self,
        results: Path,
        ask: Callable[[set[str]], Listing] = slurm.listing,
        accounts: Callable[[list[Job]], Listing] = slurm.accounted,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.archives, self.ask, self.accounts, self.clock = results.parent / "archive", ask, accounts, clock
        self.pause = SOON
        self.unknown = ""  # since when no query was answered, and why; empty while they are
        self._jobs: dict[str, tuple[str, Job]] = {}
        self._hearts: dict[str, Heart] = {}
        self._absent: dict[str, int] = {}
        self._last: Mapping[str, str] = {}
        self._due = 0.0

    def look_when_due(self, views: Sequence[RunView]) -> Mapping[str, str]:
        """As `look`, but until the pause is over what was said last."""
        if self.clock() >= self._due:
            self.look(views)
            self._due = self.clock() + self.pause
        return self._last

    def look(self, views: Sequence[RunView]) -> Mapping[str, str]:
        """Ask once for all of these runs; run id → what there is to say. `pause`: seconds until the next look."""
        try:
            seen = self.ask({view.record.user for view in views if view.record})
        except RunError as error:
            self.unknown = self.unknown or f"unknown since {datetime.now().astimezone():%H:%M}"
            self.pause = min(LATE, self.pause * GROWTH)
            self._last = {view.run_id: f"{self.unknown}: {error.message}" for view in views}
            return self._last
        self.unknown = ""
        said = {view.run_id: self._say(view, seen) for view in views}
        ids = said.keys()
        for known in (self._jobs, self._hearts, self._absent):
            for gone in known.keys() - ids:
                del known[gone]
        self.pause = SOON if said != self._last else min(LATE, self.pause * GROWTH)
        self._last = said
        return said

    def _say(self, view: RunView, seen: Listing) -> str:
        record, mine = view.record, self._job(view)
        if record is None or mine is None:
            return ""
        found = seen.get((mine.name, mine.task))
        if found is None:
            return self._missing(view, record, mine)
        self._absent.pop(view.run_id, None)
        if not mine.job_id:
            self._found(view, mine, found)
        if found.state in words.ENDED:
            return self._over(view, record, found)
        self._hearts.pop(view.run_id, None)
        return words.say(found.state, found.reason, found.node)

    def _job(self, view: RunView) -> Job | None:
        """Read once a submission: `queued_at` and the attempts tell one from the next."""
        record = view.record
        key = f"{record.attempts} {record.supervisor} {record.phase}" if record else ""
        known = self._jobs.get(view.run_id)
        if known is None or known[0] != key or not known[1].job_id:
            mine = jobs.read(view.path)
            if mine is None:
                return None
            known = self._jobs[view.run_id] = (key, mine)
        return known[1]

    def _found(self, view: RunView, mine: Job, found: Seen) -> None:
        """Its submission was interrupted before the number was written down."""
        with contextlib.suppress(OSError):  # then it is found by name again
            jobs.write(view.path, structs.replace(mine, job_id=found.job_id, submitted_at=found.submitted_at))

    def _missing(self, view: RunView, record: RunRecord, mine: Job) -> str:
        if not mine.job_id and mine.by and process.alive(mine.by):
            return "is being submitted"
        count = self._absent[view.run_id] = self._absent.get(view.run_id, 0) + 1
        silent = self._silent(view, record)
        if count < ABSENT or (record.supervisor and silent < _patience(record)):
            return "Slurm does not know it any more" if mine.job_id else "Slurm does not know it yet"
        try:
            found = self.accounts([mine]).get((mine.name, mine.task))
        except RunError as error:
            return f"Slurm does not know it any more, and its accounting gives no answer: {error.message}"
        state = found.state if found and found.state in words.ENDED else ""
        return self._end(view, record, state, mine)

    def _over(self, view: RunView, record: RunRecord, found: Seen) -> str:
        """Slurm's word; the run's own is still to come where it began and its heartbeat may yet move."""
        if record.supervisor and self._silent(view, record) < _patience(record):
            return f"{words.say(found.state, found.reason, found.node)}; the run itself has not said so yet"
        return self._end(view, record, found.state, None)

    def _silent(self, view: RunView, record: RunRecord) -> float:
        try:
            seen = read_json(run.attempt_file(view.path, record.attempts), Attempt)
        except (OSError, CorruptError):
            seen = None
        if seen is not None and seen.over:
            return float("inf")
        heart = self._hearts.setdefault(view.run_id, Heart(self.clock))
        return heart.silent((record.attempts, seen.heartbeat if seen else None))

    def _end(self, view: RunView, record: RunRecord, state: str, mine: Job | None) -> str:
        if mine is not None and not mine.job_id and not state:
            text = "was never submitted"
        else:
            text = words.ENDED[state] if state else "Slurm does not know it any more"
        asked = mine is not None and jobs.end_file(view.path, mine.name).exists()
        try:
            with alone(self.archives, view.run_id):
                settle(view.path, record, "CANCELLED" if asked and not state else state, text)
        except (ExptuiError, OSError):
            return text  # somebody is at it, or the disk said no: the next look tries again
        return text


def _patience(record: RunRecord) -> float:
    return record.launcher.options.stale if record.launcher else 0.0


def settle(directory: Path, seen: RunRecord, state: str, text: str) -> None:
    """Write the end of a run by Slurm's word, unless the run has written something since it was looked at."""
    if run.read(directory) != seen:
        return
    lost = not state or state in LOST
    if state == "FAILED" and seen.supervisor is not None:
        lost, text = True, "its supervisor was killed"
    how = Exit(stop_requested=state in STOPPED, error=text, lost=lost)
    run.write(directory, structs.replace(seen, phase=Phase.EXITED, ended_at=now(), exit=how))
