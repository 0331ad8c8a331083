from __future__ import annotations

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style

from exptui.tui.picture import PLAIN, Cell, Picture, cells, change, pen

WIDTH, HEIGHT = 14, 7
STYLES = [
    None,
    Style(bold=True),
    Style(color="red", bgcolor="#102030"),
    Style(bgcolor="#102030", reverse=True),
]
PIECES = ["a", "b", "xyz", " ", "日本", "é", "▶", "⠿", "   ", "step 12"]


def shown(screen: pyte.Screen) -> list[list[object]]:
    return [[screen.buffer[y][x] for x in range(WIDTH)] for y in range(HEIGHT)]


def fresh() -> tuple[Picture, pyte.Screen, pyte.Stream]:
    picture, screen = Picture(), pyte.Screen(WIDTH, HEIGHT)
    screen.reset_mode(pyte.modes.DECAWM >> 5, private=True)
    picture.resize(WIDTH, HEIGHT)
    return picture, screen, pyte.Stream(screen)


def line(*parts: str, style: Style | None = None) -> list[Cell]:
    return cells([Segment(part, style) for part in parts], ColorSystem.TRUECOLOR)


segments = st.lists(
    st.tuples(st.sampled_from(PIECES), st.sampled_from(STYLES)).map(lambda pair: Segment(*pair)), max_size=6
)
paint = st.tuples(
    st.just("put"),
    st.integers(0, HEIGHT - 1),
    st.integers(-3, WIDTH),
    segments,
    st.integers(0, WIDTH),
    st.integers(0, WIDTH + 2),
)
scroll = st.tuples(st.just("scroll"), st.integers(0, HEIGHT - 1), st.integers(1, HEIGHT), st.integers(-3, 3))
frames = st.lists(st.lists(st.one_of(paint, scroll), max_size=8), max_size=8)


def apply(picture: Picture, step: tuple[object, ...]) -> None:
    match step:
        case ("put", int(y), int(x), list(parts), int(left), int(right)):
            picture.put(y, x, cells(parts, ColorSystem.TRUECOLOR), left, right)
        case ("scroll", int(top), int(count), int(by)):
            rows = [row.copy() for row in picture.wanted]
            for y in range(top, min(HEIGHT, top + count)):
                if 0 <= y + by < HEIGHT:
                    picture.put(y, 0, rows[y + by])


@settings(max_examples=200, deadline=None)
@given(frames)
def test_the_terminal_shows_what_was_painted(given: list[list[tuple[object, ...]]]) -> None:
    """Frame by frame, the screen that got the differences is the one that gets everything at once."""
    picture, screen, stream = fresh()
    for y in range(HEIGHT):
        picture.put(y, 0, line(f"{y} {'ab' * (y % 3)}日本"))
    for frame in given:
        for step in frame:
            apply(picture, step)
        stream.feed(picture.difference())
        whole, plain, other = fresh()
        for y, row in enumerate(picture.wanted):
            whole.put(y, 0, row)
        other.feed(whole.difference())
        assert shown(screen) == shown(plain)
        assert all(cell_len("".join(character for character, _ in row)) == WIDTH for row in picture.wanted)
        assert picture.difference() == ""


def test_an_unchanged_screen_sends_nothing() -> None:
    picture, _, _ = fresh()
    picture.put(1, 0, line("hello"))
    assert picture.difference()
    picture.put(1, 0, line("hello"))
    picture.put(2, 0, line(" " * WIDTH))
    assert picture.difference() == ""


def test_only_the_changed_cells_are_sent() -> None:
    picture, _, _ = fresh()
    picture.put(3, 0, line("step 1 loss 2"))
    picture.difference()
    picture.put(3, 0, line("step 7 loss 8"))
    assert picture.difference() == "\x1b[4;6H7\x1b[13G8"


def test_rows_that_moved_are_moved_by_the_terminal() -> None:
    picture, _, _ = fresh()
    for y in range(HEIGHT):
        picture.put(y, 0, line(f"│ row {y}      │"))
    picture.difference()
    for y in range(1, 5):
        picture.put(y, 0, line(f"│ row {y + 1}      │"))
    picture.put(5, 0, line("│ new        │"))
    written = picture.difference()
    assert written.startswith("\x1b[2;6r\x1b[2H\x1b[1M\x1b[r\x1b[6;1H│")
    assert "new" in written
    assert "row" not in written


def test_what_was_forgotten_is_sent_again() -> None:
    picture, _, _ = fresh()
    picture.put(0, 0, line("hello"))
    picture.difference()
    picture.forget()
    assert "hello" in picture.difference()


@pytest.mark.parametrize("hostile", ["\x1b]52;c;x\x07", "\x9b31m", "a\u202eb", "\x00\r\n\x7f"])
def test_no_control_gets_through(hostile: str) -> None:
    picture, _, _ = fresh()
    picture.difference()
    picture.put(0, 0, line(hostile))
    written = picture.difference()
    assert "\x1b]" not in written
    assert not set(written) & set("\x07\x9b\u202e\x00\r\n\x7f")


@given(st.text(max_size=12))
def test_cells_are_as_many_as_rich_reckons(text: str) -> None:
    shown = "".join(character for character, _ in line(text))
    assert len(line(text)) == len(line(shown))
    if text.isprintable():
        assert len(line(text)) == cell_len(text)


def test_what_follows_a_character_of_unsure_width_is_put_in_its_place() -> None:
    picture, _, _ = fresh()
    picture.difference()
    picture.put(0, 0, line("a✔b🙂c"))
    assert picture.difference() == "\x1b[1;1Ha✔\x1b[3Gb🙂\x1b[6Gc"


def test_without_colours_the_attributes_stay() -> None:
    style = Style(color="red", bgcolor="blue", bold=True)
    assert pen(style, None) == ("1", "", "")
    assert pen(style, ColorSystem.STANDARD) == ("1", "31", "44")


def test_a_pen_changes_by_what_differs() -> None:
    red = pen(Style(color="red"), ColorSystem.STANDARD)
    bold = pen(Style(color="red", bold=True), ColorSystem.STANDARD)
    assert change(PLAIN, red) == "\x1b[31m"
    assert change(red, bold) == "\x1b[0;1;31m"
    assert change(bold, PLAIN) == "\x1b[m"
    assert change(red, PLAIN) == "\x1b[39m"
    assert change(red, red) == ""
