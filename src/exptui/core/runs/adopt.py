"""Trainers that are not told where to write: the directory they make in `results/` becomes part of the run."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from exptui.core.errors import RunError
from exptui.core.files import fsync_dir, rename, sha256_bytes, storage_errors
from exptui.core.runs import process
from exptui.core.runs.process import Process

CLAIM = ".claim.json"  # in a directory that exptui made, until its run.json is there


def names(results: Path) -> frozenset[str]:
    """The directories there are now."""
    if not results.is_dir():
        return frozenset()
    return frozenset(entry.name for entry in os.scandir(results) if entry.is_dir(follow_symlinks=False))


def find(results: Path, before: frozenset[str], config_sha256: str, family: Collection[Process] = ()) -> str:
    """The directory made since `before` that holds the very config and is no run of exptui's; empty if none.

    One that somebody outside the trainer's `family` writes in was started by hand meanwhile, and is not the trainer's.

    Raises:
        RunError: there are several.
    """
    found = [
        name
        for name in sorted(names(results) - before)
        if not name.startswith(".")
        and _config(results / name) == config_sha256
        # In this order: a launcher takes its claim away when run.json is there.
        and not (results / name / CLAIM).exists()
        and not (results / name / "run.json").exists()
        and set(process.writers(results / name)) <= {*family}
    ]
    if len(found) > 1:
        raise RunError(
            f"the trainer made several directories: {', '.join(found)}", "Tell it where to write: {output}."
        )
    return found[0] if found else ""


def _config(directory: Path) -> str:
    try:
        return sha256_bytes((directory / "config.toml").read_bytes())
    except OSError:
        return ""


def merge(source: Path, run_dir: Path) -> None:
    """Move everything of `source` into the run's directory, and remove what is then empty.

    Raises:
        RunError: a name is there already (config.toml excepted, which is the same); nothing was moved.
        StorageError: the disk said no.
    """
    with storage_errors("take over the trainer's directory"):
        moving = [path for path in sorted(source.iterdir()) if path.name != "config.toml"]
        if taken := [path.name for path in moving if (run_dir / path.name).exists()]:
            raise RunError(
                f"{source.name} and {run_dir.name} both hold {', '.join(taken)}", "Look at both directories."
            )
        for path in moving:
            rename(path, run_dir / path.name)
        (source / "config.toml").unlink(missing_ok=True)
        source.rmdir()
        fsync_dir(run_dir)
        fsync_dir(source.parent)
