"""This machine: each run has a supervisor that waits for a slot; locks tell of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import structs

from exptui.core.errors import RunError
from exptui.core.files import Lock, fsync_dir, storage_errors
from exptui.core.launchers.protocol import Start
from exptui.core.runs import process, queue, run
from exptui.core.runs.launch import Places, detach
from exptui.core.runs.run import Phase, RunRecord, RunView

LAST_MOMENTS, POLL = 5.0, 0.02  # seconds


class Local:
    """The launcher of a run whose record names none."""

    def probe(self) -> str:
        """It is always there."""
        return "this machine"

    def submit(self, starts: Sequence[Start], places: Places) -> None:
        """A supervisor each."""
        for start in starts:
            with storage_errors("write the run's files"):
                start_supervisor(start.directory, start.record, places, start.ticket)

    def poll(self, _: Sequence[RunView], /) -> Mapping[str, str]:
        """The locks say all there is."""
        return {}

    def cancel(self, view: RunView) -> None:
        """Through its supervisor, or process by process where that is gone."""
        from exptui.core.runs import stop

        stop.end(view.path)

    def find(self, _: Path, /) -> bool:
        """Never needed: the supervisor holds its lock before run.json exists."""
        return False


def start_supervisor(directory: Path, record: RunRecord, places: Places, ticket: str) -> None:
    """Write the queued record and start the detached process that owns the run from now on.

    The supervisor inherits its lock, so there is no moment at which a live run looks abandoned.

    Raises:
        RunError: somebody else is starting it, or some process of it is still at work.
    """
    locks = queue.lock_directory(places.results)
    deadline = time.monotonic() + LAST_MOMENTS
    with queue.decide(locks):
        for stale in (locks / f"{ticket}{suffix}" for suffix in (queue.RUN, queue.SUPERVISOR)):
            while queue.held(stale):  # the supervisor of a run that has just ended
                if time.monotonic() > deadline:
                    raise RunError(f"{record.run_id} is at work already", "See it with: exptui show RUN")
                time.sleep(POLL)
            stale.unlink(missing_ok=True)
        (locks / f"{ticket}{queue.HOLD}").unlink(missing_ok=True)
        with storage_errors("lock the run"):
            lock = Lock.take(locks / f"{ticket}{queue.SUPERVISOR}")
        assert lock is not None  # a fresh file under the queue's lock
    with lock:
        run.write(
            directory,
            structs.replace(
                record,
                user=process.user(),
                host=socket.gethostname(),
                phase=Phase.QUEUED,
                supervisor=None,
                supervisor_lock=lock.identity(),
                run_lock=None,
                exit=None,
                ended_at="",
            ),
        )
        fsync_dir(directory.parent)
        detach("exptui.core.runs.supervisor", (directory, places.project, places.results), lock)
