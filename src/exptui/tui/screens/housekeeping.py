"""The trash: runs go there, come back, and after a while go for good."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from exptui.core.files import Cancel, Progress
from exptui.core.monitor.text import clean
from exptui.tui import present
from exptui.tui.commands import effective
from exptui.tui.screens.looking import Looking

if TYPE_CHECKING:
    from exptui.core.runs.trash import Trashed
    from exptui.tui.screens.sheets import Line

LISTED = 12
OLD = 30 * 86_400.0
"""Seconds in the trash after which the cockpit offers to remove for good; `exptui rm --empty` takes any age."""


class Housekeeping(Looking):
    """Mixed into the main screen: remove, undo, empty."""

    def _operate(self, what: str, run_id: str, work: Callable[[Progress, Cancel], tuple[str, bool]]) -> None:
        if not self.bridge.operate(f"{what} {run_id}", f"{what} {run_id}", work):
            self.say(f"{what} {run_id} goes on already; Esc cancels it", good=False)

    def _key_of(self, name: str) -> str:
        """The key that a command has now."""
        return next(one.key for one in effective(self.app) if one.name == name)

    def action_delete(self) -> None:
        """Runs to the trash, after a yes."""
        runs = self._runs()
        if not runs:
            return
        names = [row.run_id for row in runs]
        back = f"{self._key_of('undo')} takes the last one back"
        lines: list[Line] = [[(clean(name, 200), "")] for name in names[:LISTED]]
        lines += [[(f"… and {len(names) - LISTED} more", "muted")]] if len(names) > LISTED else []
        lines.append([(f"{back}.", "muted")])

        def work() -> str:
            for name in names:
                self.workspace.remove(name)
            return f"{len(names)} in the trash; {back}"

        self._confirm(f"Move {len(names)} to the trash?", lines, ("y", "moves"), lambda: self._do(work))

    def action_undo(self) -> None:
        """The run removed last comes back."""
        self._do(lambda: f"{self.workspace.undo_remove().name} is back")

    def action_trash(self) -> None:
        """What is in the trash, and the way out of it."""

        def read() -> tuple[list[Trashed], list[int]]:
            found = self.workspace.trashed()
            return found, self.workspace.trash_sizes(found)

        self.bridge.ask("trash", read, lambda told: self._show_trash(*told), apart=True)

    def _show_trash(self, found: list[Trashed], sizes: list[int]) -> None:
        if not found:
            self.say("the trash is empty")
            return
        now = time.time()
        lines: list[Line] = [
            [
                (f"{present.size(size):>9}  ", ""),
                (clean(one.run_id, 200), ""),
                (f"  {present.age(one.removed, now)} ago", "muted"),
            ]
            for one, size in list(zip(found, sizes, strict=True))[: -LISTED - 1 : -1]
        ]
        lines += [[(f"… and {len(found) - LISTED} more", "muted")]] if len(found) > LISTED else []
        lines += [[], [(f"{present.size(sum(sizes)):>9}  in all", "muted")]]
        old = [one for one in found if now - one.removed >= OLD]
        answers = [("u", "or Enter takes the last one back")]
        answers += [("e", f"removes {len(old)} older than 30 days for good")] if old else []

        def work(_: Progress, __: Cancel) -> tuple[str, bool]:
            gone = sum(1 for _ in self.workspace.empty_trash(old))
            return f"{gone} removed for good", True

        def answered(answer: str | None) -> None:
            if answer == "u":
                self.action_undo()
            elif answer == "e":
                self._operate("empty", "the trash", work)

        self._ask(f"Trash: {present.plural(len(found), 'run')}", lines, answers, answered)
