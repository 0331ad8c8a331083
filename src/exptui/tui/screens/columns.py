"""Which columns the list of runs has beside the leading metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from exptui.core.monitor.text import clean
from exptui.tui.screens.sheets import keys_line
from exptui.tui.widgets.rows import Row, RowList
from exptui.tui.widgets.text import Lines

DIFFERENT = "\0"  # no key of a TOML file that anybody would name so


class Columns(ModalScreen[tuple[str, ...] | None]):
    """Config keys and metrics, each on or off, in the order they were chosen; None gives those that differ."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", show=False),
        Binding("space", "turn", show=False),
    ]

    def __init__(self, keys: Sequence[str], chosen: tuple[str, ...] | None, shown: Sequence[str]) -> None:
        """`shown`: the columns there are now, whether or not they were chosen."""
        super().__init__()
        self._keys, self._chosen, self._shown = keys, chosen, shown

    def compose(self) -> ComposeResult:
        """A box with the list."""
        with Vertical(classes="sheet tall") as box:
            box.border_title = Content("Columns of the runs")
            yield RowList("no config keys and no metrics yet", id="choices")
            yield Lines(id="sheet-keys", classes="sheet-keys")

    def on_mount(self) -> None:
        """Show what can be chosen."""
        self._refresh()
        self.query_one(RowList).focus()
        self.query_one("#sheet-keys", Lines).show(
            [keys_line([("Enter", "or space turns a column on or off"), ("Esc", "done")])]
        )

    def _refresh(self) -> None:
        listed = self._shown if self._chosen is None else self._chosen
        rows = [self._row(DIFFERENT, "those config keys that differ", on=self._chosen is None)]
        rows += [
            self._row(key, clean(key, 200), on=key in listed) for key in dict.fromkeys((*listed, *self._keys))
        ]
        self.query_one(RowList).show(rows)

    def _row(self, key: str, text: str, *, on: bool) -> Row:
        return Row(key, (("● " if on else "○ ", "accent" if on else "muted"), (text, "bold" if on else "")))

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Enter on a column."""
        event.stop()
        self.action_turn()

    def action_turn(self) -> None:
        """On or off."""
        key = self.query_one(RowList).key
        if key == DIFFERENT:
            self._chosen = None
        else:
            listed = tuple(self._shown if self._chosen is None else self._chosen)
            self._chosen = tuple(one for one in listed if one != key) if key in listed else (*listed, key)
        self._refresh()

    def action_leave(self) -> None:
        """Take what is on."""
        self.dismiss(self._chosen)
