"""All charts of a run, one under the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from exptui.core.monitor.text import clean
from exptui.tui.widgets.chart import Chart, Curve


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

    def show(self, groups: Mapping[str, Sequence[Curve]], reading: float) -> None:
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
            charts[name].reading = reading
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
