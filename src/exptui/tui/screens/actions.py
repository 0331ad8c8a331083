"""What the keys of the main screen do. Whatever touches a disk or a process goes through the bridge."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from exptui.core.audit import RESTORATION
from exptui.core.files import Cancel, Progress
from exptui.core.monitor.catalog import ArchiveRow, RunRow
from exptui.core.monitor.text import clean
from exptui.core.runs.run import RunState
from exptui.tui import present
from exptui.tui.screens.housekeeping import Housekeeping

if TYPE_CHECKING:
    from exptui.core.audit.request import Cost, Options
    from exptui.core.configs.grid import Grid
    from exptui.core.runs.preview import Preview
    from exptui.tui.screens.sheets import Line

SEGMENTS, SAMPLE, WORKERS = 16, 4, max(1, (os.cpu_count() or 1) - 1)


def _incomplete(row: RunRow) -> bool:
    """Whether a run did not finish: its archive verifies as UNKNOWN."""
    return row.view.state not in (RunState.FINISHED, RunState.EXTERNAL)


class Actions(Housekeeping):
    """Runs and archives: what the keys do to them."""

    # Runs

    def action_run(self) -> None:
        """The launch sheet."""
        if stem := self._stem():
            self.bridge.ask("preview", lambda: self.workspace.preview(stem), self._launch_sheet)
        else:
            self.say("choose a config first: 1 goes to the configs", good=False)

    def _launch_sheet(self, facts: Preview) -> None:
        from exptui.tui.screens.sheets import launch_lines

        def answered(answer: str | None) -> None:
            if answer == "r":
                self.bridge.ask(
                    "run",
                    lambda: self.workspace.run(facts.source, facts.edits, facts.how).name,
                    self._started,
                )

        answers = [("r", "or Enter starts it")] if not facts.problems else []
        self._ask(f"Run {facts.stem}", launch_lines(facts), answers, answered)

    def _started(self, run_id: str) -> None:
        """Go to the new run; the next snapshot has it."""
        self.wanted = run_id
        self.go("runs")
        self.bridge.refresh()

    def action_run_edited(self) -> None:
        """Clone the config with edits, then the launch sheet of the clone."""
        stem = self._stem()
        if not stem:
            self.say("choose a config first: 1 goes to the configs", good=False)
            return

        def edited(text: str | None) -> None:
            if not text:
                return

            def work() -> Preview | tuple[Grid, dict[str, str]]:
                import shlex

                from exptui.core.configs import grid
                from exptui.core.settings import parse_how

                words, how = parse_how(shlex.split(text))
                axes = grid.parse_axes(words)
                if any(len(values) > 1 for values in axes.values()):
                    return self.workspace.grid(stem, axes), how
                return self.workspace.preview(stem, {key: values[0] for key, values in axes.items()}, how)

            self.bridge.ask("preview", work, self._edited_sheet)

        hint = (
            "KEY=VALUE …, for example model.layers=8; a config of its own is written. KEY=2,5,8: each of them"
        )
        self._prompt(f"Run {stem} with edits", hint, "", edited)

    def _edited_sheet(self, facts: Preview | tuple[Grid, dict[str, str]]) -> None:
        from exptui.tui.screens.sheets import grid_lines

        if not isinstance(facts, tuple):
            self._launch_sheet(facts)
            return
        chosen, how = facts

        def work() -> str:
            return [run.name for run in self.workspace.run_all(chosen, how=how)][-1]

        def answered(answer: str | None) -> None:
            if answer == "r":
                self.bridge.ask("run", work, self._started)

        answers = [("r", "or Enter starts them")] if chosen.to_run() else []
        self._ask(
            f"Run {chosen.source}: {len(chosen.points)} combinations", grid_lines(chosen), answers, answered
        )

    def action_edit(self) -> None:
        """The config in $EDITOR."""
        import shlex
        import subprocess

        stem = self._stem()
        row = next((row for row in self.snapshot.configs if row.stem == stem), None)
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        if row is None:
            self.say(f"there is no config {stem} in configs/ any more", good=False)
            return
        try:
            with self.app.suspend():
                code = subprocess.run([*shlex.split(editor), str(row.path)], check=False).returncode
        except (OSError, ValueError) as error:
            self.say(f"{editor}: {error}\nSet EDITOR to the editor of your choice.", good=False)
            return
        self.refresh()
        if code:
            self.say(f"{editor} ended with {code}", good=False)
        self._do(lambda: f"{self.workspace.config(stem).path.name} is valid TOML")

    def action_resume(self) -> None:
        """The next attempt of the run."""
        if row := self._run():

            def work() -> str:
                view, checkpoint = self.workspace.resume(row.run_id)
                attempt = view.record.attempts if view.record else 0
                return f"{row.run_id}: attempt {attempt}, from {checkpoint or 'the start'}"

            self._do(work)

    def action_stop(self) -> None:
        """Stop the run, or the verification of what is selected, after a yes."""
        chosen = self.chosen()
        if isinstance(chosen, RunRow | ArchiveRow) and (
            verifying := self.snapshot.verification_name(chosen.run_id)
        ):
            self._cancel_verification(chosen.run_id, verifying)
            return
        row = self._run()
        if row is None:
            return
        if not (row.view.state.live or row.view.leftovers):
            self.say(f"{row.run_id} is not running: there is nothing to stop", good=False)
            return
        lines: list[Line] = [
            [("SIGTERM to the trainer and everything it started,", "")],
            [("SIGKILL to what is left after the grace. Checkpoints stay: u resumes.", "")],
        ]

        def work(_: Progress, __: Cancel) -> tuple[str, bool]:
            view = self.workspace.stop(row.run_id)
            return f"{view.run_id}  {view.state}", True

        self._confirm(
            f"Stop {row.run_id}?", lines, ("y", "stops it"), lambda: self._operate("stop", row.run_id, work)
        )

    # Archive

    def action_archive(self) -> None:
        """Seal, after a look at what that means."""
        runs = self._runs()
        if not runs:
            return
        lines: list[Line] = []
        for row in runs[:12]:
            mark, tone = present.state_of(row)
            lines.append([(f"{mark} ", tone), (clean(row.run_id, 100), ""), (f"  {row.view.state}", "muted")])
        lines += [
            [],
            [("The directory in results/ is removed once the archive was read back and committed.", "")],
        ]
        if (which := self.snapshot.checkpoints) != "all":
            kept = "Of its checkpoints only the last is kept" if which == "last" else "No checkpoint is kept"
            lines.append([(f"{kept}, of the others the digest.", "warn")])
        if any(map(_incomplete, runs)):
            lines.append([("Not FINISHED: it can be kept, but never REPRODUCED.", "warn")])

        def answered(answer: str | None) -> None:
            if answer:
                self._seal(runs, keep=answer == "k")

        title = f"Archive {runs[0].run_id if len(runs) == 1 else f'{len(runs)} runs'}?"
        answers = [("y", "archives"), ("k", "archives and keeps the directory")]
        self._ask(title, lines, answers, answered)

    def _seal(self, runs: list[RunRow], *, keep: bool) -> None:
        """One after the other; the first that fails ends it."""

        def work(progress: Progress, cancel: Cancel) -> tuple[str, bool]:
            from exptui.core.archive import attested

            said: list[str] = []
            for row in runs:
                sealed = self.workspace.archive(
                    row.run_id, keep=keep, incomplete=_incomplete(row), progress=progress, cancel=cancel
                )
                how = (
                    "was archived already" if sealed.already else f"archived, {present.size(sealed.gz_size)}"
                )
                left = f"; not kept, empty: {', '.join(sealed.skipped)}" if sealed.skipped else ""
                gone = f"; {attested.words(len(sealed.attested))}" if sealed.attested else ""
                said.append(f"{row.run_id} {how}{gone}{left}")
            return "\n".join(said[:6] + ([f"and {len(said) - 6} more"] if len(said) > 6 else [])), True

        self._operate("archive", runs[0].run_id if len(runs) == 1 else present.plural(len(runs), "run"), work)

    def _archived(self) -> ArchiveRow | None:
        if isinstance(row := self.chosen(), ArchiveRow):
            return row
        self.say("choose an archive first: 3 goes to them", good=False)
        return None

    def action_check(self) -> None:
        """Hash every byte of the archive."""
        if row := self._archived():

            def work(progress: Progress, cancel: Cancel) -> tuple[str, bool]:
                found = self.workspace.check(row.run_id, read_data=True, progress=progress, cancel=cancel)
                if found.unread:
                    return f"{row.run_id} was not read: {found.unread}", False
                if found.problems:
                    return f"{row.run_id} is CORRUPT\n" + "\n".join(found.problems), False
                return f"{row.run_id} is intact", True

            self._operate("check", row.run_id, work)

    def action_restore(self) -> None:
        """Unpack the archive."""
        if row := self._archived():

            def work(progress: Progress, cancel: Cancel) -> tuple[str, bool]:
                from exptui.core.archive import attested

                place = self.workspace.restore(row.run_id, progress=progress, cancel=cancel)
                gone = len(attested.read(place))
                left = f"; {present.plural(gone, 'file')} attested only, not restored" if gone else ""
                return f"{row.run_id} is in results/ again{left}", True

            self._operate("restore", row.run_id, work)

    def action_verify(self) -> None:
        """What it will cost, and then: start."""
        row = self.chosen()
        if not isinstance(row, RunRow | ArchiveRow):
            self.say("choose a run or an archive first", good=False)
            return
        name = row.run_id
        self.bridge.ask(
            f"cost {name}",
            lambda: self.workspace.cost(self.workspace.request(name)),
            lambda cost: self._offer(row, cost),
        )

    def _offer(self, row: RunRow | ArchiveRow, cost: Cost) -> None:
        """The ways to verify, and what they take."""
        from exptui.core.audit.request import Options

        name = row.run_id
        took = (
            "unknown: it was not recorded" if cost.seconds is None else f"about {present.span(cost.seconds)}"
        )
        lines: list[Line] = [
            [("Restores it privately, runs it again in a clean environment,", "")],
            [("and compares every byte that is not declared to differ.", "")],
            [],
            [("time   ", "muted"), (took, "")],
            [("disk   ", "muted"), (f"{present.size(cost.size)} of {present.size(cost.free)} free", "")],
            [("slot   ", "muted"), (f"1 of {self.snapshot.slots}, queued like any run", "")],
            [],
            [
                (
                    "It goes on when you leave; x on it cancels it. The verdict is kept in archive/restoration/.",
                    "muted",
                )
            ],
        ]
        if cost.problem:
            lines = [
                [(clean(cost.problem, 400), "warn")],
                [("The verdict will say so, and nothing is run.", "muted")],
            ]
        elif isinstance(row, RunRow) and _incomplete(row):
            warning = "It did not finish: there is no whole run to compare with, so the verdict is UNKNOWN."
            lines = [[(warning, "warn")]]
        ways = {
            "V": Options(),
            "k": Options(keep_going=True),
            "s": Options(segments=SEGMENTS, workers=WORKERS),
            "p": Options(segments=SEGMENTS, sample=SAMPLE, workers=WORKERS),
        }

        def answered(answer: str | None) -> None:
            if answer == "c":
                self.action_check()
            elif answer in ways and isinstance(row, ArchiveRow) and row.archived.place:
                self._operate(
                    "fetch", name, lambda _, cancel: (self._fetched(name, ways[answer], cancel), True)
                )
            elif answer in ways:
                self._do(lambda: self._verify(name, ways[answer]))

        answers = [
            ("V", "or Enter verifies all of it"),
            ("k", "keeps going at a mismatch"),
            ("s", f"in {SEGMENTS} segments"),
            ("p", f"{SAMPLE} of them"),
        ]
        answers += [("c", "checks bytes")] if isinstance(row, ArchiveRow) else []
        self._ask(f"Verify {name}?", lines, answers, answered)

    def _verify(self, name: str, options: Options) -> str:
        self.workspace.verify(self.workspace.request(name, options))
        return f"verifying {name}"

    def _fetched(self, name: str, options: Options, cancel: Cancel) -> str:
        self.workspace.fetch(name, cancel=cancel)
        return self._verify(name, options)

    def _cancel_verification(self, run_id: str, directory: str) -> None:
        """After a yes; nothing of it stays."""
        lines: list[Line] = [
            [("Its re-run is stopped and everything of it removed. The original is not touched.", "")]
        ]

        def work(_: Progress, __: Cancel) -> tuple[str, bool]:
            asked = self.workspace.cancel(self.workspace.archives / RESTORATION / directory)
            return (
                f"the verification of {run_id} {'is being cancelled' if asked else 'has ended already'}",
                True,
            )

        self._confirm(
            f"Cancel the verification of {run_id}?",
            lines,
            ("y", "cancels it"),
            lambda: self._operate("cancel", run_id, work),
        )
