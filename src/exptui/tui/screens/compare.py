"""The comparison of marked runs: only what differs, and their curves laid over each other."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen

from exptui.core.compare import report
from exptui.core.compare.report import Comparison
from exptui.core.curves.series import Series
from exptui.core.curves.store import Curves, Store
from exptui.core.monitor.text import clean
from exptui.core.workspace import Workspace
from exptui.tui import overview, present
from exptui.tui.braille import Curve
from exptui.tui.bridge import Bridge
from exptui.tui.messages import Answered, Failed
from exptui.tui.widgets.chart import Chart
from exptui.tui.widgets.rows import Row, RowList
from exptui.tui.widgets.text import Lines

Found = dict[str, Curves]


class CompareScreen(Screen[None]):
    """The first run is the baseline of all others."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", show=False),
        Binding("m", "write", show=False),
        Binding("o", "log_y", show=False),
    ]

    def __init__(self, workspace: Workspace, run_ids: list[str], curves: Store) -> None:
        super().__init__()
        self.workspace, self.run_ids, self.curves = workspace, run_ids, curves
        self.bridge = Bridge(workspace, self.post_message)
        self.found: list[Comparison] = []

    def compose(self) -> ComposeResult:
        """Charts above, differences below."""
        with Horizontal(id="compare-curves"):
            yield Chart(id="compare-left")
            yield Chart(id="compare-right")
        yield RowList("comparing…", id="compare")
        yield Lines(id="keys")

    def on_mount(self) -> None:
        """Ask for the comparison."""
        self.query_one("#compare").border_title = Content(
            clean(f"{self.run_ids[0]} against {len(self.run_ids) - 1}", 200)
        )
        keys = (("m", "writes results/comparisons/….md"), ("o", "log scale"), ("Esc", "back"))
        self.query_one("#keys", Lines).show(
            [[span for k, what in keys for span in ((f" {k}", "accent"), (f" {what} ", "muted"))]]
        )
        self.query_one("#compare").focus()
        self.bridge.read_only()
        self.bridge.ask("compare", self._compared, self._show)
        self.bridge.ask("curves", partial(self._read, {}), self._draw)

    def on_unmount(self) -> None:
        """Let the thread end."""
        self.bridge.stop()

    def _compared(self) -> list[Comparison]:
        first, *others = self.run_ids
        return [self.workspace.compare(first, other) for other in others]

    def _read(self, found: Found) -> Found:
        """One slice more of all curves that were not read whole."""
        left = [name for name in self.run_ids if name not in found or found[name].share < 1]
        return found | {name: self.curves.read(self.workspace.show(name).files) for name in left}

    def _show(self, found: list[Comparison]) -> None:
        self.found = found
        self.query_one("#compare", RowList).show([row for one in self.found for row in comparison_rows(one)])

    def _draw(self, found: Found) -> None:
        """Show the curves as far as they were read, and ask for the rest."""
        series = {name: one.series for name, one in found.items()}
        share = min(one.share for one in found.values())
        if share < 1:
            self.bridge.ask("curves", partial(self._read, found), self._draw)
        names = list(dict.fromkeys(base for one in series.values() for base in overview.grouped(one)))
        names.sort(key=lambda name: (name != "loss", name != "accuracy"))
        self.query_one("#compare-curves").display = bool(names)
        for chart, name in zip(self.query(Chart), [*names[:2], "", ""], strict=False):
            chart.display = bool(name)
            chart.title, chart.reading = clean(name, 40), share
            chart.show(
                [c for at, (run_id, one) in enumerate(series.items()) for c in _curve(run_id, one, name, at)]
            )

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
        if self.found:
            self.bridge.ask(
                "write",
                lambda: [self.workspace.write_comparison(one) for one in self.found],
                lambda paths: self.say("wrote " + ", ".join(str(path) for path in paths)),
            )

    def action_log_y(self) -> None:
        """Logarithmic or linear."""
        for chart in self.query(Chart):
            chart.toggle_log()

    def action_leave(self) -> None:
        """Back to the lists."""
        self.dismiss(None)


def _curve(run_id: str, series: dict[str, Series], base: str, color: int) -> list[Curve]:
    group = overview.grouped(series).get(base, {})
    held = next((group[name] for name in (*overview.HELD_OUT, base, "train") if name in group), None)
    return [Curve(clean(run_id, 60), held, color)] if held else []


def comparison_rows(one: Comparison) -> list[Row]:
    """Config, fingerprint and metrics: what differs, as lines."""
    key = one.candidate
    rows = [
        Row(
            f"{key}",
            (
                ("★ ", "warn"),
                (clean(one.baseline, 100), "bold"),
                ("  vs  ", "muted"),
                (clean(key, 100), "bold"),
            ),
        )
    ]
    if one.unclean:
        rows.append(Row(f"{key}!", ((f"not a clean A/B: {clean('; '.join(one.unclean), 300)}", "warn"),)))
    for head, found in (("config", one.config), ("fingerprint", one.fingerprint)):
        rows.append(Row(f"{key}.{head}", ((f"{head}", "accent"), ("" if found else "  the same", "muted"))))
        for item in found:
            before, after = (clean(report.value_text(value), 60) for value in (item.baseline, item.candidate))
            rows.append(
                Row(
                    f"{key}.{head}.{item.key}",
                    ((f"  {clean(item.key, 40):<28}", ""), (f"{before} → {after}", "warn")),
                )
            )
    rows.append(
        Row(
            f"{key}.metrics",
            (("metrics", "accent"), ("" if one.metrics else "  none on either side", "muted")),
        )
    )
    for metric in one.metrics:
        delta = "" if metric.delta is None else f"{metric.delta:+.4f}"
        percent = "" if metric.percent is None else f"{metric.percent:+.1f} %"
        word = report.better_text(metric.better)
        tone: present.Tone = "good" if metric.better else "bad" if metric.better is False else "muted"
        values = f"{present.number(metric.baseline):>9} → {present.number(metric.candidate):<9}"
        rows.append(
            Row(
                f"{key}.metrics.{metric.name}",
                (
                    (f"  {clean(metric.name, 40):<28}", ""),
                    (values, ""),
                    (f"{delta:>10}{percent:>10}  ", ""),
                    (word, tone),
                ),
            )
        )
    rows += [
        Row(f"{key}?{at}", ((f"not read: {clean(text, 300)}", "warn"),))
        for at, text in enumerate(one.problems)
    ]
    return [*rows, Row(f"{key} end", ())]
