"""Every command of the cockpit, once: its id, keys, group and help. Bindings, key bar, palette and help come from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace
from textual.binding import Binding

if TYPE_CHECKING:
    from textual.app import App


class Command(msgspec.Struct, frozen=True):
    """`name` is the action's name on the main screen; `bar` the word in the key bar, empty for none."""

    name: str
    keys: str
    group: str
    help: str
    bar: str = ""

    @property
    def key(self) -> str:
        """The first key, as it is written for people."""
        first = self.keys.partition(",")[0].strip()
        return NAMES.get(first, first.replace("ctrl+", "^"))


NAMES = {
    "space": "spc",
    "slash": "/",
    "question_mark": "?",
    "colon": ":",
    "asterisk": "*",
    "ampersand": "&",
    "plus": "+",
    "underscore": "_",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "ctrl+p": "^p",
    "escape": "Esc",
    "tab": "Tab",
}

COMMANDS = (
    Command("run", "r", "Runs", "start a run of the config (the launch sheet comes first)", "run"),
    Command("run_edited", "E", "Runs", "clone the config with edits, then run it", ""),
    Command("edit", "e", "Runs", "open the config in $EDITOR; it is checked on return"),
    Command("resume", "u", "Runs", "resume a run from its last valid checkpoint"),
    Command("stop", "x", "Runs", "stop the run (asks first)", "stop"),
    Command("delete", "D", "Runs", "move the run to the trash", ""),
    Command("undo", "U", "Runs", "take the last removed run back", ""),
    Command("trash", "Z", "Runs", "what is in the trash; old runs in it can go for good"),
    Command("mark", "space", "Compare", "mark or unmark the run", "mark"),
    Command("mark_range", "v", "Compare", "mark everything from the last mark to the cursor"),
    Command("mark_all", "asterisk", "Compare", "mark every run the filter shows; again: none"),
    Command("pin", "b", "Compare", "make the run the baseline; again: none", ""),
    Command("tag", "T", "Compare", "tag the marked runs with a word; -word takes it away"),
    Command("compare", "d", "Compare", "compare the marked runs, the baseline first", "diff"),
    Command("archive", "a", "Archive", "seal the run into archive/ (asks first)", "archive"),
    Command("check", "c", "Archive", "are the bytes of the archive intact?"),
    Command("verify", "V", "Archive", "run it again and compare every byte", "verify"),
    Command("restore", "t", "Archive", "unpack the archive into results/", ""),
    Command("matrix", "M", "Archive", "verdicts by machine: who ran which archive again"),
    Command("filter", "slash", "Look", "filter the list; in the log: search", "filter"),
    Command("filter_log", "ampersand", "Look", "in the log: show only lines that match"),
    Command("sort", "s", "Look", "sort the runs by the next column"),
    Command("columns", "S", "Look", "choose the columns of the runs"),
    Command("pane_1", "1", "Look", "configs"),
    Command("pane_2", "2", "Look", "runs"),
    Command("pane_3", "3", "Look", "archive"),
    Command("pane_0", "0", "Look", "the detail of what is selected"),
    Command("tab_left", "left_square_bracket", "Look", "the tab to the left"),
    Command("tab_right", "right_square_bracket", "Look", "the tab to the right"),
    Command("log", "L", "Look", "the log of the run"),
    Command("follow", "F", "Look", "follow the end of the log"),
    Command("zoom", "plus,underscore", "Look", "give the focused pane the whole screen; again: back"),
    Command("refresh", "R", "Look", "look at everything again"),
    Command("copy", "y", "Look", "copy the run's id, path, digest or command", ""),
    Command("cancel", "escape", "Look", "close, clear the filter, or cancel what goes on"),
    Command("help", "question_mark", "Help", "all keys", "help"),
    Command("palette", "colon,ctrl+p", "Help", "all commands by name", ""),
    Command("quit", "q", "Help", "leave exptui; runs go on without it", "quit"),
)


def keymap(keys: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The settings' keys by the ids of the bindings, and what in them is no command."""
    names = {command.name for command in COMMANDS}
    return {f"exptui.{n}": keys[n] for n in keys if n in names}, [n for n in keys if n not in names]


def effective(app: App[Any]) -> tuple[Command, ...]:
    """The commands with the keys that they have now."""
    keymap = app._keymap  # noqa: SLF001  set_keymap has no counterpart that reads
    return tuple(replace(one, keys=keymap.get(f"exptui.{one.name}", one.keys)) for one in COMMANDS)


def bindings() -> list[Binding]:
    """Bindings for the screen that has an action of each command's name; the id lets the settings remap a key."""
    return [
        Binding(
            one.keys, one.name, one.help, show=False, id=f"exptui.{one.name}", priority=one.name == "palette"
        )
        for one in COMMANDS
    ]
