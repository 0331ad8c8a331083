"""What the page tells of one run: how it compares, where it comes from, and what came of running it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from exptui.core.audit.statement import Seen
from exptui.core.compare.sides import Side
from exptui.core.files import canonical_json, sha256_bytes
from exptui.core.runs.run import RunView

SHORT = 12  # characters of a digest that somebody compares by eye


class Subject(msgspec.Struct, frozen=True):
    """One run of the page; `facts` name what is recorded of it, `seen` its verdicts, the newest first."""

    side: Side
    facts: tuple[tuple[str, str], ...]
    seen: tuple[Seen, ...] = ()


def of_run(side: Side, view: RunView, seen: tuple[Seen, ...]) -> Subject:
    """A run by its record, or without one."""
    record = view.record
    if record is None:
        return Subject(
            side, (("state", f"{view.state}: not started by exptui, how it ran is unknown"),), seen
        )
    took = record.seconds
    facts = {
        "state": str(view.state),
        "started": record.started_at,
        "took": _seconds(took),
        "attempts": str(record.attempts),
        "by": f"{record.user} on {record.host}",
        "config": f"sha256 {record.config_sha256}",
    }
    recipe = msgspec.to_builtins(record.recipe)
    return Subject(side, (*_said(facts), *_recorded(record.fingerprint, recipe)), seen)


def of_archive(
    side: Side, about: Mapping[str, Any], card: Mapping[str, Any], identity: str, seen: tuple[Seen, ...]
) -> Subject:
    """An archived run by its manifest, its card and the ledger; `about` may be empty."""
    took = card.get("seconds")
    facts = {
        "state": "archived, incomplete" if about.get("incomplete") else "archived",
        "took": _seconds(took),
        "attempts": str(about.get("attempts") or ""),
        "archive": f"sha256 {identity}" if identity else "its identity is unknown",
        "config": f"sha256 {about.get('config_sha256', '')}",
    }
    return Subject(side, (*_said(facts), *_recorded(about.get("fingerprint"), about.get("recipe"))), seen)


def _seconds(took: object) -> str:
    if not isinstance(took, int | float):
        return ""
    return f"{took:,.0f} s" if took >= 1 else "under 1 s"


def _said(facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from ((name, value) for name, value in facts.items() if value)


def _recorded(fingerprint: object, recipe: object) -> Iterator[tuple[str, str]]:
    """What was recorded when the trainer started."""
    how = recipe if isinstance(recipe, dict) else {}
    if isinstance(command := how.get("command"), list | tuple):
        yield "command", " ".join(map(str, command))
    if not isinstance(fingerprint, dict):
        yield "environment", "not recorded"
        return
    for name in ("code", "packages", "inputs"):
        if isinstance(some := fingerprint.get(name), dict) and some:
            one = "file" if name == "code" else name.removesuffix("s")
            count = f"{len(some):,} {one}{'' if len(some) == 1 else 's'}"
            yield name, f"{count}, digest {sha256_bytes(canonical_json(some))[:SHORT]}"
    if isinstance(git := fingerprint.get("git"), dict):
        yield (
            "git",
            f"{str(git.get('commit'))[:SHORT]}{' and uncommitted changes' if git.get('dirty') else ''}",
        )
    if program := fingerprint.get("program"):
        yield "program", f"digest {str(program)[:SHORT]}"
    cpu = fingerprint.get("cpu")
    model = cpu.get("model") if isinstance(cpu, dict) else ""
    words = (model, *(fingerprint.get(name) for name in ("machine", "kernel", "libc")))
    yield "machine", ", ".join(str(word) for word in words if word)
    for name in ("gpu", "driver", "threads"):
        if value := fingerprint.get(name):
            yield name, str(value)
