"""Finish or undo what a crash left in archive/ and results/. Idempotent; leaves live processes alone."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from exptui.core.archive import ledger
from exptui.core.archive.listing import ALL_SIDECARS, REMOTE, SIDECARS, TARBALL, beside
from exptui.core.archive.reader import Reader
from exptui.core.archive.remote import is_stored
from exptui.core.archive.restore import TEMPORARY
from exptui.core.archive.seal import TRASH, partial_run_id, remove_tree, sidecar_facts
from exptui.core.errors import ArchiveError, CorruptError
from exptui.core.files import Lock, fsync_dir, lock_directory, rename, storage_errors
from exptui.core.runs import queue
from exptui.core.runs.alone import lock_path

CONFORMANCE = ".conformance-"
UNFINISHED = {TEMPORARY: "restoration", CONFORMANCE: "conformance check"}


def recover(archive_dir: Path, results_dir: Path) -> list[str]:
    """What was done, one message each.

    Raises:
        StorageError: the disk said no; run it again once that is solved.
    """
    messages: list[str] = []
    with storage_errors("recover the archive"):
        ids, trashed = _candidates(archive_dir, results_dir)
        for run_id in sorted(ids | trashed):
            archive_dir.mkdir(parents=True, exist_ok=True)
            lock = Lock.take(lock_path(archive_dir, run_id), wait=False)
            if lock is None:
                continue
            try:
                messages += _recover_run(archive_dir, results_dir, run_id)
            finally:
                with contextlib.suppress(OSError):
                    lock.path.unlink()
                lock.release()
        messages += _temporaries(results_dir)
    return messages


def _names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory)) if directory.is_dir() else []  # noqa: PTH208


def _hidden(directory: Path) -> list[str]:
    """What is no run; of 100,000 runs no list is made."""
    if not directory.is_dir():
        return []
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries if entry.name[0] == ".")


def _candidates(archive_dir: Path, results_dir: Path) -> tuple[set[str], set[str]]:
    """Run ids for which something may have to be done."""
    names = _names(archive_dir)
    committed = {name.removesuffix(TARBALL) for name in names if name.endswith(TARBALL) and name[0] != "."}
    elsewhere = {name.removesuffix(REMOTE) for name in names if name.endswith(REMOTE)}
    ids = {run_id for name in names if (run_id := partial_run_id(name))}
    for name in names:
        for suffix in SIDECARS:
            if (
                name.endswith(suffix)
                and name[0] != "."
                and name.removesuffix(suffix) not in committed | elsewhere
            ):
                ids.add(name.removesuffix(suffix))
        if name.endswith(".lock") and name[0] == "." and name != ledger.LOCK:
            ids.add(name[1:].removesuffix(".lock"))
    if committed:
        events, _ = ledger.read(archive_dir)
        ids |= committed - ledger.identities(events).keys()
    trashed = {name.removeprefix(TRASH) for name in _hidden(results_dir) if name.startswith(TRASH)}
    return ids - {""}, trashed - {""}


def _recover_run(archive_dir: Path, results_dir: Path, run_id: str) -> list[str]:
    messages: list[str] = []
    for name in _names(archive_dir):
        if partial_run_id(name) == run_id:
            (archive_dir / name).unlink()
            messages.append(f"removed the unfinished {name}")
    committed = beside(archive_dir, run_id, TARBALL).exists()
    if not committed and not is_stored(archive_dir, run_id):
        for suffix in reversed(ALL_SIDECARS):
            path = beside(archive_dir, run_id, suffix)
            if path.exists():
                path.unlink()
                messages.append(f"removed {path.name}, which belongs to no archive")
    elif committed:
        messages += _enter(archive_dir, run_id)
    trash = results_dir / f"{TRASH}{run_id}"
    if trash.is_dir() and not trash.is_symlink():
        problem = _intact(archive_dir, run_id)[1] if committed else ""
        messages += [f"{problem}; its source is still in {trash.name}"] if problem else []
        messages += [] if problem else _trash(trash, results_dir / run_id, committed=committed)
    return messages


def _intact(archive_dir: Path, run_id: str) -> tuple[str, str]:
    """The identity of an archive after reading all of it, and what is wrong with it: one of the two is empty."""
    path = beside(archive_dir, run_id, TARBALL)
    try:
        with Reader(path) as reader:
            reader.verify()
    except ArchiveError as error:
        return "", f"{path.name} is not intact: {error.message}"
    if reader.manifest.run_id != run_id:
        return "", f"{path.name} holds the run {reader.manifest.run_id}: rename it back"
    known = ledger.identities(ledger.read(archive_dir)[0]).get(run_id, reader.identity)
    return (known, "") if known == reader.identity else ("", f"{path.name} is not the one in the ledger")


def _enter(archive_dir: Path, run_id: str) -> list[str]:
    """A committed archive that the ledger does not know gets its line, if it is intact."""
    events, _ = ledger.read(archive_dir)
    if run_id in ledger.identities(events):
        return []
    identity, problem = _intact(archive_dir, run_id)
    if problem:
        return [problem]
    try:
        facts = sidecar_facts(archive_dir, run_id)
    except CorruptError as error:
        return [f"{run_id}{TARBALL} has a bad signature: {error.message}"]
    ledger.append(archive_dir, ledger.event("found", run_id, identity, **facts))
    return [f"entered {run_id}{TARBALL} in the ledger"]


def _trash(trash: Path, original: Path, *, committed: bool) -> list[str]:
    if committed:
        remove_tree(trash)
        return [f"finished removing {original.name}, which is archived"]
    if os.path.lexists(original):
        return [f"{trash.name} has no archive and {original.name} exists: look at both"]
    rename(trash, original)
    fsync_dir(original.parent)
    return [f"put {original.name} back: it is not archived"]


def _temporaries(results_dir: Path) -> list[str]:
    """Remove the directories of restorations and conformance checks that nobody holds any more."""
    messages: list[str] = []
    for name in _hidden(results_dir):
        path = results_dir / name
        what = next((what for prefix, what in UNFINISHED.items() if name.startswith(prefix)), "")
        if not what or path.is_symlink() or not path.is_dir():
            continue
        fd = lock_directory(path, wait=False)
        if fd is None:
            continue
        try:
            remove_tree(path)
            remove_tree(queue.lock_directory(results_dir) / name)  # the scratch of a conformance check
            messages.append(f"removed the unfinished {what} {name}")
        finally:
            os.close(fd)
    return messages
