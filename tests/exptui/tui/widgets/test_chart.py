from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from exptui.core.curves.series import Series
from exptui.tui.widgets.chart import MARKERS, Chart, Curve, View, nice


class Charts(App[None]):
    def compose(self) -> ComposeResult:
        yield Chart("loss [/x] \x1b[31m", id="chart")


class Counted(Chart):
    paints = 0

    def render_line(self, y: int) -> object:  # type: ignore[override]
        Counted.paints += y == 0
        return super().render_line(y)


def curve(name: str, count: int = 50, color: int = 0) -> Curve:
    return Curve(name, Series.of((float(x), 1 / (x + 1)) for x in range(count)), color)


def lines(chart: Chart) -> list[str]:
    return [chart.render_line(y).text for y in range(chart.size.height)]


async def test_curves_and_hostile_names_are_shown_as_text() -> None:
    app = Charts()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        chart = app.query_one(Chart)
        assert any("no values yet" in row for row in lines(chart))
        chart.show([curve("train [/x]", 50), curve("\x1b]52;c;x\x07", 60, 1)])
        await pilot.pause()
        rows = lines(chart)
        assert all(len(row) == 80 for row in rows)
        assert rows[0].startswith("loss [/x] ␛[31m")
        assert "● train [/x] 0.02" in rows[0]
        assert "◆ ␛]52;c;x␇ 0.01667" in rows[0]
        assert not any(ord(char) < 32 for row in rows for char in row)
        assert "1┤" in rows[1]
        assert rows[-1].strip().startswith("└0")
        assert rows[-1].endswith("59")
        assert sum(row.count("●") + row.count("◆") for row in rows[1:]) == 2
        assert app.export_screenshot()


async def test_curves_of_one_name_are_named_once() -> None:
    app = Charts()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        chart = app.query_one(Chart)
        gap = Series.of(((0.0, 1.0), (1.0, float("nan"))))
        chart.show([curve("A"), curve("A", 40), curve("B", 30, 1), Curve("B", gap, 1), curve("C", 50, 2)])
        await pilot.pause()
        head = lines(chart)[0]
        assert [head.count(f" {name}") for name in "ABC"] == [1, 2, 1]  # what is not finite is said of each
        assert head.rstrip().endswith("C 0.02")


async def test_equal_curves_and_views_repaint_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Charts()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        chart = app.query_one(Chart)
        gap = Series.of(((0.0, 1.0), (1.0, float("nan"))))
        chart.show([curve("a"), Curve("b", gap)])
        await pilot.pause()
        refreshed: list[object] = []
        monkeypatch.setattr(chart, "refresh", lambda *_args, **_kwargs: refreshed.append(1))
        chart.show([curve("a"), Curve("b", Series.of(((0.0, 1.0), (1.0, float("nan")))))])
        chart.view = View()
        assert not refreshed
        chart.show([curve("a"), Curve("b", Series.of(((0.0, 1.0), (1.0, 2.0))))])
        assert len(refreshed) == 1
        chart.view = View(log_y=True)
        assert len(refreshed) == 2


async def test_an_unchanged_chart_is_painted_once() -> None:
    class One(App[None]):
        def compose(self) -> ComposeResult:
            yield Counted("a")

    app = One()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.query_one(Counted).show([curve("a")])
        await pilot.pause(0.05)
        before = Counted.paints
        app.query_one(Counted).show([curve("a")])
        await pilot.pause(0.2)
        assert Counted.paints == before


async def test_zoom_and_pan_stay_inside() -> None:
    app = Charts()
    async with app.run_test(size=(80, 24), notifications=True):
        chart = app.query_one(Chart)
        chart.zoom(2)
        chart.pan(1)
        chart.move_cursor(1)
        assert chart.view == View()
        chart.show([curve("a", 101)])
        chart.zoom(2)
        assert (chart.view.x0, chart.view.x1) == (25, 75)
        chart.pan(0.25)
        assert (chart.view.x0, chart.view.x1) == (37.5, 87.5)
        chart.pan(9)
        assert (chart.view.x0, chart.view.x1) == (50, None)
        chart.pan(-9)
        assert (chart.view.x0, chart.view.x1) == (None, 50)
        chart.zoom(1e-9)
        assert chart.view == View()
        chart.zoom(1e30)
        assert (chart.view.x0, chart.view.x1) == (49.5, 50.5)
        for bad in (0.0, -1.0, math.nan, math.inf):
            chart.zoom(bad)
        chart.pan(math.nan)
        assert (chart.view.x0, chart.view.x1) == (49.5, 50.5)


