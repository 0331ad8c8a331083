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

from exptui.core.errors import CorruptError, RunError
from exptui.core.files import read_json
from exptui.core.launchers import job as jobs
from exptui.core.launchers import slurm, words
from exptui.core.launchers.heart import Heart
from exptui.core.launchers.job import Job
from exptui.core.launchers.slurm import Listing, Seen
from exptui.core.runs import process, run
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
        ask: Callable[[set[str]], Listing] = slurm.listing,
        accounts: Callable[[list[Job]], Listing] = slurm.accounted,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ask, self.accounts, self.clock = ask, accounts, clock
        self.pause = SOON
        self.unknown = ""  # since when no query was answered, and why; empty while they are
        self._jobs: dict[Path, tuple[RunRecord, Job]] = {}
        self._hearts: dict[Path, Heart] = {}
        self._absent: dict[Path, int] = {}
        self._last: Mapping[str, str] = {}
        self._due = 0.0

    @property
    def due(self) -> bool:
        """Whether the pause since the last look is over."""
        return self.clock() >= self._due

    def look(self, views: Sequence[RunView]) -> Mapping[str, str]:
        """Ask once for all of these runs; run id → what there is to say. `pause`: seconds until the next look."""
        said = self._look(views)
        self.pause = SOON if said != self._last and not self.unknown else min(LATE, self.pause * GROWTH)
        self._last, self._due = said, self.clock() + self.pause
        return said

    def _look(self, views: Sequence[RunView]) -> Mapping[str, str]:
        try:
            seen = self.ask({view.record.user for view in views if view.record})
        except RunError as error:
            self.unknown = self.unknown or f"unknown since {datetime.now().astimezone():%H:%M}"
            return {view.run_id: f"{self.unknown}: {error.message}" for view in views}
        self.unknown = ""
        said = {view.run_id: self._say(view, seen) for view in views}
        paths = {view.path for view in views}
        for known in (self._jobs, self._hearts, self._absent):
            for gone in known.keys() - paths:
                del known[gone]
        return said

    def _say(self, view: RunView, seen: Listing) -> str:
        record, mine = view.record, self._job(view)
        if record is None or mine is None:
            return ""
        found = seen.get((mine.name, mine.task))
        if found is None:
            return self._missing(view, record, mine)
        self._absent.pop(view.path, None)
        if not mine.job_id and not _is_alive(mine):  # who submits it writes that down himself
            self._found(view, mine, found)
        if found.state in words.ENDED:
            return self._over(view, record, found)
        self._hearts.pop(view.path, None)
        return words.say(found.state, found.reason, found.node)

    def _job(self, view: RunView) -> Job | None:
        """Read once for each record that was read: a new submission writes another one."""
        known = self._jobs.get(view.path)
        if known is None or known[0] is not view.record or not known[1].job_id:
            mine = jobs.read(view.path)
            if mine is None or view.record is None:
                return None
            known = self._jobs[view.path] = (view.record, mine)
        return known[1]

    def _found(self, view: RunView, mine: Job, found: Seen) -> None:
        """Its submission was interrupted before the number was written down."""
        with contextlib.suppress(OSError):  # then it is found by name again
            jobs.write(view.path, structs.replace(mine, job_id=found.job_id, submitted_at=found.submitted_at))

    def _missing(self, view: RunView, record: RunRecord, mine: Job) -> str:
        if not mine.job_id and _is_alive(mine):
            return "is being submitted"
        count = self._absent[view.path] = self._absent.get(view.path, 0) + 1
        silent = self._silent(view, record)
        if count < ABSENT or (mine.job_id and silent < _patience(record)):
            return "Slurm does not know it any more" if mine.job_id else "Slurm does not know it yet"
        try:
            found = self.accounts([mine]).get((mine.name, mine.task))
        except RunError as error:
            return f"Slurm does not know it any more, and its accounting gives no answer: {error.message}"
        state = found.state if found and found.state in words.ENDED else ""
        return self._end(view, record, state, mine)

    def _over(self, view: RunView, record: RunRecord, found: Seen) -> str:
        """Slurm's word. Where it had a node the run's own may still come: its heart may beat, and files may be late."""
        if found.node and self._silent(view, record) < _patience(record):
            return f"{words.say(found.state, found.reason, found.node)}; the run itself has not said so yet"
        return self._end(view, record, found.state, None)

    def _silent(self, view: RunView, record: RunRecord) -> float:
        try:
            seen = read_json(run.attempt_file(view.path, record.attempts), Attempt)
        except (OSError, CorruptError):
            seen = None
        if seen is not None and seen.over:
            return float("inf")
        heart = self._hearts.setdefault(view.path, Heart(self.clock))
        return heart.silent((record.attempts, seen.heartbeat if seen else None))

    def _end(self, view: RunView, record: RunRecord, state: str, mine: Job | None) -> str:
        if mine is not None and not mine.job_id and not state:
            text = "was never submitted"
        else:
            text = words.ENDED[state] if state else "Slurm does not know it any more"
        asked = mine is not None and jobs.end_file(view.path, mine.name).exists()
        with contextlib.suppress(CorruptError, OSError):  # then the next look tries it again
            settle(view.path, record, "CANCELLED" if asked and not state else state, text)
        return text


def _is_alive(mine: Job) -> bool:
    """Whether who submits it is at it, as far as can be seen from here."""
    return mine.by is not None and process.alive(mine.by)


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
