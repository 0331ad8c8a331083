"""On a node of the cluster: one attempt of a run, with the supervisor that every run has.

Nothing else may write the run meanwhile. Whoever begins an attempt makes its file, which only one can; says in
run.json that the run is his; and waits until the attempt before is over or its heartbeat stands still. Whoever
finds that the run is somebody else's ends what he started, and writes nothing more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from msgspec import structs

from exptui.core.errors import CorruptError, RunError
from exptui.core.files import Lock, pretty_json, read_json
from exptui.core.launchers import job as jobs
from exptui.core.launchers.heart import Heart
from exptui.core.launchers.job import Job
from exptui.core.runs import adopt, process, queue, resume, run
from exptui.core.runs.launch import now
from exptui.core.runs.run import Attempt, Exit, Phase, RunRecord
from exptui.core.runs.supervisor import HEARTBEAT, Supervisor

POLL = 0.5
ENDED = "Slurm ended its job: the time limit, another job that came first, or scancel"
OURS = ("config.toml", "run.json", "attempts", "trainer.log", "prepare.log", "code.patch", "code.tar")


def claim(directory: Path, record: RunRecord) -> int:
    """The number of the attempt that begins now: the one that is queued, or the first that nobody has begun."""
    number = record.attempts
    (directory / "attempts").mkdir(exist_ok=True)
    mine = Attempt(attempt=number, at=now(), node=socket.gethostname(), job=_job_number())
    while True:
        try:
            fd = os.open(run.attempt_file(directory, number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            number += 1
            continue
        with open(fd, "wb") as file:  # noqa: PTH123
            file.write(pretty_json(structs.replace(mine, attempt=number)))
        return number


def _job_number() -> str:
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID", ""), os.environ.get("SLURM_ARRAY_TASK_ID", "")
    return f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID", "")


def wait_for(directory: Path, number: int, stale: float, name: str) -> None:
    """Until an attempt is over, or its heartbeat has been standing still; or the run is to end, or is another's."""
    heart = Heart()
    while number > 0:
        try:
            seen = read_json(run.attempt_file(directory, number), Attempt)
        except FileNotFoundError:
            return
        except (OSError, CorruptError):
            seen = None
        if (seen and seen.over) or heart.silent(seen.heartbeat if seen else None) > stale:
            return
        mine = jobs.read(directory)
        if jobs.end_file(directory, name).exists() or mine is None or mine.name != name:
            return
        time.sleep(POLL)


def go_on(directory: Path, record: RunRecord) -> RunRecord:
    """The record of an attempt after one that began: from its last checkpoint, or without one from the start.

    What was written without a checkpoint is put away, not removed.
    """
    recipe = record.recipe
    found = resume.last_valid(directory, recipe.checkpoints) if recipe.checkpoints else None
    if found is not None:
        argv = (*recipe.argv, *resume.words(recipe, found))
        return structs.replace(record, argv=argv, resumed_from=str(found.relative_to(directory)))
    aside = directory / f"attempts/{record.attempts - 1}.left"
    for path in sorted(directory.iterdir()):
        if path.name not in OURS:
            aside.mkdir(exist_ok=True)
            path.rename(aside / path.name)
    return structs.replace(record, argv=(), resumed_from="")


