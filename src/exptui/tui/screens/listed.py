"""The lists on the left as they are shown: what was chosen, what the threads made of it, and the titles over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.content import Content

from exptui.core.monitor import chosen
from exptui.core.monitor.catalog import Snapshot
from exptui.core.monitor.text import clean
from exptui.tui import lists, present
from exptui.tui.listing import EMPTY, Choice, Listing, RunRows
from exptui.tui.widgets.detail import DetailPane
from exptui.tui.widgets.rows import RowList
from exptui.tui.widgets.text import entitle

if TYPE_CHECKING:
    from textual.screen import Screen

    from exptui.core.workspace import Workspace
    from exptui.tui.bridge import Bridge

    Base = Screen[None]
else:
    Base = object


class Listed(Base):
    """Mixed into the main screen, whose state these names are."""

    workspace: Workspace
    bridge: Bridge
    snapshot: Snapshot
    listing: Listing
    marks: frozenset[str]
    query_text: str
    sort: str
    columns: tuple[str, ...] | None
    wanted: str
    show_header: Callable[[], None]
    begun: bool
    _finding = True

    @property
    def choice(self) -> Choice:
        """What is chosen now."""
        return Choice(self.query_text, self.sort, self.columns)

    def relist(self) -> None:
        """List the runs as they are chosen now."""
        self.bridge.list_runs(self.choice, self.listed)

    def listed(self, listing: Listing) -> None:
        """Show a list, unless another one was chosen meanwhile."""
        if listing.choice == self.choice:
            self.listing = listing
        else:
            self.relist()
        self.refresh_lists()

    def columns_chosen(self, columns: tuple[str, ...] | None) -> None:
        """Have these columns."""
        if columns != self.columns:
            self.columns = columns
            self.relist()

    def refresh_lists(self) -> None:
        """Show the snapshot in the three lists and in the header."""
        snapshot, now = self.snapshot, present.now()
        self.query_one("#configs", RowList).show(lists.config_rows(snapshot))
        listed = self.query_one("#runs", RowList)
        rows = RunRows(self.listing, snapshot.baseline, now, listed.scrollable_content_region.width)
        query = self.listing.choice.query
        listed.show(
            rows,
            rows.header(),
            self.marks,
            lists.no_runs(query, reading=snapshot.unread > 0 or self.listing.runs is EMPTY.runs),
            first=self._finding,
        )
        self._finding = not (self.begun and snapshot.settled)
        if self.wanted and rows.find(self.wanted) is not None:
            listed.select(self.wanted)
            self.wanted = ""
        self.query_one("#archives", RowList).show(lists.archive_rows(snapshot, self.query_text, now))
        self._titles(len(rows))
        self.show_header()
        self.query_one(DetailPane).show_audits(snapshot)

    def _titles(self, shown: int) -> None:
        snapshot = self.snapshot
        words = lists.run_words(shown, len(self.listing.runs), snapshot.unread, self.listing.choice)
        if self.marks:
            words.append(f"{len(self.marks):,} marked")
        titles = {
            "configs": f"1 Configs {len(snapshot.configs)}",
            "runs": " ─ ".join(clean(word, 60) for word in words if word),
            "archives": f"3 Archive {len(snapshot.archives)}",
        }
        for name, title in titles.items():
            entitle(self.query_one(f"#{name}"), Content(title))

    def on_row_list_resized(self, event: RowList.Resized) -> None:
        """The columns of the runs depend on the width."""
        if event.rows.id == "runs":
            self.refresh_lists()

    def action_sort(self) -> None:
        """The next order."""
        sorts = self.listing.sorts
        at = sorts.index(self.sort) if self.sort in sorts else -1
        self.sort = sorts[(at + 1) % len(sorts)]
        self.bridge.list_runs(self.choice, self._sorted)

    def _sorted(self, listing: Listing) -> None:
        """Show another order from its top."""
        self.listed(listing)
        self.query_one("#runs", RowList).action_move(-len(listing.order))

    def action_columns(self) -> None:
        """Which columns the runs have."""
        from exptui.tui.screens.columns import Columns

        def answered(columns: tuple[str, ...] | None) -> None:
            self.columns = columns
            self.bridge.ask("columns", lambda: chosen.save(self.workspace.root, columns), lambda _: None)
            self.relist()

        shown = [extra.key for extra in self.listing.extras]
        self.app.push_screen(Columns(self.listing.keys(), self.columns, shown), answered)
