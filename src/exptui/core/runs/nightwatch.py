"""What the supervisor notices of its run, while nobody looks: silence, NaN, thresholds, a full disk, the end.

It only tells. Whatever goes wrong in here, the run goes on; each thing is told once an attempt, into
`attempts/N.alerts.jsonl` and, where the user's own settings name a command, by a messenger.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import time
import traceback
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

import msgspec

from exptui.core import alerts, user
from exptui.core.alerts import STALLED_AFTER, Alert, Rules, Threshold
from exptui.core.errors import ExptuiError
from exptui.core.files import write_all
from exptui.core.monitor.text import clean
from exptui.core.runs import queue
from exptui.core.runs.launch import now
from exptui.core.runs.messenger import Messenger, note
from exptui.core.runs.readings import Readings, report
from exptui.core.runs.run import Exit, RunRecord, RunState

OUTPUT = (
    "trainer.log",
    "metrics.jsonl",
    "metrics.json",
    "chronicle.cmeta",
    "chronicle.cmeta.open",
    "checkpoints",
)
PATIENCE = 3  # times its longest pause so far is a stall
KNOWN = 3  # pauses after which a rhythm is known; until then
UNKNOWN = 6  # times the least silence is a stall
LAST = 64  # looks at what is left of its numbers after the end
NAMES = 10_000  # of metrics that are remembered
STEPS = ("step", "global_step", "epoch", "cycle", "iteration")

P = ParamSpec("P")


def _harmless(
    look: Callable[Concatenate[Nightwatch, P], None],
) -> Callable[Concatenate[Nightwatch, P], None]:
    """A defect of ours in what only watches is noted, and ends the watching: never the run."""

    @wraps(look)
    def inner(self: Nightwatch, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if not self.broken:
            try:
                look(self, *args, **kwargs)
            except Exception:  # noqa: BLE001
                self.broken = True
                note(f"{self.directory.name}: watching it failed: {traceback.format_exc()}")

    return inner


class Rhythm:
    """Learns from the pauses between outputs how long a run may be silent. The time to its first output is none."""

    def __init__(self, floor: float, at: float) -> None:
        self.floor, self.last, self.longest, self.outputs = floor, at, 0.0, 0
        self._told = False

    @property
    def limit(self) -> float:
        """Seconds of silence that are a stall."""
        if self.outputs <= KNOWN:
            return self.floor * UNKNOWN
        return max(self.floor, PATIENCE * self.longest)

    def heard(self, at: float) -> None:
        """There was output."""
        if self.outputs:
            self.longest = max(self.longest, at - self.last)
        self.outputs, self.last, self._told = self.outputs + 1, at, False

    def stalled(self, at: float) -> bool:
        """Whether it is silent for too long; True once a silence."""
        if self._told or at - self.last <= self.limit:
            return False
        self._told = True
        return True


class Nightwatch:
    """The alerts of one attempt."""

    def __init__(
        self,
        directory: Path,
        attempt: int,
        rules: Rules,
        messenger: Messenger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory, self.rules, self.messenger, self.clock = directory, rules, messenger, clock
        self.file = alerts.path(directory, attempt)
        self.broken = False
        self._told = {one.key for one in alerts.read(self.file)}
        self._unwritten = b""
        self._wanted: dict[str, tuple[Threshold, ...]] = {}
        self._readings = Readings(clock)
        self._seen: object = None
        floor = STALLED_AFTER if rules.stalled_after is None else rules.stalled_after
        self._rhythm = Rhythm(floor, clock())

    @_harmless
    def begin(self) -> None:
        """The trainer was just started: from now on it may be silent for too long."""
        self._rhythm.last = self.clock()

    @_harmless
    def look(self, files: Path) -> None:
        """See what has changed in a second. `files`: where the trainer writes."""
        self._listen(files)
        self._read(files)
        self._weigh()
        self._write()

    @_harmless
    def refused(self, error: OSError) -> None:
        """The disk took something of ours, or did not: a quota says so in no other way."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            self._tell("disk", f"{error.strerror}: {self.directory}", "disk")

    @_harmless
    def last_look(self, files: Path) -> None:
        """The trainer has ended: what it wrote at last."""
        self._read_all(files)
        if not self._readings.own:
            self._readings.look(files)
            self._read_all(files)
        self._judge(report(files / "metrics.json"))
        self._write()

    @_harmless
    def ended(self, state: RunState, end: Exit) -> None:
        """The run is over, and its record says so. What it says is not written down once more."""
        words = [f"exit code {end.code}"] if end.code else []
        words += [f"signal {end.signal}"] if end.signal else []
        words += [clean(end.error, 300)] if end.error else []
        self._send(state.lower(), "  ".join(words))
        if self.messenger:
            self.messenger.close()

    def _listen(self, files: Path) -> None:
        at, seen = self.clock(), _outputs(self.directory, files, self._readings.files)
        if seen != self._seen:
            if self._seen is not None:
                self._rhythm.heard(at)
            self._seen = seen
        elif self._rhythm.stalled(at):
            known = (
                f", where {_span(self._rhythm.longest)} was its longest pause" if self._rhythm.longest else ""
            )
            words = f"no output for {_span(at - self._rhythm.last)}{known}"
            self._tell("stalled", words, f"stalled {self._rhythm.outputs}")

    def _read_all(self, files: Path) -> None:
        for _ in range(LAST):
            if not self._read(files):
                break

    def _read(self, files: Path) -> bool:
        rows = self._readings.read(files)
        for row in rows:
            self._judge(row)
        return bool(rows)

    def _judge(self, row: dict[str, float]) -> None:
        """Whether one row of numbers is to be told."""
        for name, value in row.items():
            if (wanted := self._wanted.get(name)) is None:
                wanted = self._want(name)
            if not math.isfinite(value):
                self._tell("nan", f"{clean(name, 60)} is {value}{_where(row)}", "nan")
            for one in wanted:
                if one.crossed(value):
                    words = f"{clean(name, 60)} is {value:.6g}{_where(row)} ({one.sign} {one.limit:g})"
                    self._tell("threshold", words, str(one))

    def _want(self, name: str) -> tuple[Threshold, ...]:
        """What is still to be told of a metric, remembered for the rows to come."""
        if len(self._wanted) > NAMES:
            self._wanted = {}
        left = (one for one in self.rules.thresholds if str(one) not in self._told)
        self._wanted[name] = tuple(one for one in left if one.concerns(name))
        return self._wanted[name]

    def _weigh(self) -> None:
        with contextlib.suppress(OSError):
            seen = os.statvfs(self.directory)
            free = seen.f_bavail * seen.f_frsize
            if free < alerts.FULL_DISK:
                self._tell("disk", f"the disk is full: {free / 1e6:.0f} MB left for {self.directory}", "disk")

    def _tell(self, event: str, text: str, key: str) -> None:
        if key in self._told:
            return
        self._told.add(key)
        self._wanted = {}
        text = clean(text, 500)
        self._unwritten += msgspec.json.encode(Alert(at=now(), event=event, text=text, key=key)) + b"\n"
        self._send(event, text)

    def _send(self, event: str, text: str) -> None:
        if self.messenger and event in self.rules.events:
            self.messenger.tell(event, text)

    def _write(self) -> None:
        """Into the file, as soon as the disk takes it."""
        if not self._unwritten:
            return
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(exist_ok=True)
            fd = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                write_all(fd, self._unwritten)
            finally:
                os.close(fd)
            self._unwritten = b""


