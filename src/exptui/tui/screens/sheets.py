"""Small screens over the main one: confirm, prompt, choose, launch, help."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Input

from exptui.core.compare.words import value_text
from exptui.core.configs.grid import Grid
from exptui.core.launchers.options import Options
from exptui.core.monitor.text import clean
from exptui.core.runs.preview import Preview
from exptui.tui import present
from exptui.tui.commands import COMMANDS, Command, effective
from exptui.tui.present import Span
from exptui.tui.widgets.rows import Row, RowList
from exptui.tui.widgets.text import Lines

Line = Sequence[Span]
POINTS = 8  # of a grid that are shown: its sheet has room for them at 80×24


class Confirm(ModalScreen[str]):
    """Lines to read and keys to answer with; Enter takes the first answer, Esc none ("")."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,n", "answer('')", show=False)]

    def __init__(self, title: str, lines: Iterable[Line], answers: Sequence[tuple[str, str]]) -> None:
        """`answers` are (key, what it does); the first is also Enter's."""
        super().__init__()
        self._title, self._lines, self._answers = title, [tuple(line) for line in lines], answers

    def compose(self) -> ComposeResult:
        """A box with the lines and the keys."""
        with Vertical(classes="sheet") as box:
            box.border_title = Content(clean(self._title, 200))
            with VerticalScroll(can_focus=False):
                yield Lines(id="sheet-lines")
            yield Lines(id="sheet-keys", classes="sheet-keys")

    def on_mount(self) -> None:
        """Show what was given."""
        self.query_one("#sheet-lines", Lines).show(self._lines)
        self.query_one("#sheet-keys", Lines).show([keys_line([*self._answers, ("Esc", "no")])])

    def on_key(self, event: Key) -> None:
        """One of the answers' keys. The event ends here: the screen below has keys of its own."""
        answers = [key for key, _ in self._answers]
        if event.key == "enter":
            event.stop()
            self.dismiss(answers[0] if answers else "")
        elif event.character in answers:
            event.stop()
            self.dismiss(str(event.character))

    def action_answer(self, answer: str) -> None:
        """Close with an answer."""
        self.dismiss(answer)


def keys_line(pairs: Iterable[tuple[str, str]]) -> list[Span]:
    """`Enter starts   Esc no`."""
    spans: list[Span] = []
    for key, what in pairs:
        spans += [(f" {key}", "accent"), (f" {what} ", "muted")]
    return spans


class Prompt(ModalScreen[str | None]):
    """One line of text; Enter gives it, Esc None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", show=False)]

    def __init__(self, title: str, hint: str, value: str = "") -> None:
        super().__init__()
        self._title, self._hint, self._value = title, hint, value

    def compose(self) -> ComposeResult:
        """A box with an input."""
        with Vertical(classes="sheet") as box:
            box.border_title = Content(clean(self._title, 200))
            yield Input(self._value, id="prompt")
            yield Lines(id="sheet-keys", classes="sheet-keys")

    def on_mount(self) -> None:
        """Say what is wanted."""
        self.query_one("#sheet-keys", Lines).show([[(f" {clean(self._hint, 300)}", "muted")]])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Give the text."""
        self.dismiss(event.value)

    def action_leave(self) -> None:
        """Give nothing."""
        self.dismiss(None)


class Choose(ModalScreen[str]):
    """A list to choose one from; Esc gives ""."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", show=False)]

    def __init__(self, title: str, rows: Sequence[Row], hint: str) -> None:
        super().__init__()
        self._title, self._rows, self._hint = title, rows, hint

    def compose(self) -> ComposeResult:
        """A box with the list."""
        with Vertical(classes="sheet") as box:
            box.border_title = Content(clean(self._title, 200))
            yield RowList("nothing to choose from", id="choices")
            yield Lines(id="sheet-keys", classes="sheet-keys")

    def on_mount(self) -> None:
        """Show the choices."""
        self.query_one("#choices", RowList).show(self._rows)
        self.query_one("#choices", RowList).styles.height = max(1, min(len(self._rows), 20))
        self.query_one("#sheet-keys", Lines).show([[(f" {self._hint}", "muted")]])

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Give the choice."""
        event.stop()
        self.dismiss(event.key)

    def on_row_list_highlighted(self, event: RowList.Highlighted) -> None:
        """Nothing of the screen below is meant."""
        event.stop()

    def action_leave(self) -> None:
        """Give nothing."""
        self.dismiss("")


