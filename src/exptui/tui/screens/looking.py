"""What the keys of the main screen do that change nothing: marks, comparison, filter, panes, tabs, help."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from exptui.core.monitor.catalog import ArchiveRow, ConfigRow, RunRow
from exptui.core.monitor.text import clean
from exptui.tui import present
from exptui.tui.screens.listed import Listed
from exptui.tui.widgets.detail import DetailPane
from exptui.tui.widgets.rows import Row, RowList

if TYPE_CHECKING:
    from exptui.core.curves.store import Store
    from exptui.core.monitor.detail import Subject
    from exptui.core.monitor.morning import News
    from exptui.tui.screens.sheets import Line


SHEET = 84  # columns of a sheet, as app.tcss has it


class Looking(Listed):
    """Mixed into the main screen, whose state these names are."""

    curves: Store
    subject: Subject | None
    last_mark: str
    say: Callable[..., None]
    select: Callable[..., None]
    news: tuple[News, ...]
    end_news: Callable[[], None]
    show_pane: Callable[[str], None]
    go: Callable[[str], None]
    cancel_search: Callable[[], bool]

    # Who is meant

    def chosen(self) -> Subject | None:
        """What is under the cursor now: a key typed right behind a move is for where it moved to."""
        self.select()
        return self.subject

    def _stem(self) -> str:
        """The config that is meant: the one under the cursor, or that of the run or archive."""
        match self.chosen():
            case ConfigRow() as row:
                return row.stem
            case RunRow() as row:
                return row.view.stem
            case ArchiveRow() as row:
                return row.run_id.rpartition("_")[0]
        return ""

    def _run(self) -> RunRow | None:
        """The run under the cursor; says so when there is none."""
        if isinstance(row := self.chosen(), RunRow):
            return row
        self.say("choose a run first: 2 goes to the runs", good=False)
        return None

    def _runs(self) -> list[RunRow]:
        """The marked runs, else the one under the cursor."""
        marked = self._marked()
        return marked or ([row] if (row := self._run()) else [])

    def _marked(self) -> list[RunRow]:
        """The marked runs, the newest first."""
        return self.snapshot.runs.some(self.marks)

    def _do(self, work: Callable[[], str]) -> None:
        """Something short that touches the disk; what it returns is said."""

        def recovered() -> str:
            self.bridge.recovered.wait()
            return work()

        self.bridge.ask(f"do {id(work)}", recovered, lambda text: self.say(text) if text else None)
        self.bridge.refresh()

    def _confirm(
        self, title: str, lines: list[Line], answer: tuple[str, str], then: Callable[[], Any]
    ) -> None:
        def answered(given: str | None) -> None:
            if given:
                then()

        self._ask(title, lines, [answer], answered)

    # A sheet is imported with the first one that is opened

    def _ask(
        self,
        title: str,
        lines: list[Line],
        answers: list[tuple[str, str]],
        then: Callable[[str | None], None],
    ) -> None:
        from exptui.tui.screens.sheets import Confirm

        self.app.push_screen(Confirm(title, lines, answers), then)

    def _prompt(self, title: str, hint: str, text: str, then: Callable[[str | None], None]) -> None:
        from exptui.tui.screens.sheets import Prompt

        self.app.push_screen(Prompt(title, hint, text), then)

    def _choose(
        self, title: str, rows: list[Row], hint: str, then: Callable[[str | None], None] = lambda _: None
    ) -> None:
        from exptui.tui.screens.sheets import Choose

        self.app.push_screen(Choose(title, rows, hint), then)

    # Compare

    def action_mark(self) -> None:
        """Mark or unmark, and go on to the next."""
        if row := self._run():
            self.marks ^= {row.run_id}
            self.last_mark = row.run_id
            self.refresh_lists()
            self.query_one("#runs", RowList).action_move(1)

    def action_mark_range(self) -> None:
        """From the last mark to the cursor."""
        rows = self.query_one("#runs", RowList).rows
        row = self._run()
        ends = (
            [at for key in (self.last_mark, row.run_id) if (at := rows.find(key)) is not None] if row else []
        )
        if len(ends) == 2:
            self.marks |= frozenset(self.listing.ids(min(ends), max(ends) + 1))
            self.refresh_lists()
            self.select(again=True)
        elif row:
            self.say("mark one end first: space", good=False)

    def action_mark_all(self) -> None:
        """Everything the filter shows; once more: nothing."""
        shown = frozenset(self.listing.ids())
        self.marks = frozenset() if shown <= self.marks else self.marks | shown
        self.refresh_lists()
        self.select(again=True)

    def action_pin(self) -> None:
        """The baseline."""
        if row := self._run():

            def work() -> str:
                self.workspace.pin(row.run_id)
                pinned = self.workspace.notes.baseline
                return f"baseline: {pinned}" if pinned else "no baseline any more"

            self._do(work)

    def action_tag(self) -> None:
        """Tag the marked runs, or the one under the cursor."""
        names = [row.run_id for row in self._runs()]
        if not names:
            return

        def tagged(text: str | None) -> None:
            if text and (tag := text.removeprefix("-")):
                remove = text != tag

                def work() -> str:
                    self.workspace.tag(names, tag, remove=remove)
                    return f"{len(names)} {'no longer ' if remove else ''}tagged {tag}"

                self._do(work)

        hint = "a word; -word takes it away; the filter finds tag:word"
        self._prompt(f"Tag {present.plural(len(names), 'run')}", hint, "", tagged)

    def action_compare(self) -> None:
        """The marked runs: the pinned one first, else the oldest."""
        ids = [row.run_id for row in reversed(self._marked())]
        pinned = self.snapshot.baseline
        if len(ids) < 2 and isinstance(row := self.chosen(), RunRow):
            ids = list(dict.fromkeys([*ids, row.run_id]))
            if pinned and pinned not in ids and self.snapshot.run(pinned):
                ids.insert(0, pinned)
        if len(ids) < 2:
            self.say("mark two runs first: space marks the one under the cursor", good=False)
            return
        ids.sort(key=lambda run_id: run_id != pinned)
        from exptui.tui.screens.compare import CompareScreen

        self.app.push_screen(CompareScreen(self.workspace, ids, self.curves, pinned))

    def action_matrix(self) -> None:
        """The verdicts over all archives, by machine."""
        from exptui.core.archive.tally import matrix
        from exptui.tui.lists import matrix_rows

        found = matrix((row.run_id, row.archived.heard) for row in reversed(self.snapshot.archives))
        if not found.rows:
            self.say("no archive was verified yet: V on one runs it again", good=False)
            return

        def chosen(run_id: str | None) -> None:
            if run_id:
                self.go("archives")
                self.query_one("#archives", RowList).select(run_id)

        rows = matrix_rows(found, min(SHEET, self.size.width * 94 // 100) - 6)
        self._choose("Verdicts by machine", rows, "Enter goes to the archive, Esc closes", chosen)

    # Look

    def _detail(self) -> DetailPane:
        return self.query_one(DetailPane)

    def action_filter(self) -> None:
        """Filter the runs; in the log: search."""
        view = self._detail().log_view
        if self.focused is view:
            self._prompt(
                "Search the log",
                "a regular expression; n and N go on",
                "",
                lambda text: view.search(text) if text else None,
            )
            return

        def chosen(text: str | None) -> None:
            if text is not None:
                self.query_text = text.strip()
                self.relist()

        hint = "words, or accuracy>0.9 state:failed model.layers=8 tag:keep; empty shows all"
        self._prompt("Filter the runs", hint, self.query_text, chosen)

    def action_filter_log(self) -> None:
        """Only the lines of the log that match."""
        self.action_log()
        view = self._detail().log_view
        self._prompt(
            "Filter the log",
            "a regular expression; empty shows all lines",
            "",
            lambda text: None if text is None else view.filter(text),
        )

    def action_pane_1(self) -> None:
        """To the configs."""
        self.go("configs")

    def action_pane_2(self) -> None:
        """To the runs."""
        self.go("runs")

    def action_pane_3(self) -> None:
        """To the archive."""
        self.go("archives")

    def action_pane_0(self) -> None:
        """To the detail."""
        self.show_pane("detail")
        self._detail().focus_tab()

    def action_tab_left(self) -> None:
        """The tab to the left."""
        self.show_pane("detail")
        self._detail().turn(-1)

    def action_tab_right(self) -> None:
        """The tab to the right."""
        self.show_pane("detail")
        self._detail().turn(1)

    def action_log(self) -> None:
        """The log."""
        self._detail().tab = "log"
        self.action_pane_0()

    def action_follow(self) -> None:
        """The end of the log."""
        self.action_log()
        self._detail().log_view.action_follow()

    def action_zoom(self) -> None:
        """The whole screen for the focused pane."""
        self.toggle_class("zoomed")

    def action_refresh(self) -> None:
        """Look again."""
        self.bridge.refresh()
        self.select(again=True)

    def action_copy(self) -> None:
        """A menu of what can be copied."""
        row = self.chosen()
        if isinstance(row, RunRow):
            from exptui.core.monitor.detail import whole

            self.bridge.ask("copy", partial(whole, self.workspace, row), self._copy)
        elif row is not None:
            self._copy(row)

    def _copy(self, row: Subject) -> None:
        rows: list[tuple[str, str]] = []
        match row:
            case ConfigRow():
                rows = [("name", row.stem), ("path", str(row.path)), ("command", f"exptui run {row.stem}")]
            case RunRow():
                digest = row.view.record.config_sha256 if row.view.record else ""
                rows = [("id", row.run_id), ("path", str(row.view.path)), ("config sha256", digest)]
                rows.append(("command", f"exptui show {row.run_id}"))
            case ArchiveRow():
                rows = [
                    ("id", row.run_id),
                    ("path", str(row.archived.path)),
                    ("tar sha256", row.archived.identity or ""),
                ]
                rows.append(("command", f"exptui verify {row.run_id}"))
        choices = [
            Row(text, ((f"{name:<14}", "muted"), (clean(text, 300), ""))) for name, text in rows if text
        ]

        def chosen(text: str | None) -> None:
            if text:
                self.app.copy_to_clipboard(clean(text))
                self.say(f"copied, where your terminal allows it: {text}")

        self._choose("Copy", choices, "Enter copies (OSC 52), Esc closes", chosen)

    def action_cancel(self) -> None:
        """What is in the way: a search in the log, zoom, an operation, marks and filter, the morning's news."""
        if self.cancel_search():
            return
        if self.has_class("zoomed"):
            self.remove_class("zoomed")
        elif self.bridge.cancel():
            self.say("stopping…")
        elif self.query_text or self.marks:
            self.query_text, self.marks = "", frozenset()
            self.relist()
            self.refresh_lists()
            self.select(again=True)
        elif self.news:
            self.end_news()
        elif self.has_class("show-detail"):
            self.go("runs")

    # Help and leaving

    def action_help(self) -> None:
        """All keys."""
        from exptui.tui.screens.sheets import Help

        self.app.push_screen(Help())

    def action_palette(self) -> None:
        """All commands by name."""
        from exptui.tui.commands import effective

        rows = [
            Row(one.name, ((f"{one.key:<7}", "accent"), (one.help, "")))
            for one in effective(self.app)
            if one.name != "palette"
        ]

        def chosen(name: str | None) -> None:
            if name:
                self.call_later(self.run_action, name)

        self._choose("Commands", rows, "Enter does it, Esc closes", chosen)

    def action_quit(self) -> None:
        """Leave; runs go on."""
        if not self.bridge.busy:
            self.app.exit()
            return
        lines: list[Line] = [
            [("Archive, check or restore is at work; it is undone when you leave now.", "warn")]
        ]
        self._confirm("Leave?", lines, ("y", "leaves"), self.app.exit)
