"""What takes the space: as the disk counts it, a file with several names once, without reading what is in one."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from exptui.core.archive.listing import ALL_SIDECARS, REMOTE, TARBALL
from exptui.core.audit import RESTORATION
from exptui.core.monitor import places
from exptui.core.runs import checkpoints, trash
from exptui.core.runs.run import stem_of

if TYPE_CHECKING:
    from exptui.core.contents import Contents

Kind = Literal["checkpoints", "logs", "rest"]
BLOCK = 512  # the unit of st_blocks, whatever the file system's own is
_LOG = re.compile(r".*\.(log|out|err)(\.\d+)?(\.gz)?", re.DOTALL)
_LIKELY = re.compile(
    r"(.*/)?((checkpoints?|ckpts?)/|checkpoint-\d+/).+|.*\.(ckpt|pt|pth|safetensors)", re.DOTALL
)
"""What checkpoints are usually called: where the settings do not say, and only to be shown."""


class Links:
    """Files with several names: each takes its space once, and gives it back when the last name goes."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], int] = {}

    def met(self, found: os.stat_result) -> int:
        """How many names of it were met, with this one."""
        key = found.st_dev, found.st_ino
        self._names[key] = count = self._names.get(key, 0) + 1
        return count


class Usage(msgspec.Struct, kw_only=True):
    """Bytes on the disk of one thing, in `files` files; `newest`: when one of them was last written."""

    name: str = ""
    bytes: int = 0
    checkpoints: int = 0
    logs: int = 0
    rest: int = 0
    files: int = 0
    newest: float = 0.0

    def add(self, kind: Kind, size: int) -> None:
        """Count so many bytes more."""
        self.bytes += size
        setattr(self, kind, getattr(self, kind) + size)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace: its places by name, and each run, archive and removed run, the largest first."""

    places: dict[str, Usage]
    runs: list[Usage]
    archives: list[Usage]
    trash: list[Usage]
    unread: list[str]


def files(top: Path, unread: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Every path below a directory with its stat, "" for the directory itself; links are not followed."""
    above, pending = os.fspath(top), [""]
    try:
        found = top.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        unread.append(f"{above}: {error.strerror}")
        return
    yield "", found
    while pending and stat.S_ISDIR(found.st_mode):
        prefix = pending.pop()
        try:
            with os.scandir(f"{above}/{prefix}") as entries:
                for entry in entries:
                    inner = entry.stat(follow_symlinks=False)
                    yield prefix + entry.name, inner
                    if stat.S_ISDIR(inner.st_mode):
                        pending.append(f"{prefix}{entry.name}/")
        except FileNotFoundError:  # removed meanwhile
            continue
        except OSError as error:
            unread.append(f"{above}/{prefix}: {error.strerror}")


def measure(top: Path, kind: Callable[[str], Kind], links: Links, unread: list[str], name: str = "") -> Usage:
    """What a directory or a file takes; of a file with several names only the first that `links` meets."""
    usage = Usage(name=name or top.name)
    for path, found in files(top, unread):
        shared = found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode)
        usage.files += not stat.S_ISDIR(found.st_mode)
        usage.newest = max(usage.newest, found.st_mtime)
        if not shared or links.met(found) == 1:
            usage.add(kind(path), found.st_blocks * BLOCK)
    return usage


def kinds(template: str) -> Callable[[str], Kind]:
    """Which kind a file is of, where checkpoints are named like that; by likely names where nothing is said."""

    def kind(path: str) -> Kind:
        if _LOG.fullmatch(path):
            return "logs"
        found = checkpoints.number(path, template) is not None if template else _LIKELY.fullmatch(path)
        return "checkpoints" if found else "rest"

    return kind


def report(space: Contents) -> Report:
    """Walk the whole workspace, runs first: they are where a file with several names is counted."""
    links, unread, settings = Links(), list[str](), space.settings

    def size(path: Path, name: str = "") -> Usage:
        template = settings.trainer_for(f"{stem_of(name or path.name)}.toml").checkpoints
        return measure(path, kinds(template), links, unread, name)

    def alike(name: str, paths: Iterable[Path]) -> Usage:
        return _sum(name, [measure(path, lambda _: "rest", links, unread) for path in paths])

    directories = space.run_directories()
    runs = [size(path) for path in directories]
    removed = [size(one.path, one.run_id) for one in trash.listed(space.results)]
    sealed = archives(space.archives)
    archived = [alike(run_id, paths) for run_id, paths in sealed.items()]
    seen = {*directories, space.results, space.archives, space.results / trash.TRASH}
    seen |= {space.archives / RESTORATION, *(path for paths in sealed.values() for path in paths)}
    folders = (space.root, space.results, space.archives)
    others = (path for folder in folders for path in below(folder) if path not in seen)
    other = alike("other", others)
    for folder in (*folders, space.results / trash.TRASH):
        other.add("rest", folder.stat().st_blocks * BLOCK if folder.is_dir() else 0)
    found = [
        _sum("results", runs),
        _sum("archive", archived),
        alike("verifications", [space.archives / RESTORATION]),
        _sum("trash", [*removed, alike("", [space.results / trash.TRASH / trash.GOING])]),
        other,
        alike("cache", [places.cache(space.root)]),
    ]
    for usages in (runs, archived, removed):
        usages.sort(key=lambda one: (-one.bytes, one.name))
    return Report(
        places={one.name: one for one in found}, runs=runs, archives=archived, trash=removed, unread=unread
    )


def archives(folder: Path) -> dict[str, list[Path]]:
    """Run id → the files of its archive."""
    found: dict[str, list[Path]] = {}
    for path in below(folder):
        for suffix in (TARBALL, REMOTE, *ALL_SIDECARS):
            if path.name.endswith(suffix) and path.name[0] != ".":
                found.setdefault(path.name.removesuffix(suffix), []).append(path)
    return found


def below(folder: Path) -> list[Path]:
    """What is directly in a directory, by name; nothing where there is none."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _sum(name: str, parts: Sequence[Usage]) -> Usage:
    whole = Usage(name=name, newest=max((one.newest for one in parts), default=0.0))
    for one in parts:
        whole.files += one.files
        for kind in get_args(Kind):
            whole.add(kind, getattr(one, kind))
    return whole