class Help(ModalScreen[None]):
    """All keys, by group."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "dismiss(None)", show=False)]

    def compose(self) -> ComposeResult:
        """A box that scrolls."""
        with Vertical(classes="sheet tall") as box:
            box.border_title = Content("Keys")
            yield RowList("", id="help")

    def on_mount(self) -> None:
        """The commands as they are defined."""
        self.query_one("#help", RowList).show(help_rows(effective(self.app)))

    def on_row_list_highlighted(self, event: RowList.Highlighted) -> None:
        """Nothing of the screen below is meant."""
        event.stop()


MOVES = (  # as wide as a sheet at 80 columns
    "arrows hjkl g G ^d ^u PgUp PgDn move; Enter opens",
    "Tab goes to the next pane; Ctrl-C never ends a run",
    "on the Metrics tab: + and - zoom, , and . pan, < and > the cursor",
    "    o log scale, m smoothing",
    "in the log: / searches, n N next and previous, & filters",
    "    e E errors, w wraps, # numbers, F follows",
)


def help_rows(commands: Sequence[Command] = COMMANDS) -> list[Row]:
    """A line a command, under the heading of its group."""
    rows: list[Row] = []
    group = ""
    for command in commands:
        if command.group != group:
            group = command.group
            rows += [Row(f"-{group}", ()), Row(f"+{group}", ((group, "bold"),))]
        rows.append(Row(command.name, ((f"  {command.key:<7}", "accent"), (command.help, ""))))
    return [*rows[1:], Row("-m", ()), *(Row(text, ((f"  {text}", "muted"),)) for text in MOVES)]


def grid_lines(chosen: Grid) -> list[Line]:
    """What the sheet of a grid says."""
    doubt: Span = ("  (is it spelled right?)", "muted")
    lines: list[Line] = [[(f"{present.plural(len(chosen.to_run()), 'run')} will be queued", "bold")], []]
    lines += [[("a new key: ", "warn"), (clean(key, 80), ""), doubt] for key in chosen.new_keys]
    for point in chosen.points[:POINTS]:
        ran = f"  ran already: {point.ran}" if point.ran else ""
        lines.append([(clean(point.stem, 200), "muted" if ran else ""), (clean(ran, 200), "muted")])
    more = len(chosen.points) - POINTS
    return [*lines, [(f"… and {more} more", "muted")]] if more > 0 else lines


def launch_lines(facts: Preview) -> list[Line]:
    """What the launch sheet says."""
    slots = f"{facts.busy} of {facts.slots} slots busy"
    where: Line = [
        ("slots    ", "muted"),
        (slots, ""),
        ("" if facts.busy < facts.slots else ": it will be queued", "warn"),
    ]
    if facts.launcher.kind == "slurm":
        where = [("Slurm    ", "muted"), (clean(_asked_of(facts.launcher), 200), "")]
        where.append(("   E launcher.KEY=VALUE changes it", "muted"))
    written: list[Line] = [
        [("config   ", "muted"), (f"configs/{clean(facts.stem, 200)}.toml will be written", "")]
    ]
    lines: list[Line] = [
        *(written if facts.edits else []),
        [("trainer  ", "muted"), (clean(facts.trainer, 60), "")],
        [("command  ", "muted"), (clean(" ".join(facts.command), 300), "")],
        [("program  ", "muted"), (clean(facts.program or "not found", 300), "" if facts.program else "bad")],
        where,
        [("disk     ", "muted"), (f"{present.size(facts.free)} free", "")],
        [],
    ]
    if not facts.last:
        lines.append([("the first run of this config", "muted")])
    elif not (facts.changes or facts.code):
        lines.append([("the same config and code as ", "muted"), (clean(facts.last, 200), "")])
    else:
        lines.append([("since ", "muted"), (clean(facts.last, 200), "")])
    doubt: Span = ("  (is it spelled right?)", "muted")
    lines += [[("  a new key: ", "warn"), (clean(key, 80), ""), doubt] for key in facts.new_keys]
    for change in facts.changes:
        before, after = (clean(value_text(value), 60) for value in (change.baseline, change.candidate))
        lines.append([(f"  {clean(change.key, 60)}  ", ""), (f"{before} → {after}", "warn")])
    lines += [[("  code differs  ", "warn"), (clean(name, 100), "")] for name in facts.code[:8]]
    lines += [[(f"  … and {len(facts.code) - 8} more files", "muted")]] if len(facts.code) > 8 else []
    lines += [[("  not captured  ", "muted"), (clean(what, 100), "")] for what in facts.left[:3]]
    lines += [[(f"  … and {len(facts.left) - 3} more", "muted")]] if len(facts.left) > 3 else []
    lines += [[("✗ ", "bad"), (clean(problem, 300), "bad")] for problem in facts.problems]
    return lines


def _asked_of(options: Options) -> str:
    """What a run asks of a cluster."""
    named = ((name, getattr(options, name)) for name in ("partition", "time", "gres"))
    return (
        "   ".join([*(f"{name} {value}" for name, value in named if value), *options.extra]) or "its defaults"
    )
