"""Domain → text: every number, size, age and state as it is shown. Pure functions; a tone is named, never a colour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from exptui.core.curves.phases import HELD_OUT
from exptui.core.directions import BY_NAME, Directions
from exptui.core.monitor.catalog import ArchiveRow, ConfigRow, RunRow
from exptui.core.monitor.text import clean
from exptui.core.runs.run import RunRecord, RunState

if TYPE_CHECKING:
    from exptui.core.monitor.machine import Load

Tone = Literal["", "good", "bad", "warn", "accent", "muted", "bold"]
Span = tuple[str, Tone]

STATES: dict[RunState, tuple[str, Tone]] = {
    RunState.QUEUED: ("◌", "muted"),
    RunState.RUNNING: ("▶", "accent"),
    RunState.FINISHED: ("✔", "good"),
    RunState.FAILED: ("✗", "bad"),
    RunState.STOPPED: ("■", "warn"),
    RunState.ORPHANED: ("◐", "warn"),
    RunState.LOST: ("?", "bad"),
    RunState.REMOTE: ("⇄", "muted"),
    RunState.EXTERNAL: ("·", "muted"),
}
VERDICTS: dict[str, tuple[str, Tone]] = {
    "REPRODUCED": ("✔", "good"),
    "DIVERGED": ("✗", "bad"),
    "FAILED": ("✗", "bad"),
    "CORRUPT": ("✗", "bad"),
    "UNKNOWN": ("?", "warn"),
    "AGREES": ("≈", "warn"),
}
PREFIXES = tuple(f"{phase}{joint}" for phase in ("final", *HELD_OUT, "train") for joint in "_/.-")


def number(value: float | None) -> str:
    """A metric in at most six characters or so: `.944`, `1.203`, `nan`, `–`."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.3f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.2g}"
    return text.removeprefix("0") if 0 < value < 1 else text


def size(count: int) -> str:
    """Bytes in a unit a person reads: `214 kB`."""
    from humanize import naturalsize

    return naturalsize(count, format="%.0f" if count < 10**6 else "%.1f")


def seconds(text: str) -> float | None:
    """Seconds since the epoch of an ISO time of ours, None when there is none."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def span(duration: float) -> str:
    """A length of time in its two leading units: `4 s`, `2 min 5 s`, `3 h 10 min`, `2 d 4 h`."""
    left = max(0, int(duration))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for at, (name, length) in enumerate(units):
        if left >= length or name == "s":
            rest = (left % length) // units[at + 1][1] if name != "s" else 0
            return f"{left // length} {name}" + (f" {rest} {units[at + 1][0]}" if rest else "")
    return "0 s"


def age(then: float | None, now: float) -> str:
    """How long ago, in one unit: `4 s`, `20 m`, `2 h`, `3 d`."""
    if then is None:
        return "–"
    left = max(0, int(now - then))
    for name, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if left >= length:
            return f"{left // length} {name}"
    return f"{left} s"


def now() -> float:
    """Seconds since the epoch."""
    return datetime.now(UTC).timestamp()


def duration(record: RunRecord | None, at: float) -> float | None:
    """Seconds from the start of a run to its end, or to now."""
    if record is None or (began := seconds(record.started_at)) is None:
        return None
    return (seconds(record.ended_at) or at) - began


def outcome(row: RunRow) -> str:
    """The state and what is known of the end: `FAILED  exit code 7`."""
    view = row.view
    words = [str(view.state)]
    if view.record and (end := view.record.exit):
        words += [f"exit code {end.code}"] if end.code else []
        words += [f"signal {end.signal}"] if end.signal else []
        words += [clean(end.error)] if end.error else []
    if view.record and view.record.attempts > 1:
        words.append(f"attempt {view.record.attempts}")
    if view.leftovers:
        words.append("left-over processes")
    return "  ".join(words)


def short_value(value: Any) -> str:
    """A config value in a list: `.001`, `8`, `ReLU`."""
    if isinstance(value, float):
        return f"{value:g}"
    return "–" if value is None else str(value)


def base_name(name: str) -> str:
    """A metric without the phase it was taken in: `validate_loss` and `final_loss` are both `loss`."""
    for prefix in PREFIXES:
        if name.startswith(prefix) and len(name) > len(prefix):
            return name[len(prefix) :]
    return name


def metric_names(rows: Sequence[RunRow | ArchiveRow], directions: Directions = BY_NAME) -> tuple[str, str]:
    """The two metrics that lists show: one where more is better, one where less is; empty where there is none."""
    names = list(dict.fromkeys(base_name(name) for row in rows for name in row.final))

    def first(wanted: int, liked: str) -> str:
        fitting = [name for name in names if directions.of(name) == wanted]
        return liked if liked in fitting else fitting[0] if fitting else ""

    return first(1, "accuracy"), first(-1, "loss")


def value_of(final: Mapping[str, float], base: str) -> float | None:
    """A metric by its base name: as it is, else the final one, else held out, else of training."""
    return next(
        (final[name] for name in (base, *(f"{p}{base}" for p in PREFIXES)) if base and name in final), None
    )


def progress(row: RunRow) -> float | None:
    """How far a live run is, 0 to 1; None when its config or its metrics do not tell."""
    if row.step is None or not row.steps:
        return None
    return min(1.0, row.step / row.steps)


def eta(row: RunRow, at: float) -> float | None:
    """Seconds a live run still needs at its pace so far."""
    done, took = progress(row), duration(row.view.record, row.written or at)
    return took * (1 - done) / done if done and took and row.view.state.live else None


def state_of(row: RunRow) -> Span:
    """The mark of a run's state."""
    return STATES[row.view.state]


def config_summary(row: ConfigRow) -> str:
    """How many runs a config has."""
    return plural(row.runs, "run") if row.runs else ""


def load(one: Load) -> str:
    """What a run takes: `1.9 cores   2.1 GB   5 processes`."""
    return f"{one.cores:.1f} cores   {size(one.memory)}   {plural(one.processes, 'process', 'es')}"


def plural(count: int, word: str, more: str = "s") -> str:
    """`1 run`, `3 runs`."""
    return f"{count} {word}" + ("" if count == 1 else more)


def bar(share: float, width: int) -> tuple[str, str]:
    """A progress bar in two parts, done and left, of `width` characters together."""
    full = max(0, min(width, round(share * width)))
    return "━" * full, "─" * (width - full)


def tidy(path: Path) -> str:
    """A path as people write it: below the home directory with a tilde."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)


def clean_lines(text: str) -> str:
    """Several lines made harmless."""
    return "\n".join(clean(line, 500) for line in text.split("\n"))
