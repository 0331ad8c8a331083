"""Waiting for the cockpit, and reading what it shows."""

from __future__ import annotations

from collections.abc import Callable

from textual.pilot import Pilot

from exptui.tui.app import Exptui
from exptui.tui.screens.main import MainScreen
from exptui.tui.widgets.rows import RowList


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    for _ in range(600):
        if condition():
            return
        await pilot.pause(0.05)
    raise AssertionError("condition did not come true")


def main(app: Exptui) -> MainScreen:
    screen = next(screen for screen in app.screen_stack if isinstance(screen, MainScreen))
    assert isinstance(screen, MainScreen)
    return screen


def text(rows: RowList) -> str:
    return "\n".join("".join(part for part, _ in (*row.left, *row.right)) for row in rows.rows)


async def opened(pilot: Pilot[None], app: Exptui) -> MainScreen:
    await until(pilot, lambda: any(isinstance(s, MainScreen) and s.begun for s in app.screen_stack))
    return main(app)
