"""The door: what the cockpit and the command line can do, they do through here."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from exptui.core import doctor, notes, template
from exptui.core.archive import recovery, signature
from exptui.core.archive.check import CheckResult, check, check_all
from exptui.core.archive.prepare import prepare
from exptui.core.archive.restore import Archived, list_archives, restore
from exptui.core.archive.seal import Sealed, seal
from exptui.core.audit import session
from exptui.core.audit.conformance import Conformance, last_seconds
from exptui.core.audit.report import AuditReport
from exptui.core.audit.request import Cost, Options, Request, cost, request_for
from exptui.core.compare.report import Comparison, compare, markdown
from exptui.core.configs import config as configs
from exptui.core.configs import derive
from exptui.core.configs.config import Config
from exptui.core.errors import ArchiveError, ConfigError, CorruptError, RunError, UsageError
from exptui.core.files import Cancel, Progress, one_name, storage_errors, write_atomic
from exptui.core.notes import Notes
from exptui.core.runs import cleanup, launch, resume, run, stop, trash
from exptui.core.runs.alone import alone
from exptui.core.runs.preview import Preview, preview
from exptui.core.runs.run import RunState, RunView
from exptui.core.settings import Settings
from exptui.core.settings import load as load_settings


class Workspace:
    """One `experiments/` folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.configs, self.results = self.root / "configs", self.root / "results"
        self.archives = self.root / "archive"
        self.places = launch.Places(self.root.parent, self.results)
        self._settings: tuple[object, Settings] | None = None

    @classmethod
    def find(cls, given: str | None = None, start: Path | None = None) -> Workspace:
        """The workspace given, named by EXPTUI_WORKSPACE, or found from the current directory upward.

        Raises:
            UsageError: there is none.
        """
        if named := given or os.environ.get("EXPTUI_WORKSPACE"):
            if (Path(named) / "configs").is_dir():
                return cls(Path(named))
            raise UsageError(
                f"{named} is not a workspace: it has no configs/ directory", "Make one with: exptui init"
            )
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            if (folder / "experiments/configs").is_dir():
                return cls(folder / "experiments")
            if folder.name == "experiments" and (folder / "configs").is_dir():
                return cls(folder)
        raise UsageError(f"no experiments/ found from {here} upward", "Make one with: exptui init")

    @classmethod
    def init(cls, parent: Path) -> Workspace:
        """A plain workspace with one config; what is there already is left alone.

        Raises:
            UsageError: there is one already.
        """
        return cls(template.write(parent))

    @property
    def settings(self) -> Settings:
        """exptui.toml, read again when it changed."""
        path = self.root / "exptui.toml"
        with storage_errors("read the settings"):
            stat = path.stat() if path.exists() else None
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat else None
        if self._settings is None or self._settings[0] != stamp:
            self._settings = (stamp, load_settings(path))
        return self._settings[1]

    def config(self, name: str) -> Config:
        """A config by its stem or file name, or by its path inside `configs/`.

        Raises:
            ConfigError: missing, outside `configs/`, or not TOML.
        """
        if "/" in name:
            path = Path(name).resolve()
            if path.parent != self.configs.resolve():
                raise ConfigError(
                    f"{name} lies outside {self.configs}",
                    "A config is a file directly in configs/: move it there.",
                )
        else:
            path = self.configs / f"{name.removesuffix('.toml')}.toml"
        return configs.load(path)

    @property
    def notes(self) -> Notes:
        """The pinned baseline and the notes, as they are now."""
        return notes.load(self.root)

    def pin(self, run_id: str) -> None:
        """Make a run the baseline; the one that is it already is unpinned."""
        now = self.notes
        pinned = "" if now.baseline == run_id else run_id
        notes.save(self.root, msgspec.structs.replace(now, baseline=pinned))

    def list_configs(self) -> list[Path]:
        """The files of `configs/`, by name."""
        return sorted(self.configs.glob("*.toml"))

    def run(self, name: str, edits: Mapping[str, Any] | None = None) -> Path:
        """Queue a run of a config, or of a clone with edits, which is written first; returns its directory."""
        stem = self.derive(name, edits) if edits else name
        return launch.launch(self.config(stem), self.settings, self.places)

    def derive(self, name: str, edits: Mapping[str, Any], stem: str = "") -> str:
        """Clone a config with some keys changed; returns the new one's stem."""
        return derive.clone(self.config(name), edits, stem).stem

    def preview(self, name: str, edits: dict[str, Any] | None = None) -> Preview:
        """What a run of this config, or of a clone with edits, would be, compared with the last one of it."""
        chosen = self.config(name)
        last = next((v for v in reversed(self.list_runs()) if v.stem == chosen.stem), None)
        return preview(chosen, edits or {}, self.settings, self.places, last)

    def resume(self, name: str) -> tuple[RunView, str]:
        """Queue the next attempt of a run that did not finish; returns it and the checkpoint it goes on from."""
        with self._alone(name) as view:
            checkpoint = resume.resume(view, self.places)
            return self.view(view.path), checkpoint

    def remove(self, name: str) -> Path:
        """Move a run into the trash; returns where it is.

        Raises:
            RunError: it is still at work.
        """
        with self._alone(name) as view:
            if view.state.live or view.leftovers:
                raise RunError(f"{view.run_id} is still at work", "Stop it first: exptui stop RUN")
            return trash.put(view.path)

    @contextlib.contextmanager
    def _alone(self, name: str) -> Iterator[RunView]:
        """A run, with all other commands kept away from it."""
        path = self.show(name).path
        with alone(self.archives, path.name):
            yield self.show(path.name)

    def undo_remove(self, name: str = "") -> Path:
        """Take a run back out of the trash; without a name the one removed last."""
        return trash.take_back(self.results, name)

    def run_directories(self) -> list[Path]:
        """Every directory in `results/` that may be a run."""
        if not os.path.lexists(self.results):
            return []
        with storage_errors("read the runs"):
            names = sorted(os.listdir(self.results))  # noqa: PTH208  names, for the filter before any stat
        shown = (name for name in names if name[0] != "." and name != "comparisons")
        return [self.results / name for name in shown if os.path.isdir(self.results / name)]  # noqa: PTH112  no ELOOP

    def list_runs(self) -> list[RunView]:
        """Every run in `results/`, oldest first."""
        return in_order(self.view(path) for path in self.run_directories())

    def show(self, name: str) -> RunView:
        """One run by its id, or the newest one of a config's stem.

        Raises:
            UsageError: no such run.
        """
        if one_name(name) and os.path.isdir(self.results / name):  # noqa: PTH112  False where it cannot be read
            return self.view(self.results / name)
        matching = [v for v in self.list_runs() if v.stem == name.removesuffix(".toml")]
        if not matching:
            raise UsageError(f"no run {name!r} in {self.results}", "List what there is with: exptui ls")
        return matching[-1]

    def view(self, path: Path) -> RunView:
        """A run by its directory, as it is now."""
        try:
            record, state = run.observe(path)
        except CorruptError as error:
            return RunView(path.name, path, RunState.EXTERNAL, None, error.message)
        except OSError as error:
            return RunView(path.name, path, RunState.EXTERNAL, None, f"run.json: {error.strerror}")
        leftovers = record is not None and record.phase is run.Phase.EXITED and run.is_working(path, record)
        return RunView(path.name, path, state, record, "", leftovers)

    def compare(self, baseline: str, candidate: str) -> Comparison:
        """What differs between two runs, given as `show` takes them."""
        return compare(self.show(baseline), self.show(candidate))

    def write_comparison(self, comparison: Comparison) -> Path:
        """Write `results/comparisons/<baseline>_vs_<candidate>.md`, replacing an older one of the same two."""
        directory = self.results / "comparisons"
        with storage_errors("write the comparison"):
            directory.mkdir(exist_ok=True)
            path = directory / f"{comparison.baseline}_vs_{comparison.candidate}"[:240]
            path = path.with_name(path.name + ".md")
            write_atomic(path, markdown(comparison).encode())
        return path

    def recover(self) -> list[str]:
        """Finish or undo what a crash left in `archive/` and `results/`; a line for each thing done."""
        with storage_errors("recover what a crash left"):
            return [
                *cleanup.recover(self.root, self.results),
                *recovery.recover(self.archives, self.results),
                *session.recover(self.archives),
            ]

    def archive(
        self,
        name: str,
        *,
        keep: bool = False,
        incomplete: bool = False,
        sign: bool | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Sealed:
        """Seal a run into `archive/`, signed where the user has set a key; its directory goes, unless `keep`.

        Raises:
            ArchiveError: live, with left-over processes, or not FINISHED without `incomplete`; nothing was changed.
        """
        signer, view = signature.signer(wanted=sign), self.show(name)
        whole = view.state in (RunState.FINISHED, RunState.EXTERNAL) and not view.problem
        if view.state.live or view.leftovers:
            raise ArchiveError(
                f"{view.run_id} is still at work", "Wait for its end, or stop it: exptui stop RUN"
            )
        if not whole and not incomplete:
            raise ArchiveError(
                f"{view.run_id} is {view.state} {view.problem}".rstrip(),
                "To archive it all the same: --incomplete",
            )
        seed, card = prepare(view, incomplete=not whole)

        def ready() -> None:
            if self.view(view.path) != view:
                raise ArchiveError(f"{view.run_id} changed meanwhile", "Look at it again: exptui show RUN")

        return seal(
            view.path,
            self.archives,
            seed,
            card,
            keep=keep,
            sign=signer,
            progress=progress,
            cancel=cancel,
            ready=ready,
        )

    def list_archives(self) -> list[Archived]:
        """What is in `archive/`, from its sidecars and ledger."""
        return list_archives(self.archives) if self.archives.is_dir() else []

    def archived(self, name: str) -> Path:
        """The file of an archived run, by its id or for the newest one of a config's stem.

        Raises:
            UsageError: there is none of that name.
        """
        stem = name.removesuffix(".tar.gz")
        path = self.archives / f"{stem}.tar.gz"
        if one_name(name) and os.path.isfile(path):  # noqa: PTH113  False where it cannot be read
            return path
        known = (one for one in self.list_archives() if run.stem_of(one.run_id) == stem)
        if newest := max(known, key=lambda one: one.run_id, default=None):
            return newest.path
        raise UsageError(
            f"no archive {name!r} in {self.archives}", "List what there is with: exptui ls archive"
        )

    def check(self, name: str, **options: Any) -> CheckResult:
        """Whether an archive's bytes are those that were sealed; the options are those of `archive.check.check`."""
        return check(self.archived(name), **options)

    def check_all(self, names: Iterable[str] = (), **options: Any) -> Iterator[CheckResult]:
        """These archives, or all, and then the ledger; the options are those of `archive.check.check_all`."""
        return check_all(self.archives, [self.archived(name) for name in names], **options)

    def restore(self, name: str, *, progress: Progress | None = None, cancel: Cancel | None = None) -> Path:
        """Unpack an archive into `results/`, whole or not at all; refused where that run exists."""
        path = self.archived(name)
        with storage_errors("make the results directory"):
            self.results.mkdir(exist_ok=True)
        destination = self.results / path.name.removesuffix(".tar.gz")
        restore(path, destination, progress=progress, cancel=cancel)
        return destination

    def verify(self, request: Request) -> Path:
        """Start a verification; returns the directory `follow` takes."""
        return session.start(request, self.archives, self.places, self.root)

    def cost(self, request: Request) -> Cost:
        """What a verification will take."""
        return cost(request, self.archives)

    def request(self, name: str, options: Options | None = None, *, trust: bool = False) -> Request:
        """What `verify` takes, for an archive, a run, or a FILE.tar.gz.

        A name that is both is taken as the archive. With `trust` a file from elsewhere is run as it says itself.

        Raises:
            UsageError: there is no such thing, or a file from elsewhere without `trust`.
            RunError: the run is still at work.
        """
        return request_for(name, self.archives, self, options or Options(), trust=trust)

    def follow(self, directory: Path) -> Iterator[session.State | AuditReport]:
        """How far a verification is; the last item is its report."""
        return session.follow(directory)

    def cancel(self, directory: Path) -> None:
        """End a verification; its verdict is UNKNOWN."""
        session.cancel(directory)

    def verification_states(self) -> dict[str, session.State]:
        """How far each verification at work is, by the name of its directory."""
        return {path.name: state for path in self.verifying() if (state := session.state(path)) is not None}

    def verifying(self) -> list[Path]:
        """The directories of the verifications at work."""
        folder = self.archives / session.RESTORATION
        return [p for p in sorted(folder.iterdir()) if session.is_alive(p)] if folder.is_dir() else []

    def audits(self, run_id: str) -> list[AuditReport]:
        """The finished verifications of a run, the newest first."""
        found = (session.report(path) for path in session.audits(self.archives, run_id))
        return [report for report in found if report is not None]

    def examine(self) -> Iterator[doctor.Finding]:
        """Whether everything is here that a run needs."""
        return doctor.examine(self.root, lambda: self.settings)

    def conformance(
        self, name: str, *, workers: int = 1, timeout: float | None = None
    ) -> tuple[Conformance, float | None]:
        """A check of a config's trainer, not yet begun, and the seconds the last finished run of it took."""
        config = self.config(name)
        check = Conformance(config, self.settings, self.places, workers=workers, timeout=timeout)
        return check, last_seconds(self.list_runs(), config.stem)

    def wait(self, run_id: str, poll: float = 0.1) -> Iterator[RunView]:
        """Look at a run until it is no longer live; the last view is how it ended."""
        while True:
            view = self.view(self.results / run_id)
            yield view
            if not view.state.live:
                return
            time.sleep(poll)

    def stop(self, name: str) -> RunView:
        """End a run and every process of it; returns when it has stopped.

        Raises:
            RunError: it is not running, runs elsewhere, or belongs to somebody else.
        """
        view = self.show(name)
        stop.stop(view, self.archives)
        return self.view(view.path)


def in_order(views: Iterable[RunView]) -> list[RunView]:
    """Oldest first, without the directories that another run is taking over."""
    found = list(views)
    adopted = {v.record.adopted for v in found if v.record}
    shown = (v for v in found if v.run_id not in adopted)
    return sorted(shown, key=lambda v: (v.record.queued_at if v.record else "", v.run_id))
