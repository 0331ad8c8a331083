"""The door: what the cockpit and the command line can do, they do through here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exptui.core.errors import ArchiveError, UsageError
from exptui.core.files import Cancel, Progress, storage_errors
from exptui.core.kept import Kept
from exptui.core.runs.run import RunState, RunView, config_problem, directory_of

# A verb imports what it needs when it is called: none waits for what another one needs.
if TYPE_CHECKING:
    from exptui.core.archive.check import CheckResult
    from exptui.core.archive.seal import Sealed
    from exptui.core.arrive import Arrived
    from exptui.core.audit.conformance import Conformance
    from exptui.core.audit.report import AuditReport
    from exptui.core.audit.request import Cost, Options, Request
    from exptui.core.audit.session import State
    from exptui.core.doctor import Finding
    from exptui.core.house.prune import Plan, Rules, Went
    from exptui.core.launchers.watch import Watch


class Workspace(Kept):
    """One `experiments/` folder, and every verb there is for it."""

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
        from exptui.core import template

        return cls(template.write(parent))

    @classmethod
    def elsewhere(cls) -> Workspace:
        """A workspace of the user's own, for archives that are verified where there is none.

        Raises:
            StorageError: it cannot be made.
        """
        from exptui.core import user

        root = user.state() / "elsewhere/experiments"
        with storage_errors("make a place to verify in"):
            (root / "configs").mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(root)

    @staticmethod
    def arrive(parent: Path, words: list[str]) -> tuple[Path, Arrived, tuple[str, ...]]:
        """A workspace for a command that is used already; its root, what came of the command, what a run executes.

        Raises:
            UsageError, RunError: there is a workspace already, or the command cannot be driven; nothing was written.
        """
        from exptui.core import template

        return template.arrive(parent, words)

    def resume(self, name: str) -> tuple[RunView, str]:
        """Queue the next attempt of a run that did not finish; returns it and the checkpoint it goes on from."""
        from exptui.core.runs import resume

        with self._alone(name) as view:
            checkpoint = resume.resume(view, self.places)
            return self.view(view.path), checkpoint

    def prunable(self, rules: Rules) -> Plan:
        """What would go by these rules, and what they keep. Nothing is changed.

        Raises:
            UsageError: the rules choose nothing.
            CorruptError: what is tagged cannot be read.
        """
        from exptui.core.house import prune

        with storage_errors("look what may go"):
            return prune.plan(self, rules)

    def prune(self, plan: Plan) -> Iterator[Went]:
        """Do what a plan says, run by run; yields what became of each. What is protected meanwhile stays."""
        from exptui.core.house import prune

        return prune.carry_out(self, plan)

    def recover(self) -> list[str]:
        """Finish or undo what a crash left in `archive/` and `results/`; a line for each thing done."""
        from exptui.core.archive import recovery
        from exptui.core.audit import session
        from exptui.core.runs import cleanup, trash

        with storage_errors("recover what a crash left"):
            return [
                *cleanup.recover(self.root, self.results),
                *trash.recover(self.results),
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
        from exptui.core.archive import signature
        from exptui.core.archive.prepare import prepare
        from exptui.core.archive.seal import seal

        signer, view = signature.signer(wanted=sign), self.own(name)
        problem = view.problem or config_problem(view.path, view.record)
        whole = view.state in (RunState.FINISHED, RunState.EXTERNAL) and not problem
        if view.state.live or view.leftovers:
            raise ArchiveError(
                f"{view.run_id} is still at work", "Wait for its end, or stop it: exptui stop RUN"
            )
        if not whole and not incomplete:
            raise ArchiveError(
                f"{view.run_id} is {view.state} {problem}".rstrip(),
                "To archive it all the same: --incomplete",
            )
        template = self.settings.trainer_for(f"{view.stem}.toml").checkpoints
        seed, card = prepare(
            view, incomplete=not whole, keep=self.settings.archive.checkpoints, template=template
        )

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

    def check(self, name: str, **options: Any) -> CheckResult:
        """Whether an archive's bytes are those that were sealed; the options are those of `archive.check.check`."""
        from exptui.core.archive.check import check

        return check(self.archived(name), store=self.store, **options)

    def check_all(self, names: Iterable[str] = (), **options: Any) -> Iterator[CheckResult]:
        """These archives, or all, and then the ledger; the options are those of `archive.check.check_all`."""
        from exptui.core.archive.check import check_all

        self.has_archives()
        return check_all(self.archives, [self.archived(name) for name in names], store=self.store, **options)

    def restore(self, name: str, *, progress: Progress | None = None, cancel: Cancel | None = None) -> Path:
        """Unpack an archive into `results/`, whole or not at all; refused where that run exists."""
        from exptui.core.archive.restore import restore

        path = self.fetch(name, cancel=cancel)
        with storage_errors("make the results directory"):
            self.results.mkdir(exist_ok=True)
        destination = self.results / path.name.removesuffix(".tar.gz")
        restore(path, destination, progress=progress, cancel=cancel)
        return destination

    def verify(self, request: Request) -> Path:
        """Start a verification; returns the directory `follow` takes."""
        from exptui.core.audit import session

        if request.archived and Path(request.source).parent == self.archives:
            self.fetch(request.run_id)
        return session.start(request, self.archives, self.places, self.root)

    def cost(self, request: Request) -> Cost:
        """What a verification will take."""
        from exptui.core.audit.request import cost

        return cost(request, self.archives)

    def request(self, name: str, options: Options | None = None, *, trust: bool = False) -> Request:
        """What `verify` takes, for an archive, a run, or a FILE.tar.gz.

        A name that is both is taken as the archive. With `trust` a file from elsewhere is run as it says itself.

        Raises:
            UsageError: there is no such thing.
            UntrustedError: what it would execute is from elsewhere, and there is no `trust`.
            RunError: the run is still at work.
        """
        from exptui.core.audit.request import Options, request_for
        from exptui.core.audit.trust import asked

        found = request_for(name, self.archives, self, options or Options())
        if "/" in found.run_id:
            self.own(found.run_id)
        return asked(found, self.archives, trust=trust)

    def follow(self, directory: Path) -> Iterator[State | AuditReport]:
        """How far a verification is; the last item is its report."""
        from exptui.core.audit import session

        return session.follow(directory)

    def cancel(self, directory: Path) -> bool:
        """End a verification; its verdict is UNKNOWN. False where it has ended already."""
        from exptui.core.audit import session

        return session.cancel(directory)

    def examine(self) -> Iterator[Finding]:
        """Whether everything is here that a run needs."""
        from exptui.core import doctor

        return doctor.examine(self.root, lambda: self.settings)

    def conformance(
        self, name: str, *, workers: int = 1, timeout: float | None = None
    ) -> tuple[Conformance, float | None]:
        """A check of a config's trainer, not yet begun, and the seconds the last finished run of it took."""
        from exptui.core.audit.conformance import Conformance, last_seconds

        config = self.config(name)
        check = Conformance(config, self.settings, self.places, workers=workers, timeout=timeout)
        return check, last_seconds(self.list_runs(), config.stem)

    @staticmethod
    def cluster() -> Watch:
        """Whoever asks the cluster again and again about runs it was given."""
        from exptui.core.launchers.watch import Watch

        return Watch()

    def cluster_says(self, views: Iterable[RunView]) -> Mapping[str, str]:
        """Of those that a cluster was given and that are live: run id → what it says. Without one nothing is asked."""
        given = [view for view in views if view.record and view.record.launcher and view.state.live]
        return self.cluster().look(given) if given else {}

    def wait(self, run_id: str, poll: float = 0.1) -> Iterator[RunView]:
        """Look at a run until it is no longer live; the last view is how it ended."""
        watch = None
        while True:
            view = self.view(directory_of(self.results, run_id))
            if view.record and view.record.launcher and view.state.live:
                watch = watch or self.cluster()
                if watch.due:
                    watch.look([view])
                    view = self.view(view.path)
            yield view
            if not view.state.live:
                return
            time.sleep(poll)

    def stop(self, name: str) -> RunView:
        """End a run and every process of it; returns when it has stopped.

        Raises:
            RunError: it is not running, runs elsewhere, or belongs to somebody else.
        """
        from exptui.core.runs import stop

        view = self.own(name)
        stop.stop(view, self.archives)
        return self.view(view.path)
