"""The right-hand pane: one config, run or archive, in tabs. It shows what it is given and reads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import TabbedContent, TabPane

from exptui.core.monitor.catalog import Snapshot
from exptui.core.monitor.detail import Detail, Points
from exptui.core.monitor.text import clean
from exptui.tui import overview, present
from exptui.tui.widgets.chart import Chart
from exptui.tui.widgets.log_view import LogView
from exptui.tui.widgets.rows import RowList
from exptui.tui.widgets.text import STYLES, Lines

TABS = ("overview", "log", "metrics", "config", "files", "audit")
CHART_HEIGHT = 10


class NamedChart(Chart):
    """A chart that is found again by the metric it shows."""

    def __init__(self, title: str, *, name: str) -> None:
        super().__init__(title)
        self._name = name


class Charts(VerticalScroll, can_focus=True):
    """All charts of a run; the keys go to every one of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "zoom(2.0)", show=False),
        Binding("minus", "zoom(0.5)", show=False),
        Binding("comma", "pan(-0.25)", show=False),
        Binding("full_stop", "pan(0.25)", show=False),
        Binding("less_than_sign,left,h", "cursor(-1)", show=False),
        Binding("greater_than_sign,right,l", "cursor(1)", show=False),
        Binding("o", "log_y", show=False),
        Binding("m", "smooth", show=False),
    ]

    def show(self, groups: Mapping[str, Sequence[Any]]) -> None:
        """One chart a group of curves; the widgets that are there are used again."""
        charts = {chart.name or "": chart for chart in self.query(NamedChart)}
        for name, chart in charts.items():
            if name not in groups:
                chart.remove()
        for name, curves in groups.items():
            if name not in charts:
                charts[name] = NamedChart(clean(name, 60), name=name)
                self.mount(charts[name])
            charts[name].show(curves)
        self.set_class(not groups, "empty")

    def action_zoom(self, factor: float) -> None:
        """Show a shorter or longer stretch of the steps."""
        for chart in self.query(Chart):
            chart.zoom(factor)

    def action_pan(self, fraction: float) -> None:
        """Move along the steps."""
        for chart in self.query(Chart):
            chart.pan(fraction)

    def action_cursor(self, steps: int) -> None:
        """Move the cursor that reads values off."""
        for chart in self.query(Chart):
            chart.move_cursor(steps)

    def action_log_y(self) -> None:
        """Logarithmic or linear values."""
        for chart in self.query(Chart):
            chart.toggle_log()

    def action_smooth(self) -> None:
        """The next degree of smoothing."""
        for chart in self.query(Chart):
            chart.cycle_smoothing()


class DetailPane(Vertical):
    """The tabs."""

    def __init__(self, *, id: str) -> None:  # noqa: A002  textual's own name
        super().__init__(id=id)
        self.detail: Detail | None = None

    def compose(self) -> ComposeResult:
        """Six tabs; what is dear is made in each once."""
        with TabbedContent(id="tabs"):
            with TabPane("Overview", id="overview"):
                yield Lines(id="facts")
                with Horizontal(id="curves"):
                    yield Chart(id="chart-left")
                    yield Chart(id="chart-right")
                yield Lines(id="tail")
            with TabPane("Log", id="log"):
                yield LogView(id="log-view")
                yield Lines(id="log-status")
            with TabPane("Metrics", id="metrics"):
                yield Charts(id="charts")
            with TabPane("Config", id="config"):
                yield RowList("no config to show", id="config-text")
            with TabPane("Files", id="files"):
                yield RowList("no files yet", id="file-list")
            with TabPane("Audit", id="audit"):
                yield RowList("not verified yet\nV runs it again and compares every byte", id="audit-text")

    @property
    def tab(self) -> str:
        """The tab that is shown."""
        return self.query_one("#tabs", TabbedContent).active

    @tab.setter
    def tab(self, name: str) -> None:
        self.query_one("#tabs", TabbedContent).active = name

    def turn(self, by: int) -> None:
        """Show the next tab, or the one before."""
        self.tab = TABS[(TABS.index(self.tab) + by) % len(TABS)]
        self.focus_tab()

    def focus_tab(self) -> None:
        """Give the focus to what can be moved in on this tab."""
        inner = {"log": "#log-view", "metrics": "#charts", "config": "#config-text", "files": "#file-list"}
        name = inner.get(self.tab, "#audit-text" if self.tab == "audit" else "#tabs Tabs")
        self.screen.set_focus(self.query_one(name))

    def show(
        self,
        detail: Detail,
        snapshot: Snapshot,
        others: Sequence[tuple[str, Mapping[str, Points]]],
        differing: Mapping[str, Any],
    ) -> None:
        """Take over a subject, or the same one as it is now. `others`: series to lay over; `differing`: config keys."""
        self.detail = detail
        name, beside, (state, tone) = overview.title(detail)
        self.border_title = Content.assemble(
            (clean(name, 60), "bold"),
            (f"  {clean(beside, 60)}  ", "$secondary"),
            (clean(state, 80), STYLES[tone]),
        )
        lines = overview.facts(detail, snapshot, self.size.width or 80, present.now())
        self.query_one("#facts", Lines).show(lines)
        groups = {base: overview.curves(base, detail, others) for base in overview.grouped(detail.series)}
        self._overview(groups, len(lines))
        self.query_one("#charts", Charts).show(groups)
        self.query_one("#config-text", RowList).show(overview.config_rows(detail, differing))
        self.query_one("#file-list", RowList).show(overview.file_rows(detail.files))
        self.show_audits(snapshot)

    def show_audits(self, snapshot: Snapshot) -> None:
        """The verification at work and the finished ones."""
        if self.detail is not None:
            at_work = snapshot.verification(getattr(self.detail.subject, "run_id", ""))
            self.query_one("#audit-text", RowList).show(overview.audit_rows(self.detail.audits, at_work))

    def _overview(self, groups: Mapping[str, Sequence[Any]], used: int) -> None:
        """Two charts, loss first, and as much of the log as there is room for."""
        names = sorted(groups, key=lambda name: (name != "loss", name != "accuracy"))[:2]
        for chart, name in zip(self.query("#curves Chart").results(Chart), [*names, "", ""], strict=False):
            chart.display = bool(name)
            chart.title = clean(name, 40)
            chart.show(groups.get(name, ()))
        self.query_one("#curves").display = bool(names)
        assert self.detail is not None  # set by show
        room = self.size.height - 6 - used - (CHART_HEIGHT if names else 0)
        self.query_one("#tail", Lines).show(overview.tail(self.detail, max(0, room)))
