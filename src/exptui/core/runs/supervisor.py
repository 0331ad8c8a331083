"""The small process that owns one run: waits for a slot, starts the trainer, records how it ended.

It is detached, and imports all it needs when it starts, so neither a hang-up nor an upgrade of exptui reaches it.
The trainer writes straight into `trainer.log`; should this process be killed, the trainer works on.
Every descendant stays one, as this is a child subreaper; what outlives the trainer is waited for, with the lock held.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from exptui.core.errors import CorruptError, ExptuiError, RunError
from exptui.core.files import Lock, pretty_json, write_atomic
from exptui.core.runs import adopt, build, environment, home, nightwatch, process, queue, run
from exptui.core.runs.isolation import Isolation, prepare
from exptui.core.runs.launch import now
from exptui.core.runs.process import Process
from exptui.core.runs.run import Attempt, Exit, Phase, Recipe

PR_SET_CHILD_SUBREAPER = 36
POLL = 0.25
HEARTBEAT = 10.0
OVERWRITTEN = (
    "the trainer wrote a run.json of its own, which is exptui's: it is lost",
    "Let it use another name.",
)


class Supervisor:
    """One run, from queued to exited."""

    def __init__(self, directory: Path, project: Path, results: Path, lock_fd: int) -> None:
        record = run.read(directory)
        if record is None or record.supervisor_lock is None:
            raise SystemExit(f"{directory} holds no queued run")
        self.directory, self.project, self.results, self.record = directory, project, results, record
        self.night = nightwatch.prepare(
            directory, record, results, lock_fd
        )  # forks: before anything else here
        self.before: frozenset[str] = frozenset()
        self.lock = Lock(lock_fd, Path(record.supervisor_lock.path))
        self.locks = self.lock.path.parent
        self.ticket = self.lock.path.name.removesuffix(queue.SUPERVISOR)
        self.scratch = self.locks / f"{self.ticket}{queue.SCRATCH}"
        self.home = home.of(record, project, directory, self.scratch)
        self.slot: Lock | None = None
        self.trainer: subprocess.Popen[bytes] | None = None
        self.attempt = Attempt(attempt=record.attempts)
        self.beaten = float("-inf")
        self.stop_requested = False
        self.ours, self.saved = run.stamp(directory), record  # run.json as it was written last
        self.overwritten = False
        os.umask(0o002 if directory.stat().st_mode & stat.S_ISGID else 0o022)
        self.wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def _on_stop(self, *_: object) -> None:
        self.stop_requested = True

    def _unless_stopped(self, _: int) -> None:
        if self.stop_requested:
            raise RunError("stopped before the trainer was started")

    def _pause(self, seconds: float) -> None:
        """Sleep until a signal arrives or the time is over."""
        if select.select([self.wake], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self.wake, 4096)

    def _save(self, **changes: object) -> None:
        self.record = msgspec.structs.replace(self.record, **changes)
        run.write(self.directory, self.record)
        self.ours, self.saved = run.stamp(self.directory), self.record

    def _guard_record(self) -> None:
        """A trainer that writes a run.json of its own must not make its run look like no run of ours."""
        if self.ours == (now := run.stamp(self.directory)) or not self.directory.is_dir():
            return
        with contextlib.suppress(OSError, CorruptError):
            if run.read(self.directory) == self.saved:  # it was touched, or copied back: the same words
                self.ours = now
                return
        self.overwritten = True
        with contextlib.suppress(OSError):  # the next look tries it again
            self._save()

    def main(self) -> None:
        """Run the whole life of the run; whatever happens, the record says how it ended."""
        end = Exit(error="the supervisor failed")
        try:
            self._save(supervisor=process.me())
            with contextlib.ExitStack() as held:
                end = self._train(held)
        except (ExptuiError, OSError, subprocess.SubprocessError) as error:
            end = Exit(error=str(error), stop_requested=self.stop_requested)
        except BaseException as error:
            self._note(traceback=traceback.format_exc())
            at = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(at.filename).name}, line {at.lineno}, in {at.name}"
            end = Exit(error=f"the supervisor failed: {type(error).__name__}: {error} ({where})")
            raise
        finally:
            self._finish(end)

    def _finish(self, end: Exit) -> None:
        """Write how it ended, then keep the run's lock as long as something of its tree works."""
        self.stop_requested = False
        if not self._family():
            self._let_go()
        lock = self.record.run_lock if self.slot else None
        if self.night:
            self.night.last_look(self._files())
        self._insist(phase=Phase.EXITED, ended_at=now(), exit=end, run_lock=lock)
        if self.night:
            over = msgspec.structs.replace(self.record, phase=Phase.EXITED, exit=end)
            self.night.ended(run.state_of(self.directory, over), end)
        while self._family():
            if self.stop_requested:
                self._end_family()
            self._look()
            self._pause(1.0)
        if self.slot:
            self._note(processes=())
            self._insist(run_lock=None)
            self._let_go()
        self.lock.path.unlink(missing_ok=True)

    def _insist(self, **changes: object) -> None:
        """Write the record as soon as the disk takes it: an ended run must not become a lost one by a full disk."""
        while not self.stop_requested and self.directory.is_dir():
            try:
                self._save(**changes)
            except OSError as error:
                self._refused(error)
                self._pause(1.0)
            else:
                return

    def _let_go(self) -> None:
        """Nothing of the run works any more: its slot is free."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        if self.slot:
            self.slot.path.unlink(missing_ok=True)
            self.slot.release()
            self.slot = None

    def _wait_for_slot(self, held: contextlib.ExitStack, /) -> Lock | None:
        """The run's lock once it is this run's turn; None when a stop came first.

        Of the trainers that choose their directory themselves one works at a time: `held` keeps that lock.
        It lets go of ours too where the trainer could not be started.
        """
        began = time.monotonic()
        while not self.stop_requested:
            with queue.decide(self.locks):
                gpus = self.record.recipe.gpus
                free = queue.free_gpus(self.locks, gpus) if gpus else [""]
                if free and queue.may_start(self.locks, self.ticket, self.record.recipe.slots):
                    adopting = self.record.recipe.adopts and Lock.take(
                        self.locks / queue.ADOPTING, wait=False
                    )
                    if adopting is not None:
                        if adopting:
                            held.callback(adopting.release)
                        self.record = msgspec.structs.replace(self.record, gpu=free[0])
                        return queue.take_slot(self.locks, self.ticket, self.directory, free[0])
            self._pause(min(POLL, 0.02 + (time.monotonic() - began) / 40))
        return None

    def _train(self, held: contextlib.ExitStack) -> Exit:
        """Wait for the turn, start the trainer, wait for it, and say how it ended."""
        self.slot = self._wait_for_slot(held)
        if self.slot is None:
            return Exit(stop_requested=True)
        recipe = self.record.recipe
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(mode=0o700)
        self.home.enter()
        if recipe.prepare and not self._build():
            return Exit(stop_requested=True)
        seen = environment.fingerprint(recipe, self.home.path, self._unless_stopped)
        earlier = self.record.fingerprint or seen
        self._save(phase=Phase.RUNNING, started_at=now(), run_lock=self.slot.identity(), fingerprint=seen)
        if self.record.attempts == 1 and (patch := self.home.patch(seen)):
            write_atomic(self.directory / "code.patch", patch)
        self.before = adopt.names(self.results) if recipe.adopts else frozenset()
        isolate, words = prepare(recipe.isolation, Isolation(recipe.masked, recipe.network))
        if words:
            self._save(isolation=words)
        self.home.begin()
        log = os.open(
            self.directory / "trainer.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666
        )
        try:
            self.trainer = subprocess.Popen(
                self.record.argv or recipe.argv,
                cwd=recipe.cwd,
                env=self._environ(recipe),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[self.slot.fd],
                start_new_session=True,  # no hang-up of ours reaches it, stopped or not
                preexec_fn=partial(_before_exec, isolate),  # noqa: PLW1509  this process has one thread
            )
        finally:
            with contextlib.suppress(
                OSError
            ):  # it is closed whatever is said, and the trainer may be at work
                os.close(log)
        code = self._watch(self.trainer)
        try:
            after = environment.code_digest(recipe.code, self.home.path)
        except (ExptuiError, OSError):
            after = {}
        changed = self.record.code_changed or not after == seen["code"] == earlier["code"]
        self.record = msgspec.structs.replace(self.record, code_changed=changed)
        return self._adopt(
            Exit(
                code=code if code >= 0 else None,
                signal=-code if code < 0 else None,
                stop_requested=self.stop_requested,
            )
        )

    def _environ(self, recipe: Recipe) -> dict[str, str]:
        extra = {
            "EXPTUI_OUTPUT": str(self.directory),
            "EXPTUI_CONFIG": str(self.directory / "config.toml"),
            "EXPTUI_RUN_ID": self.record.run_id,
            **({"CUDA_VISIBLE_DEVICES": self.record.gpu} if self.record.gpu else {}),
        }
        return self.home.environ(environment.build(recipe, self.scratch, os.environ, extra))

    def _build(self) -> bool:
        """The step before the run, which is not begun yet; whatever it leaves at work is ended. False: stopped."""
        recipe, slot = self.record.recipe, self.slot
        assert slot is not None  # taken just before
        self._save(run_lock=slot.identity())  # queued, and no longer waiting: preparing
        # With the network, which a build may need, and without the original, which a re-run must not see.
        isolate, _ = prepare(recipe.isolation, Isolation(recipe.masked, network=True))
        before_exec = partial(_before_exec, isolate)
        self.trainer = build.start(
            recipe, (self.home.path, self.project), self.directory, self._environ, slot.fd, before_exec
        )
        while self.trainer.poll() is None and not self.stop_requested:
            self._look()
            self._pause(1.0)
        self._end_family()
        code, self.trainer = self.trainer.wait(), None
        if self.stop_requested:
            return False
        build.check(recipe, code, self.directory)
        return True

    def _watch(self, trainer: subprocess.Popen[bytes]) -> int:
        """Wait for the trainer with a heartbeat; on a stop end its whole tree."""
        kills = process.oom_kills()
        if self.night:
            self.night.begin()
        while trainer.poll() is None and not self.stop_requested:
            self._look()
            if not self.record.adopted:
                # It is looked for again when it has ended, and what is wrong is said then.
                with contextlib.suppress(ExptuiError, OSError):
                    self._look_for_directory()
            if self.night:
                self.night.look(self._files())
            self._pause(1.0)
        if self.stop_requested:
            self._end_family()
        code = trainer.wait()
        self._note(
            code=code,
            stop_requested=self.stop_requested,
            processes=tuple(self._family()),
            oom_kills=process.oom_kills() - kills,
        )
        return code

    def _files(self) -> Path:
        """Where the trainer writes."""
        return self.results / self.record.adopted if self.record.adopted else self.directory

    def _look_for_directory(self) -> None:
        """Say which directory the trainer made for itself, so that it can be read while it is written."""
        if self.record.recipe.adopts:
            name = adopt.find(self.results, self.before, self.record.config_sha256, self._family())
            if name != self.record.adopted:
                self._save(adopted=name)

    def _adopt(self, end: Exit) -> Exit:
        """Take over the directory the trainer made; a name clash, also with run.json, turns success into failure."""
        try:
            self._look_for_directory()
            if self.record.adopted:
                adopt.merge(self.results / self.record.adopted, self.directory)
                self._save(adopted="")
            self.home.leave()
            self._guard_record()
            if self.overwritten:
                raise RunError(*OVERWRITTEN)
        except (ExptuiError, OSError) as error:
            return msgspec.structs.replace(end, code=end.code or None, error=str(error))
        return end

    def _look(self) -> None:
        """Write down the tree: with every heartbeat, and at once when it has changed."""
        self._guard_record()
        family = tuple(self._family())
        if due := time.monotonic() - self.beaten >= HEARTBEAT:
            self.beaten = time.monotonic()
            for lock in filter(None, (self.lock, self.slot)):
                os.utime(lock.fd)  # so that nothing that cleans /var/tmp takes it for an old file
        if due or family != self.attempt.processes:
            pid = self.trainer.pid if self.trainer else 0
            self._note(heartbeat=self.attempt.heartbeat + due, pid=pid, processes=family)

    def _note(self, **facts: object) -> None:
        """Replace attempts/N.json. It only tells: a disk that is full now is no reason to leave the run alone."""
        self.attempt = msgspec.structs.replace(self.attempt, at=now(), **facts)
        path = run.attempt_file(self.directory, self.record.attempts)
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, pretty_json(self.attempt))
        except OSError as error:
            self._refused(error)

    def _refused(self, error: OSError) -> None:
        if self.night:
            self.night.refused(error)

    def _family(self) -> list[Process]:
        """Every living descendant; the dead are reaped on the way, the trainer by its own poll."""
        while True:
            trainer = self.trainer.pid if self.trainer and self.trainer.poll() is None else 0
            try:
                while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    if dead.si_pid == trainer:
                        break
                    os.waitpid(dead.si_pid, 0)
            except ChildProcessError:
                return []
            # A fork during the look can hide from it; without a child there is none for certain.
            if found := process.descendants(os.getpid()):
                return found

    def _end_family(self) -> None:
        """What belongs to somebody else is left, and said: left-over processes."""
        with contextlib.suppress(PermissionError):
            process.end_all(self._family, self.record.recipe.stop_grace)


def _before_exec(isolate: Callable[[], None] | None) -> None:
    """In the child: what nohup or a shell made us ignore must not be ignored by the trainer."""
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if isolate is not None:
        isolate()


def main() -> None:
    """Entry point: `python -P -m exptui.core.runs.supervisor DIRECTORY PROJECT RESULTS`."""
    fd = int(os.environ.pop("EXPTUI_LOCK_FD"))
    os.set_inheritable(fd, False)  # noqa: FBT003  positional only
    directory, project, results = map(Path, sys.argv[1:4])
    Supervisor(directory, project, results, fd).main()


if __name__ == "__main__":
    main()
