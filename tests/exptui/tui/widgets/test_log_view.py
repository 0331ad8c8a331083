"""The log pane follows, pauses, searches and wraps; whatever a run writes, nothing of it commands the terminal."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.strip import Strip

from exptui.core.monitor.index import LogIndex, LogWindow
from exptui.core.monitor.pattern import compile_pattern, plain
from exptui.core.monitor.text import CAP
from exptui.tui.widgets.log_lines import styled, wrapped
from exptui.tui.widgets.log_search import fitted, matched
from exptui.tui.widgets.log_view import LogView

HOSTILE = [
    b"[/x]",
    b"[@click=app.quit]x[/]",
    b"\x1b]52;c;aGk=\x07",
    b"\x9b2J \xc2\x9b2J",
    "\u202eevil\u2066".encode(),
    b"nul \0 bell \a \x1b[2J \x1b[31",
    b"x" * (1 << 20),
    b"\xff\xfe \x1b[31mred\x1b[0m \x1b[8mhidden",
    b"10%\r 20%\r 30%",
    ("宽" * 200).encode(),
]


class Host(App[None]):
    """A parent of the log pane as it is meant to be, but for the worker."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.index = LogIndex(path)
        self.kept: list[int] | None = None
        self.asked: list[object] = []
        self.statuses: list[str] = []

    def compose(self) -> ComposeResult:
        yield LogView()

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    def on_mount(self) -> None:
        self.view.focus()
        self.tick()

    def tick(self) -> None:
        """The file may have grown."""
        self.index.grow()
        count = self.index.count if self.kept is None else len(self.kept)
        self.answer(*self.view.needs(count))

    def answer(self, first: int, count: int) -> None:
        index = self.index
        if self.kept is None:
            lines = tuple(index.lines(first, count))
            self.view.show(LogWindow(index.generation, index.count, first, lines, index.complete))
        else:
            numbers = tuple(self.kept[first : first + count])
            lines = tuple(line for number in numbers for line in index.lines(number, 1))
            self.view.show(LogWindow(100, len(self.kept), first, lines, index.complete, numbers))

    def on_log_view_wanted(self, message: LogView.Wanted) -> None:
        self.asked.append(message)
        self.answer(message.first, message.count)

    def on_log_view_status_changed(self, message: LogView.StatusChanged) -> None:
        self.statuses.append(message.status)

    def on_log_view_search_wanted(self, message: LogView.SearchWanted) -> None:
        self.asked.append(message)
        hits = self.matches(message.pattern)
        ahead = [line for line in hits[:: message.step] if (line - message.start) * message.step >= 0]
        line = ahead[0] if ahead else None
        self.view.found(line, hits.index(line) + 1 if line is not None else 0, len(hits))

    def on_log_view_filter_wanted(self, message: LogView.FilterWanted) -> None:
        self.kept = self.matches(message.pattern) if message.pattern else None
        self.tick()

    def matches(self, pattern: str) -> list[int]:
        search = compile_pattern(pattern).search
        lines = self.index.lines(0, self.index.count)
        return [at for at, line in enumerate(lines) if search(plain(line).decode(errors="replace"))]


def strips(view: LogView) -> list[Strip]:
    return [view.render_line(y) for y in range(view.size.height)]


def rows(view: LogView) -> list[str]:
    return [strip.text.rstrip() for strip in strips(view)]


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    for _ in range(200):
        if true():
            return
        await pilot.pause()
    raise AssertionError(f"never came: {pilot.app.query_one(LogView).status}")


def grown(path: Path, first: int, last: int) -> None:
    with path.open("ab") as file:
        file.writelines(b"line %d\n" % number for number in range(first, last))


def controls(text: str) -> list[str]:
    return [c for c in text if unicodedata.category(c) in {"Cc", "Cs"}]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    grown(tmp_path / "trainer.log", 0, 5000)
    return tmp_path / "trainer.log"


ANSI = st.lists(
    st.binary(max_size=20)
    | st.text(max_size=20).map(lambda text: text.encode(errors="replace"))
    | st.lists(st.integers(0, 300) | st.sampled_from([38, 48, 5, 2]), max_size=7).map(
        lambda codes: f"\x1b[{';'.join(map(str, codes))}m".encode()
    )
    | st.sampled_from(
        [b"\x1b[", b"\x1b]52;c;", b"\x1b[38:2::1:2:3m", b"\x1b[;;m", b"\x1b\x1b[m[2J", b"\r", b"\xc2\x9b"]
    )
).map(b"".join)


@given(ANSI)
def test_no_control_character_survives(line: bytes) -> None:
    text = styled(line)
    assert not controls(text.plain)
    assert all(
        not (span.style.conceal or span.style.link)
        for span in text.spans[-1:]
        if isinstance(span.style, Style)
    )


@given(st.text(st.sampled_from("ab 宽👍é\u0301␛")), st.integers(1, 30))
def test_wrapping_loses_nothing_and_fits(line: str, width: int) -> None:
    pieces = wrapped(styled(line.encode()), width)
    assert "".join(piece.plain for piece in pieces) == line.replace("\u200d", "")
    assert all(piece.cell_len <= max(2, width) for piece in pieces)


