"""One re-run: queued like any other run, watched while it works, ended when enough is known."""

from __future__ import annotations

import glob
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from exptui.core.archive.manifest import FileEntry
from exptui.core.audit import code
from exptui.core.audit.compare import CONFIG
from exptui.core.audit.original import Original
from exptui.core.audit.packages import Prepared
from exptui.core.audit.request import Request, recorded_trainer
from exptui.core.configs import config
from exptui.core.configs.config import Config
from exptui.core.errors import RunError
from exptui.core.files import Cancel
from exptui.core.launchers import protocol
from exptui.core.launchers.options import Launching
from exptui.core.runs import launch, run, stop
from exptui.core.runs.launch import Places
from exptui.core.runs.run import Recipe, RunRecord, RunState, RunView
from exptui.core.settings import Settings, launched_by
from exptui.core.source.snapshot import NAME
from exptui.core.tolerance import Tolerances

if TYPE_CHECKING:
    from exptui.core.launchers.watch import Watch

POLL = 0.1
FULL_DISK = 1 << 20
Prepare = Callable[[Path, Recipe], tuple[str, ...]]
"""Puts into a re-run's directory what it starts from, and returns its command where that is another one."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What of a recipe says how its files are compared; what is not there is not declared."""

    observational: tuple[str, ...] = ()
    volatile: dict[str, tuple[str, ...]] = {}
    tensors: tuple[str, ...] = ()
    tolerance: Tolerances = Tolerances()
    compare: Literal["files", "metrics"] = "files"
    metrics: tuple[str, ...] = ()


def compared(original: Original) -> Compared:
    """What was declared of it, before it ran.

    Raises:
        RunError: it cannot be read.
    """
    try:
        return msgspec.convert(original.recipe or {}, Compared)
    except msgspec.ValidationError as error:
        raise RunError(f"what the original's recipe declares cannot be read: {error}") from error


@dataclass(frozen=True)
class Rerun:
    """How a re-run ended. `ended_by`: why it was not left to come to its own end, empty when it was.

    `began` is the moment of its start on the file system's clock, in ns; None where the clock was set meanwhile.
    """

    directory: Path
    record: RunRecord
    state: RunState
    ended_by: str
    began: int | None
    seconds: float

    @property
    def finished(self) -> bool:
        """Whether it came to its end with success."""
        return self.state is RunState.FINISHED and not self.ended_by

    @property
    def failed(self) -> bool:
        """Whether the trainer itself failed, or took too long: another thing than one that could not be started."""
        end = self.record.exit
        broke = self.state is RunState.FAILED and end is not None and (end.code or end.signal) is not None
        return broke or self.ended_by.startswith("timed out")

    def why(self) -> str:
        """How it failed, with the last words of its log."""
        end = self.record.exit
        if self.ended_by or end is None:
            return self.ended_by or f"the re-run is {self.state}"
        if not self.failed:
            return end.error or f"the re-run is {self.state}"
        how = f"exit code {end.code}" if end.code else f"signal {end.signal}"
        return f"the trainer failed on the re-run: {how}{_last_words(self.directory)}"


class Begun(NamedTuple):
    """A re-run that was handed over: when, on the file system's clock, ours, and the wall."""

    directory: Path
    began: int
    at: float
    clock: float


