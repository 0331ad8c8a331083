"""A list of rows: where its cursor is when others come."""

from __future__ import annotations

from textual.app import App, ComposeResult

from exptui.tui.widgets.rows import Row, RowList


class Listed(App[None]):
    """Nothing but a list."""

    def compose(self) -> ComposeResult:
        yield RowList("none", id="rows")


def rows(*keys: str) -> list[Row]:
    return [Row(key, ((key, ""),)) for key in keys]


async def test_while_rows_are_found_the_cursor_waits_on_the_first_one() -> None:
    async with Listed().run_test() as pilot:
        shown = pilot.app.query_one(RowList)
        shown.show(rows("old"), first=True)
        shown.show(rows("new", "old"), first=True)
        assert shown.key == "new"
        shown.show(rows("newer", "new", "old"))  # all were found: it stays where it is
        assert shown.key == "new"


async def test_a_cursor_that_was_moved_stays_on_its_row() -> None:
    async with Listed().run_test() as pilot:
        shown = pilot.app.query_one(RowList)
        shown.show(rows("b", "c"), first=True)
        shown.action_move(1)
        shown.show(rows("a", "b", "c"), first=True)
        assert shown.key == "c"
        shown.show(rows("a", "b"), first=True)
        assert shown.key == "b"  # it is gone: the nearest
