"""How far a long command is, on a terminal."""

from __future__ import annotations

from typing import Self, TextIO

from exptui.core.monitor.text import clean


class ProgressLine:
    """One line on a terminal, redrawn in place; nothing at all where it is not a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.shown = stream, ""

    def show(self, what: str, done: int, total: int, unit: str = "bytes") -> None:
        """Redraw if there is something new to say."""
        amount = (
            f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB"
            if unit == "bytes"
            else f"{done:,} of {total:,} {unit}"
        )
        share = f" {100 * done // total:3} %  {amount}" if total else ""
        if self.stream.isatty() and (text := f"{clean(what)}{share}") != self.shown:
            self.shown = text
            print(f"\r\x1b[K{text}", end="", file=self.stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Leave an empty line behind."""
        if self.shown:
            print("\r\x1b[K", end="", file=self.stream, flush=True)
