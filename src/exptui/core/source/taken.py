"""Which files are "the code": what git tracks, or what the settings name; what is left out, and why."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from exptui.core.archive.manifest import collisions, path_problem
from exptui.core.errors import RunError, UsageError
from exptui.core.files import storage_errors
from exptui.core.source.pack import link_problem

MOST_FILES, MOST_BYTES = 20_000, 1 << 30
OURS = ("configs", "results", "archive", "exptui.toml", "notes.json")  # of the workspace: no code
SKIPPED = {"__pycache__", ".git"}
_REDIRECTS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
_NAME_THEM = 'Name what the trainer needs in exptui.toml, as in: snapshot = ["train.py", "src"]'


class Taken(NamedTuple):
    """Paths below the project, in the order of their bytes; `left`: what is not taken, with the reason."""

    paths: list[str]
    left: list[str]


def look(project: Path, workspace: Path, wanted: bool | Sequence[str], code: Sequence[str]) -> Taken:
    """What a snapshot would hold: with `wanted` True what git tracks, and `code`; else what `wanted` names.

    Raises:
        RunError: git does not answer, something named is not there, or it is too much.
        StorageError: something cannot be read.
        UsageError: something named lies outside of the project.
    """
    with storage_errors("look at the code"):
        return _look(project, workspace, wanted, code)


def _look(project: Path, workspace: Path, wanted: bool | Sequence[str], code: Sequence[str]) -> Taken:
    left: list[str] = []
    if wanted is True:
        found = [path for path in _git(project, "--cached", "--recurse-submodules") if path]
        untracked = _git(project, "--others", "--exclude-standard", "--directory", "--no-empty-directory")
        inside = [entry for entry in code if _below(project, entry) is not None]
        left += [f"{entry}: outside of the project" for entry in code if entry not in inside]
        named = set(_named(project, inside))
        found += named
    else:
        assert not isinstance(wanted, bool)
        found, named, untracked = list(_named(project, wanted)), set(), []
    ours = _ours(project, workspace)
    paths: list[str] = []
    behind = cache(partial(_is_behind_a_link, project.resolve()))
    for path in sorted(set(found), key=os.fsencode):
        if path in ours or any(path.startswith(f"{own}/") for own in ours):
            continue
        if behind(str(Path(path).parent)) or (why := _problem(project, path)) is None:
            continue
        if why:
            left.append(f"{path}: {why}")
        else:
            paths.append(path)
    left += [
        f"{path}: not tracked by git"
        for path in untracked
        if path not in named and not _holds(path, (*ours, *paths))
    ]
    if problem := collisions(paths):
        raise RunError(f"the code cannot be captured: {problem}", "Rename one of them.")
    _limited(project, paths)
    return Taken(paths, left)


def _holds(folder: str, paths: Iterable[str]) -> bool:
    """Whether an untracked path is one of these, or is above one of them."""
    name = folder.rstrip("/")
    return any(path == name or path.startswith(f"{name}/") or name.startswith(f"{path}/") for path in paths)


def _ours(project: Path, workspace: Path) -> tuple[str, ...]:
    root = workspace.resolve()
    project = project.resolve()
    if not root.is_relative_to(project):
        return ()
    return tuple(str((root / name).relative_to(project)) for name in OURS)


def _git(project: Path, *how: str) -> list[str]:
    words = ["git", "-c", "core.fsmonitor=false", "-C", str(project), "ls-files", "-z", *how]
    env = {name: value for name, value in os.environ.items() if name not in _REDIRECTS}
    try:
        done = subprocess.run(
            words, env={**env, "GIT_OPTIONAL_LOCKS": "0"}, capture_output=True, timeout=60, check=False
        )
    except FileNotFoundError:
        raise RunError("git is not installed, which tells what the code is", _NAME_THEM) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(f"git does not tell what the code is: {error}", _NAME_THEM) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[:1] or ["it said nothing"]
        raise RunError(f"git does not tell what the code in {project} is: {said[0]}", _NAME_THEM)
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def _below(project: Path, entry: str) -> str | None:
    """The plain path of something named in the settings, None where it is outside of the project."""
    whole = os.path.normpath(project / entry)
    return os.path.relpath(whole, project) if Path(whole).is_relative_to(project) else None


def _named(project: Path, patterns: Sequence[str]) -> Iterator[str]:
    """The files of paths and patterns: of a directory all that is in it."""
    for pattern in patterns:
        inner = _below(project, pattern)
        if inner is None:
            raise UsageError(f"the code {pattern!r} lies outside of {project}", _NAME_THEM)
        tops = list(_matching(project, [] if inner == "." else inner.split("/")))
        if not tops:
            raise RunError(f"the code {pattern!r} does not exist", "Mend code or snapshot in exptui.toml.")
        for top in tops:
            if top.is_symlink() or not top.is_dir():
                yield str(top.relative_to(project))
                continue
            for folder, folders, names in os.walk(top, onerror=unreadable):
                links = [name for name in folders if Path(folder, name).is_symlink()]
                folders[:] = [name for name in folders if name not in SKIPPED and name not in links]
                yield from (str(Path(folder, name).relative_to(project)) for name in (*names, *links))


def _matching(folder: Path, parts: list[str]) -> Iterator[Path]:
    """What a pattern names below a folder; a directory that cannot be read is an error, as it is not for `Path.glob`."""
    if not parts:
        yield folder
        return
    head, rest = parts[0], parts[1:]
    if head == "**":
        yield from _matching(folder, rest)
    if not any(char in head for char in "*?["):
        if os.path.lexists(folder / head):
            yield from _matching(folder / head, rest)
    elif folder.is_dir() and not folder.is_symlink():
        for name in sorted(os.listdir(folder)):  # noqa: PTH208
            if head == "**" and name not in SKIPPED and (folder / name).is_dir():
                yield from _matching(folder / name, parts)
            elif head != "**" and fnmatchcase(name, head):
                yield from _matching(folder / name, rest)


def unreadable(error: OSError) -> None:
    """For `os.walk`, which leaves out what it cannot read unless this raises."""
    raise error


def _is_behind_a_link(project: Path, folder: str) -> bool:
    """Whether what git tracked in a folder is somewhere else now."""
    return (project / folder).resolve() != project / folder


def _problem(project: Path, path: str) -> str | None:
    """Why a file is left out: '' where it is not, None where there is none any more, which needs no word."""
    if problem := path_problem(path):
        return problem
    here = project / path
    try:
        mode = here.lstat().st_mode
        if stat.S_ISLNK(mode):
            return link_problem(path, os.readlink(here))  # noqa: PTH115  as it is
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(mode):
        return "a submodule that is not checked out"
    return "" if stat.S_ISREG(mode) else "a FIFO, socket or device"


def _limited(project: Path, paths: list[str]) -> None:
    sizes = {path: (project / path).lstat().st_size for path in paths}
    if len(sizes) > MOST_FILES:
        raise RunError(f"the code has {len(sizes):,} files, more than {MOST_FILES:,}", _NAME_THEM)
    if (total := sum(sizes.values())) > MOST_BYTES:
        largest = max(sizes, key=lambda path: sizes[path])
        raise RunError(
            f"the code has {total / 1e6:,.0f} MB, more than {MOST_BYTES / 1e6:,.0f}; the largest file is {largest}",
            _NAME_THEM,
        )