class Reruns:
    """Runs the original again in directories below `directory`; each sees nothing of the others.

    Raises (when made):
        ExptuiError: no such trainer here, or a config that cannot be read.
    """

    def __init__(
        self,
        original: Original,
        request: Request,
        settings: Settings,
        places: Places,
        cancel: Cancel,
        directory: Path,
        prepared: Prepared | None = None,
    ) -> None:
        self.original, self.request = original, request
        self.settings = msgspec.structs.replace(settings, inputs=self._inputs(settings))
        self.places, self.cancel, self.directory = places, cancel, directory
        self.config = self._config()
        trained = f"{run.stem_of(request.run_id)}.toml"
        self.trainer = (
            recorded_trainer(original.recipe) if request.recorded else settings.trainer_for(trained)
        )
        self.prepared = prepared
        self.code = code.choose(
            original, request.options.code, self.trainer, places, directory.parent / "code"
        )
        self.workers = request.options.workers or settings.queue.slots
        self.launcher = self._launcher()
        self._watch: Watch | None = None
        self._asking, self._begun = threading.Lock(), dict[str, Begun]()

    def _config(self) -> Config:
        data = config.read_bytes(self.original.directory / CONFIG)
        name = self.places.results / f"{run.stem_of(self.request.run_id)}.toml"
        return Config(name, data, config.parse(Path(CONFIG), data).values)

    def _inputs(self, settings: Settings) -> dict[str, str]:
        """Where the original's inputs are: as it recorded, as the settings say now, as the user says."""
        recorded: dict[str, str] = dict((self.original.recipe or {}).get("inputs", {}))
        names, moved = {*recorded, *settings.inputs}, self.request.options.inputs
        if unknown := moved.keys() - names:
            raise RunError(
                f"the run has no input {min(unknown)}", f"It has: {', '.join(sorted(names)) or 'none'}"
            )
        here = {} if self.request.recorded else settings.inputs
        return {**recorded, **here, **moved}

    def _launcher(self) -> Launching | None:
        """A re-run that was interrupted begins anew: nothing of it is resumed."""
        options = self.request.options
        how: dict[str, str] = {"kind": options.on} if options.on else {}
        how |= {"at_once": str(options.workers)} if options.workers else {}
        found = launch.launching(self.trainer, launched_by(self.settings, how))
        return found and msgspec.structs.replace(found, requeue=False)

    def recipe(self, directory: Path) -> Recipe:
        """What is run, with this workspace's settings; what is compared is what was frozen with the original."""
        captured = self.code.at(self.places.results, self._ticket(directory))
        trainer = self.trainer
        if self.prepared and trainer.command:
            program = self.prepared.program(trainer.command[0])
            trainer = msgspec.structs.replace(trainer, command=(program, *trainer.command[1:]))
        recipe = launch.freeze(self.config, trainer, self.settings, self.places, directory, captured)
        declared = compared(self.original)
        observational = (*declared.observational, *((NAME,) if captured else ()))
        options = self.request.options
        return msgspec.structs.replace(
            recipe,
            **msgspec.structs.asdict(msgspec.structs.replace(declared, observational=observational)),
            command=self.trainer.command,
            slots=max(recipe.slots, self.workers if options.segments else 1),
            isolation=options.isolation,
            masked=self._masked(directory),
            network=options.network,
        )

    def claim(self, label: str) -> Path:
        """The directory of a re-run, made where it is not there yet."""
        directory = self.directory / label / self.request.run_id
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def _ticket(self, directory: Path) -> str:
        """Its name in the queue, of this verification alone."""
        return f"{self.directory.parent.name}.{directory.parent.name}"

    def _masked(self, directory: Path) -> tuple[str, ...]:
        """The original wherever it is, and the other re-runs."""
        source, run_id = Path(self.request.source), self.request.run_id
        archived = sorted(source.parent.glob(f"{glob.escape(run_id)}.*")) if self.request.archived else []
        others = (path for path in sorted(self.directory.glob("*")) if not directory.is_relative_to(path))
        paths = (self.original.directory, source, self.places.results / run_id, *archived, *others)
        return tuple(dict.fromkeys(str(path) for path in paths))

    def run(
        self,
        label: str,
        watch: Callable[[Path], str],
        prepare: Prepare | None = None,
    ) -> Rerun:
        """Run it below `label` and wait for its end; `watch` is asked again and again whether to end it, and why.

        Raises:
            Cancelled: somebody asked; the run has been ended.
        """
        if label not in self._begun:
            self.begin({label: prepare})
        begun = self._begun[label]
        directory = begun.directory
        try:
            ended_by, record, state = self._wait(directory, watch)
        except BaseException:  # nothing of it may work on below directories that are about to be removed
            stop.end(directory)
            raise
        seconds = time.monotonic() - begun.at
        stepped = abs(time.time() - begun.clock - seconds) > 1
        return Rerun(directory, record, state, ended_by, None if stepped else begun.began, seconds)

    def begin(self, several: Mapping[str, Prepare | None]) -> None:
        """Hand these re-runs over together, by their labels: a cluster takes them as one array."""
        starts = []
        for label, prepare in several.items():
            directory = self.claim(label)
            recipe = self.recipe(directory)
            argv = prepare(directory, recipe) if prepare else ()
            self.code.put(directory)
            self.cancel.check()
            ticket = self._ticket(directory)
            starts.append(
                launch.queued(directory, self.config, recipe, self.launcher, ticket=ticket, argv=argv)
            )
            began = (directory / CONFIG).stat().st_mtime_ns
            self._begun[label] = Begun(directory, began, time.monotonic(), time.time())
        protocol.of(starts[0].record).submit(starts, self.places)

    def _ask_cluster(self) -> None:
        """One of the threads that wait asks for all."""
        if self.launcher is None or not self._asking.acquire(blocking=False):
            return
        try:
            if self._watch is None:
                from exptui.core.launchers.watch import Watch

                self._watch = Watch()
            if self._watch.due:
                found = (_live(begun.directory) for begun in self._begun.values())
                self._watch.look([view for view in found if view])
        finally:
            self._asking.release()

    def _wait(self, directory: Path, watch: Callable[[Path], str]) -> tuple[str, RunRecord, RunState]:
        started: float | None = None
        while True:
            self._ask_cluster()
            record, state = run.observe(directory)
            assert record is not None  # it was queued
            if not (state.live or run.is_working(directory, record)):
                watch(directory)
                return "", record, state
            if started is None and state is RunState.RUNNING:
                started = time.monotonic()
            timeout = self.request.options.timeout
            late = timeout and started is not None and time.monotonic() - started > timeout
            self.cancel.check()
            if ended_by := f"timed out after {timeout:g} s" if late else watch(directory):
                stop.end(directory)
                ended, state = run.observe(directory)
                return ended_by, ended or record, state
            time.sleep(POLL)


def _live(directory: Path) -> RunView | None:
    record, state = run.observe(directory)
    return RunView(str(directory), directory, state, record) if state.live else None


def copied(directory: Path, began: int | None, files: list[FileEntry]) -> list[str]:
    """Outputs that are older than the run they are of, or linked from elsewhere: it has not made them."""
    stats = {file.path: (directory / file.path).stat() for file in files}
    names = Counter(stat.st_ino for stat in stats.values())  # a link to a file of its own it has made itself
    found = []
    for file in files:
        if file.size and file.file_class == "identity" and file.path != CONFIG:
            stat = stats[file.path]
            if stat.st_nlink > names[stat.st_ino] or (began is not None and stat.st_mtime_ns < began):
                found.append(file.path)
    return found


def _last_words(directory: Path) -> str:
    """The end of the re-run's log, for a person to see why it failed."""
    try:
        data = (directory / "trainer.log").read_bytes()[-2000:]
    except OSError:
        return ""
    last = data.decode(errors="replace").strip().splitlines()[-1:]
    return f" ({last[0]})" if last else ""
