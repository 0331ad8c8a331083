"""The lines of the comparison: all that differs at any width, and nothing dropped without a sign."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from exptui.core.compare.comparison import Comparison, compare, letter
from exptui.core.compare.sides import Side
from exptui.core.compare.statistics import Estimate
from exptui.core.directions import Directions
from exptui.core.monitor.metrics import Metrics
from exptui.tui.app import Exptui
from exptui.tui.comparison import decimals, forest, rows
from exptui.tui.screens.compare import CompareScreen
from exptui.tui.widgets.chart import Chart
from exptui.tui.widgets.rows import Row, RowList
from support import workspace
from tui_support import opened, until


def compared(configs: list[dict[str, Any]], numbers: list[float]) -> Comparison:
    sides = [
        Side(f"run{at}", "seed", config, {"code.a": "0"}, Metrics({"accuracy": value}))
        for at, (config, value) in enumerate(zip(configs, numbers, strict=True))
    ]
    return compare(sides, Directions())


def lines(found: list[Row]) -> list[str]:
    return ["".join(part for part, _ in (*row.left, *row.right)).rstrip() for row in found]


def test_two_runs_are_one_line_a_key() -> None:
    shown = "\n".join(
        lines(rows(compared([{"layers": 5, "same": 1}, {"layers": 8, "same": 1}], [0.5, 0.75]), 120, "run0"))
    )
    assert " A ★ run0   baseline" in shown
    assert "layers                         5 → 8" in shown
    assert "same  " not in shown
    assert "fingerprint  the same" in shown
    assert "0.7500  Δ  +0.2500    +50.0 %  better" in shown


def test_groups_have_intervals_and_a_place() -> None:
    configs = [{"layers": layers, "seed": seed} for layers in (5, 8) for seed in (1, 2, 3)]
    found = compared(configs, [0.5, 0.6, 0.7, 0.8, 0.85, 0.9])
    shown = lines(rows(found, 120, ""))
    assert " A   layers=5  3 seeds   baseline" in shown
    assert any(
        line.startswith("   B   0.8500 [0.8000, 0.9000] n 3") and line.endswith("├────●───┤")
        for line in shown
    )
    assert sum("┊" in line for line in shown) == 1
    assert any("no p can be below 0.1" in line for line in shown)
    assert shown[-1] == " B run5"
    narrow = lines(rows(found, 78, ""))
    assert max(map(len, narrow)) <= 77
    assert any("[+0.1500, +0.3500]  better" in line for line in narrow)


@pytest.mark.parametrize("width", [118, 78])
def test_twenty_runs_with_two_hundred_keys(width: int) -> None:
    base: dict[str, Any] = {f"table.key{n}": n for n in range(200)}
    configs = [{**base, "table.key7": n % 4, "table.wide": "x" * 50 + str(n)} for n in range(20)]
    found = rows(compared(configs, [n / 20 for n in range(20)]), width, "")
    shown = lines(found)
    assert not [line for line in shown if "table.key8" in line]
    assert [line.split()[-5:] for line in shown if "table.key7" in line] == [list("AEIMQ")]
    for at in range(20):
        assert any(f"{'x' * 50}{at} " in line or line.endswith(f"{'x' * 50}{at}") for line in shown)
        assert any(line.startswith(f"{letter(at):>4}") for line in shown)
    assert max(map(cell_len, shown)) < width or width < 100
    assert len({row.key for row in found}) == len(found)


def test_letters_that_have_no_room_go_on_in_the_next_line() -> None:
    found = rows(compared([{"key": at % 2, "other": at} for at in range(60)], [0.0] * 60), 78, "")
    shown = lines(found)
    first = next(at for at, line in enumerate(shown) if line.startswith("  key "))
    words = " ".join(line[-24:] for line in shown[first : first + 12] if not line.startswith("  other"))
    assert {letter(at) for at in range(60)} <= set(words.split())


def test_what_is_still_being_read_is_said() -> None:
    shown = lines(rows(compared([{}, {"a": 1}], [0.5, 0.75]), 80, "", 0.34))
    assert "metrics  reading 34%" in shown
    assert not any("accuracy" in line for line in shown)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=5))
def test_numbers_are_told_apart(values: list[float]) -> None:
    text, span = decimals(values), max(values) - min(values)
    if span > 1e-6 and max(map(abs, values)) > 1e-3:
        assert text(max(values), "") != text(min(values), "")
    assert len({text(value, "") for value in values}) <= len(values)


@given(
    st.lists(st.floats(allow_infinity=True, allow_nan=True, width=32), min_size=3, max_size=3),
    st.integers(1, 40),
)
def test_a_place_is_always_on_the_line(values: list[float], width: int) -> None:
    low, mean, high = sorted(values) if not any(map(math.isnan, values)) else values
    finite = [value for value in values if math.isfinite(value)]
    whole = len(finite) == 3
    found = Estimate(3, mean, low if whole else None, high if whole else None)
    drawn = forest(found, found, finite, width)
    assert len(drawn) == width
    assert ("●" in drawn) == math.isfinite(mean)


async def test_twenty_runs_on_a_small_screen(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    keys = "\n".join(f"key{n} = {n}" for n in range(200))
    for n in range(20):
        directory = space.results / f"hand{n:02}"
        directory.mkdir(parents=True)
        (directory / "config.toml").write_text(f"{keys}\nmine = {n % 3}\n")
        (directory / "metrics.jsonl").write_text(
            f'{{"step": 1, "loss": {n}}}\n{{"step": 2, "loss": {n / 2}}}\n'
        )
    app = Exptui(space)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, app)
        await pilot.press("2", "asterisk", "d")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.whole)
        shown = app.screen.query_one("#compare", RowList)
        assert any("lower is better" in line for line in lines(shown.rows[:]))
        assert not any("key8" in line for line in lines(shown.rows[:]))
        seen: set[str] = set()
        await pilot.press("c")
        for _ in range(20):
            seen |= {shown.render_line(y).text.rstrip() for y in range(shown.size.height)}
            await pilot.press("pagedown")
        for at in range(20):
            assert any(line.startswith(f" {letter(at):>2} ") and f"hand{at:02}" in line for line in seen)
        assert any(line.strip().startswith("mine") for line in seen)
        assert any("20 runs: code and environment unknown" in line for line in seen)


async def test_the_curves_follow_the_cursor(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    for n in range(2):
        directory = space.results / f"hand{n}"
        directory.mkdir(parents=True)
        rows = [{"step": at, "a": at + n, "loss": at - n, "val_b": at * n, "accuracy": n} for at in (1, 2)]
        (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot, app)
        await pilot.press("2", "asterisk", "d")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.whole)
        charts, shown = list(app.screen.query(Chart)), app.screen.query_one("#compare", RowList)
        assert [chart.title for chart in charts] == ["loss", "accuracy"]
        shown.select(next(row.key for row in shown.rows if row.key.endswith(" val_b")))
        await until(pilot, lambda: [chart.title for chart in charts] == ["loss", "b"])
        await pilot.press("c")
        assert not app.screen.query_one("#compare-curves").display
