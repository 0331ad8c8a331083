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

from exptui.core import user
from exptui.core.configs import config
from exptui.core.errors import ExptuiError
from exptui.core.files import LOW_DISK, free_bytes
from exptui.core.runs import environment, process, queue
from exptui.core.settings import Settings


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
    yield from _cluster(known)
    yield from _configs(root)
    for name in ("results", "archive"):
        yield _writable(root / name)
    try:
        with queue.decide(locks := queue.lock_directory(root / "results")):
            yield Finding("ok", "locks", str(locks))
    except (ExptuiError, OSError) as error:
        yield Finding("bad", "locks", str(error), getattr(error, "hint", ""))
    yield from _own()
    yield from logout(Path("/"), process.user())
    for tool, what in (
        ("git", "commit and uncommitted changes are recorded"),
        ("tmux", "only for convenience"),
    ):
        yield Finding(
            "ok" if shutil.which(tool) else "note",
            tool,
            what if shutil.which(tool) else f"missing: not {what}",
        )


def _own() -> Iterator[Finding]:
    """The user's own settings, and whether the alert command in them can be started."""
    try:
        command = user.load().alerts.command
    except ExptuiError as error:
        yield Finding("bad", "your settings", error.message, error.hint)
        return
    if command:
        found = shutil.which(command[0])
        hint = "" if found else f"Mend [alerts] command in {user.path()}."
        yield Finding("ok" if found else "bad", "alerts", found or f"{command[0]} cannot be started", hint)


def logout(system: Path, user: str) -> Iterator[Finding]:
    """A note where systemd-logind ends what a user started at the end of the session; logind.conf(5)."""
    known: dict[str, str] = {}
    for path in _logind_files(system):
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        known |= {key.strip(): value.strip() for key, is_, value in (n.partition("=") for n in lines) if is_}
    only, excluded = known.get("KillOnlyUsers", ""), known.get("KillExcludeUsers", "root")
    kills = known.get("KillUserProcesses", "no").lower() in ("yes", "true", "on", "1")
    if kills and user not in excluded.split() and (not only or user in only.split()):
        yield Finding(
            "note",
            "logout",
            "KillUserProcesses=yes in logind.conf: runs of this session are ended when you log out",
            "loginctl enable-linger, then start exptui with: systemd-run --user --scope exptui",
        )


def _logind_files(system: Path) -> list[Path]:
    """In the order they count; of two drop-ins of one name the one in /etc, then in /run."""
    drop_ins: dict[str, Path] = {}
    for folder in ("usr/lib", "usr/local/lib", "run", "etc"):
        found = (system / folder / "systemd/logind.conf.d").glob("*.conf")
        drop_ins |= {path.name: path for path in found}
    return [system / "etc/systemd/logind.conf", *(drop_ins[name] for name in sorted(drop_ins))]


def _trainers(root: Path, settings: Settings) -> Iterator[Finding]:
    for trainer in (*settings.trainers, settings.trainer):
        what = f"trainer {trainer.name}"
        try:
            program = environment.resolve(trainer.command[0], root.parent, os.environ)
            environment.code_digest(trainer.code, root.parent)
            if trainer.snapshot:
                from exptui.core.source import taken

                taken.look(root.parent, root, trainer.snapshot, trainer.code)
        except IndexError:
            yield Finding("bad", what, "its command is empty", "Set command in exptui.toml.")
        except ExptuiError as error:
            yield Finding("bad", what, error.message, error.hint)
        else:
            yield Finding("ok", what, str(program))
        if not (trainer.code or trainer.snapshot):
            yield Finding(
                "note",
                what,
                "declares no code: a change of it is not noticed",
                'Set code = ["…"] in exptui.toml.',
            )


def _cluster(settings: Settings) -> Iterator[Finding]:
    """Slurm, where the settings name it."""
    if any(settings.launcher_for(one).kind == "slurm" for one in (settings.trainer, *settings.trainers)):
        from exptui.core.launchers.slurm import Slurm

        try:
            yield Finding("ok", "slurm", Slurm().probe())
        except ExptuiError as error:
            yield Finding("bad", "slurm", error.message, error.hint)


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
