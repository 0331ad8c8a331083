"""What the keys of the log pane do."""

from __future__ import annotations

from textual.binding import Binding, BindingType

KEYS: list[BindingType] = [
    Binding(keys, action, description, show=False)
    for keys, action, description in (
        ("up,k", "move(-1)", "Up"),
        ("down,j", "move(1)", "Down"),
        ("pageup", "move_page(-1.0)", "Page up"),
        ("pagedown", "move_page(1.0)", "Page down"),
        ("ctrl+u", "move_page(-0.5)", "Half a page up"),
        ("ctrl+d", "move_page(0.5)", "Half a page down"),
        ("g,home", "top", "First line"),
        ("G,end,F", "follow", "Last line, and follow"),
        ("left,h", "move(0, -8)", "Left"),
        ("right,l", "move(0, 8)", "Right"),
        ("w", "toggle('wrap')", "Wrap"),
        ("number_sign", "toggle('numbers')", "Line numbers"),
        ("n", "again(1)", "Next match"),
        ("N", "again(-1)", "Previous match"),
        ("e", "error(1)", "Next error"),
        ("E", "error(-1)", "Previous error"),
    )
]
