"""Working from a snapshot: which program and directory that is, what Python imports from it, what is written into it."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import structs

from exptui.core.errors import RunError, UsageError
from exptui.core.runs import environment
from exptui.core.runs.home import Home
from exptui.core.runs.run import Snapshot
from exptui.core.settings import EnvironmentPolicy, TrainerSettings
from exptui.core.source import editable, pack
from exptui.core.source.snapshot import NAME, TREE, Captured
from exptui.core.source.taken import unreadable

WRITTEN = "beside_code"  # in a run's directory: what its trainer wrote into its own code
PYTHON_PATH = "PYTHONPATH"


def start(
    code: Captured,
    trainer: TrainerSettings,
    word: str,
    cwd: Path,
    project: Path,
    policies: Sequence[EnvironmentPolicy],
) -> tuple[Path, Snapshot]:
    """The program of a command that works from captured code, and what is recorded of that code.

    Raises:
        RunError: a program, a directory or declared code is in neither place.
        UsageError: something names the project itself, whose code may have changed when the run starts.
    """
    program = _program(code, word, project, built=bool(trainer.prepare))
    if trainer.prepare:
        _program(code, trainer.prepare[0], project)
    if "{output}" not in trainer.cwd:
        inner = os.path.relpath(cwd, code.tree.resolve())
        if inner.startswith("..") or not (trainer.prepare or code.has(inner)):
            raise RunError(
                f"the trainer's directory {trainer.cwd!r} is not in the code that was captured",
                "Mend [trainer] cwd or snapshot in exptui.toml.",
            )
    for entry in code.code:
        if not (code.has(entry) or (Path(entry).is_absolute() and Path(entry).exists())):
            raise RunError(f"the code {entry!r} was not captured", "git add it, or mend code in exptui.toml.")
    for policy in policies:
        passed = (os.environ.get(name, "") for name in policy.passed)
        for text in (*trainer.command[1:], *trainer.prepare[1:], *passed, *policy.set.values()):
            _refuse_in_place(code, text, project)
    found = editable.roots(sites := environment.sites(program) if program.exists() else [], project)
    names = editable.packages(sites, project)
    known = code.snapshot  # one from elsewhere says itself what was found there
    roots, own = (tuple(dict.fromkeys(both)) for both in ((*known.roots, *found), (*known.packages, *names)))
    return program, structs.replace(known, roots=roots, packages=own)


def _program(code: Captured, word: str, project: Path, *, built: bool = False) -> Path:
    """Where a command's first word is: in the code, if it is captured or built there, else as without a snapshot."""
    below = Path(word).is_relative_to(code.tree)  # by {project}
    inner = os.path.relpath(word, code.tree) if below else os.path.normpath(word)
    if "/" in word and not inner.startswith(("/", "..")) and (built or code.has(inner)):
        return code.tree / inner
    return environment.resolve(word, project, os.environ)


def _refuse_in_place(code: Captured, text: str, project: Path) -> None:
    """What names captured code where it lies now would run that, and not what was captured."""
    for part in re.split(r"[:=,]", text):
        for base in {project, project.resolve()}:
            path = os.path.relpath(part, base) if part.startswith("/") else ".."
            if not path.startswith("..") and code.has(path):
                raise UsageError(
                    f"{text!r} names the code in the project, not that of the snapshot",
                    f"In a command: {{project}}/{path}; elsewhere relative to cwd.",
                )


class Own(Home):
    """A snapshot that is unpacked for one attempt of a run, and goes with its scratch directory."""

    def __init__(self, known: Snapshot, directory: Path, scratch: Path) -> None:
        super().__init__(scratch / TREE)
        self._known, self._directory = known, directory
        self._before: dict[str, tuple[int, ...]] = {}

    def enter(self) -> None:
        """Unpack it.

        Raises:
            CorruptError: it is not the code that was captured.
            OSError: the disk said no.
        """
        pack.unpack(self._directory / NAME, self.path, self._known.digest)

    def environ(self, given: Mapping[str, str]) -> dict[str, str]:
        """Python finds the project's own packages in the snapshot first."""
        if not self._known.roots:
            return dict(given)
        places = (
            *(os.path.normpath(self.path / root) for root in self._known.roots),
            given.get(PYTHON_PATH, ""),
        )
        return {**given, PYTHON_PATH: os.pathsep.join(filter(None, places))}

    def patch(self, seen: Mapping[str, object]) -> bytes:  # noqa: ARG002  the other one needs it
        """It was written when the snapshot was taken."""
        return b""

    def begin(self) -> None:
        """From now on what changes in it was written by the trainer."""
        self._before = stamps(self.path)

    def leave(self) -> None:
        """Move what the trainer wrote into it to the run's directory."""
        keep_written(self.path, self._before, self._directory)


def stamps(top: Path) -> dict[str, tuple[int, ...]]:
    """Every regular file below a directory, and what changes when it is written."""
    found: dict[str, tuple[int, ...]] = {}
    for folder, folders, names in os.walk(top, onerror=unreadable):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(folder, name)
            seen = path.lstat()
            if stat.S_ISREG(seen.st_mode):
                found[str(path.relative_to(top))] = (seen.st_ino, seen.st_size, seen.st_mtime_ns)
    return found


def keep_written(top: Path, before: dict[str, tuple[int, ...]], directory: Path) -> list[str]:
    """Move what a trainer wrote into its code to the run's directory: the code goes when the run ends."""
    now = stamps(top)
    written = sorted(path for path in now if now[path] != before.get(path))
    for path in written:
        target = directory / WRITTEN / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(top / path, target)
    return written