class NodeSupervisor(Supervisor):
    """Of one attempt: it also heeds what the cluster asks, and steps back where the run is somebody else's."""

    def __init__(self, directory: Path, project: Path, results: Path, lock: Lock, name: str) -> None:
        self.name = name
        self.superseded = False
        self.signals: list[str] = []
        self.leave_by = 0.0  # when the trainer is ended, so that the next job goes on; 0: not at all
        self.asked = False
        self.seen: frozenset[Path] = frozenset()  # checkpoints when it was asked
        super().__init__(directory, project, results, lock.fd)
        assert self.record.launcher is not None  # of a run that a cluster starts
        self.launching = self.record.launcher
        self.attempt = structs.replace(self.attempt, node=socket.gethostname(), job=_job_number())
        self.job_stamp = self._job_stamp()
        signal.signal(signal.SIGUSR1, self._on_warning)

    # What the cluster asks

    def _on_stop(self, *_: object) -> None:
        """A stop where somebody asked for one; else the job has to go, and the run goes on in the next one."""
        self.signals.append("SIGTERM")
        if self._end_asked() or not self.launching.requeue:
            self.stop_requested = True
        else:
            self._leave(self.record.recipe.stop_grace if self.launching.request else 0.0)

    def _on_warning(self, *_: object) -> None:
        """The time limit is near."""
        self.signals.append("SIGUSR1")
        if self.launching.requeue:
            self._leave(max(0.0, self.launching.options.warn - 2 * self.record.recipe.stop_grace - 10))

    def _end_asked(self) -> bool:
        return jobs.end_file(self.directory, self.name).exists()

    def _leave(self, seconds: float) -> None:
        by = time.monotonic() + seconds
        self.leave_by = min(self.leave_by, by) if self.leave_by else by

    def _look(self) -> None:
        if self._is_superseded():
            self.superseded = self.stop_requested = True
            with contextlib.suppress(PermissionError):
                process.end_all(self._family, 0.0)
            return
        if self._end_asked():
            self.stop_requested = True
        elif self.leave_by and self.trainer and not self.stop_requested:
            self._ask_to_leave()
        super()._look()

    def _ask_to_leave(self) -> None:
        """For a checkpoint first, where the trainer has a signal for that; then for its end."""
        if not self.asked:
            self.asked, self.seen = True, self._checkpoints()
            if self.launching.request and self.trainer:
                self.trainer.send_signal(signal.Signals[f"SIG{self.launching.request}"])
        if self._checkpoints() != self.seen or time.monotonic() >= self.leave_by:
            self.stop_requested = True

    def _checkpoints(self) -> frozenset[Path]:
        template = self.record.recipe.checkpoints
        return frozenset(path for _, path in resume.checkpoints(self.directory, template))

    # Whose run it is

    def _job_stamp(self) -> tuple[int, int] | None:
        try:
            found = jobs.path(self.directory).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _is_superseded(self) -> bool:
        if self.superseded:
            return True
        if (at := self._job_stamp()) is not None and at != self.job_stamp:
            mine = jobs.read(self.directory)
            if mine is not None and mine.name != self.name:
                return True
            self.job_stamp = at
        if run.stamp(self.directory) == self.ours:
            return False
        try:
            found = run.read(self.directory)
        except (OSError, CorruptError):
            return False
        if found is None or found.run_id != self.record.run_id:
            return False
        ended = found.phase is Phase.EXITED and self.record.phase is not Phase.EXITED
        return ended or found.supervisor != self.record.supervisor

    def _save(self, **changes: object) -> None:
        if self._is_superseded():
            self.superseded = True
        else:
            super()._save(**changes)

    # Its life

    def _wait_for_slot(self, _: contextlib.ExitStack, /) -> Lock | None:
        """The cluster gave it one."""
        if self.stop_requested or self._end_asked() or self._is_superseded():
            self.stop_requested = True
            return None
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return queue.take_slot(self.locks, self.ticket, self.directory, gpu)

    def _look_for_directory(self) -> None:
        """One that the trainer made itself is not taken over: of two nodes at work nobody could tell whose it is."""
        recipe, sha256 = self.record.recipe, self.record.config_sha256
        if recipe.adopts and (name := adopt.find(self.results, self.before, sha256, self._family())):
            raise RunError(
                f"the trainer wrote into {name}, a directory of its own", "Tell it where: {output}."
            )

    def _finish(self, end: Exit) -> None:
        going_on = bool(self.leave_by) and not self._end_asked()
        if self.superseded or (going_on and self._left(end)):
            with contextlib.suppress(PermissionError):
                process.end_all(self._family, 0.0)
            if self.slot and self._is_followed_here():
                self.slot.release()
            else:
                self._let_go()
            self._note(over=True, processes=())
            if not self.superseded:
                self._save(phase=Phase.QUEUED, supervisor=None, run_lock=None)
                self._requeue()
        else:
            if end.stop_requested and not self._end_asked():
                end = structs.replace(end, stop_requested=False, error=ENDED)
            super()._finish(end)
            self._note(over=True)

    def _is_followed_here(self) -> bool:
        """Whether the next attempt is on this very node: the places where an attempt works are its own by now."""
        with contextlib.suppress(OSError, CorruptError):
            found = run.read(self.directory)
            return self.superseded and found is not None and found.host == self.record.host
        return False

    def _left(self, end: Exit) -> bool:
        """Whether it did not come to its own end before it was asked to leave."""
        return not end.error and (self.asked or end.stop_requested or end.code != 0)

    def _requeue(self) -> None:
        """Near the time limit we ask for the next job ourselves; one that makes room for another comes back anyway."""
        if "SIGTERM" not in self.signals:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False, timeout=60)

    def _note(self, **facts: object) -> None:
        super()._note(**facts, signals=tuple(self.signals))


def main() -> None:
    """Entry point: `python -P -m exptui.core.launchers.node NAME PROJECT RESULTS DIRECTORY…`."""
    name, project, results, *directories = sys.argv[1:]
    directory = Path(directories[int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))])
    mine, record = jobs.read(directory), run.read(directory)
    if mine is None or mine.name != name or record is None or record.phase is Phase.EXITED:
        print(f"{directory.name} is not to be run by the job {name}: nothing was done")
        return
    _attempt(directory, record, Path(project), Path(results), mine)


def _attempt(directory: Path, record: RunRecord, project: Path, results: Path, mine: Job) -> None:
    number = claim(directory, record)
    again = number > record.attempts or record.supervisor is not None
    host, locks = socket.gethostname(), queue.lock_directory(results)
    record = structs.replace(
        record, attempts=number, phase=Phase.QUEUED, supervisor=process.me(), run_lock=None, host=host
    )
    run.write(directory, record)
    if again:
        stale = record.launcher.options.stale if record.launcher else 0.0
        wait_for(directory, number - 1, max(stale, 2 * HEARTBEAT), mine.name)
        if run.read(directory) != record:
            return  # it is somebody else's by now
        if record.started_at:
            record = go_on(directory, record)
    lock = _lock(locks, mine.ticket)
    run.write(directory, structs.replace(record, supervisor_lock=lock.identity()))
    NodeSupervisor(directory, project, results, lock, mine.name).main()


def _lock(locks: Path, ticket: str) -> Lock:
    """Those of an attempt that was on this very node, and is over or silent, count no more."""
    path = locks / f"{ticket}{queue.SUPERVISOR}"
    for old in (path, path.with_suffix(queue.RUN)):
        old.unlink(missing_ok=True)
    lock = Lock.take(path)
    assert lock is not None  # waited for
    return lock


if __name__ == "__main__":
    main()
