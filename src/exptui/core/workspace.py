"""The door: what the cockpit and the command line can do, they do through here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import msgspec
import psutil

from exptui.core.archive import recovery
from exptui.core.archive.restore import Archived, CheckResult, check, list_archives, restore
from exptui.core.archive.seal import Sealed, Seed, seal
from exptui.core.compare.report import Comparison, compare, markdown
from exptui.core.configs import config as configs
from exptui.core.configs.config import Config
from exptui.core.errors import ArchiveError, ConfigError, CorruptError, RunError, UsageError
from exptui.core.files import pretty_json, sha256_bytes, storage_errors, write_atomic
from exptui.core.monitor import metrics
from exptui.core.runs import launch, run
from exptui.core.runs.run import RunState, RunView
from exptui.core.settings import Settings
from exptui.core.settings import load as load_settings

SETTINGS = """# Settings of this workspace; every key is optional.
# [trainer]
# command = ["tiny-agent-trainer", "--config", "{config}", "--output", "{output}"]
# [queue]
# slots = 1
"""
FIRST_CONFIG = """# The first experiment: copy this file, change one thing, compare.
[engine]
base_seed = 42
batch_size = 32
epochs = 2
learning_rate = 0.001

[model]
model_type = "DeterministicMLP"
layers = 2
activation = "ReLU"
"""


class Workspace:
    """One `experiments/` folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.configs, self.results = self.root / "configs", self.root / "results"
        self.archives = self.root / "archive"
        self.places = launch.Places(self.root.parent, self.results)

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
        root = parent / "experiments"
        if (root / "configs").exists():
            raise UsageError(f"{root} is a workspace already", "See what it holds with: exptui ls configs")
        for name in ("configs", "results", "archive"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "exptui.toml").write_text(SETTINGS)
        (root / "configs/first.toml").write_text(FIRST_CONFIG)
        return cls(root)

    @cached_property
    def settings(self) -> Settings:
        """exptui.toml, read once."""
        return load_settings(self.root / "exptui.toml")

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

    def list_configs(self) -> list[Path]:
        """The files of `configs/`, by name."""
        return sorted(self.configs.glob("*.toml"))

    def run(self, name: str) -> Path:
        """Queue a run of a config; returns its directory."""
        return launch.launch(self.config(name), self.settings, self.places)

    def list_runs(self) -> list[RunView]:
        """Every directory in `results/`, oldest first."""
        try:
            found = [
                p
                for p in self.results.iterdir()
                if p.is_dir() and p.name != "comparisons" and not p.name.startswith(".")
            ]
        except FileNotFoundError:
            return []
        views = (self._view(path) for path in found)
        return sorted(views, key=lambda v: (v.record.queued_at if v.record else "", v.run_id))

    def show(self, name: str) -> RunView:
        """One run by its id, or the newest one of a config's stem.

        Raises:
            UsageError: no such run.
        """
        if "/" not in name and name not in ("", ".", "..") and (self.results / name).is_dir():
            return self._view(self.results / name)
        matching = [v for v in self.list_runs() if v.run_id.rpartition("_")[0] == name.removesuffix(".toml")]
        if not matching:
            raise UsageError(f"no run {name!r} in {self.results}", "List what there is with: exptui ls")
        return matching[-1]

    def _view(self, path: Path) -> RunView:
        try:
            record, state = run.observe(path)
        except CorruptError as error:
            return RunView(path.name, path, RunState.EXTERNAL, None, error.message)
        except OSError as error:
            return RunView(path.name, path, RunState.EXTERNAL, None, f"run.json: {error.strerror}")
        leftovers = record is not None and record.phase is run.Phase.EXITED and run.has_leftovers(record)
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
        return recovery.recover(self.archives, self.results)

    def archive(self, name: str, *, keep: bool = False, incomplete: bool = False) -> Sealed:
        """Seal a run into `archive/`; its directory is removed after the commit, unless `keep`.

        Raises:
            ArchiveError: live, with left-over processes, or not FINISHED without `incomplete`; nothing was changed.
        """
        view = self.show(name)
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
        data = configs.read_bytes(view.path / "config.toml")
        settings_digest = configs.parse(Path("config.toml"), data).settings_digest
        record = view.record
        seed = Seed(
            run_id=view.run_id,
            config_sha256=sha256_bytes(data),
            settings_digest=settings_digest,
            recipe=msgspec.to_builtins(record.recipe) if record else None,
            fingerprint=record.fingerprint if record else None,
            attempts=record.attempts if record else 0,
            incomplete=not whole,
            observational=record.recipe.observational if record else (),
        )
        card = pretty_json(
            {"config": data.decode(errors="replace"), "metrics": metrics.read(view.path).final}
        )
        with storage_errors("make the archive directory"):
            self.archives.mkdir(exist_ok=True)
        return seal(view.path, self.archives, seed, card, keep=keep)

    def list_archives(self) -> list[Archived]:
        """What is in `archive/`, from its sidecars and ledger."""
        return list_archives(self.archives) if self.archives.is_dir() else []

    def archived(self, name: str) -> Path:
        """The file of an archived run.

        Raises:
            UsageError: there is none of that name.
        """
        path = self.archives / f"{name.removesuffix('.tar.gz')}.tar.gz"
        if "/" in name or not path.is_file():
            raise UsageError(
                f"no archive {name!r} in {self.archives}", "List what there is with: exptui ls archive"
            )
        return path

    def check(self, name: str, *, read_data: bool = False) -> CheckResult:
        """Whether an archive's bytes are those that were sealed."""
        return check(self.archived(name), read_data=read_data)

    def restore(self, name: str) -> Path:
        """Unpack an archive into `results/`, whole or not at all; refused where that run exists."""
        path = self.archived(name)
        with storage_errors("make the results directory"):
            self.results.mkdir(exist_ok=True)
        destination = self.results / path.name.removesuffix(".tar.gz")
        restore(path, destination)
        return destination

    def wait(self, run_id: str, poll: float = 0.1) -> Iterator[RunView]:
        """Look at a run until it is no longer live; the last view is how it ended."""
        while True:
            view = self._view(self.results / run_id)
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
        match view.state:
            case RunState.QUEUED | RunState.RUNNING:
                for current in self.wait(view.run_id):
                    # A supervisor that has just been started says who it is a moment later.
                    if current.record and (supervisor := current.record.supervisor):
                        _signal(supervisor.pid, supervisor.start_time, current)
                        break
            case RunState.ORPHANED:
                self._stop_orphan(view)
            case RunState.REMOTE:
                host = view.record.host if view.record else "another host"
                raise RunError(
                    f"{view.run_id} runs on {host}", f"Stop it there: ssh {host} exptui stop {view.run_id}"
                )
            case _:
                raise RunError(f"{view.run_id} is not running: {view.state}", "exptui ls shows what is.")
        return list(self.wait(view.run_id))[-1]

    def _stop_orphan(self, view: RunView) -> None:
        """Processes that carry the run's id in their environment, TERM, the grace, KILL; then say STOPPED."""
        assert view.record is not None  # ORPHANED has one
        # The directory too: a run of another workspace may have begun in the same second under the same id.
        marks = {f"EXPTUI_RUN_ID={view.run_id}".encode(), b"EXPTUI_OUTPUT=" + os.fsencode(view.path)}
        ours = [p for p in psutil.process_iter() if marks <= set(_environ(p.pid).split(b"\0"))]
        for process in ours:
            process.terminate()
        for process in psutil.wait_procs(ours, timeout=view.record.recipe.stop_grace)[1]:
            process.kill()
        end = run.Exit(stop_requested=True, error="stopped after its supervisor was gone")
        run.write(
            view.path,
            msgspec.structs.replace(view.record, phase=run.Phase.EXITED, ended_at=launch.now(), exit=end),
        )


def _environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _signal(pid: int, start_time: float, view: RunView) -> None:
    """SIGTERM to that very process; a number used again by another one is left alone."""
    try:
        if abs(psutil.Process(pid).create_time() - start_time) < 1:
            os.kill(pid, signal.SIGTERM)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return
    except PermissionError as error:
        owner = view.record.user if view.record else "somebody else"
        raise RunError(f"{view.run_id} belongs to {owner}", f"Ask {owner} to stop it.") from error
