"""The chronicle of a trainer that writes no metrics: the phases and metrics of its records, by cycle."""

from __future__ import annotations

from exptui import chronicle
from exptui.core.monitor.readers.protocol import Problems, Sink, Unit, batches


class Cycles:
    """Its longest valid part."""

    unit = Unit.FILE

    @staticmethod
    def probe(head: bytes) -> bool:
        """Whether it begins as one does."""
        return chronicle.decode(head).status is not chronicle.Status.CORRUPT

    def __init__(self, file: str) -> None:
        self.problems, self.lines, self.header = Problems("chronicle"), 0, list[str]()
        self._sealed = file.endswith(chronicle.NAME)

    def read(self, block: bytes, sink: Sink) -> int:
        """Decode all of it."""
        found = chronicle.decode(block)
        if found.status is chronicle.Status.CORRUPT:
            self.problems.say(f": {found.problem}")
        elif self._sealed and found.status is not chronicle.Status.SEALED:
            self.problems.say(": a sealed file that says it is open")
        rows = []
        for record in found.records:
            phase, values = record.phase.name.lower(), (record.loss, *record.metrics)
            named = zip(("loss", *found.metric_names), values, strict=True)
            rows.append((float(record.cycle), {f"{phase}_{name}": value for name, value in named}))
        for steps, columns in batches(rows):
            sink.add(steps, columns)
        return len(block)

    def is_whole(self, line: bytes) -> bool:  # noqa: ARG002  the protocol's
        """There are no lines."""
        return False
