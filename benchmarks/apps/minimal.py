"""The least Textual app: one label."""

from textual.app import App, ComposeResult
from textual.widgets import Static


class Minimal(App[None]):
    """Shows a word."""

    def compose(self) -> ComposeResult:
        """The word."""
        yield Static("Configs")


Minimal().run()
