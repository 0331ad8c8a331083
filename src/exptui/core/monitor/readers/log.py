"""Numbers in a log: `key=value`, `key: value` and `val loss 0.5` on lines that tell of a step or of a metric.

Or what patterns declare.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping

from exptui.core.directions import direction
from exptui.core.monitor.pattern import plain
from exptui.core.monitor.readers.protocol import STEPS, Problems, Sink, Unit, batches

LONGEST = 4096  # bytes; what is behind that of a line is not looked at
NUMBER = r"[-+]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,4})?|[-+]?(?:nan|inf(?:inity)?)"
COUNTERS = {"global_step": 0, "step": 1, "iteration": 2, "iter": 2, "round": 3, "epoch": 4, "cycle": 5}
"""Words for a step; where a line has several, the lowest counts."""
_END = r"(?![\w:]|[.-]\d)"
_PAIR = re.compile(
    r"(?i)(?<![\w./@-])(?:(train|val(?:id)?|test|eval)(?:ing|ation|uation)?(_\d{1,4})?(?:'s)?[ \t]{1,8})?"
    r"([a-z_][\w./@-]{0,63})['\"]?"
    rf"(?:[ \t]{{0,8}}([=:])[ \t]{{0,8}}['\"]?|[ \t]{{1,8}})({NUMBER}){_END}"
)
_STEP = re.compile(
    rf"(?i)(?<![\w./@-])({'|'.join(COUNTERS)})['\"]?[ \t]{{0,8}}[=:#]?[ \t]{{0,8}}['\"\[(]?[ \t]{{0,8}}"
    r"(\d{1,15}(?:\.\d{1,15})?)(?![\w]|[.-]\d)"
)
_SHORT = {"valid": "val"}
_ROUND = re.compile(r"\[(\d{1,15})\]\s")  # as XGBoost begins its lines
Row = tuple[int, dict[str, str]]
Match = Callable[[list[str]], Iterable[Row]]


class LogLines:
    """The metrics in a log. What stands without a step is at the last one that was told, or at its line's number."""

    unit = Unit.TAIL

    @staticmethod
    def probe(head: bytes) -> bool:
        """Whether a line has any."""
        return any(pairs(text(line))[1] for line in head.split(b"\n"))

    def __init__(
        self, file: str, match: Callable[[list[str], Problems], Iterable[Row]] | None = None
    ) -> None:
        """`match`: what finds the named numbers of lines instead."""
        self.problems, self.lines, self.header = Problems(file), 0, list[str]()
        self._match = match
        self._step: float | None = None
        self._epoch, self._base = -1.0, 0.0

    def read(self, block: bytes, sink: Sink) -> int:
        """Look at lines."""
        lines = list(map(text, block.split(b"\n")[:-1]))
        rows = list[tuple[float, dict[str, float]]]()
        if self._match:
            for number, named in self._match(lines, self.problems):
                self._row(
                    lines[number], number, {k: float(v) for k, v in named.items() if is_number(v)}, rows
                )
        else:
            for number, line in enumerate(lines):
                self._row(line, number, pairs(line)[1], rows)
        self.lines += len(lines)
        for steps, values in batches(rows):
            sink.add(steps, values)
        return len(block)

    def is_whole(self, line: bytes) -> bool:  # noqa: ARG002  the protocol's
        """A number may always have another digit."""
        return False

    def _row(
        self, line: str, number: int, found: Mapping[str, float], rows: list[tuple[float, dict[str, float]]]
    ) -> None:
        counters = {name: found[name] for name in STEPS if math.isfinite(found.get(name, math.nan))}
        counters = counters or counters_of(line)
        if counters:
            self._step = self._at(counters)
        values = {name: value for name, value in found.items() if name not in STEPS}
        if values:
            rows.append((float(self.lines + number + 1) if self._step is None else self._step, values))

    def _at(self, counters: Mapping[str, float]) -> float:
        """The step of a line. One that begins again in each epoch is counted on."""
        name = min(counters, key=lambda name: COUNTERS.get(name, 0))
        epoch = counters.get("epoch")
        if name == "epoch" or epoch is None:
            return counters[name]
        step = self._base + counters[name]
        if epoch > self._epoch >= 0 and self._step is not None and counters[name] <= self._step - self._base:
            self._base = self._step
            step = self._base + counters[name]
        self._epoch = epoch
        return step


def text(line: bytes) -> str:
    """What is looked at of a line: its last state, without colours."""
    return plain(line[-LONGEST:] if b"\r" in line else line[:LONGEST]).decode(errors="replace")


def pairs(line: str) -> tuple[dict[str, float], dict[str, float]]:
    """The counters of a line and its metrics. Of a line that counts nothing only one that names a metric has some."""
    counters = counters_of(line)
    pairs = _PAIR.findall(line) if "=" in line or ":" in line or "." in line else ()
    found = {
        f"{_SHORT.get(phase.lower(), phase.lower())}{number}_{name}" if phase else name: float(value)
        for phase, number, name, joint, value in pairs
        if name.lower() not in COUNTERS and (joint or ("." in value and direction(name)))
    }
    return counters, found if counters or any(map(direction, found)) else {}


def counters_of(line: str) -> dict[str, float]:
    """The words for a step in a line, each with its number."""
    begin = _ROUND.match(line)
    found = {"round": float(begin[1])} if begin else {}
    return found | {name.lower(): float(number) for name, number in _STEP.findall(line)}


def is_number(value: str) -> bool:
    """Whether it is one that Python reads."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
