"""What goes over the wire: nothing for nothing, the right picture whatever was sent, and no waiting for a dead link."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.terminal import Terminal
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from support import until, workspace

# Lines until somebody says enough, the last of them with colours, carriage returns and wide characters.
FLOOD = r"""
i=0
while [ ! -e "$EXPTUI_OUTPUT/enough" ]; do
  i=$((i+1)); echo "step $i loss 0.$i"; printf 'a\rb%s\n' $i; printf '\033[31m日本%s\033[0m ✔ x\n' $i
done
echo end of the flood
"""


STEPS = (
    ("", "end of the flood"),
    ("+", "a  20"),
    ("kkk", "paused"),
    ("\x15\x15", "paused"),
    ("#", "paused"),
    ("ll", "paused"),
    ("w", "paused"),
    ("]", "Metrics"),
    ("[", "paused"),
    ("1", "╭─ 1 Configs"),
    ("2", "╭─ 2 Runs"),
    ("?", "Keys"),
    ("\x1b", "╭─ 2 Runs"),
)


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return workspace(tmp_path, FLOOD)


@pytest.fixture
def terminal(space: Workspace) -> Iterator[Terminal]:
    run_id = space.run("a").name
    until(lambda: space.show(run_id).state is RunState.RUNNING)
    made = Terminal(space.root.parent)
    yield made
    made.close()
    enough(space)
    list(space.wait(run_id))


def enough(space: Workspace) -> None:
    for run in space.results.iterdir():
        (run / "enough").touch()


def repainted(terminal: Terminal) -> str:
    """The screen after all of it was composed and sent again."""
    before = len(terminal.written)
    terminal.keys("\x0c")
    terminal.until(lambda _: len(terminal.written) > before + 300, "nothing was sent again")
    terminal.until(lambda _: terminal.quiet(0.3) == 0, "it never came to rest")
    return timeless(terminal.screen())


def timeless(screen: str) -> str:
    """Without what changes by itself."""
    return re.sub(r"\d+ (s|min|h) ago|\b\d+ s\b|disk [\d.]+ .B|\d:\d\d", "", screen)


def test_differences_add_up_to_the_whole_screen(space: Workspace, terminal: Terminal) -> None:
    terminal.shows("1 Configs 1")
    terminal.keys("L")
    terminal.shows("following")
    terminal.until(lambda screen: "step" in screen, "no line came")
    terminal.keys("k")
    terminal.shows("paused")
    terminal.keys("G")
    terminal.shows("following")
    enough(space)
    terminal.shows("end of the flood")
    terminal.shows("FINISHED")
    terminal.lacks("▌")  # the toast
    for keys, shown in STEPS:
        terminal.keys(keys)
        terminal.shows(shown)
        terminal.until(lambda _: terminal.quiet(0.5) == 0, "it never came to rest")
        assert timeless(terminal.screen()) == repainted(terminal), keys
    assert terminal.leave() == 0


def disk_apart(written: bytes) -> bytes:
    """Without the space that is left on the disk, in the first row: others write too."""
    return re.sub(rb"\x1b\[1;\d+H\x1b\[[\d;]*m[^\x1b]*(\x1b\[\d+G[^\x1b]*)*\x1b\[m(\x1b\[6n)?", b"", written)


def test_a_screen_on_which_nothing_changes_sends_nothing(tmp_path: Path) -> None:
    terminal = Terminal(workspace(tmp_path).root.parent)
    try:
        terminal.shows("1 Configs 1")
        terminal.until(lambda _: terminal.quiet(2.0) == 0, "it is never quiet")
        before = len(terminal.written)
        terminal.keys("1j\x1b[1;1R")  # the focus is there, there is no other row, and an answer is no key
        terminal.quiet(1.0)
        assert disk_apart(terminal.written[before:]) == b""
    finally:
        terminal.close()


def test_a_terminal_that_takes_nothing_holds_up_neither_the_keys_nor_the_end(terminal: Terminal) -> None:
    terminal.shows("1 Configs 1")
    terminal.keys("L")
    terminal.shows("following")
    terminal.stop_reading()
    terminal.until(lambda _: terminal.quiet(1.0) == 0, "it is read on")
    terminal.keys("[")  # the overview again: seen when the link is back
    terminal.read_on()
    terminal.shows("last output")
    terminal.keys("L")
    terminal.stop_reading()
    terminal.until(lambda _: terminal.quiet(1.0) == 0, "it is read on")
    terminal.keys("qq")
    assert terminal.child.wait(10) == 0
