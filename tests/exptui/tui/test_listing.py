"""The list of runs: order, columns, and what is drawn."""

from __future__ import annotations

import math
from array import array
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

from exptui.core.directions import Directions
from exptui.core.monitor import chosen
from exptui.core.monitor.columns import Entry, Table
from exptui.core.monitor.run_rows import Runs
from exptui.core.runs.run import RunState
from exptui.tui.app import Exptui
from exptui.tui.listing import Choice, Lister, RunRows
from exptui.tui.screens.columns import Columns
from exptui.tui.widgets.rows import Row, RowList
from support import finished, workspace
from tui_support import opened, text, until

NAN = math.nan


def runs(*facts: tuple[dict[str, object], dict[str, float]]) -> Runs:
    """Runs a, b, c, … with these configs and numbers, the last one the newest."""
    table = Table()
    for at, (flat, final) in enumerate(facts):
        name = chr(ord("a") + at)
        table.add(Entry(name, name, RunState.FINISHED, at, at + 1.0, flat, final))
    return Runs(table, array("I", range(len(table))), {}, Path("results"))


SEEN = runs(
    ({"m.layers": 8, "m.act": "ReLU"}, {"accuracy": 0.5, "validate_loss": 0.5, "train_loss": 0.1}),
    ({"m.layers": 5, "m.act": "ReLU"}, {"accuracy": NAN, "train_loss": 0.2}),
    ({"m.layers": "auto", "m.act": "ReLU"}, {}),
    ({"m.layers": 5, "m.act": "ReLU"}, {"accuracy": 0.9, "validate_loss": 0.3}),
)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [("newest", "dcba"), ("name", "abcd"), ("best", "dacb"), ("least", "bdac"), ("m.layers", "dbac")],
)
def test_orders(sort: str, expected: str) -> None:
    made = Lister().make(SEEN, Choice(sort=sort))
    assert "".join(made.ids()) == expected


def test_filter_and_columns() -> None:
    lister = Lister()
    made = lister.make(SEEN, Choice("layers=5"))
    assert (made.ids(), made.leading, made.extras) == (["d", "b"], ("accuracy", "loss"), ())
    assert [extra.key for extra in lister.make(SEEN, Choice()).extras] == ["m.layers"]
    both = lister.make(SEEN, Choice(columns=("m.act", "train_loss", "gone")))
    assert [(extra.head, extra.width) for extra in both.extras] == [("act", 4), ("train_loss", 11)]
    assert both.sorts[-2:] == ("m.act", "train_loss")


def test_tags_are_found_and_directions_are_the_settings() -> None:
    lister = Lister()
    assert lister.make(SEEN, Choice("tag:keep")).ids() == []
    assert lister.make(SEEN, Choice("tag:keep"), {"c": {"keep.tag": "keep"}}).ids() == ["c"]
    turned = lister.make(
        SEEN, Choice(sort="best"), directions=Directions(lower=("accuracy",), higher=("loss",))
    )
    assert turned.leading == ("loss", "accuracy")
    assert "".join(turned.ids()) == "adbc"


def test_a_filter_is_kept_up_to_date_as_rows_are_added() -> None:
    lister, seen = Lister(), runs(({"x": 1}, {}), ({"x": 2}, {}))
    assert lister.make(seen, Choice("x=1")).ids() == ["a"]
    seen.table.add(Entry("c", "c", RunState.FINISHED, 3, 3, {"x": 1}, {}))
    more = Runs(seen.table, array("I", [0, 1, 2]), {}, Path("results"))
    assert lister.make(more, Choice("x=1")).ids() == ["c", "a"]
    assert lister.make(more, Choice("x=2")).ids() == ["b"]


def shown(rows: RunRows) -> list[str]:
    return ["".join(part for part, _ in (*row.left, *row.right)) for row in (rows.header(), *rows)]


