"""The build before a run: `[trainer] prepare`, with its own log, in the environment of the run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from exptui.core.errors import RunError
from exptui.core.runs import environment
from exptui.core.runs.run import Recipe

LOG = "prepare.log"
WITHIN = 8192  # bytes of the log's end in which its last words are looked for


def start(
    recipe: Recipe,
    places: tuple[Path, Path],
    directory: Path,
    environ: Callable[[Recipe], Mapping[str, str]],
    lock_fd: int,
    before_exec: Callable[[], None],
) -> subprocess.Popen[bytes]:
    """Start the build of a run; what it says is added to `prepare.log`. `environ`: the environment for a recipe.

    `places`: where the code is, and the project.

    Raises:
        RunError: its program is not there.
    """
    home, project = places
    word = recipe.prepare[0]
    here = "/" in word and (home / word).is_file()
    program = environment.resolve(word, home if here else project, os.environ)
    argv = (str(program), *recipe.prepare[1:])
    with (directory / LOG).open("ab", buffering=0) as log:
        return subprocess.Popen(
            argv,
            cwd=home if "{output}" in recipe.cwd_setting else recipe.cwd,
            env=environ(msgspec.structs.replace(recipe, argv=argv)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[lock_fd],
            start_new_session=True,
            preexec_fn=before_exec,  # noqa: PLW1509  the supervisor has one thread
        )


def check(recipe: Recipe, code: int, directory: Path) -> None:
    """Whether the build of a run ended well and its program is there now.

    Raises:
        RunError: it failed, with its last words, or left no program.
    """
    if code:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise RunError(f"prepare failed with {how} ({LOG}): {_last_words(directory / LOG)}")
    program = Path(recipe.argv[0])
    if not (program.is_file() and os.access(program, os.X_OK)):
        raise RunError(
            f"prepare ended well, and {program} is not there", "Check [trainer] prepare and command."
        )


def _last_words(log: Path) -> str:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - WITHIN))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing")
