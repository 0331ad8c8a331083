"""Documents that are written anew as they grow: Hugging Face's trainer_state.json, and the chronicle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from exptui.core.monitor.readers.protocol import Problems, Sink, Unit, batches, decoded, row_of

LARGEST = 64 << 20
HISTORY = '"log_history"'


class TrainerState:
    """The rows of its `log_history`; of a file that is cut, those that are whole."""

    unit = Unit.FILE

    @staticmethod
    def probe(head: bytes) -> bool:
        """Whether it looks like an object of JSON."""
        return head.lstrip()[:1] == b"{"

    def __init__(self, file: str) -> None:
        self.problems, self.lines, self.header = Problems(file), 0, list[str]()

    def read(self, block: bytes, sink: Sink) -> int:
        """Decode all of it."""
        if len(block) > LARGEST:
            self.problems.say(f" is larger than {LARGEST >> 20} MB")
            return len(block)
        whole = decoded(block)
        if whole is None:
            self.problems.say(" is not whole: what could be read of it is shown")
        history = _saved(block.decode(errors="replace")) if whole is None else whole.get("log_history")
        for steps, values in batches(list(self._rows(history))):
            sink.add(steps, values)
        return len(block)

    def is_whole(self, line: bytes) -> bool:  # noqa: ARG002  the protocol's
        """There are no lines."""
        return False

    def _rows(self, history: object) -> Iterator[tuple[float, dict[str, float]]]:
        if not isinstance(history, list):
            self.problems.say(" has no log_history")
            return
        for number, row in enumerate(history, 1):
            if isinstance(row, dict):
                yield row_of(row, number)
            else:
                self.problems.say(f": entry {number} of log_history is no object")


def _saved(text: str) -> list[Any]:
    """The whole rows of a history that is cut or damaged further on."""
    at, rows, decoder = text.find("[", max(text.find(HISTORY), 0)), list[Any](), json.JSONDecoder()
    while HISTORY in text and at >= 0 and (at := text.find("{", at)) >= 0:
        try:
            row, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        rows.append(row)
        if not text[at : at + 64].lstrip().startswith(","):
            break
    return rows