def prepare(directory: Path, record: RunRecord, results: Path, lock_fd: int) -> Nightwatch | None:
    """The watch of a run that was just queued; None for a re-run, whose verification tells what came of it.

    The settings are read here and now, by the supervisor: the workspace's for what to look for, the user's own for
    what to do. So a resume has them as they are then, and neither run.json nor an archive knows of a command.
    """
    lock = record.supervisor_lock
    if lock is None or Path(lock.path).name.removesuffix(queue.SUPERVISOR) != record.run_id:
        return None
    workspace = results.parent / "exptui.toml"
    rules = _rules(record.run_id, lambda: user.load().alerts).over(
        _rules(record.run_id, lambda: _of_workspace(workspace))
    )
    about = {"run_id": record.run_id, "path": str(directory)}
    try:
        messenger = Messenger.start(rules.command, about, lock_fd) if rules.command else None
    except OSError as error:
        messenger = None
        note(f"{record.run_id}: nobody will run the alert command: {error.strerror}")
    return Nightwatch(directory, record.attempts, rules, messenger)


def _rules(run_id: str, read: Callable[[], Rules]) -> Rules:
    try:
        return read()
    except ExptuiError as error:
        note(f"{run_id}: runs without these alerts: {error.message}")
        return Rules()


def _of_workspace(path: Path) -> Rules:
    """Parsed only where it speaks of alerts at all: a run that has none starts the sooner."""
    try:
        if b"alerts" not in path.read_bytes():
            return Rules()
    except OSError:
        return Rules()
    from exptui.core import settings

    return alerts.rules(settings.load(path).alerts, path)


def _outputs(directory: Path, files: Path, more: Iterable[Path]) -> tuple[object, ...]:
    """Changes whenever the trainer puts something out. `more`: where its numbers are, if elsewhere."""
    seen = []
    for path in (directory / "trainer.log", *(files / name for name in OUTPUT), *more):
        try:
            stat = path.stat()
        except OSError:
            continue
        seen.append((path, stat.st_size, stat.st_mtime_ns))
    return tuple(seen)


def _where(row: dict[str, float]) -> str:
    return next((f" at {name} {row[name]:.15g}" for name in STEPS if name in row), "")


def _span(seconds: float) -> str:
    for name, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"
