"""The Python environment a run was recorded with, built again for its re-run: the versions that were recorded, or none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exptui.core.errors import RunError
from exptui.core.files import Cancel, Progress
from exptui.core.runs import environment

PYTHON = re.compile(r"python[0-9.]*")
_SHOWN = 5
_MISLEADING = (
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "UV_PROJECT",
)
_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


@dataclass(frozen=True)
class Prepared:
    """An environment of its own; `words` say what is in it, and what is not of the record."""

    python: Path
    words: str

    def program(self, word: str) -> str:
        """What stands for a command's first word in it.

        Raises:
            RunError: it is nothing that an environment of Python holds.
        """
        name = Path(word).name
        here = self.python if PYTHON.fullmatch(name) else self.python.parent / name
        if not here.exists():
            raise RunError(
                f"{word!r} is not in the environment that was prepared",
                "Start the trainer by python, or verify without --prepare-env.",
            )
        return str(here)


def prepare(
    fingerprint: Mapping[str, Any] | None,
    own: Sequence[str],
    folder: Path,
    progress: Progress,
    cancel: Cancel,
) -> Prepared:
    """Build the recorded environment in `folder`, without the project's `own` packages, which come with its code.

    Raises:
        RunError: something of it cannot be had; it is named. What was built is left for the caller to remove.
        Cancelled: somebody asked.
    """
    recorded = dict((fingerprint or {}).get("packages") or {})
    wanted = {name: version for name, version in recorded.items() if name not in own}
    if not recorded:
        raise RunError("the original records no Python packages", "Verify it without --prepare-env.")
    version = str((fingerprint or {}).get("python", ""))
    tool = _Tool(folder, version, cancel)
    pins = [f"{name}=={wanted[name]}" for name in wanted]
    progress(0, len(pins))
    if pins and tool.install(pins):  # one by one then, to say which
        failed = {}
        for number, pin in enumerate(pins, start=1):
            if why := tool.install([pin]):
                failed[pin] = why
            progress(number, len(pins))
        if failed:
            some = ", ".join(list(failed)[:_SHOWN]) + (", …" if len(failed) > _SHOWN else "")
            raise RunError(
                f"{len(failed)} of {len(pins)} recorded packages cannot be had: {some} ({next(iter(failed.values()))})",
                "Make them available to pip or uv, or verify without --prepare-env.",
            )
    progress(len(pins), len(pins))
    there = environment.packages(tool.python)
    if wrong := sorted(name for name in there.keys() | wanted if there.get(name) != wanted.get(name)):
        one = wrong[0]
        raise RunError(
            f"the environment is not the recorded one: {one} {wanted.get(one, 'none')} → {there.get(one, 'none')}"
        )
    words = f"{tool.name}: Python {tool.version}{'' if version else ' (none is recorded)'}, {len(pins)} packages as recorded"
    return Prepared(tool.python, words + (f"; {', '.join(own)} from the code" if own else ""))


class _Tool:
    """Uv where it is, else venv and pip, and the empty environment that it makes."""

    def __init__(self, folder: Path, version: str, cancel: Cancel) -> None:
        self._cancel = cancel
        self.python = folder / "bin/python"
        uv = shutil.which("uv")
        base = _interpreter(version)
        self.name = "uv" if uv else "pip"
        if uv:
            made = (
                "uv",
                "venv",
                "--quiet",
                "--no-project",
                *(("--python", base or version) if version else ()),
                str(folder),
            )
            self._install: tuple[str, ...] = ("uv", "pip", "install", "--quiet", "--python", str(self.python))
        elif base:
            made = (base, "-m", "venv", "--without-pip", str(folder))
            self._install = (*_pip(base), "--python", str(self.python), "install", "--quiet", "--no-input")
        else:
            raise RunError(f"Python {version or '3'} is not here", "Install it, or uv, which can.")
        if why := self._call(made):
            raise RunError(f"the environment cannot be made: {why}", "Verify without --prepare-env.")
        self.version = _ask(str(self.python), "-c", _VERSION)
        if version and self.version != version:
            raise RunError(
                f"Python {version} was recorded, and there is {self.version or 'none'}", "Install it."
            )

    def install(self, pins: list[str]) -> str:
        """Install exactly these; why it failed, or nothing."""
        return self._call((*self._install, "--no-deps", *pins))

    def _call(self, words: Sequence[str]) -> str:
        try:
            process = subprocess.Popen(
                words,
                env=_environ(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return f"{words[0]}: {error.strerror}"
        said = b""
        while True:
            try:
                said = process.communicate(timeout=0.2)[0]
                break
            except subprocess.TimeoutExpired:
                try:
                    self._cancel.check()
                except BaseException:
                    process.kill()
                    process.wait()
                    raise
        lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
        wrong = [line for line in lines if line.lower().startswith("error")] or lines[-1:]
        return (wrong[0] if wrong else f"exit code {process.returncode}") if process.returncode else ""


def _environ() -> dict[str, str]:
    """The user's, with the settings of pip and uv, and nothing that makes them see other packages."""
    kept = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _ask(*words: str) -> str:
    try:
        done = subprocess.run(words, env=_environ(), capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _interpreter(version: str) -> str:
    """A Python of that version on the user's PATH that works; of any where none was recorded. Empty: none."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = Path(folder, f"python{version or '3'}")
        if (
            folder
            and path.is_file()
            and (found := _ask(str(path), "-c", _VERSION))
            and found == (version or found)
        ):
            return str(path)
    return ""


def _pip(base: str) -> tuple[str, ...]:
    """A pip that can install elsewhere: that of the interpreter, or of the user's PATH.

    Raises:
        RunError: there is none.
    """
    for words in ((base, "-m", "pip"), ("pip",), ("pip3",)):
        found = re.match(r"pip (\d+)\.(\d+)", _ask(*words, "--version"))
        if found and (int(found[1]), int(found[2])) >= (22, 3):
            return words
    raise RunError(
        "neither uv nor pip 22.3 or newer is here", "Install one of them, or verify without --prepare-env."
    )