def test_colours_stay_and_everything_else_is_text() -> None:
    text = styled(b"a\x1b[1;31mb\x1b[38;5;200mc\x1b[48;2;1;2;3md\x1b[0me\x1b[2Jf\r\n")
    assert text.plain == "abcde␛[2Jf"
    styles = [text.get_style_at_offset(Console(), offset) for offset in range(5)]
    assert [str(style.color and style.color.name) for style in styles] == [
        "None",
        "color(1)",
        "color(200)",
        "color(200)",
        "None",
    ]
    assert [bool(style.bold) for style in styles] == [False, True, True, True, False]
    assert styles[3].bgcolor is not None
    reset = styled(b"\x1b[31;42;5mx\x1b[39;49my").get_style_at_offset(Console(), 1)
    assert (reset.color, reset.bgcolor, reset.blink) == (None, None, None)
    assert not styled(b"\x1b[8mhidden").get_style_at_offset(Console(), 2).conceal
    assert styled(b"10%\r20%\r\x1b[0m").plain == "20%"
    assert styled(b"y" * (CAP + 7)).plain == "y" * CAP + "… (+7)"
    assert styled(b"y" * 65536).plain.endswith("… (+61,440 or more)")


async def test_follows_pauses_counts_and_resumes(log: Path) -> None:
    app = Host(log)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        view = app.view
        await until(pilot, lambda: rows(view)[-1] == "line 4999")
        assert view.status == "following"
        grown(log, 5000, 5010)
        app.tick()
        assert rows(view)[-1] == "line 5009"
        await pilot.press("k", "k")
        assert view.status == "paused"
        at = rows(view)
        grown(log, 5010, 6214)
        app.tick()
        await until(pilot, lambda: "paused, 1,204 new lines" in app.statuses)
        assert rows(view) == at
        await pilot.press("G")
        await until(pilot, lambda: rows(view)[-1] == "line 6213")
        assert view.status == "following"
        await pilot.press("g")
        await until(pilot, lambda: rows(view)[0] == "line 0")
        assert not view.following
        for key, top in (
            ("j", 1),
            ("pagedown", 25),
            ("ctrl+d", 37),
            ("ctrl+u", 25),
            ("pageup", 1),
            ("up", 0),
            ("down", 1),
        ):
            await pilot.press(key)
            assert rows(view)[0] == f"line {top}"
        await pilot.press("end")
        await until(pilot, lambda: view.following and rows(view)[-1] == "line 6213")


async def test_asks_once_for_what_it_lacks_and_paints_only_what_changed(log: Path) -> None:
    app = Host(log)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        view = app.view
        await pilot.press("g")
        await until(pilot, lambda: rows(view)[0] == "line 0")
        assert len(app.asked) == 1
        painted: list[int] = []
        render = view.render_line
        view.render_line = lambda y: painted.append(y) or render(y)  # type: ignore[method-assign,func-returns-value]
        await pilot.pause()
        painted.clear()
        app.tick()
        await pilot.pause()
        assert painted == []
        window = view._window
        view.show(LogWindow(0, 5000, 0, (window.lines[0], b"changed", *window.lines[2:]), complete=True))
        await pilot.pause()
        assert 1 in painted
        view.show(LogWindow(0, 5000, 0, (), complete=True))
        view.show(LogWindow(0, 5000, 0, (), complete=False))
        assert rows(view)[0] == "…"
        await until(pilot, lambda: rows(view)[0] == "line 0")
        assert len(app.asked) <= 3


async def test_a_truncated_log_starts_again(log: Path) -> None:
    app = Host(log)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: rows(app.view)[-1] == "line 4999")
        os.truncate(log, 0)
        grown(log, 7, 8)
        app.tick()
        await until(pilot, lambda: rows(app.view)[0] == "line 7")
        assert app.view.following
        os.unlink(log)  # noqa: PTH108 - pathlib blocks too
        app.tick()
        await until(pilot, lambda: rows(app.view)[0] == "")


async def test_search_and_errors(log: Path) -> None:
    with log.open("ab") as file:
        file.write(b"ok\nValueError: loss=NaN\n" + b"-" * 300 + b" needle\nfinance\nend\n")
    app = Host(log)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        view = app.view
        await pilot.press("g")
        await until(pilot, lambda: rows(view)[0] == "line 0")
        view.search("line .?.?99$")
        await until(pilot, lambda: view.status.startswith("match 1 of 50 'line .?.?99$'"))
        assert "line 99" in rows(view)
        await pilot.press("n")
        await until(pilot, lambda: view.status.startswith("match 2 of 50"))
        y = rows(view).index("line 199")
        assert any(segment.style and segment.style.reverse for segment in strips(view)[y])
        await pilot.press("N")
        await until(pilot, lambda: view.status.startswith("match 1 of 50"))
        await pilot.press("N")
        await until(pilot, lambda: view.status.startswith("no further match of 50"))
        await pilot.press("e")
        await until(pilot, lambda: "ValueError: loss=NaN" in rows(view))
        assert view.status.startswith("match 1 of 1 errors")
        y = view.scroll_offset.y
        await pilot.press("n")  # goes on with the search, not with the errors
        await until(pilot, lambda: view.status.startswith("no further match of 50 'line"))
        assert view.scroll_offset.y == y
        view.search("needle")
        await until(pilot, lambda: any("needle" in row for row in rows(view)))
        view.search("(")
        assert view.status.startswith("invalid pattern")
        view.filter("[")
        assert view.status.startswith("invalid pattern")
        view.search("")
        assert view.status.startswith("paused")


