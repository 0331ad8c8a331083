"""How curves come to their charts: those of the selected run, of the pinned one and of the marked ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from exptui.core.monitor.catalog import RunRow, Snapshot
from exptui.core.monitor.text import clean
from exptui.core.workspace import Workspace
from exptui.tui.widgets.detail import DetailPane

if TYPE_CHECKING:
    from textual.screen import Screen

    from exptui.core.curves.series import Series
    from exptui.core.curves.store import Curves, Store
    from exptui.core.monitor.detail import Detail, Subject
    from exptui.tui.bridge import Bridge

    Base = Screen[None]
else:
    Base = object


class CurveFlow(Base):
    """Mixed into the main screen, whose state these names are."""

    bridge: Bridge
    workspace: Workspace
    snapshot: Snapshot
    marks: frozenset[str]
    show_detail: Callable[[Detail], None]

    def __init__(self) -> None:
        super().__init__()
        self._laid_over: dict[str, dict[str, Series]] = {}

    @cached_property
    def curves(self) -> Store:
        """What was read of curves; made by the thread that reads them, after the first frame."""
        from exptui.core.curves.cache import Cache
        from exptui.core.curves.store import Store
        from exptui.core.monitor import places

        return Store(Cache(places.cache(self.workspace.root).parent / "columns"))

    def ask_detail(self, subject: Subject) -> None:
        """Have all of a subject read; while its log is shown, only its state is another one."""
        pane, baseline = self.query_one(DetailPane), self.snapshot.baseline
        known = pane.detail
        same = (
            known and isinstance(subject, RunRow) and getattr(known.subject, "run_id", "") == subject.run_id
        )
        if known and same and pane.tab == "log":
            self.show_detail(replace(known, subject=subject))
            return

        def read() -> Detail:
            from exptui.core.monitor import detail

            return detail.read(self.workspace, subject, baseline, self.curves)

        self.bridge.ask("detail", read, self.show_detail)

    def ask_more(self, known: Detail) -> None:
        """Have the next slice of its curves read, where they are long, and may be seen."""
        baseline = self.snapshot.baseline

        def read() -> Detail:
            from exptui.core.monitor import detail

            return detail.more(self.workspace, known, baseline, self.curves)

        if known.share < 1 and self.query_one(DetailPane).tab != "log":
            self.bridge.ask("detail", read, self.show_detail)

    def overlays(self, detail: Detail, own: str) -> list[tuple[str, dict[str, Series]]]:
        """What is laid over the curves of a subject: marked runs, and the pinned one."""
        found = [
            (clean(name, 60), series)
            for name, series in self._laid_over.items()
            if name in self.marks and name != own
        ]
        if detail.baseline and self.snapshot.baseline not in self.marks:
            found.append(("base", detail.baseline))
        return found

    def ask_overlay(self, run_id: str) -> None:
        """Have the curves of a marked run read."""
        row = self.snapshot.run(run_id)
        if row is not None:
            self.bridge.ask(
                f"overlay {run_id}", lambda: self.curves.read(row.view.files), partial(self._lay_over, run_id)
            )

    def _lay_over(self, run_id: str, found: Curves) -> None:
        known, self._laid_over[run_id] = self._laid_over.get(run_id), found.series
        if found.share < 1:
            self.ask_overlay(run_id)
        if found.series != known and (detail := self.query_one(DetailPane).detail):
            self.show_detail(detail)