def test_rows_fit_the_width_and_say_what_does_not() -> None:
    made = Lister().make(SEEN, Choice(sort="m.layers", columns=("m.layers", "m.act")))
    wide, narrow = RunRows(made, "b", 61, 80), RunRows(made, "b", 61, 40)
    assert shown(wide)[:2] == ["run layers▾  act   acc   loss   age ", "✔ d       5 ReLU  .900   .300  57 s "]
    assert shown(wide)[2] == "✔ ★ b       5 ReLU   nan   .200  59 s "
    assert shown(narrow)[0] == "run  +1 column layers▾   acc   loss   age "
    assert shown(RunRows(made, "", 61, 20))[0].startswith("run  +2 columns")
    assert (wide.find("c"), wide.find("nothing")) == (3, None)


class Listed(App[None]):
    """One list."""

    def compose(self) -> ComposeResult:
        """Only the list."""
        yield RowList("empty", id="rows")


async def test_only_lines_that_differ_are_painted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Listed()
    async with app.run_test(size=(40, 10)) as pilot:
        rows = app.query_one(RowList)
        header = Row("", (("head", ""),))
        many = [Row(str(at), ((f"row {at}", ""),)) for at in range(1000)]
        rows.show(many, header)
        await pilot.pause()
        painted = list[int]()
        refresh = RowList.refresh

        def refreshed(self: RowList, *regions: Region, **how: bool) -> RowList:
            painted.extend(region.y for region in regions) if regions else painted.append(-1)
            return refresh(self, *regions, **how)

        monkeypatch.setattr(RowList, "refresh", refreshed)
        rows.show(list(many), header)
        assert painted == []
        many[3] = Row("3", (("another", ""),))
        many[500] = Row("500", (("out of sight", ""),))
        rows.show(list(many), header)
        assert painted == [4]
        rows.show(list(many), header, frozenset({"5"}))
        assert painted == [4, 6]


async def test_the_cursor_stays_on_its_row_and_in_sight() -> None:
    app = Listed()
    async with app.run_test(size=(40, 10)) as pilot:
        rows = app.query_one(RowList)
        many = [Row(str(at), ((f"row {at}", ""),)) for at in range(1000)]
        rows.show(many)
        rows.select("7")
        rows.show(list(reversed(many)))
        await pilot.pause()
        assert (rows.key, rows.cursor) == ("7", 992)
        assert rows.scroll_y <= 992 < rows.scroll_y + 10
        rows.show(many[:3])
        await pilot.pause()
        assert rows.key == "2"


async def test_columns_are_chosen_and_remembered(tmp_path: Path) -> None:
    script = 'echo "{\\"accuracy\\": 0.9, \\"f1\\": 0.7}" > "$EXPTUI_OUTPUT/metrics.json"'
    space = workspace(tmp_path, script)
    (space.configs / "b.toml").write_text("[engine]\nbase_seed = 8\n")
    finished(space)
    finished(space, "b")
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        listed = screen.query_one("#runs", RowList)
        await until(pilot, lambda: [extra.key for extra in screen.listing.extras] == ["engine.base_seed"])
        await pilot.press("2", "plus")
        await until(pilot, lambda: listed.header and "base_seed" in listed.header.right[0][0])
        await pilot.press("S")
        await until(pilot, lambda: isinstance(app.screen, Columns))
        app.screen.query_one(RowList).select("f1")
        await pilot.press("space", "escape")
        await until(
            pilot, lambda: [extra.key for extra in screen.listing.extras] == ["engine.base_seed", "f1"]
        )
        await until(pilot, lambda: "0.7" in text(listed))
        await until(pilot, lambda: chosen.load(space.root) == ("engine.base_seed", "f1"))
        await pilot.press("s", "s", "s", "s")
        await until(
            pilot, lambda: screen.sort == "engine.base_seed" and screen.listing.choice.sort == screen.sort
        )
    again = Exptui(space)
    async with again.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, again)
        await until(
            pilot, lambda: [extra.key for extra in screen.listing.extras] == ["engine.base_seed", "f1"]
        )
        await pilot.press("S")
        await until(pilot, lambda: isinstance(again.screen, Columns))
        await pilot.press("home", "enter", "escape")
        await until(pilot, lambda: [extra.key for extra in screen.listing.extras] == ["engine.base_seed"])
        await until(pilot, lambda: chosen.load(space.root) is None)
