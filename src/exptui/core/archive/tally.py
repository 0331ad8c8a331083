"""What the ledger heard of an archive being run again: here, and on the machines of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

WORST_FIRST = ("CORRUPT", "DIVERGED", "FAILED", "UNKNOWN", "AGREES", "REPRODUCED")
MARKS = {"REPRODUCED": "✔", "AGREES": "≈", "DIVERGED": "✗", "FAILED": "!", "CORRUPT": "!", "UNKNOWN": "?"}
Key = tuple[str, str]
"""A run id and an identity: a verdict over another archive of that name does not count."""


class Heard(msgspec.Struct, frozen=True):
    """One verdict; `signer`: who sent it, empty where it was made here."""

    verdict: str
    machine: str
    host: str
    at: str
    signer: str = ""


class Matrix(msgspec.Struct, frozen=True):
    """Archives by machines: each machine's name, and each archive's verdicts on it."""

    machines: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[Heard, ...], ...]], ...]


def heard(events: Iterable[Mapping[str, Any]]) -> dict[Key, tuple[Heard, ...]]:
    """The verdicts over each archive, oldest first. One that was entered twice is one."""
    found: dict[Key, dict[object, Heard]] = {}
    for number, event in enumerate(events):
        words = [event.get(name) for name in ("event", "run_id", "identity", "verdict")]
        if words[0] in ("verified", "received") and all(isinstance(word, str) for word in words):
            _, run_id, identity, verdict = map(str, words)
            host = str(event.get("made_on") or event.get("host"))
            machine, at = event.get("machine") or f"host {host}", event.get("made_at") or event.get("at")
            one = Heard(verdict, str(machine), host, str(at), str(event.get("signer") or ""))
            found.setdefault((run_id, identity), {}).setdefault(event.get("statement") or number, one)
    return {key: tuple(some.values()) for key, some in found.items()}


def leading(verdicts: Sequence[Heard]) -> Heard | None:
    """The one that stands for all: the last that DIVERGED, which nothing hides, else the newest."""
    diverged = [one for one in verdicts if one.verdict == "DIVERGED"]
    return next(reversed(diverged or verdicts), None)


def summary(verdicts: Sequence[Heard]) -> str:
    """`REPRODUCED ×2, 2 machines`; the worst first, UNKNOWN only where there is nothing else; empty for none."""
    counts = Counter(one.verdict for one in verdicts)
    if len(counts) > 1:
        del counts["UNKNOWN"]
    told = [one for one in verdicts if one.verdict in counts]
    if len(told) < 2:
        return next(iter(counts), "")
    machines = len({one.machine for one in told})
    words = [f"{word} ×{counts[word]}" for word in sorted(counts, key=_place)]
    return ", ".join([*words, f"{machines} machine{'s' if machines > 1 else ''}"])


def short(verdicts: Sequence[Heard]) -> str:
    """The leading one, and of how many: `REPRODUCED ×3`, `DIVERGED 1 of 3`; empty for none."""
    first = leading(verdicts)
    if first is None or len(verdicts) == 1:
        return first.verdict if first else ""
    count = sum(one.verdict == first.verdict for one in verdicts)
    return (
        f"{first.verdict} ×{count}"
        if count == len(verdicts)
        else f"{first.verdict} {count} of {len(verdicts)}"
    )


def cell(verdicts: Sequence[Heard]) -> str:
    """Those of one machine, short: `✗ ✔2`; empty for none."""
    counts = Counter(one.verdict for one in verdicts)
    return " ".join(
        f"{MARKS.get(word, '?')}{counts[word] if counts[word] > 1 else ''}"
        for word in sorted(counts, key=_place)
    )


def matrix(archives: Iterable[tuple[str, Sequence[Heard]]]) -> Matrix:
    """Of each archive by its run id; those that nobody verified are left out."""
    known = [(run_id, verdicts) for run_id, verdicts in archives if verdicts]
    hosts = {one.machine: one.host for _, verdicts in known for one in verdicts}
    several = Counter(hosts.values())
    names = (f"{host} {machine[:4]}" if several[host] > 1 else host for machine, host in hosts.items())
    rows = (
        (run_id, tuple(tuple(one for one in verdicts if one.machine == machine) for machine in hosts))
        for run_id, verdicts in known
    )
    return Matrix(tuple(names), tuple(rows))


def _place(word: str) -> int:
    return WORST_FIRST.index(word) if word in WORST_FIRST else -1
