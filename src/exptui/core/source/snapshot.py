"""A snapshot of the code: taken when a run is queued, shared by all runs with the same code, unpacked where one works.

`results/.code/<digest>.tar` is the same file as `code.tar` in the directories of the runs that have it (a hard link):
when no run has it any more, nothing else names it. Where there are no hard links each run has a copy.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from exptui.core.archive.manifest import open_below
from exptui.core.archive.tarball import RECORD
from exptui.core.errors import RunError
from exptui.core.files import BLOCK, PARTIAL, fsync_dir, publish, sha256_file, storage_errors
from exptui.core.runs import environment, launch, queue
from exptui.core.runs.cleanup import STORE
from exptui.core.runs.run import Snapshot
from exptui.core.source import pack, taken

NAME = "code.tar"  # in a run's directory
TREE = "code"  # below a run's scratch directory
LISTED = (
    2000  # files: the fingerprint of larger code has its digest alone, unless the settings name some of it
)
_LEFT = 20
_TRIES = 3


@dataclass(frozen=True)
class Captured:
    """The code of a run about to be queued. `tree`: where it will be unpacked; `files`: what is in it."""

    snapshot: Snapshot
    files: Collection[str]
    tree: Path
    code: tuple[str, ...] = ()
    patch: bytes = field(default=b"", repr=False)

    def has(self, path: str) -> bool:
        """Whether a file or a directory of that path is in it."""
        return path in (".", *self.files) or any(name.startswith(f"{path}/") for name in self.files)


def tree(results: Path, ticket: str) -> Path:
    """Where the code of a run is while it works."""
    return queue.lock_directory(results) / f"{ticket}{queue.SCRATCH}" / TREE


def capture(
    project: Path,
    results: Path,
    wanted: bool | Sequence[str],
    code: tuple[str, ...],
    place: Path,
    where: Path,
) -> Captured:
    """Put the code of now into `place` as `code.tar`; `where` is its `tree`.

    Raises:
        RunError, UsageError: it cannot be told what the code is, or it changes all the time.
        StorageError: the disk said no. Nothing is left but what `place` holds.
    """
    chosen = taken.look(project, results.parent, wanted, code)
    if not chosen.paths:
        raise RunError(
            f"there is no code to capture in {project}", 'git add it, or name it: snapshot = ["train.py"]'
        )
    git = environment.git(project)
    patch = environment.code_patch(project, {"git": git})
    store = results / STORE
    with storage_errors("capture the code"):
        if not store.exists():
            store.mkdir(exist_ok=True)
            launch.share(store)
        shared = os.access(store, os.W_OK)  # not where it is somebody else's: then the run has its own copy
        temporary = (store if shared else place) / f".{place.name}.{os.getpid()}{PARTIAL}"
        try:
            digest, size = _written(project, chosen.paths, temporary)
            if shared:
                _keep(temporary, store / f"{digest}.tar", place / NAME)
            else:
                publish(temporary, place / NAME)
        finally:
            temporary.unlink(missing_ok=True)
    left = (*chosen.left[:_LEFT], *([f"and {more} more"] if (more := len(chosen.left) - _LEFT) > 0 else []))
    snapshot = Snapshot(digest=digest, files=len(chosen.paths), size=size, git=git, left=left)
    return Captured(snapshot, set(chosen.paths), where, _counted(project, code, chosen.paths), patch)


def _counted(project: Path, code: tuple[str, ...], paths: list[str]) -> tuple[str, ...]:
    """What the fingerprint lists file by file: all of it, and what the settings name outside of the project.

    Of code with very many files only what the settings name.
    """
    inside, outside = _sides(project, code)
    if len(paths) > LISTED:
        return (*inside, *outside)
    files = (path for path in paths if not (project / path).is_symlink())
    return (*dict.fromkeys(path.split("/")[0] for path in files), *outside)


def _sides(project: Path, code: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is named below the project, by the path there, and what is outside of it."""
    below = {entry: os.path.relpath(os.path.normpath(project / entry), project) for entry in code}
    outside = tuple(entry for entry in code if below[entry].startswith(".."))
    return tuple(below[entry] for entry in code if entry not in outside), outside


def digests(project: Path, code: tuple[str, ...], paths: list[str]) -> dict[str, str]:
    """What the fingerprint of a run would list, with the code of now."""
    counted = _counted(project, code, paths)
    if len(paths) > LISTED:
        return environment.code_digest(counted, project)
    files = (path for path in paths if (project / path).is_file() and path.split("/")[0] in counted)
    found = {path: sha256_file(project / path)[0] for path in files}
    return found | environment.code_digest(_sides(project, code)[1], project)


def _written(project: Path, paths: list[str], temporary: Path) -> tuple[str, int]:
    """Write the tar; its digest and the bytes of its files. Nothing in it changed meanwhile."""
    root = os.open(project, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            with open(temporary, "wb", opener=_read_only) as out:
                before = {path: _stamp(root, path) for path in paths}
                digest, size = _pack(root, paths, out)
                changed = next((path for path in paths if _stamp(root, path) != before[path]), "")
                if not changed:
                    out.flush()
                    os.fsync(out.fileno())
                    return digest, size
            temporary.unlink()
    finally:
        os.close(root)
    raise RunError(f"{changed} changes while the code is captured", "Try again when nothing writes there.")


def _read_only(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o444)


def _stamp(root: int, path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path, dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode


def _pack(root: int, paths: list[str], out: BinaryIO) -> tuple[str, int]:
    writer, total = pack.Writer(out), 0
    for path in paths:
        found = os.stat(path, dir_fd=root, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            target = os.readlink(path, dir_fd=root)
            writer.write(pack.Entry(path, 0, executable=False, link=target).header)
            continue
        writer.write(pack.Entry(path, found.st_size, bool(found.st_mode & stat.S_IXUSR), "").header)
        with open(open_below(root, path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
            left = found.st_size
            while left and (block := file.read(min(left, BLOCK))):
                writer.write(block)
                left -= len(block)
        writer.write(bytes(left + -found.st_size % RECORD))  # of one that was cut meanwhile this is not kept
        total += found.st_size
    return writer.close(), total


def _keep(temporary: Path, stored: Path, own: Path) -> None:
    """The run's own name for the code, and that in the store; what is stored under it already is looked at first."""
    if stored.is_file() and sha256_file(stored)[0] == stored.stem:
        with contextlib.suppress(FileNotFoundError):  # pruned just now
            share(stored, own)
            fsync_dir(own.parent)
            return
    share(temporary, own)
    publish(temporary, stored)
    fsync_dir(own.parent)


def share(source: Path, target: Path) -> None:
    """Another name for a file, or a copy where there can be none.

    Raises:
        OSError: nothing is left of it.
    """
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        try:
            shutil.copyfile(source, target)
            fd = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def prune(results: Path) -> list[str]:
    """Remove from the store what no run has any more; a message each.

    A run that takes one up at this moment has its own name for it, and lacks nothing.
    """
    messages = []
    for path in sorted((results / STORE).glob("*.tar")):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if path.stat().st_nlink == 1:
                path.unlink()
                messages.append(f"removed the code {path.stem[:12]}, which no run has any more")
    return messages
