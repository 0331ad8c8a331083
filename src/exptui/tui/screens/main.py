"""The main screen: three lists, one detail pane, and the flow of snapshots into them."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen

from exptui.core.compare.deltas import same
from exptui.core.monitor import chosen
from exptui.core.monitor.catalog import ArchiveRow, ConfigRow, RunRow, Snapshot
from exptui.core.monitor.text import clean
from exptui.core.workspace import Workspace
from exptui.tui import present
from exptui.tui.bridge import Bridge
from exptui.tui.commands import bindings, effective
from exptui.tui.compositor import QuickCompositor
from exptui.tui.listing import EMPTY, SORTS
from exptui.tui.messages import Answered, Failed, OperationEnded, OperationMoved, SnapshotTaken
from exptui.tui.present import Span
from exptui.tui.screens.actions import Actions
from exptui.tui.screens.curve_flow import CurveFlow
from exptui.tui.screens.log_flow import LogFlow
from exptui.tui.screens.nightly import Nightly
from exptui.tui.widgets.detail import DetailPane
from exptui.tui.widgets.rows import Row, RowList
from exptui.tui.widgets.text import Lines

if TYPE_CHECKING:
    from exptui.core.monitor.detail import Detail, Subject

PANES = ("configs", "runs", "archives")
NARROW = 100
PATIENCE = 0.25  # seconds
REST = 0.1  # seconds without another move: the cursor stands on what is meant


def _details() -> ModuleType:
    """Imported by the thread that reads them, after the first frame."""
    from exptui.core.monitor import detail

    return detail


class MainScreen(Actions, CurveFlow, LogFlow, Nightly, Screen[None]):
    """State lives here and flows down; threads post facts up through the bridge."""

    DEFAULT_CLASSES = "-normal show-runs"  # as most begin: where they fit, nothing is styled twice
    AUTO_FOCUS = ""  # the first look decides
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(),
        Binding("enter", "next_news", show=False, priority=True),
    ]
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012  an instance variable there
        (0, "-narrow"),
        (NARROW, "-normal"),
        (160, "-wide"),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._compositor = QuickCompositor()
        self.workspace = workspace
        self.bridge = Bridge(workspace, self.post_message)
        self.snapshot = Snapshot()
        self.listing = EMPTY
        self.columns: tuple[str, ...] | None = None
        self.subject: Subject | None = None
        self.asked: Subject | None = None
        self.marks: frozenset[str] = frozenset()
        self.last_mark = ""
        self.query_text = ""
        self.sort = SORTS[0]
        self.activity: dict[str, tuple[str, int, int]] = {}
        self.wanted = ""  # a run to put the cursor on as soon as it is listed
        self.begun = False
        self._held, self._painting = ExitStack(), False
        self._resting: asyncio.TimerHandle | None = None
        self._still_at = 0.0  # from when on the next move of the cursor is one of its own
        self._unread = False  # while the detail is hidden nothing is read for it

    def compose(self) -> ComposeResult:
        """Header, lists, detail, activity, keys."""
        yield Lines(id="header")
        yield Lines(id="banner")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield RowList("no configs yet\na config is a TOML file in configs/", id="configs")
                yield RowList("reading the runs…", id="runs")
                yield RowList("nothing archived yet\na seals a finished run", id="archives")
            yield DetailPane(id="detail")
        yield Lines(id="activity")
        yield Lines(id="keys")

    def on_mount(self) -> None:
        """Begin to watch. Nothing is painted before the first look, unless that takes its time."""
        self._held.enter_context(self.app.batch_update())
        self.set_timer(PATIENCE, self._paint)
        self._update_timer.resume()  # its first beat comes a period late: not that of the first frame
        self._keys()
        self.bridge.start()
        self.bridge.ask("columns", partial(chosen.load, self.workspace.root), self.columns_chosen)

    def _paint(self) -> None:
        """From now on what changes is painted."""
        self._painting = True
        self._held.close()

    def _compositor_refresh(self) -> None:
        # Textual renders a frame also while updates are batched, and throws it away.
        if self._painting:
            super()._compositor_refresh()

    def on_unmount(self) -> None:
        """Let the threads end."""
        if self._resting is not None:
            self._resting.cancel()
        self.bridge.stop()

    # What came from the threads

    @on(SnapshotTaken)
    def take(self, event: SnapshotTaken) -> None:
        """The workspace as it is now."""
        event.stop()
        before, self.snapshot = self.snapshot, event.snapshot
        self.marks = frozenset(one for one in self.marks if self.snapshot.run(one))
        self._announce(before)
        self.listed(event.listing)
        if self.begun:
            self.select()
        else:  # the lists are the first frame; whatever else there is follows it
            self._paint()
            if self.focused is None:  # what was typed ahead has chosen a pane
                self.go("runs" if self.snapshot.runs else "configs")
            self.call_after_refresh(self._first)

    def _first(self) -> None:
        """After the first frame: the detail, and what a crash left."""
        if self.begun:
            return
        self.begun = True
        self.bridge.shown.set()
        if not gc.isenabled():  # the start is over, and what it made is there to stay
            gc.freeze()
            gc.enable()
        self.show_header()
        self.select(again=True)
        self.bridge.recover(self._recovered)

    def _recovered(self, lines: list[str]) -> None:
        for line in lines:
            self.notify(clean(line, 300), title="recovered", severity="warning", markup=False)

    @on(Answered)
    def answer(self, event: Answered) -> None:
        """Hand an answer to who asked."""
        event.stop()
        event.reply(event.value)

    @on(Failed)
    def fail(self, event: Failed) -> None:
        """Say what could not be done."""
        event.stop()
        self.say(f"{event.message}\n{event.hint}".strip(), good=False)

    @on(OperationMoved)
    def move(self, event: OperationMoved) -> None:
        """Show how far an operation is."""
        event.stop()
        self.activity[event.name] = (event.title, event.done, event.total)
        self._activity()

    @on(OperationEnded)
    def end(self, event: OperationEnded) -> None:
        """Say what came of an operation."""
        event.stop()
        self.activity.pop(event.name, None)
        self._activity()
        self.announce(event.text, good=event.good)
        self.bridge.refresh()

    def say(self, text: str, *, good: bool = True) -> None:
        """A toast; its text is never markup."""
        self.notify(
            present.clean_lines(text), severity="information" if good else "error", markup=False, timeout=6
        )

    def _announce(self, before: Snapshot) -> None:
        """A word for every run that ended and every verification that did since the last look."""
        if not self.begun:
            return
        for old in before.runs.live:
            row = self.snapshot.run(old.run_id)
            if row and not row.view.state.live:
                self.announce(f"{row.run_id}  {present.outcome(row)}", good=present.state_of(row)[1] != "bad")
        for name in before.verifying.keys() - self.snapshot.verifying.keys():
            from exptui.core.audit.session import outcome

            self.bridge.ask(f"verdict {name}", partial(outcome, self.workspace.archives, name), self._verdict)

    def _verdict(self, found: tuple[str, bool]) -> None:
        text, good = found
        self.announce(text, good=good)
        self.select(again=True)

    # Down into the panes

    def _activity(self) -> None:
        spans: list[Span] = []
        for title, done, total in self.activity.values():
            share = f" {done / total:4.0%} of {present.size(total)}" if total else ""
            spans += [(f" {clean(title, 80)}", "accent"), (share, ""), ("   Esc cancels ", "muted")]
        self.query_one("#activity", Lines).show([spans])
        self.set_class(bool(self.activity), "busy")

    def _keys(self) -> None:
        spans: list[Span] = []
        room = self.size.width - 1
        shown = [(c.key, c.bar) for c in effective(self.app) if c.bar]
        leads = 2  # help and quit stay however narrow it is, and the way to what is hidden
        if room < NARROW:
            shown.insert(-2, ("0-3", "panes"))
            leads = 3
        while len(shown) > leads and sum(len(key) + len(what) + 3 for key, what in shown) > room:
            shown.pop(-leads - 1)
        for key, what in shown:
            spans += [(f" {key}", "accent"), (f" {what} ", "muted")]
        self.query_one("#keys", Lines).show([spans])

    # What is selected

    def on_resize(self) -> None:
        """The texts depend on the width."""
        self._keys()
        self.show_header()
        self.show_banner()
        self.select(again=True)

    def on_row_list_highlighted(self, event: RowList.Highlighted) -> None:
        """The cursor moved in the list that has the focus: at once, or when it comes to rest if it goes on and on."""
        if not event.rows.has_focus:
            return
        if self._resting is not None:
            self._resting.cancel()
        now, loop = time.monotonic(), asyncio.get_running_loop()
        self._resting = loop.call_later(REST, self.call_later, self.select) if now < self._still_at else None
        self._still_at = now + REST
        if self._resting is None:
            self.select()

    def on_detail_pane_revealed(self, event: DetailPane.Revealed) -> None:
        """It was hidden, or its log was shown: nothing else was read for it."""
        event.stop()
        self.select(again=self.query_one(DetailPane).tab != "log")

    def on_descendant_focus(self, event: Any) -> None:
        """Another list has the focus: its row is the subject."""
        widget = event.widget
        if widget.id in PANES:
            self.show_pane(widget.id)
            self.select()

    def go(self, name: str) -> None:
        """To a list, at once: a key typed right behind is already for it."""
        self.show_pane(name)
        self.set_focus(self.query_one(f"#{name}"))

    def show_pane(self, name: str) -> None:
        """On a narrow screen only one pane is shown."""
        if not self.has_class(f"show-{name}"):
            for one in (*PANES, "detail"):
                self.set_class(one == name, f"show-{one}", update=False)
            self.update_node_styles()

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Enter on a list opens the detail."""
        if event.rows.id in PANES:
            self.action_pane_0()
        elif event.rows.id == "file-list" and isinstance(self.subject, RunRow):
            path = self.subject.view.files / event.key
            self.bridge.ask("file", lambda: _details().peek(path), partial(self._show_file, event.key))

    def _show_file(self, name: str, found: tuple[str, tuple[str, ...]]) -> None:
        """The beginning of a file, and its digest."""
        digest, lines = found
        rows = [Row(str(at), ((clean(line, 1000), ""),)) for at, line in enumerate(lines)]
        self._choose(name, rows, f"sha256 {digest}   Esc closes")

    def select(self, *, again: bool = False) -> None:
        """Ask for the detail of what the cursor is on, if that is another subject or a changed one."""
        if not self.begun or not self.query_one(DetailPane).is_attached:  # not yet, or not any more
            return
        focused = self.focused
        pane = focused.id if focused is not None and focused.id in PANES else self._pane_of_subject()
        subject = self._find(pane, self.query_one(f"#{pane}", RowList).key)
        if subject is None or (subject == self.asked and not (again or self._unread)):
            return
        self.subject = subject
        self._unread = not self.query_one(DetailPane).display
        if self._unread:
            return
        moved = self._key(subject) != self._key(self.asked)
        self.asked = subject
        self.ask_detail(subject)
        if isinstance(subject, RunRow):
            self.ask_log(subject, moved=moved)
            for run_id in self.marks - {subject.run_id}:
                self.ask_overlay(run_id)

    def _pane_of_subject(self) -> str:
        match self.subject:
            case ConfigRow():
                return "configs"
            case ArchiveRow():
                return "archives"
        return "runs"

    @staticmethod
    def _key(subject: Subject | None) -> tuple[str, str]:
        name = subject.stem if isinstance(subject, ConfigRow) else subject.run_id if subject else ""
        return type(subject).__name__, name

    def _find(self, pane: str, key: str) -> Subject | None:
        if pane == "runs":
            return self.snapshot.run(key)
        rows: Sequence[Subject] = self.snapshot.configs if pane == "configs" else self.snapshot.archives
        return next((row for row in rows if self._key(row)[1] == key), None)

    def show_detail(self, detail: Detail) -> None:
        """Take over what was read of the subject, if it still is the one."""
        if self._key(detail.subject) != self._key(self.subject):
            return
        self.subject = detail.subject  # a run is whole now
        others = self.overlays(detail, self._key(detail.subject)[1])
        self.query_one(DetailPane).show(detail, self.snapshot, others, self._differing(detail))
        self.ask_more(detail)
        if isinstance(detail.subject, ArchiveRow):
            self.show_end_of_log(detail.subject.run_id, detail.log)
        elif isinstance(detail.subject, ConfigRow):
            self.show_no_log()

    def _differing(self, detail: Detail) -> dict[str, Any]:
        """The config keys that are not as the baseline's, with its values."""
        pinned = self.snapshot.run(self.snapshot.baseline)
        if pinned is None or detail.subject == pinned:
            return {}
        flat = detail.subject.flat
        return {k: pinned.flat.get(k) for k in flat if not same(flat.get(k), pinned.flat.get(k))}
