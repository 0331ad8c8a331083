"""The terminal: frames as differences, at the pace at which it takes them; it blocks neither the screen nor the end."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rich.color import ColorSystem
from textual import events
from textual._compositor import CompositorUpdate
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Offset, Region
from textual.message import Message
from textual.widget import Widget

from exptui.tui.pace import Pace
from exptui.tui.picture import Picture

QUESTION = "\x1b[6n"
TOGETHER = ("\x1b[?2026h", "\x1b[?2026l")
"""Between these a frame is shown at once, by terminals that said they can."""
TOGETHER_FROM = 256
PATIENCE = 0.6
"""Seconds that the end waits for a terminal that takes nothing."""


class Writer(threading.Thread):
    """Hands over to the terminal what is written, in order; only this thread waits for it."""

    def __init__(self, descriptor: int, done: Callable[[int, float], None]) -> None:
        super().__init__(daemon=True, name="exptui-terminal")
        self._descriptor, self._done = descriptor, done
        self._pending: list[str] = []
        self._wake = threading.Condition()
        self._stopped = self._writing = False

    @property
    def behind(self) -> bool:
        """Whether something still waits for the terminal."""
        return self._writing or bool(self._pending)

    def write(self, text: str) -> None:
        """Have it written."""
        with self._wake:
            self._pending.append(text)
            self._wake.notify()

    def run(self) -> None:
        """Until stopped, and everything is written."""
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._pending or self._stopped)
                data = "".join(self._pending).encode(errors="replace")
                self._pending, self._writing = [], True
            if not data:
                return
            start, rest = time.monotonic(), memoryview(data)
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:
                return  # the terminal is gone; the app notices and ends
            self._writing = False
            self._done(len(data), time.monotonic() - start)

    def stop(self) -> bool:
        """End when all is written, but wait for no terminal that takes nothing; whether it has ended."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self.join(PATIENCE)
        return not self.is_alive()


class Driver(LinuxDriver):
    """Textual's driver with a picture before it and a writer that never blocks it."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.picture, self.pace = Picture(erases=_erases()), Pace(time.monotonic)
        self.stuck = False
        """Whether the terminal took nothing any more when it was to be left."""
        self._writer: Writer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = True
        self._cursor = Offset(0, 0)
        self._settled = threading.Event()
        self._settled.set()

    def start_application_mode(self) -> None:
        """Take the terminal over; what it shows is unknown."""
        assert self._file is not None, "exptui has looked for a terminal"
        self._writer = Writer(self._file.fileno(), self._written)
        self._writer.start()
        self._closed = False
        self.picture.forget()
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def disable_input(self) -> None:
        """Paint nothing any more, and leave no answer that is on its way to the shell."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._settled.wait(2 * PATIENCE if self.pace.answers else 0)
        self._settled.set()
        super().disable_input()

    def close(self) -> None:
        """Let everything go out, as far as the terminal takes it."""
        if self._writer is not None:
            self.stuck = not self._writer.stop()
        super().close()

    def write(self, data: str) -> None:
        """Write at once, behind what was written before."""
        assert self._writer is not None, "the terminal was taken over"
        self._writer.write(data)

    def show(self, update: CompositorUpdate, cursor: Offset) -> None:
        """Have the screen look like this as soon as the terminal is ready for it."""
        self.picture.take(update, colors(self._app))
        self._cursor = cursor
        self.soon()

    def soon(self) -> None:
        """Send what the picture shows, now or when it is time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._closed or self._writer is None or self._writer.behind:
            return
        wait = self.pace.wait()
        if wait > 0:
            self._timer = self._loop.call_later(wait, self.soon)
        else:
            self._send()

    def _send(self) -> None:
        text = self.picture.difference()
        if not text:
            return
        if self._cursor:  # it is hidden; it says where to compose characters
            text += f"\x1b[{self._cursor.y + 1};{self._cursor.x + 1}H"
        if self._app._sync_available and len(text) >= TOGETHER_FROM:
            text = text.join(TOGETHER)
        if self.pace.sent(len(text)):
            self._settled.clear()
            text += QUESTION
        self.write(text)

    def _written(self, count: int, seconds: float) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._go_on, lambda: self.pace.written(count, seconds))

    def _go_on(self, measure: Callable[[], None]) -> None:
        measure()
        self.soon()

    def process_message(self, message: Message) -> None:
        """Take the terminal's answers out of what is typed."""
        if isinstance(message, events.CursorPosition):
            self._settled.set()
            self._loop.call_soon_threadsafe(self._go_on, self.pace.answered)
            return
        if isinstance(message, events.InputEvent) and not isinstance(message, events.MouseMove):
            self.pace.touch()
        super().process_message(message)

    def bare(self, widget: Widget) -> Region | None:
        """Where a widget's content is on the screen, if it is all there and nothing lies over it."""
        if self._closed or not widget.is_attached:  # one that goes has no screen any more
            return None
        screen = widget.screen
        if self._app._batch_count or self._app.screen is not screen or screen._layout_required:
            return None
        content = widget.scrollable_content_region
        for other, (
            region,
            clip,
        ) in screen._compositor.visible_widgets.items():  # what lies above comes first
            if other is widget:
                return content if clip.contains_region(content) else None
            if region.overlaps(content):
                return None
        return None


def _erases() -> bool:
    """Whether what is erased takes the background of the pen, as in all terminals but a few old ones."""
    return not os.environ.get("TERM", "").startswith(("screen", "vt", "dumb"))


def colors(app: App[Any]) -> ColorSystem | None:
    """The colours there are; None where there are none, or none are wanted."""
    return None if app.no_color else app.console._color_system


def terminal(app: App[Any]) -> Driver | None:
    """The terminal of an app, if it has one."""
    driver = app._driver
    return driver if isinstance(driver, Driver) else None
