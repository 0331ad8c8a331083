"""How the log of the selected run comes to its pane: what the pane asks for, and the answers of the threads."""

from __future__ import annotations

import time
from functools import cached_property, partial
from typing import TYPE_CHECKING

from exptui.core.monitor.catalog import RunRow
from exptui.core.monitor.text import clean
from exptui.core.runs.run import log_of
from exptui.tui.bridge import Bridge
from exptui.tui.driver import terminal
from exptui.tui.follow import Follower
from exptui.tui.messages import LogGrew
from exptui.tui.pace import FRAME
from exptui.tui.widgets.detail import DetailPane
from exptui.tui.widgets.text import Lines

if TYPE_CHECKING:
    from textual.screen import Screen
    from textual.timer import Timer

    from exptui.core.monitor.detail import Subject
    from exptui.core.monitor.index import LogWindow
    from exptui.core.monitor.search import Progress, Search
    from exptui.core.workspace import Workspace
    from exptui.tui.log_reader import LogReader
    from exptui.tui.widgets.log_view import LogView

    Base = Screen[None]
else:
    Base = object


LOOK = 0.02  # seconds between two looks at what has been indexed


class LogFlow(Base):
    """Mixed into the main screen, whose state these names are."""

    workspace: Workspace
    subject: Subject | None

    def __init__(self) -> None:
        super().__init__()
        self.log_of = ""
        self.sought: tuple[str, int, int] | None = None
        """What is being looked for: pattern, from which line, and in which direction."""
        self.hit: tuple[str, int] | None = None
        """What was found last: pattern, and which of its matches."""
        self._attended: list[Search] = []
        self._numbered: int | None = None
        self._grew = 0.0
        self._again: Timer | None = None

    @cached_property
    def logs(self) -> LogReader:
        """What reads the log of the run that is selected."""
        from exptui.tui.log_reader import LogReader

        return LogReader()

    def on_mount(self) -> None:
        """Logs have a thread of their own: they never wait for anything else that is read."""
        self.log_bridge = Bridge(self.workspace, self.post_message)
        self.log_bridge.read_only()
        self.follower = Follower(self.post_message)
        self.log_bridge.repeat(self.follower.look)

    def on_unmount(self) -> None:
        """End what works for the log."""
        self.log_bridge.stop()
        self.logs.close()

    def show_end_of_log(self, run_id: str, lines: tuple[bytes, ...]) -> None:
        """What an archive's card kept of the log."""
        from exptui.core.monitor.index import LogWindow

        self.query_one(DetailPane).log_view.show(LogWindow(hash(run_id), len(lines), 0, lines, complete=True))

    def show_no_log(self) -> None:
        """A config has none; that of the run before it is not its own."""
        from exptui.core.monitor.index import LogWindow

        pane = self.query_one(DetailPane)
        if "log" in pane.made:
            pane.log_view.show(LogWindow(0, 0, 0, (), complete=True))
            pane.log_view.note("a config has no log: its runs do")

    def ask_log(self, row: RunRow, *, moved: bool) -> None:
        """The log of a run as it is now; `moved` when it is another run than before."""
        places = (row.view.files / "trainer.log", row.view.path / "trainer.log")
        view = self.query_one(DetailPane).log_view
        if moved:
            view.following = True
            self.sought = self.hit = None
            view.note("")
        place = self._place()

        def read() -> LogWindow:
            return self.logs.latest(log_of(row.view), place)

        self.log_of = row.run_id
        self.follower.follow(places)
        self.log_bridge.ask("log", read, partial(self._show_log, row.run_id))

    def on_log_grew(self, event: LogGrew) -> None:
        """Have it read, if it is still the one that is shown."""
        event.stop()
        if isinstance(self.subject, RunRow) and event.places[:1] == (
            self.subject.view.files / "trainer.log",
        ):
            self.ask_log(self.subject, moved=False)
        else:
            self.follower.shown()

    def _followed(self, window: LogWindow, before: int) -> None:
        """Say when to look again: as soon as the terminal can show more, later where it is not seen."""
        pane, driver = self.query_one(DetailPane), terminal(self.app)
        view, new, now = pane.log_view, window.count - before, time.monotonic()
        if not view.following or pane.tab != "log":
            self.follower.shown()
            if view.following:
                pane.show_tail(window.lines)
        elif new and driver:
            share = new / (now - self._grew) * FRAME / max(1, view.size.height)
            self.follower.shown(driver.pace.period(share), FRAME)
        else:
            self.follower.shown(FRAME, FRAME)
        self._grew = now if new else self._grew

    def _place(self) -> tuple[int, int] | None:
        """Which lines are in sight, when it is not the end that is followed."""
        view = self.query_one(DetailPane).log_view
        return None if view.following else view.needs(view.count)

    def _show_log(self, run_id: str, window: LogWindow) -> None:
        """A window of the log of that run, if it is still the one that is shown."""
        for search in self.logs.searches:
            if search not in self._attended:
                self._attended.append(search)
                self._await(search)
        if not isinstance(self.subject, RunRow) or self.subject.run_id != run_id:
            return
        if self.sought and self._numbered is not None and self.sought[1] >= self._numbered:
            pattern, start, step = self.sought
            self.sought = pattern, start + window.moved, step
        self._numbered = window.numbered
        view = self.query_one(DetailPane).log_view
        before = view.count
        view.show(window)
        self._followed(window, before)
        if not window.complete and self._again is None:
            self._again = self.set_timer(LOOK, self._ask_again)
        self._tell()

    def _ask_again(self) -> None:
        self._again = None
        place = self._place()
        self.log_bridge.ask("log", lambda: self.logs.more(place), partial(self._show_log, self.log_of))

    def on_log_view_wanted(self, event: LogView.Wanted) -> None:
        """Lines in sight are missing."""
        self.log_bridge.ask(
            "log lines",
            lambda: self.logs.window(event.first, event.count),
            partial(self._show_log, self.log_of),
        )

    # Search and filter

    def on_log_view_search_wanted(self, event: LogView.SearchWanted) -> None:
        """Look for the next match."""
        if not self._is_run():
            return
        self.sought, place, run_id = (event.pattern, event.start, event.step), self._place(), self.log_of

        def begin() -> LogWindow:
            self.logs.search(event.pattern)
            return self.logs.more(place)

        self.log_bridge.ask("search", begin, partial(self._show_log, run_id))

    def on_log_view_filter_wanted(self, event: LogView.FilterWanted) -> None:
        """Only matching lines."""
        if not self._is_run():
            return
        self.sought = self.hit = None

        def begin() -> LogWindow:
            self.logs.filter(event.pattern)
            return self.logs.more()

        self.log_bridge.ask("filter", begin, partial(self._show_log, self.log_of))

    def _is_run(self) -> bool:
        """Whether there is a whole log to go through; says so if not."""
        if not (is_run := isinstance(self.subject, RunRow)):
            self.query_one(DetailPane).log_view.note(
                "only the log of a run is searched; t restores an archive"
            )
        return is_run

    def _await(self, search: Search) -> None:
        self.log_bridge.ask("", search.wait, partial(self._heard, search), apart=True)

    def _heard(self, search: Search, progress: Progress) -> None:
        """A search has got on, or ended."""
        if progress.ended:
            self._attended.remove(search)
        else:
            self._await(search)
        if search is self.logs.filtering:
            self._ask_again()
        self._tell()

    def cancel_search(self) -> bool:
        """End what is searched or filtered; False when nothing is."""
        running = [search for search in self.logs.searches if search.progress.running]
        for search in running:
            search.kill()
        if self.sought and running:
            self.sought = None
            self.query_one(DetailPane).log_view.note("search cancelled")
        return bool(running)

    def _tell(self) -> None:
        """Go to the match that was asked for if it is known, and say how far it all is."""
        from exptui.tui.widgets.log_search import matched, named

        view, search, kept = self.query_one(DetailPane).log_view, self.logs.searching, self.logs.filtering
        if not isinstance(self.subject, RunRow):
            return
        if self.sought and search and search.patterns[-1] == self.sought[0]:
            pattern, start, step = self.sought
            if search.progress.ended:
                self.sought = None
                view.note(f"{named(pattern)}: {search.progress.ended}; n starts again")
            elif view.complete and (place := self.logs.found(start, step)):
                self.sought, self.hit = None, (pattern, place[1])
                view.found(place[0], place[1], search.progress.count, more=search.progress.running)
            else:
                view.note(self._far(named(pattern), search.progress, "match", "matches"))
        elif self.hit and search and not self.sought:
            pattern, at = self.hit
            if at and search.patterns[-1] == pattern:
                view.note(matched(pattern, at, search.progress.count, more=search.progress.running))
        if kept:
            view.passed(self._far("", kept.progress, "line", "lines"))

    def _far(self, name: str, progress: Progress, one: str, many: str) -> str:
        """How far a search is."""
        found = f"{progress.count:,} {one if progress.count == 1 else many}"
        share = f"{progress.offset / max(self.logs.size, 1):.0%}"
        if progress.stuck is not None:
            text = f"takes for ever on line {progress.stuck + 1:,}; Esc cancels"
        elif progress.ended:
            text = f"{found} of the first {share}: {progress.ended}"
        elif progress.running:
            text = f"≥ {found} …searching, {share}"
        else:
            text = found
        return f"{name} {text}".strip()

    def on_log_view_status_changed(self, event: LogView.StatusChanged) -> None:
        """The line under the log."""
        self.query_one("#log-status", Lines).show([[(f" {clean(event.status, 200)}", "muted")]])
