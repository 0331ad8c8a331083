"""What is to be seen of the bytes a program wrote: pyte, with what it lacks and with cheap text."""

from __future__ import annotations

from typing import Any

import pyte


class Screen(pyte.Screen):
    """Scrolling by command and repeated characters, which pyte does not know; private sequences that it takes for others."""

    def __init__(self, columns: int, rows: int) -> None:
        self._drawn = [""] * rows
        self._last = " "
        super().__init__(columns, rows)

    def restore_cursor(self, *_: object, **__: object) -> None:
        """`CSI > 1 u` asks for a keyboard protocol; nothing was saved."""

    def select_graphic_rendition(self, *attrs: int, private: bool = False) -> None:
        """`CSI ? … m` is no colour."""
        if not private:
            super().select_graphic_rendition(*attrs)

    def report_device_status(self, mode: int = 0, **_: object) -> None:
        """Asked by the program; the harness answers."""

    def report_device_attributes(self, mode: int = 0, **_: object) -> None:
        """Asked by the program; the harness answers."""

    def draw(self, data: str) -> None:
        """Remembers the last character, which may be repeated."""
        super().draw(data)
        self._last = data[-1]

    def repeat(self, count: int = 1, **_: object) -> None:
        """REP."""
        super().draw(self._last * max(1, count))

    def scroll_up(self, count: int = 1, **_: object) -> None:
        """SU: the lines between the margins go up."""
        self._scroll(count, self.delete_lines)

    def scroll_down(self, count: int = 1, **_: object) -> None:
        """SD: they go down."""
        self._scroll(count, self.insert_lines)

    def _scroll(self, count: int, at_top: Any) -> None:
        x, y = self.cursor.x, self.cursor.y
        self.cursor.y = self.margins.top if self.margins else 0
        at_top(max(1, count))
        self.cursor.x, self.cursor.y = x, y

    def text(self) -> str:
        """All lines; only those that changed are put together again."""
        for y in self.dirty:
            if 0 <= y < self.lines:
                row = self.buffer[y]
                self._drawn[y] = "".join(row[x].data for x in range(self.columns)).rstrip()
        self.dirty.clear()
        return "\n".join(self._drawn)


class Stream(pyte.ByteStream):
    """Knows the three commands more."""

    def __init__(self, screen: Screen) -> None:
        self.csi = {**self.csi, "S": "scroll_up", "T": "scroll_down", "b": "repeat"}
        self.events = frozenset({*self.events, "scroll_up", "scroll_down", "repeat"})
        super().__init__(screen)