async def test_filter(log: Path) -> None:
    app = Host(log)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        view = app.view
        view.filter("7$")
        await until(pilot, lambda: rows(view)[-1] == "line 4997" and rows(view)[-2] == "line 4987")
        assert view.status == "filter: 7$ · following"
        await pilot.press("number_sign")
        assert rows(view)[-1] == "4,998 line 4997"
        view.filter("")
        await until(pilot, lambda: rows(view)[-1] == "5,000 line 4999")
        assert view.status == "following"


async def test_hostile_lines_do_nothing(tmp_path: Path) -> None:
    log = tmp_path / "trainer.log"
    log.write_bytes(b"\n".join(HOSTILE))
    app = Host(log)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        view = app.view
        await until(pilot, lambda: "[/x]" in rows(view))
        assert "[@click=app.quit]x[/]" in rows(view)
        for key in ("number_sign", "l", "w", "number_sign", "h"):
            await pilot.press(key)
            await pilot.pause()
            for strip in strips(view):
                assert not controls(strip.text)
                assert strip.cell_length == cell_len(strip.text) == view.scrollable_content_region.width
        for text in ("[/x]", "\x1b]52;c;x\x07"):
            view.search(text)
            await pilot.pause()
            assert not controls(view.status)


async def test_wrapping_shows_every_row_and_keeps_the_place(tmp_path: Path) -> None:
    log = tmp_path / "trainer.log"
    lines = [bytes([65 + number % 26]) * (number % 500) + b" %d" % number for number in range(3000)]
    log.write_bytes(b"\n".join(lines))
    app = Host(log)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        view = app.view
        await until(pilot, lambda: rows(view)[-1].endswith("›"))
        await pilot.press("w")
        assert rows(view)[-1].endswith(" 2999")
        view.found(1250)
        await until(pilot, lambda: any(row.endswith(" 1250") for row in rows(view)))
        await pilot.press("w", "w")
        view.scroll_to(y=view._places.row_of(1230), animate=False)
        seen = ""
        while " 1800" not in seen:
            await pilot.pause()
            seen += rows(view)[0]
            await pilot.press("j")
        wanted = b"".join(lines[1230:1800]).decode().replace(" ", "")
        assert wanted in seen.replace(" ", "")
        await pilot.press("G")
        await until(pilot, lambda: rows(view)[-1].endswith(" 2999"))
        await pilot.resize_terminal(60, 20)
        await until(pilot, lambda: view.size.height == 20 and rows(view)[-1].endswith(" 2999"))


async def test_lines_keep_their_place_when_their_numbers_become_known(log: Path) -> None:
    app = Host(log)
    lines = tuple(b"line %d" % number for number in range(4600, 5000))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        view = app.view
        view.show(LogWindow(7, 8400, 8000, lines, complete=False, numbered=7900))
        await until(pilot, lambda: rows(view)[-1] == "line 4999")
        assert view.status == "indexing… · following"
        await pilot.press("number_sign", "k", "k", "k")
        at = rows(view)
        assert at[-1].strip() == "line 4996"
        view.show(LogWindow(7, 5000, 4600, lines, complete=True, moved=-3400))
        await until(pilot, lambda: rows(view)[-1] == "4,997 line 4996")
        assert [row.strip() for row in at] == [row.partition(" ")[2] for row in rows(view)]
        assert view.status == "paused"
        view.show(LogWindow(7, 5002, 4600, lines, complete=True))
        assert view.status == "paused, 2 new lines"


async def test_a_pattern_that_backtracks_for_ever_is_not_lit_up(tmp_path: Path) -> None:
    log = tmp_path / "trainer.log"
    log.write_bytes(b"a" * 60 + b"b\naaa\n")
    app = Host(log)
    app.matches = lambda pattern: [len(pattern) // 6]  # type: ignore[method-assign]
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        view = app.view
        view.search("(a+)+$")
        await until(pilot, lambda: "match 1 of 1" in view.status)
        assert rows(view)[1] == "aaa"
        view.search("[" + "\\w" * 3 + "]" + "(?i:[\x00-\U0010ffff])" * 40)
        assert "too long" in view.status


@given(st.text("ab.", max_size=80), st.integers(40, 120))
def test_a_long_pattern_gives_way_and_what_was_counted_never(pattern: str, width: int) -> None:
    status = f"{matched(pattern, 1234, 56789, more=True)} · following"
    found = fitted(status, [pattern], max(width, 60))
    assert found.startswith("match 1,234 of ≥ 56,789 '")
    assert found.endswith("' …searching · following")
    assert len(found) <= max(width, 60)
