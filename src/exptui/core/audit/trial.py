"""One run of a trainer in a place of its own, outside the queue, under the start conditions of a supervisor."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from exptui.core.audit import start
from exptui.core.audit.variations import UNCHANGED, Variation
from exptui.core.configs.config import Config
from exptui.core.errors import Cancelled
from exptui.core.files import storage_errors
from exptui.core.runs import adopt, environment, launch, process, run
from exptui.core.runs.launch import Places
from exptui.core.runs.process import Process
from exptui.core.runs.run import Recipe
from exptui.core.settings import Settings

POLL = 0.01
STAMP = "_20000101T000000Z"  # every run has the same id, as a re-run of verify has that of the original


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: `code` below zero is a signal, None where it was ended from here.

    `began` is the moment of its start on the file system's clock, in ns.
    """

    code: int | None
    began: int
    seconds: float
    timed_out: bool = False
    leftovers: int = 0
    own_directory: bool = False
    last_line: str = ""

    @property
    def problem(self) -> str:
        """What was wrong, for a person; empty after exit code 0."""
        if self.timed_out:
            how = f"no end after {self.seconds:.0f} s"
        elif self.code is None or self.code == 0:
            return ""
        else:
            how = f"exit code {self.code}" if self.code > 0 else f"signal {-self.code}"
        return f"{how}: {self.last_line}" if self.last_line else how


@dataclass(frozen=True)
class Bench:
    """A directory in which one run after the other finds the same paths; `lock_fd` goes to every process started.

    `scratch`: where HOME and TMPDIR are, as short as under a supervisor: sockets have paths of 107 bytes.
    """

    root: Path
    scratch: Path
    config: Config
    settings: Settings
    places: Places
    lock_fd: int
    cancelled: threading.Event

    @property
    def base(self) -> Path:
        """Where the first run's files are kept."""
        return self.root / "base"

    def directory(self, variation: Variation = UNCHANGED) -> Path:
        """The output directory a run under this variation gets."""
        parent = self.root / "another-place/of-another-length" if variation.elsewhere else self.root
        return parent / f"{self.config.stem}{STAMP}"

    def recipe(self, variation: Variation = UNCHANGED) -> Recipe:
        """How it is started there. Raises what `launch.freeze` raises."""
        trainer = self.settings.trainer_for(self.config.path.name)
        return launch.freeze(self.config, trainer, self.settings, self.places, self.directory(variation))

    def fresh(self, variation: Variation = UNCHANGED) -> Path:
        """The output directory with nothing in it but the config."""
        directory = self.directory(variation)
        with storage_errors("prepare a run"):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            (directory / "config.toml").write_bytes(self.config.data)
        return directory

    def impossible(self, variation: Variation) -> str:
        """Why the variation cannot be tried on this machine, found by trying it on a program that does nothing."""
        if variation.impossible or not variation.changes:
            return variation.impossible
        words = (*_changed(variation), sys.executable, "-I", "-S", "-c", "")
        done = subprocess.run(words, capture_output=True, check=False)
        return done.stderr.decode(errors="replace").strip() if done.returncode else ""

    def run(
        self,
        variation: Variation = UNCHANGED,
        words: tuple[str, ...] = (),
        *,
        timeout: float | None = None,
        kill_when: Callable[[], bool] = lambda: False,
    ) -> Ended:
        """Run the trainer in the directory as it is, with more `words` behind its command; nothing of it is left running.

        With `kill_when` it gets SIGKILL as soon as that is true: then there is no exit code.

        Raises:
            Cancelled: somebody asked; every process of it has ended.
            RunError: its own directory could not be taken over.
        """
        recipe, directory = self.recipe(variation), self.directory(variation)
        before = adopt.names(self.places.results) if recipe.adopts else frozenset()
        at = (directory / "config.toml").stat().st_mtime_ns
        began, code, timed_out, killed = time.monotonic(), None, False, False
        self._unless_cancelled()
        trainer = self._started(recipe, variation, words)
        try:
            while code is None and not (timed_out or killed):
                self._unless_cancelled()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = trainer.wait(POLL)
                timed_out = timeout is not None and time.monotonic() - began > timeout and code is None
                killed = code is None and kill_when()
        finally:
            seconds = time.monotonic() - began
            ended = _end(trainer, directory, 0.0 if killed else recipe.stop_grace)
        own = adopt.find(self.places.results, before, self.config.sha256) if recipe.adopts else ""
        if own:
            adopt.merge(self.places.results / own, directory)
        return Ended(
            code=code,
            began=at,
            seconds=seconds,
            timed_out=timed_out,
            leftovers=ended if code is not None else 0,
            own_directory=bool(own),
            last_line=_last_line(directory / "trainer.log"),
        )

    def _unless_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled("interrupted", "Every run of it was ended.")

    def _started(
        self, recipe: Recipe, variation: Variation, words: tuple[str, ...]
    ) -> subprocess.Popen[bytes]:
        """The trainer's process, with an empty HOME, the clean environment and its log."""
        directory = self.directory(variation)
        scratch = self.scratch / ("another-home" if variation.other_home else "home")
        names = {"OUTPUT": str(directory), "CONFIG": str(directory / "config.toml"), "RUN_ID": directory.name}
        extra = {f"EXPTUI_{name}": value for name, value in names.items()} | variation.environment
        with storage_errors("start the trainer"):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(mode=0o700, parents=True)
            with (directory / "trainer.log").open("ab", buffering=0) as log:
                return subprocess.Popen(
                    (*_changed(variation), *recipe.argv, *words),
                    cwd=recipe.cwd,
                    env=environment.build(recipe, scratch, os.environ, extra),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[self.lock_fd],
                    umask=variation.umask,
                    start_new_session=True,
                )


def _changed(variation: Variation) -> tuple[str, ...]:
    """What stands before the command of a program for it to run under a variation."""
    changes = msgspec.json.encode(variation.changes).decode()
    return (sys.executable, "-I", "-S", "-B", start.__file__, changes)


def _end(trainer: subprocess.Popen[bytes], directory: Path, grace: float) -> int:
    """SIGTERM to whatever of a run is alive, the grace, SIGKILL; how many processes it were."""
    seen: set[Process] = set()

    def alive() -> list[Process]:
        """The trainer, its descendants, and those that left it but carry its directory in their environment."""
        ours = (
            ()
            if trainer.poll() is not None
            else (*process.of(trainer.pid), *process.descendants(trainer.pid))
        )
        found = dict.fromkeys((*ours, *run.named(directory.name, directory)))
        seen.update(found)
        return list(found)

    process.end_all(alive, grace)
    return len(seen)


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
