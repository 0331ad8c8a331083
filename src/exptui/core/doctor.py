"""`exptui doctor`: is everything here that a run needs, and what to do where it is not."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from exptui.core.configs import config
from exptui.core.errors import ExptuiError
from exptui.core.files import free_bytes
from exptui.core.runs import environment, queue
from exptui.core.settings import Settings

LOW_DISK = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ok, bad, or a note of what is worth knowing but no fault."""

    mark: Literal["ok", "bad", "note"]
    what: str
    detail: str
    hint: str = ""


def examine(root: Path, settings: Callable[[], Settings]) -> Iterator[Finding]:
    """Look at the machine and the workspace; changes nothing but for a lock directory."""
    yield Finding(
        "ok",
        "python",
        f"{platform.python_version()} at {sys.executable}, {platform.system()} {platform.release()}",
    )
    try:
        known = settings()
        yield Finding("ok", "settings", str(root / "exptui.toml"))
    except ExptuiError as error:
        yield Finding("bad", "settings", error.message, error.hint)
        return
    yield from _trainers(root, known)
    yield from _configs(root)
    for name in ("results", "archive"):
        yield _writable(root / name)
    try:
        yield Finding("ok", "locks", str(queue.lock_directory(root / "results")))
    except (ExptuiError, OSError) as error:
        yield Finding("bad", "locks", str(error), getattr(error, "hint", ""))
    for tool, what in (
        ("git", "commit and uncommitted changes are recorded"),
        ("tmux", "only for convenience"),
    ):
        yield Finding(
            "ok" if shutil.which(tool) else "note",
            tool,
            what if shutil.which(tool) else f"missing: not {what}",
        )


def _trainers(root: Path, settings: Settings) -> Iterator[Finding]:
    for trainer in (*settings.trainers, settings.trainer):
        what = f"trainer {trainer.name}"
        try:
            program = environment.resolve(trainer.command[0], root.parent, os.environ)
            environment.code_digest(trainer.code, root.parent)
        except IndexError:
            yield Finding("bad", what, "its command is empty", "Set command in exptui.toml.")
        except ExptuiError as error:
            yield Finding("bad", what, error.message, error.hint)
        else:
            yield Finding("ok", what, str(program))
        if not trainer.code:
            yield Finding(
                "note",
                what,
                "declares no code: a change of it is not noticed",
                'Set code = ["…"] in exptui.toml.',
            )


def _configs(root: Path) -> Iterator[Finding]:
    count = 0
    for path in sorted((root / "configs").glob("*.toml")):
        try:
            config.load(path)
            count += 1
        except ExptuiError as error:
            yield Finding("bad", "config", error.message, error.hint)
    yield Finding("ok" if count else "note", "configs", f"{count} can be read")


def _writable(directory: Path) -> Finding:
    there = directory if directory.exists() else directory.parent
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding("bad", directory.name, f"{there} cannot be written", "Check who owns it (ls -ld).")
    free = free_bytes(there)
    if free < LOW_DISK:
        return Finding("bad", directory.name, f"only {free:,} bytes are free on its disk", "Free some space.")
    return Finding("ok", directory.name, f"writable, {free / 1e9:,.0f} GB free")
