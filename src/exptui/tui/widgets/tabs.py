"""The names of the tabs, and a line under the one that is shown."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class TabStrip(Widget, can_focus=True):
    """Two lines that stand for any number of tabs; what they hold is made when it is first shown."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "turn(-1)", show=False),
        Binding("right,l", "turn(1)", show=False),
    ]
    active: reactive[str] = reactive("")

    class Chosen(Message):
        """A tab was asked for."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, names: tuple[str, ...], *, id: str) -> None:  # noqa: A002  textual's own name
        super().__init__(id=id)
        self.names = names
        self.set_reactive(TabStrip.active, names[0])

    def render(self) -> Content:
        """Each name between two spaces, and the line."""
        chosen = (
            "$block-cursor-foreground on $block-cursor-background bold" if self.has_focus else "$foreground"
        )
        dim = "$foreground 30%" if self.has_focus else "$foreground 10%"
        names = [
            (f" {name.title()} ", chosen if name == self.active else "$foreground 50%") for name in self.names
        ]
        at, width = self.start(self.active), len(self.active)
        rest = max(0, self.size.width - at - width - 1)
        line = [("━" * (at - 1) + "╸", dim), ("━" * width, "$primary"), ("╺" + "━" * rest, dim)]
        return Content.assemble(*names, "\n", *line)

    def start(self, name: str) -> int:
        """The column in which a name begins."""
        return 1 + sum(len(one) + 2 for one in self.names[: self.names.index(name)])

    def action_turn(self, by: int) -> None:
        """Ask for the next one, or the one before."""
        at = self.names.index(self.active) + by
        self.post_message(self.Chosen(self.names[at % len(self.names)]))

    def on_click(self, event: Click) -> None:
        """Ask for the one that was clicked."""
        for name in self.names:
            if -1 <= event.x - self.start(name) <= len(name):
                self.post_message(self.Chosen(name))