async def test_the_cursor_moves_over_points_and_takes_the_window_along() -> None:
    app = Charts()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        chart = app.query_one(Chart)
        chart.show([curve("a", 11), Curve("b", Series.of(((0.0, 3.0), (4.0, 5.0))), 1)])
        chart.move_cursor(1)
        assert chart.view.cursor == 0
        chart.move_cursor(3)
        assert chart.view.cursor == 3
        await pilot.pause()
        rows = lines(chart)
        assert "● a 0.25" in rows[0]
        assert "◆ b 5 at 4" in rows[0]
        assert "▲3" in rows[-1]
        chart.zoom(4)
        chart.move_cursor(99)
        assert (chart.view.cursor, chart.view.x0, chart.view.x1) == (10, 7.5, None)
        chart.move_cursor(-99)
        assert (chart.view.cursor, chart.view.x0, chart.view.x1) == (0, None, 2.5)
        chart.show([curve("a", 10_000)])
        chart.view = View()
        chart.move_cursor(-1)
        chart.move_cursor(-1)
        assert chart.view.cursor == pytest.approx(9_999 - 9_999 / 72, abs=1)


async def test_log_and_smoothing_are_told() -> None:
    app = Charts()
    async with app.run_test(size=(80, 24), notifications=True):
        chart = app.query_one(Chart)
        chart.show([Curve("a", Series.of(((0.0, -1.0), (1.0, 2.0), (2.0, math.nan))))])
        chart.toggle_log()
        assert "log · 1 ≤ 0 left out" in lines(chart)[0]
        assert "a nan ✕1" in lines(chart)[0]
        chart.toggle_log()
        seen = []
        for _ in range(4):
            chart.cycle_smoothing()
            seen.append(chart.view.smoothing)
        assert seen == [0.5, 0.8, 0.95, 0.0]


async def test_a_narrow_legend_is_cut_where_names_agree() -> None:
    app = Charts()
    async with app.run_test(size=(60, 10), notifications=True):
        chart = app.query_one(Chart)
        chart.title = "loss"
        chart.show([curve(f"digits-baseline-run-{seed}", 9, seed) for seed in range(3)])
        assert "● …0 0.1111  ◆ …1 0.1111  ▲ …2 0.1111" in lines(chart)[0]
        chart.show([curve("digits" * 9), curve("运行" * 30, 9, 1)])
        header = lines(chart)[0]
        assert header.count("…") == 2
        assert chart.render_line(0).cell_length == 60


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 9), (3, 2), (7, 3), (20, 4), (21, 5), (300, 2)])
async def test_any_size(size: tuple[int, int]) -> None:
    app = Charts()
    async with app.run_test(size=size, notifications=True) as pilot:
        chart = app.query_one(Chart)
        chart.styles.min_height = 1
        chart.show([curve("运行 a"), curve("b", 3, 1), curve("c", 70, 8)])
        chart.move_cursor(-1)
        await pilot.pause()
        assert [chart.render_line(y).cell_length for y in range(chart.size.height)] == [size[0]] * size[1]


async def test_no_colour_leaves_markers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Charts()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        assert app.no_color
        chart = app.query_one(Chart)
        chart.show([curve(str(number), 40 + number, number) for number in range(len(MARKERS))])
        await pilot.pause()
        everything = "".join(lines(chart)[1:])
        assert sum(marker in everything for marker in MARKERS) >= 2
        assert len(set(MARKERS)) == 8


@given(st.floats())
def test_nice_is_short(value: float) -> None:
    assert 0 < len(nice(value)) <= 10


async def test_what_is_used_again_is_what_would_be_drawn_anew() -> None:
    app = Charts()
    noise = [
        Curve(str(n), Series.of((float(x), 1 + x * 7919 % 101 / 1e7 / (n + 1)) for x in range(900)), n)
        for n in (0, 1)
    ]
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        chart = app.query_one(Chart)
        chart.show(noise)
        before = lines(chart)
        for act in (chart.toggle_log, chart.cycle_smoothing, lambda: chart.zoom(4), lambda: chart.pan(0.3)):
            act()
            for _ in range(3):
                chart.move_cursor(1)
                shown = lines(chart)
                chart.notify_style_update()  # forgets what was drawn
                assert lines(chart) == shown
                assert all(len(row) == 80 for row in shown)
        chart.view = View()
        assert lines(chart) == before
        chart.show([Curve("a", Series.of((float(x), -1e-300 * (1 + x / 1e6)) for x in range(50)))])
        assert lines(chart)[1].index("┤") > before[1].index("┤")
        chart.show(noise)
        assert lines(chart) == before
        await pilot.pause()
