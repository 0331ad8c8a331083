"""What is in a workspace, as it is now."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from exptui.core import notes
from exptui.core.audit import RESTORATION
from exptui.core.errors import ConfigError, CorruptError, RunError, StorageError, UsageError
from exptui.core.files import one_name, storage_errors
from exptui.core.notes import Notes
from exptui.core.runs import run
from exptui.core.runs.run import RunState, RunView

# What only some workspaces and commands need is imported where it is called: no list waits for it.
if TYPE_CHECKING:
    from exptui.core.archive.listing import Archived
    from exptui.core.audit.report import AuditReport
    from exptui.core.audit.session import State
    from exptui.core.audit.statement import Seen
    from exptui.core.configs.config import Config
    from exptui.core.runs.launch import Places
    from exptui.core.settings import Settings


class Contents:
    """The folder `experiments/`: its configs, runs, archives and verifications."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.configs, self.results = self.root / "configs", self.root / "results"
        self.archives = self.root / "archive"
        self._settings: tuple[object, Settings] | None = None

    @property
    def places(self) -> Places:
        """Where its runs happen."""
        from exptui.core.runs.launch import Places

        return Places(self.root.parent, self.results)

    @property
    def settings(self) -> Settings:
        """exptui.toml, read again when it changed."""
        from exptui.core import settings

        path = self.root / "exptui.toml"
        with storage_errors("read the settings"):
            stat = path.stat() if path.exists() else None
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat else None
        if self._settings is None or self._settings[0] != stamp:
            self._settings = (stamp, settings.load(path))
        return self._settings[1]

    def config(self, name: str) -> Config:
        """A config by its stem or file name, or by its path inside `configs/`.

        Raises:
            ConfigError: missing, outside `configs/`, or not TOML.
        """
        from exptui.core.configs import config as configs

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

    def list_configs(self) -> list[Path]:
        """The files of `configs/`, by name."""
        return sorted(self.configs.glob("*.toml"))

    def run_directories(self) -> list[Path]:
        """Every directory in `results/` that may be a run."""
        if not os.path.lexists(self.results):
            return []
        with storage_errors("read the runs"), os.scandir(self.results) as entries:
            names = sorted(entry.name for entry in entries if _may_be_run(entry))
        return [self.results / name for name in names]

    def list_runs(self) -> list[RunView]:
        """Every run in `results/`, oldest first."""
        return in_order(self.view(path) for path in self.run_directories())

    def live_runs(self, known: Iterable[str] = ()) -> list[RunView]:
        """Those that are live of the runs that have locks here, and of others that are `known`: no other is read."""
        from exptui.core.runs import queue

        names = queue.known(queue.lock_directory(self.results)).union(known)
        views = [self.view(self.results / name) for name in sorted(names)]
        return [view for view in views if view.state.live]

    def show(self, name: str) -> RunView:
        """One run by its id, or the newest one of a config's stem.

        Raises:
            UsageError: no such run.
        """
        if one_name(name) and os.path.isdir(self.results / name):  # noqa: PTH112  False where it cannot be read
            return self.view(self.results / name)
        from exptui.core.monitor import elsewhere

        places = elsewhere.Elsewhere(self).look()
        if path := elsewhere.exactly(places, name):
            return self.view(path)
        matching = [v for v in self.list_runs() if v.stem == name.removesuffix(".toml")]
        if not matching:
            found = elsewhere.ending(places, name)
            if len(found) == 1:
                return self.view(found[0].path)
            if found:
                several = " or ".join(place.name for place in found[:3])
                raise UsageError(f"{name!r} can be {several}", "Name it by its path, as exptui ls does.")
            raise UsageError(f"no run {name!r} in {self.results}", "List what there is with: exptui ls")
        return matching[-1]

    def own(self, name: str) -> RunView:
        """A run as `show` finds it, to do something with it.

        Raises:
            UsageError: no such run.
            RunError: it is none of exptui's, and only listed.
        """
        view = self.show(name)
        if "/" in view.run_id:
            import shlex

            raise RunError(
                f"{view.run_id} is only listed here ([results] also): exptui changes nothing outside of results/",
                f"To have exptui keep it, copy it: {shlex.join(('cp', '-r', str(view.path), f'{self.results}/'))}",
            )
        return view

    def view(self, path: Path) -> RunView:
        """A run by its directory, as it is now."""
        name = run.id_of(self.results, path)
        try:
            record, state = run.observe(path)
        except CorruptError as error:
            return RunView(name, path, RunState.EXTERNAL, None, error.message)
        except OSError as error:
            return RunView(name, path, RunState.EXTERNAL, None, f"run.json: {error.strerror}")
        leftovers = record is not None and record.phase is run.Phase.EXITED and run.is_working(path, record)
        return RunView(name, path, state, record, "", leftovers)

    def has_archives(self) -> bool:
        """Whether there is an `archive/`.

        Raises:
            StorageError: there is something of that name which is none.
        """
        if os.path.lexists(self.archives) and not self.archives.is_dir():
            raise StorageError(
                f"{self.archives} is not a directory", "Move it away, or mount what should be there."
            )
        return self.archives.is_dir()

    def list_archives(self) -> list[Archived]:
        """What is in `archive/`, from its sidecars and ledger."""
        if not self.has_archives():
            return []
        from exptui.core.archive.listing import list_archives

        return list_archives(self.archives)

    def archived(self, name: str) -> Path:
        """The file of an archived run, by its id or for the newest one of a config's stem.

        Raises:
            UsageError: there is none of that name.
        """
        stem = name.removesuffix(".tar.gz")
        path = self.archives / f"{stem}.tar.gz"
        if one_name(name) and any(map(os.path.isfile, (path, self.archives / f"{stem}.remote.json"))):
            return path
        known = (one for one in self.list_archives() if run.stem_of(one.run_id) == stem)
        if newest := max(known, key=lambda one: one.run_id, default=None):
            return newest.path
        raise UsageError(
            f"no archive {name!r} in {self.archives}", "List what there is with: exptui ls archive"
        )

    def verification_states(self) -> dict[str, State]:
        """How far each verification at work is, by the name of its directory."""
        if not (self.archives / RESTORATION).is_dir():
            return {}
        from exptui.core.audit import session

        alive = (path for path in sorted((self.archives / RESTORATION).iterdir()) if session.is_alive(path))
        return {path.name: state for path in alive if (state := session.state(path)) is not None}

    def audits(self, run_id: str) -> list[AuditReport]:
        """The finished verifications of a run, the newest first."""
        if not (self.archives / RESTORATION).is_dir():
            return []
        from exptui.core.audit import session

        found = (session.report(path) for path in session.audits(self.archives, run_id))
        return [report for report in found if report is not None]

    def identity(self, run_id: str) -> str:
        """That of the archive of a run, as the ledger has it; empty where there is none."""
        if not self.has_archives():
            return ""
        from exptui.core.archive import ledger

        return ledger.identities(ledger.read(self.archives)[0]).get(run_id, "")

    def verdicts(self, run_id: str) -> tuple[list[Seen], list[str]]:
        """What came of running a run again, here and elsewhere, the newest first, and what of it cannot be read.

        Of another archive of that name nothing is told.
        """
        from exptui.core.audit import exchange, statement

        identity = self.identity(run_id)
        here = [statement.Seen(statement.of(report)) for report in self.audits(run_id)]
        found = [one for one in here if one.statement.identity in ("", identity)]
        others, problems = exchange.kept(self.archives, run_id, identity) if identity else ([], [])
        return sorted((*found, *others), key=lambda one: one.statement.at, reverse=True), problems


def _may_be_run(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.name[0] != "." and entry.name != "comparisons" and entry.is_dir()
    except OSError:  # a link that leads nowhere
        return False


def in_order(views: Iterable[RunView]) -> list[RunView]:
    """Oldest first, without the directories that another run is taking over."""
    found = list(views)
    adopted = {v.record.adopted for v in found if v.record}
    shown = (v for v in found if v.run_id not in adopted)
    return sorted(shown, key=lambda v: (v.record.queued_at if v.record else "", v.run_id))
