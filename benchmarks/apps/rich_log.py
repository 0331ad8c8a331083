"""What one writes in an hour: a RichLog that follows a file. rich_log.py FILE"""

import sys
from pathlib import Path

from textual import work
from textual.app import App, ComposeResult
from textual.widgets import RichLog
from textual.worker import get_current_worker


class Follow(App[None]):
    """Reads what was appended, 20 times a second, and writes it line by line."""

    def compose(self) -> ComposeResult:
        """The log."""
        yield RichLog(max_lines=100_000)

    def on_mount(self) -> None:
        """Begin."""
        self.follow()

    @work(thread=True)
    def follow(self) -> None:
        """In a thread."""
        import time

        log, worker = self.query_one(RichLog), get_current_worker()
        with Path(sys.argv[1]).open() as file:
            while not worker.is_cancelled:
                for line in file:
                    self.call_from_thread(log.write, line.rstrip("\n"))
                time.sleep(0.05)


Follow().run()
