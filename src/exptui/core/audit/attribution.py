"""What could explain a divergence: which package, which source file, which CPU flag; never just "the environment"."""

from __future__ import annotations

from typing import Any

import msgspec

from exptui.core.audit.original import Original
from exptui.core.audit.report import Change
from exptui.core.compare.deltas import MISSING, Difference, differences
from exptui.core.compare.words import value_text
from exptui.core.configs import config
from exptui.core.runs.run import RunRecord

STARTED = ("command", "passed", "set", "secret", "preset", "threads")
LISTED = 6
_MEANING = {
    "code": "code",
    "snapshot": "code snapshot",
    "python": "Python",
    "inputs": "input",
    "recipe": "started with",
    "packages": "package",
    "program": "the trainer's program",
    "threads": "threads",
    "cpu": "CPU",
    "machine": "machine",
    "libc": "libc",
    "kernel": "kernel",
    "git": "git",
}


def changes(original: Original | None, record: RunRecord | None) -> tuple[Change, ...] | None:
    """What differed between the two starts: fingerprint, command, environment policy. None where one is unknown."""
    if original is None or record is None or original.fingerprint is None or record.fingerprint is None:
        return None
    ours = {**original.fingerprint, "recipe": {name: (original.recipe or {}).get(name) for name in STARTED}}
    theirs = {**record.fingerprint, "recipe": {name: getattr(record.recipe, name) for name in STARTED}}
    if not {"python"} <= ours.keys() & theirs.keys():  # records of earlier versions lack it
        ours, theirs = ({key: side[key] for key in side if key != "python"} for side in (ours, theirs))
    # Through JSON, as one side came from there: a tuple is then a list on both.
    sides = [msgspec.json.decode(msgspec.json.encode(side)) for side in (ours, theirs)]
    found = [_change(one) for one in differences(*map(config.flatten, sides))]
    if original.code_changed or record.code_changed:
        texts = [
            "changed while it ran" if side else "the same"
            for side in (original.code_changed, record.code_changed)
        ]
        found.append(Change("code.while_running", *texts))
    return tuple(found)


def _change(one: Difference) -> Change:
    if one.key == "cpu.flags" and isinstance(one.baseline, str) and isinstance(one.candidate, str):
        ours, theirs = set(one.baseline.split()), set(one.candidate.split())
        return Change(one.key, _flags("without", ours - theirs), _flags("with", theirs - ours))
    return Change(one.key, _text(one.key, one.baseline), _text(one.key, one.candidate))


def _flags(word: str, flags: set[str]) -> str:
    return f"{word} {' '.join(sorted(flags))}" if flags else "–"


def _text(key: str, value: Any) -> str:
    digest = key.startswith(("code.", "inputs.")) or key in ("program", "snapshot")
    return str(value)[:12] if digest and value is not MISSING else value_text(value)


def suspects(original: Original | None, found: tuple[Change, ...] | None, cause: str) -> tuple[str, ...]:
    """What could explain that a re-run is not the same, the likeliest first, each with what it was and is."""
    if found is None:
        return ("how the original was run is unknown: its code and environment may differ",)
    heads = {head: [one for one in found if one.key.partition(".")[0] == head] for head in _MEANING}
    other = [one for one in found if one.key.partition(".")[0] not in _MEANING]
    lines = [line for head, group in heads.items() for line in _lines(_MEANING[head], group)]
    lines += _lines("", other)
    if cause.startswith("nondeterministic"):
        lines.insert(0, "the trainer is not deterministic: two re-runs in the same environment differ")
    if original and original.attempts > 1:
        lines.append(f"the original took {original.attempts} attempts: a resume may not equal a straight run")
    return tuple(lines) or (
        "code and environment are the same: the original was changed, or the trainer reads something exptui does not see"
        if cause.startswith("stable")
        else "code and environment are the same: the trainer is not deterministic, or reads something exptui does not see",
    )


def _lines(meaning: str, group: list[Change]) -> list[str]:
    lines = []
    for one in group[:LISTED]:
        name = one.key.partition(".")[2] if meaning and "." in one.key else "" if meaning else one.key
        lines.append(" ".join(word for word in (meaning, name, _how(one)) if word))
    if len(group) > LISTED:
        lines.append(f"{meaning or 'and'}: {len(group) - LISTED} more differ")
    return lines


def _how(one: Change) -> str:
    if one.baseline == repr(MISSING) and one.key.startswith(("code.", "packages.")):
        return f"is new ({_short(one.candidate)})"
    if one.candidate == repr(MISSING) and one.key.startswith(("code.", "packages.")):
        return f"is gone ({_short(one.baseline)})"
    return f"{_short(one.baseline)} → {_short(one.candidate)}"


def _short(text: str, cap: int = 60) -> str:
    return text if len(text) <= cap else f"{text[: cap - 1]}…"
