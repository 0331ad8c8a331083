"""The cockpit: one app, its theme, and what happens when the terminal goes away."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import termios
import time
from typing import Any, ClassVar

from textual._compositor import CompositorUpdate
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.theme import Theme

from exptui.core.errors import ExptuiError
from exptui.core.monitor.text import clean
from exptui.core.workspace import Workspace
from exptui.tui.commands import keymap
from exptui.tui.driver import Driver, terminal
from exptui.tui.screens.main import MainScreen

THEME = Theme(
    name="exptui",
    primary="#7aa2c4",
    secondary="#8f9bb3",
    accent="#4fb3bf",
    success="#7fb77e",
    warning="#d7a65f",
    error="#d9706f",
    foreground="#d4d7dd",
    background="#12151b",
    surface="#1a1e26",
    panel="#3a4252",
    dark=True,
    variables={
        "scrollbar": "#3a4252",
        "scrollbar-hover": "#8f9bb3",
        "scrollbar-active": "#4fb3bf",
        "scrollbar-background": "#12151b",
        "scrollbar-corner-color": "#12151b",
    },
)
TERMINAL_BEAT = 1.0  # seconds between two looks at whether the terminal is still there
GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Exptui(App[None]):
    """Opens the main screen; quitting it never touches a run."""

    TITLE = "exptui"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+l", "repaint", show=False, priority=True)]
    CSS_PATH = "app.tcss"

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(driver_class=Driver)
        self.workspace = workspace
        self.main: MainScreen | None = None
        self._terminal: select.poll | None = None
        # Before the style sheets are parsed: once, and with these colours.
        self.register_theme(THEME)
        self.set_reactive(Exptui.theme, THEME.name)
        self.stylesheet.set_variables(self.get_css_variables())

    def get_default_screen(self) -> MainScreen:
        """The one below all others; there is no empty one to begin with."""
        self.main = MainScreen(self.workspace)
        return self.main

    def on_mount(self) -> None:
        """Keys, signals."""
        self._remap()
        self._watch_terminal()

    def _remap(self) -> None:
        """The user's own keys, from [keys] of the settings."""
        try:
            keys, unknown = keymap(self.workspace.settings.keys)
        except ExptuiError as error:
            self.notify(clean(f"{error.message} {error.hint}", 500), severity="error", markup=False)
            return
        self.set_keymap(keys)
        for name in unknown:
            self.notify(clean(f"exptui.toml: [keys] {name} is no command; ? shows them", 300), markup=False)

    def action_help_quit(self) -> None:
        """Ctrl-C, which ends nothing here."""
        self.notify("Ctrl-C ends nothing here. q leaves; runs go on without exptui.", markup=False)

    def action_repaint(self) -> None:
        """Send the whole screen: somebody else wrote on it."""
        if driver := terminal(self):
            driver.picture.forget()
        self.refresh()

    def _watch_terminal(self) -> None:
        """Leave on SIGHUP and SIGTERM, and when the terminal has gone without a signal."""
        if self.is_headless:
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.hang_up)
        loop.add_signal_handler(signal.SIGTERM, lambda: self.exit(return_code=128 + signal.SIGTERM))
        self._terminal = select.poll()
        self._terminal.register(sys.__stdin__.fileno() if sys.__stdin__ else 0, 0)
        self.set_interval(TERMINAL_BEAT, self._look_at_terminal)

    def _look_at_terminal(self) -> None:
        if self._terminal is not None and any(event & GONE for _, event in self._terminal.poll(0)):
            self.hang_up()

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Have a frame shown: as a difference, where there is a terminal."""
        driver = terminal(self)
        if driver and isinstance(renderable, CompositorUpdate) and self._running and not self._batch_count:
            driver.show(renderable, self.screen.outer_size.clamp_offset(self.cursor_position))
            self.post_display_hook()
        else:
            super()._display(screen, renderable)

    def hang_up(self) -> None:
        """The terminal is gone: nothing can be said or restored any more. Runs and verifications go on."""
        os._exit(128 + signal.SIGHUP)


def _measured() -> None:
    """Tell a terminal that knows no size of its own that it has 80 × 24: Textual has two answers to that, in turn."""
    if sys.__stdout__ is not None and not all(termios.tcgetwinsize(sys.__stdout__)):
        termios.tcsetwinsize(sys.__stdout__, (24, 80))


def run(workspace: Workspace) -> int:
    """Open the cockpit on this terminal; returns when the user leaves."""
    _measured()
    app = Exptui(workspace)
    # The loop's handlers come only with it; until then a hang-up ends the process as usual.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    app.run()
    if (driver := terminal(app)) and driver.stuck:
        os._exit(app.return_code or 0)  # not one more word goes to a terminal that takes nothing
    if not app.return_code:
        from exptui.core.monitor import morning

        morning.mark(workspace.root, time.time())
    seen = app.main.snapshot.runs.live if app.main else ()
    live = len(workspace.live_runs(row.run_id for row in seen))
    if live and not app.return_code:
        print(f"{live} run{'s continue' if live != 1 else ' continues'}; exptui ls shows them")
    return app.return_code or 0
