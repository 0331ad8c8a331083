"""What must not matter to a trainer: each variation changes one thing and nothing else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from exptui.core.runs.run import Recipe

UMASK = 0o022
LOCALES = ("de_DE", "fr_FR", "tr_TR")


@dataclass(frozen=True)
class Variation:
    """One thing that is not as usual. `changes`: what `start.py` does; `impossible`: why it cannot be tried here."""

    name: str
    what: str
    hint: str
    environment: dict[str, str] = field(default_factory=dict)
    umask: int = UMASK
    elsewhere: bool = False
    other_home: bool = False
    changes: dict[str, object] = field(default_factory=dict)
    steadies: bool = False  # two runs under it may agree where two usual ones do not
    impossible: str = ""


UNCHANGED = Variation("twice", "nothing changed", "an unseeded generator, the time, or threads that race")


ALWAYS = (
    Variation(
        "directory", "another one, of another length", "a path is written into an output", elsewhere=True
    ),
    Variation(
        "HOME",
        "another HOME, TMPDIR and cache",
        "a path below HOME or TMPDIR gets into an output",
        other_home=True,
    ),
    Variation(
        "TZ",
        "13:45 hours ahead of UTC",
        "local time is written into an output: write UTC",
        environment={"TZ": "<+1345>-13:45"},
    ),
    Variation("umask", "077 in place of 022", "file modes get into an output", umask=0o077),
    Variation(
        "variable",
        "one more, of 4,000 bytes",
        "the whole environment is recorded, or an address on the stack is used",
        environment={"ANOTHER_VARIABLE": "x" * 4000},
    ),
    Variation(
        "addresses",
        "not randomised (no ASLR)",
        "a hash or an order by address (id, pointer) gets into an output",
        changes={"fixed_addresses": True},
        steadies=True,
    ),
)


def variations(recipe: Recipe, whole: Sequence[Path], stage: Path, *, own: bool) -> list[Variation]:
    """The ten, each with the reason why it cannot be tried where that is known already.

    `whole`: directories whose order stays, those of the outputs among them; `stage`: an empty directory beside them;
    `own`: the trainer makes its output directory itself.
    """
    spelled, first = _locale(), min(os.sched_getaffinity(0))
    order = {"top": recipe.cwd, "stage": str(stage), "whole": [str(path) for path in whole]}
    found = (
        *ALWAYS,
        Variation(
            "locale",
            f"LC_ALL={spelled}",
            "numbers, dates, sorting or text encoding follow the locale: name the encoding and format",
            environment={"LANG": spelled, "LC_ALL": spelled},
        ),
        Variation(
            "hostname",
            "another name of this host",
            "the host's name is written into an output or seeds something",
            changes={"hostname": f"not-{os.uname().nodename}"[:64]},
        ),
        Variation(
            "one core",
            f"processor {first} only",
            "the number of threads is taken from the processors: set it, sums depend on it",
            changes={"cpus": [first]},
            steadies=True,
        ),
        Variation(
            "file order",
            "the working directory listed backwards",
            "a directory is read without sorting its names",
            changes={"reordered": order},
        ),
    )
    return [replace(one, impossible=_known(one, recipe, stage, own=own)) for one in found]


def _known(variation: Variation, recipe: Recipe, stage: Path, *, own: bool) -> str:
    """Why it cannot be tried, known without trying."""
    changed = set(variation.environment)
    if variation.other_home:
        changed = {"HOME", "TMPDIR", "XDG_CACHE_HOME"}
    if fixed := sorted(changed & {*recipe.set, *recipe.passed, *recipe.secret}):
        return f"exptui.toml gives {fixed[0]} itself"
    if variation.elsewhere and own:
        return "the trainer makes its directory itself"
    if "reordered" in variation.changes and Path(recipe.cwd).is_relative_to(stage.parent):
        return "it works in its output directory, which holds nothing yet"
    return ""


def _locale() -> str:
    """A locale that is installed and not the usual one; POSIX where there is none."""
    try:
        done = subprocess.run(["locale", "-a"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "POSIX"
    return next(_preferred(done.stdout.decode(errors="replace").split()), "POSIX")


def _preferred(installed: list[str]) -> Iterator[str]:
    utf8 = [name for name in installed if name.lower().endswith((".utf8", ".utf-8"))]
    for language in LOCALES:
        yield from (name for name in utf8 if name.startswith(language))
    yield from (name for name in utf8 if not name.startswith(("C.", "en_")))
