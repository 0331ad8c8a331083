from __future__ import annotations

import pytest
from rich.color import ColorSystem
from textual.app import App, ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.geometry import Region
from textual.screen import Screen
from textual.widgets import Static

from exptui.tui.compositor import QuickCompositor
from exptui.tui.picture import Picture

LINES = "\n".join(f"{at} 日本 and some text that is long enough" for at in range(30))


class Over(Screen[None]):
    """A frame, something that scrolls in it, and something that lies over both."""

    CSS = """
    Vertical { border: round red; height: 1fr; }
    VerticalScroll { height: 8; }
    #over { layer: above; offset: 11 3; width: 13; height: 4; background: blue; border: solid green; }
    Screen { layers: default above; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._compositor = QuickCompositor()

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static("above", id="above")
            with VerticalScroll():
                yield Static(LINES, id="text")
        yield Static("over", id="over")


REGIONS = [
    Region(0, 0, 80, 24),
    Region(0, 0, 1, 1),
    Region(12, 4, 3, 1),
    Region(5, 2, 20, 6),
    Region(70, 1, 30, 5),
    Region(0, 20, 80, 9),
    Region(79, 0, 1, 24),
    Region(200, 200, 5, 5),
]


@pytest.mark.parametrize("dirty", REGIONS, ids=str)
async def test_a_part_looks_like_that_part_of_the_whole(dirty: Region) -> None:
    app: App[None] = App()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await app.push_screen(Over())
        await pilot.pause()
        compositor, colors = app.screen._compositor, ColorSystem.TRUECOLOR
        whole = Picture()
        whole.take(compositor.render_full_update(), colors)
        part = Picture()
        part.resize(80, 24)
        compositor._dirty_regions = {dirty}
        update = compositor.render_partial_update()
        assert (update is not None) == bool(dirty.intersection(Region(0, 0, 80, 24)))
        if update is not None:
            part.take(update, colors)
        blank = Picture()
        blank.resize(80, 24)
        for y in range(24):
            for x in range(80):
                inside = dirty.contains(x, y)
                assert part.wanted[y][x] == (whole if inside else blank).wanted[y][x] or "日" in str(
                    (whole.wanted[y][x - 1], whole.wanted[y][x])
                ), (x, y)
