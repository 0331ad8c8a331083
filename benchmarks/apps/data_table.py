"""A DataTable of so many runs. data_table.py RUNS"""

import random
import sys

from textual.app import App, ComposeResult
from textual.widgets import DataTable


class Table(App[None]):
    """The columns of exptui's list."""

    def compose(self) -> ComposeResult:
        """The table."""
        yield DataTable(cursor_type="row")

    def on_mount(self) -> None:
        """Fill it."""
        table, dice, runs = self.query_one(DataTable[str]), random.Random(1), int(sys.argv[1])
        table.add_columns("run", "learning_rate", "layers", "optimizer", "accuracy", "loss", "age")
        for number in range(runs):
            loss = dice.random()
            table.add_row(
                f"exp_{number:06d}", str(dice.choice((0.1, 0.01, 0.001))), str(dice.randint(2, 12)),
                dice.choice(("AdamW", "Adam", "SGD", "Lion")), f"{1 - loss:.4f}", f"{loss:.4f}", f"{number} min",
            )  # fmt: skip


Table().run()
