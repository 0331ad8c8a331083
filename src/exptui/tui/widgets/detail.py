"""The right-hand pane: one config, run or archive, in tabs. It shows what it is given and reads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from exptui.core.curves import phases
from exptui.core.monitor.catalog import ArchiveRow, RunRow
from exptui.core.monitor.text import clean
from exptui.tui import present
from exptui.tui.widgets.rows import RowList
from exptui.tui.widgets.tabs import TabStrip
from exptui.tui.widgets.text import STYLES, Lines, entitle

if TYPE_CHECKING:
    from exptui.core.curves.series import Series
    from exptui.core.monitor.catalog import Snapshot
    from exptui.core.monitor.detail import Detail
    from exptui.core.monitor.machine import Machine
    from exptui.tui.widgets.chart import Chart
    from exptui.tui.widgets.log_view import LogView

W = TypeVar("W", bound=Widget)

TABS = ("overview", "log", "metrics", "config", "files", "audit")
CHART_HEIGHT = 10
FOCUS = {
    "overview": "tabs",
    "log": "log-view",
    "metrics": "charts",
    "config": "config-text",
    "files": "file-list",
    "audit": "audit-text",
}


class DetailPane(Vertical):
    """The tabs. Each is made when it is first shown: what nobody looks at costs nothing."""

    class Revealed(Message):
        """It, or another tab of it, is to be seen, and was not before."""

    def __init__(self, *, id: str) -> None:  # noqa: A002  textual's own name
        super().__init__(id=id)
        self.detail: Detail | None = None
        self._room = 0
        self.snapshot: Snapshot | None = None
        self.machine: Machine | None = None
        self.words: Mapping[str, str] = {}
        self.differing: Mapping[str, Any] = {}
        self.groups: dict[str, Sequence[Any]] = {}
        self.charts: tuple[Chart, ...] = ()
        self.made: dict[str, tuple[Widget, ...]] = {}

    def compose(self) -> ComposeResult:
        """The names, and what is shown first."""
        yield TabStrip(TABS, id="tabs")
        yield from self._make(TABS[0])

    def _make(self, name: str) -> tuple[Widget, ...]:
        inside: tuple[Widget, ...]
        match name:
            case "overview":
                inside = (Lines(id="facts"), Lines(id="tail"))
            case "log":
                from exptui.tui.widgets.log_view import LogView

                inside = (LogView(id="log-view"), Lines(id="log-status"))
            case "metrics":
                from exptui.tui.widgets.charts import Charts

                inside = (Charts(id="charts"),)
            case "config":
                inside = (RowList("no config to show", id="config-text"),)
            case "files":
                inside = (RowList("no files yet", id="file-list"),)
            case _:
                empty = "not verified yet\nV runs it again and compares every byte"
                inside = (RowList(empty, id="audit-text"),)
        for widget in inside:
            widget.add_class("tab")
        self.made[name] = inside
        return inside

    def ensure(self, name: str) -> None:
        """The tab exists from now on, shown or not."""
        if name not in self.made:
            for widget in self._make(name):
                widget.display = name == self.tab
            if self.is_attached:  # while the screen is being left there is nothing to mount in
                self.mount(*self.made[name])

    def _first(self, name: str, kind: type[W]) -> W:
        """The widget of a tab that has been made, also while the screen is being left."""
        widget = self.made[name][0]
        assert isinstance(widget, kind)  # as _make made it
        return widget

    @property
    def log_view(self) -> LogView:
        """The log, whether or not its tab was looked at before."""
        from exptui.tui.widgets.log_view import LogView

        self.ensure("log")
        return self._first("log", LogView)

    @property
    def tab(self) -> str:
        """The tab that is shown."""
        return self.query_one(TabStrip).active

    @tab.setter
    def tab(self, name: str) -> None:
        self.query_one(TabStrip).active = name
        self.ensure(name)
        for one, widgets in self.made.items():
            for widget in widgets:
                widget.display = one == name
        self._fill()
        self.post_message(self.Revealed())

    def on_tab_strip_chosen(self, event: TabStrip.Chosen) -> None:
        """Show it."""
        event.stop()
        self.tab = event.name

    def turn(self, by: int) -> None:
        """Show the next tab, or the one before."""
        self.tab = TABS[(TABS.index(self.tab) + by) % len(TABS)]
        self.focus_tab()

    def focus_tab(self) -> None:
        """Give the focus to what can be moved in on this tab."""
        self.screen.set_focus(self.query_one(f"#{FOCUS[self.tab]}"))

    def show(
        self,
        detail: Detail,
        snapshot: Snapshot,
        others: Sequence[tuple[str, Mapping[str, Series]]],
        differing: Mapping[str, Any],
    ) -> None:
        """Take over a subject, or the same one as it is now. `others`: series to lay over; `differing`: config keys."""
        from exptui.tui import overview

        self.detail, self.snapshot, self.differing = detail, snapshot, differing
        name, beside, (state, tone) = overview.title(detail)
        parts = (
            (clean(name, 60), "bold"),
            (f"  {clean(beside, 60)}  ", "$secondary"),
            (clean(state, 80), STYLES[tone]),
        )
        entitle(self, Content.assemble(*parts))
        self.groups = {base: overview.curves(base, detail, others) for base in phases.grouped(detail.series)}
        self._fill()

    def show_machine(self, machine: Machine | None) -> None:
        """What the machine does now, and of that what the run that is shown takes."""
        self.machine = machine
        self._facts_again()

    def show_words(self, words: Mapping[str, str]) -> None:
        """What a cluster says of the runs it was given."""
        before, self.words = self.words, words
        shown = getattr(self.detail.subject, "run_id", "") if self.detail else ""
        if before.get(shown) != words.get(shown):
            self._facts_again()

    def _facts_again(self) -> None:
        if self.tab == "overview" and self.detail is not None and isinstance(self.detail.subject, RunRow):
            self._facts(self.detail)

    def on_show(self) -> None:
        """Tell who fills it."""
        self.post_message(self.Revealed())

    def on_resize(self) -> None:
        """What depends on the width is made anew."""
        self._fill()

    def show_audits(self, snapshot: Snapshot) -> None:
        """The verification at work, as it is now."""
        self.snapshot = snapshot
        if self.tab == "audit":
            self._fill()

    def _fill(self) -> None:
        """Put what is known into the tab that is shown; the log comes by itself."""
        detail, snapshot = self.detail, self.snapshot
        if detail is None or snapshot is None:
            return
        from exptui.tui import overview

        match self.tab:
            case "overview":
                self._overview(detail)
            case "metrics":
                from exptui.tui.widgets.charts import Charts

                self._first("metrics", Charts).show(self.groups, detail.share)
            case "config":
                self._first("config", RowList).show(overview.config_rows(detail, self.differing))
            case "files":
                self._first("files", RowList).show(overview.file_rows(detail.files))
            case "audit":
                at_work = snapshot.verification(getattr(detail.subject, "run_id", ""))
                width = max(20, (self.size.width or 80) - 6)
                heard = detail.subject.archived.heard if isinstance(detail.subject, ArchiveRow) else ()
                rows = overview.audit_rows(detail.audits, at_work, width, heard)
                self._first("audit", RowList).show(rows)

    def _facts(self, detail: Detail) -> int:
        from exptui.tui import overview

        assert self.snapshot is not None  # it came with the detail
        width, words = self.size.width or 80, self.words.get(getattr(detail.subject, "run_id", ""), "")
        lines = overview.facts(detail, self.snapshot, width, present.now(), self.machine, words)
        self.query_one("#facts", Lines).show(lines)
        return len(lines)

    def _overview(self, detail: Detail) -> None:
        """The facts, two charts, loss first, and as much of the log as there is room for."""

        used = self._facts(detail)
        assert self.snapshot is not None
        names = phases.leading(self.groups, self.snapshot.directions)[:2]
        self._curves(names, detail.share)
        self._room = max(0, self.size.height - 6 - used - (CHART_HEIGHT if names else 0))
        self.show_tail(detail.log)

    def show_tail(self, log: Sequence[bytes]) -> None:
        """The last lines of the log, as far as there is room for them under the rest."""
        from exptui.tui import overview

        if self.tab == "overview":
            self.query_one("#tail", Lines).show(overview.tail(log, self._room))

    def _curves(self, names: Sequence[str], reading: float) -> None:
        """Two charts side by side; none are made before there is something to draw."""
        if names and not self.charts:
            from exptui.tui.widgets.chart import Chart

            self.charts = (Chart(), Chart())
            facts, tail = self.made["overview"]
            both = Horizontal(*self.charts, id="curves", classes="tab")
            self.made["overview"] = (facts, both, tail)
            self.mount(both, before=tail)
        if self.charts:
            self.made["overview"][1].display = bool(names)
        for chart, name in zip(self.charts, [*names, "", ""], strict=False):
            chart.display = bool(name)
            chart.title, chart.reading = clean(name, 40), reading
            chart.show(self.groups.get(name, ()))
