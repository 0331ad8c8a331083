"""The small process that owns one run: waits for a slot, starts the trainer, records how it ended.

It is detached, and imports all it needs when it starts, so neither a hang-up nor an upgrade of exptui reaches it.
The trainer writes straight into `trainer.log`; should this process be killed, the trainer works on.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil

from exptui.core.errors import ExptuiError
from exptui.core.files import Lock, LockId, pretty_json, write_atomic
from exptui.core.runs import adopt, environment, queue, run
from exptui.core.runs.launch import now
from exptui.core.runs.run import Exit, Phase, Process

PR_SET_CHILD_SUBREAPER = 36
POLL = 0.25
HEARTBEAT = 10.0


def boot_id() -> str:
    """The kernel's name for this boot, empty where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Supervisor:
    """One run, from queued to exited."""

    def __init__(self, directory: Path, project: Path, results: Path, lock_fd: int) -> None:
        record = run.read(directory)
        if record is None or record.supervisor_lock is None:
            raise SystemExit(f"{directory} holds no queued run")
        self.directory, self.project, self.results, self.record = directory, project, results, record
        self.before: frozenset[str] = frozenset()
        self.lock = Lock(lock_fd, Path(record.supervisor_lock.path))
        self.locks = self.lock.path.parent
        self.ticket = self.lock.path.name.removesuffix(queue.SUPERVISOR)
        self.scratch = self.locks / f"{self.ticket}{queue.SCRATCH}"
        self.stop_requested = False
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

    def _pause(self, seconds: float) -> None:
        """Sleep until a signal arrives or the time is over."""
        if select.select([self.wake], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self.wake, 4096)

    def _save(self, **changes: object) -> None:
        self.record = msgspec.structs.replace(self.record, **changes)
        run.write(self.directory, self.record)

    def main(self) -> None:
        """Run the whole life of the run; whatever happens, the record says how it ended."""
        me = psutil.Process()
        self._save(supervisor=Process(pid=me.pid, start_time=me.create_time(), boot_id=boot_id()))
        end = Exit(error="the supervisor failed")
        try:
            with contextlib.ExitStack() as held:
                lock = self._wait_for_slot(held)
                end = self._train(lock) if lock else Exit(stop_requested=True)
                end = self._adopt(end)
        except (ExptuiError, OSError) as error:
            end = Exit(error=str(error))
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)
            self._save(phase=Phase.EXITED, ended_at=now(), exit=end)
            if not run.has_leftovers(self.record):
                (self.locks / f"{self.ticket}{queue.RUN}").unlink(missing_ok=True)
            self.lock.path.unlink(missing_ok=True)

    def _wait_for_slot(self, held: contextlib.ExitStack) -> Lock | None:
        """The run's lock once it is this run's turn; None when a stop came first.

        Of the trainers that choose their directory themselves one works at a time: `held` keeps that lock.
        It lets go of ours too where the trainer could not be started.
        """
        while not self.stop_requested:
            with queue.decide(self.locks):
                if queue.may_start(self.locks, self.ticket, self.record.recipe.slots):
                    alone = self.record.recipe.adopts and Lock.take(self.locks / queue.ADOPTING, wait=False)
                    if alone is not None:
                        if alone:
                            held.callback(alone.release)
                        lock = Lock.take(self.locks / f"{self.ticket}{queue.RUN}")
                        return lock and held.enter_context(lock)
            self._pause(POLL)
        return None

    def _train(self, lock: Lock) -> Exit:
        """Start the trainer, wait for it, and say how it ended."""
        recipe = self.record.recipe
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(mode=0o700)
        identity = lock.identity()
        seen = environment.fingerprint(recipe, self.project)
        earlier = self.record.fingerprint or seen
        self._save(phase=Phase.RUNNING, started_at=now(), run_lock=identity, fingerprint=seen)
        if (patch := environment.code_patch(self.project)) and self.record.attempts == 1:
            write_atomic(self.directory / "code.patch", patch)
        self.before = adopt.names(self.results) if recipe.adopts else frozenset()
        extra = {
            "EXPTUI_OUTPUT": str(self.directory),
            "EXPTUI_CONFIG": str(self.directory / "config.toml"),
            "EXPTUI_RUN_ID": self.record.run_id,
        }
        log = os.open(
            self.directory / "trainer.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666
        )
        try:
            trainer = subprocess.Popen(
                self.record.argv or recipe.argv,
                cwd=recipe.cwd,
                env=environment.build(recipe, self.scratch, os.environ, extra),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[lock.fd],
                umask=0o022,
                process_group=0,
                preexec_fn=default_signals,  # noqa: PLW1509  this process has one thread
            )
        finally:
            with contextlib.suppress(
                OSError
            ):  # it is closed whatever is said, and the trainer may be at work
                os.close(log)
        lock.release()
        code = self._watch(trainer, identity)
        after = environment.code_digest(recipe.code, self.project)
        changed = self.record.code_changed or not after == seen["code"] == earlier["code"]
        self._save(code_changed=changed)
        return Exit(
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            stop_requested=self.stop_requested,
        )

    def _watch(self, trainer: subprocess.Popen[bytes], lock: LockId) -> int:
        """Wait for the trainer with a heartbeat; on a stop end its whole tree."""
        beats, last = 0, float("-inf")
        while (code := trainer.poll()) is None and not self.stop_requested:
            with contextlib.suppress(OSError):  # a full disk: a missing heartbeat, not the end of watching
                if time.monotonic() - last >= HEARTBEAT:
                    last, beats = time.monotonic(), beats + 1
                    self._attempt({"heartbeat": beats, "pid": trainer.pid, "lock": lock.path})
                self._look_for_directory()
            self._pause(1.0)
        if code is None:
            self._end_tree(trainer)
            code = trainer.wait()
        self._attempt(
            {"heartbeat": beats, "pid": trainer.pid, "code": code, "stop_requested": self.stop_requested}
        )
        return code

    def _look_for_directory(self) -> None:
        """Say which directory the trainer made for itself, so that it can be read while it is written."""
        if self.record.recipe.adopts and not self.record.adopted:
            name = adopt.find(self.results, self.before, self.record.config_sha256)
            if name:
                self._save(adopted=name)

    def _adopt(self, end: Exit) -> Exit:
        """Take over the directory the trainer made; a name clash turns success into failure."""
        try:
            self._look_for_directory()
            if self.record.adopted:
                adopt.merge(self.results / self.record.adopted, self.directory)
                self._save(adopted="")
        except ExptuiError as error:
            return msgspec.structs.replace(end, code=end.code or None, error=error.message)
        return end

    def _attempt(self, facts: dict[str, object]) -> None:
        number = self.record.attempts
        directory = self.directory / "attempts"
        directory.mkdir(exist_ok=True)
        write_atomic(directory / f"{number}.json", pretty_json({"attempt": number, "at": now(), **facts}))

    def _end_tree(self, trainer: subprocess.Popen[bytes]) -> None:
        """SIGTERM to every descendant, the grace, SIGKILL; a subreaper sees those that left their parents too."""
        deadline = time.monotonic() + self.record.recipe.stop_grace
        signalled: set[int] = set()
        while (tree := _alive(trainer)) and time.monotonic() < deadline:
            for process in tree:
                if process.pid not in signalled:
                    signalled.add(process.pid)
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.terminate()
            self._pause(0.05)
        while tree := _alive(trainer):
            for process in tree:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._pause(0.05)


def _alive(trainer: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Every living descendant; the dead ones are reaped on the way, the trainer by its own poll."""
    trainer.poll()
    living = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
            elif process.pid != trainer.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)
    return living


def default_signals() -> None:
    """In the child, before exec: what nohup or a shell made us ignore must not be ignored by the trainer."""
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def main() -> None:
    """Entry point: `python -P -m exptui.core.runs.supervisor DIRECTORY PROJECT RESULTS`."""
    fd = int(os.environ.pop("EXPTUI_LOCK_FD"))
    os.set_inheritable(fd, False)  # noqa: FBT003  positional only
    directory, project, results = map(Path, sys.argv[1:4])
    Supervisor(directory, project, results, fd).main()


if __name__ == "__main__":
    main()
