"""`[alerts]` of the settings: what is told of a run, and how; and `attempts/N.alerts.jsonl`, where it is kept."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from exptui.core.errors import ConfigError

Table = Mapping[str, str | float | tuple[str, ...]]

EVENTS = ("failed", "finished", "stopped", "lost", "stalled", "nan", "threshold", "disk")
PLACEHOLDERS = ("run_id", "event", "text", "path")
STALLED_AFTER = 300.0  # seconds: no silence shorter than that is a stall
FULL_DISK = 16 << 20  # bytes: with less left a disk is full
JOINTS = ("_", "/", ".", "-")
_CONDITION = re.compile(r"\s*(>=|<=|>|<)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*")
_WORD = re.compile(r"\{(\w+)\}")


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened: when (ISO, UTC), which of EVENTS, in words; of two with one `key` only the first is told."""

    at: str
    event: str
    text: str
    key: str = ""


class Threshold(msgspec.Struct, frozen=True):
    """A metric's name, or what it ends in, and what it must not be without a word."""

    metric: str
    sign: str
    limit: float

    def concerns(self, name: str) -> bool:
        """Whether it is of that metric."""
        return name == self.metric or name.endswith(tuple(joint + self.metric for joint in JOINTS))

    def crossed(self, value: float) -> bool:
        """Whether that value is to be told."""
        match self.sign:
            case ">":
                return value > self.limit
            case "<":
                return value < self.limit
            case ">=":
                return value >= self.limit
        return value <= self.limit

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.limit:g}"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for, and what to do then. `command` and `events` are the user's alone."""

    thresholds: tuple[Threshold, ...] = ()
    stalled_after: float | None = None
    command: tuple[str, ...] = ()
    events: tuple[str, ...] = tuple(event for event in EVENTS if event != "stopped")

    def over(self, other: Rules) -> Rules:
        """These rules with those of a workspace, whose word on the same metric counts more."""
        named = {one.metric for one in other.thresholds}
        mine = tuple(one for one in self.thresholds if one.metric not in named)
        floor = self.stalled_after if other.stalled_after is None else other.stalled_after
        return msgspec.structs.replace(self, thresholds=mine + other.thresholds, stalled_after=floor)


def rules(table: Table, file: Path, *, own: bool = False) -> Rules:
    """What a table says; `own`: it is the user's, which may name a command.

    Raises:
        ConfigError: a condition, event or placeholder that means nothing, or a command in a workspace.
    """

    def wrong(key: str, why: str) -> ConfigError:
        return ConfigError(f"{file}: [alerts] {key}: {why}", "docs/alerts.md shows what there is.")

    found = Rules()
    thresholds: list[Threshold] = []
    for key, value in table.items():
        match key, value:
            case "command" | "events", _ if not own:
                raise wrong(key, "only your own settings may name it, never a workspace")
            case "command", tuple() if value and all(value):
                for word in {name for part in value for name in _WORD.findall(part)}.difference(PLACEHOLDERS):
                    raise wrong(key, f"unknown placeholder {{{word}}}")
                found = msgspec.structs.replace(found, command=value)
            case "events", tuple():
                for event in set(value).difference(EVENTS):
                    raise wrong(key, f"no event {event!r}; there are {', '.join(EVENTS)}")
                found = msgspec.structs.replace(found, events=value)
            case "stalled_after", float() if value > 0 and math.isfinite(value):
                found = msgspec.structs.replace(found, stalled_after=value)
            case "command" | "events" | "stalled_after", _:
                raise wrong(key, "a list of words, or seconds for stalled_after")
            case _, str() if condition := _CONDITION.fullmatch(value):
                try:
                    thresholds.append(Threshold(key, condition[1], float(condition[2])))
                except ValueError:
                    raise wrong(key, f"{condition[2]!r} is no number") from None
            case _:
                raise wrong(key, f'a condition such as ">0.95" is wanted, not {value!r}')
    return msgspec.structs.replace(found, thresholds=tuple(thresholds))


def fill(command: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """The command with its placeholders replaced, each once: what stands in a value is never one."""
    return [_WORD.sub(lambda match: values.get(match[1], match[0]), word) for word in command]


def path(directory: Path, attempt: int) -> Path:
    """Where the alerts of one attempt of a run are."""
    return directory / "attempts" / f"{attempt}.alerts.jsonl"


def read(file: Path) -> tuple[Alert, ...]:
    """The alerts in a file, oldest first; a line that is none is left out, a missing file holds none."""
    try:
        data = file.read_bytes()
    except OSError:
        return ()
    found = []
    for line in data.splitlines():
        try:
            found.append(msgspec.json.decode(line, type=Alert))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return tuple(found)
