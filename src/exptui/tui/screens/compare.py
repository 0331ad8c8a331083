"""The comparison of marked runs: only what differs, and their curves laid over each other."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen

from exptui.core.compare import words
from exptui.core.compare.comparison import Comparison, letter
from exptui.core.compare.sides import NUMBERS, numbers_of
from exptui.core.curves import phases
from exptui.core.curves.series import Series
from exptui.core.curves.store import Curves, Store
from exptui.core.monitor.metrics import Metrics
from exptui.core.monitor.text import clean
from exptui.core.workspace import Workspace
from exptui.tui import comparison, present
from exptui.tui.braille import Curve
from exptui.tui.bridge import Bridge
from exptui.tui.messages import Answered, Failed
from exptui.tui.widgets.chart import Chart
from exptui.tui.widgets.rows import Row, RowList
from exptui.tui.widgets.text import Lines

Found = dict[str, Curves]


class CompareScreen(Screen[None]):
    """The first run, and its group, is the baseline of all others."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", show=False),
        Binding("m", "write", show=False),
        Binding("o", "log_y", show=False),
        Binding("c", "curves", show=False),
    ]

    def __init__(self, workspace: Workspace, run_ids: list[str], curves: Store, pinned: str) -> None:
        super().__init__()
        self.workspace, self.run_ids, self.curves, self.pinned = workspace, run_ids, curves, pinned
        self.bridge = Bridge(workspace, self.post_message)
        self.found: Comparison | None = None
        self.whole = False  # whether it has the metrics
        self.read: Found = {}
        self.metric = ""  # under the cursor
        self.hidden = False

    def compose(self) -> ComposeResult:
        """Charts above, differences below."""
        with Horizontal(id="compare-curves"):
            yield Chart(id="compare-left")
            yield Chart(id="compare-right")
        yield RowList("comparing…", id="compare")
        yield Lines(id="keys")

    def on_mount(self) -> None:
        """Ask for what differs; the metrics follow when their curves are read."""
        keys = (
            ("m", "writes results/comparisons/….md"),
            ("c", "curves"),
            ("o", "log scale"),
            ("Esc", "back"),
        )
        self.query_one("#keys", Lines).show(
            [[span for k, what in keys for span in ((f" {k}", "accent"), (f" {what} ", "muted"))]]
        )
        self.query_one("#compare").focus()
        self.bridge.read_only()
        self.bridge.ask("compare", partial(self._compared, {}), self._show)
        self.bridge.ask("curves", partial(self._read, {}), self._draw)

    def on_unmount(self) -> None:
        """Let the thread end."""
        self.bridge.stop()

    @property
    def share(self) -> float:
        """How much of the metrics was read."""
        return min((one.share for one in self.read.values()), default=0.0)

    def _compared(self, read: Found) -> Comparison:
        """Without metrics while nothing was read."""
        by_path = {self.workspace.show(name).files: one for name, one in read.items()}

        def numbers(directory: Path) -> Metrics:
            curves = by_path.get(directory)
            return numbers_of(directory, curves) if curves else NUMBERS(directory)

        return self.workspace.compare(self.run_ids, numbers if read else lambda _: Metrics())

    def _read(self, found: Found) -> Found:
        """One slice more of all curves that were not read whole."""
        left = [name for name in self.run_ids if name not in found or found[name].share < 1]
        return found | {name: self.curves.read(self.workspace.show(name).files) for name in left}

    def _show(self, found: Comparison) -> None:
        self.found = found
        rows = self.query_one("#compare", RowList)
        rows.border_title = Content(clean(words.title(found), 200))
        read = 1 if self.whole else min(self.share, 0.99)
        rows.show(comparison.rows(found, rows.content_size.width, self.pinned, read))

    @on(RowList.Resized)
    def resize(self, event: RowList.Resized) -> None:
        """The lines depend on the width."""
        event.stop()
        if self.found:
            self._show(self.found)

    @on(RowList.Highlighted)
    def follow(self, event: RowList.Highlighted) -> None:
        """The curves of the metric under the cursor are the second ones, where they are not there already."""
        event.stop()
        base = present.base_name(event.key.partition(" ")[2].partition(" = ")[0])
        if base != self.metric and base in self._names()[2:]:
            self.metric = base
            self._curves()

    def _names(self) -> list[str]:
        """The metrics that have curves, by their base names, the leading ones first."""
        names = dict.fromkeys(base for one in self.read.values() for base in phases.grouped(one.series))
        return phases.leading(names)

    def _draw(self, found: Found) -> None:
        """Show the curves as far as they were read, and ask for the rest; then for the metrics."""
        self.read = found
        if self.share < 1:
            self.bridge.ask("curves", partial(self._read, found), self._draw)
        else:
            self.bridge.ask("compare", partial(self._compared, found), self._compared_whole)
        self._curves()

    def _compared_whole(self, found: Comparison) -> None:
        self.whole = True
        self._show(found)
        self._curves()

    def _curves(self) -> None:
        """The two leading metrics; runs of a group have one colour."""
        first, second, *_ = [*self._names(), "", ""]
        self.query_one("#compare-curves").display = bool(first) and not self.hidden
        for chart, name in zip(self.query(Chart), (first, self.metric or second), strict=True):
            chart.display = bool(name)
            chart.title, chart.reading = clean(name, 40), self.share
            curves = (self._curve(run_id, one.series, name) for run_id, one in self.read.items())
            chart.show([curve for some in curves for curve in some])

    def _curve(self, run_id: str, series: dict[str, Series], base: str) -> list[Curve]:
        held = phases.held_out(phases.grouped(series).get(base, {}), base)
        if held is None:
            return []
        at, called = self._group(run_id)
        return [Curve(clean(called, 60), held, at)]

    def _group(self, run_id: str) -> tuple[int, str]:
        """The number of a run's group, and what its curve is called: the letter it has in the list."""
        for at, group in enumerate(self.found.groups if self.found else ()):
            if self.found and run_id in [self.found.runs[run] for run in group.runs]:
                return at, letter(at)
        return self.run_ids.index(run_id), run_id

    @on(Answered)
    def answer(self, event: Answered) -> None:
        """Hand an answer to who asked."""
        event.stop()
        event.reply(event.value)

    @on(Failed)
    def fail(self, event: Failed) -> None:
        """Say what could not be done."""
        event.stop()
        self.say(f"{event.message} {event.hint}", good=False)
        self.query_one("#compare", RowList).show([Row("!", ((clean(event.message, 300), "bad"),))])

    def say(self, text: str, *, good: bool = True) -> None:
        """A toast; never markup."""
        self.notify(clean(text, 500), severity="information" if good else "error", markup=False)

    def action_write(self) -> None:
        """Markdown beside the results."""
        if self.found and self.whole:
            self.bridge.ask(
                "write",
                partial(self.workspace.write_comparison, self.found),
                lambda path: self.say(f"wrote {path}"),
            )

    def action_log_y(self) -> None:
        """Logarithmic or linear."""
        for chart in self.query(Chart):
            chart.toggle_log()

    def action_curves(self) -> None:
        """Show or hide the curves: the list gets their room."""
        self.hidden = not self.hidden
        self._curves()

    def action_leave(self) -> None:
        """Back to the lists."""
        self.dismiss(None)
