"""Does a resumed run equal a straight one? From a checkpoint alone, and in the directory a kill left behind."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from exptui import chronicle
from exptui.chronicle import Chronicle, Mismatch, Status
from exptui.chronicle.records import OPEN_NAME, SEALED_NAME
from exptui.core.archive import manifest as mf
from exptui.core.archive.manifest import FileEntry
from exptui.core.audit.compare import CONFIG, FileAudit, compare_chronicles, compare_files
from exptui.core.audit.trial import Bench
from exptui.core.files import sha256_file, storage_errors
from exptui.core.runs import resume

LEDGERS = {SEALED_NAME, OPEN_NAME}


@dataclass(frozen=True)
class Chained:
    """The resumed run beside the straight one. `failed`: why it came to no end; `impossible`: why there is nothing to compare."""

    checkpoint: str
    seconds: float = 0.0
    audits: tuple[FileAudit, ...] = ()
    mismatch: Mismatch | None = None
    failed: str = ""
    impossible: str = ""


def middle(bench: Bench) -> tuple[int, Path] | None:
    """Number and path of the straight run's middle checkpoint; None where it has none."""
    found = resume.checkpoints(bench.base, bench.recipe().checkpoints)
    return found[(len(found) - 1) // 2] if found else None


def alone(bench: Bench, files: list[FileEntry], checkpoint: tuple[int, Path], timeout: float) -> Chained:
    """Go on from a checkpoint of the straight run, whose `files` these are, in a directory that holds nothing else."""
    number, mark = checkpoint
    name = str(mark.relative_to(bench.base))
    directory, recipe = bench.fresh(), bench.recipe()
    with storage_errors("copy the checkpoint"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(mark, directory / name)
    ended = bench.run(words=resume.words(recipe, directory / name), timeout=timeout)
    if ended.problem:
        return Chained(name, ended.seconds, failed=ended.problem)
    if again := _again(directory, recipe.checkpoints, number):
        return Chained(name, ended.seconds, failed=f"it started anew instead of going on: it wrote {again}")
    found = mf.scan(directory, recipe.observational)
    there, when = {file.path for file in found}, mark.stat().st_mtime_ns
    numbers = {
        str(p.relative_to(bench.base)): n for n, p in resume.checkpoints(bench.base, recipe.checkpoints)
    }

    def expected(path: str) -> bool:
        """Whether it is written after the checkpoint: what was finished before is not made again."""
        after = numbers[path] > number if path in numbers else (bench.base / path).stat().st_mtime_ns > when
        return path in there or after

    sliced = _slices(bench.base, directory, sha256_file(mark)[0]) if there & LEDGERS else None
    skipped = {CONFIG, name, *(there & {file.path for file in files} & LEDGERS if sliced else ())}
    ours = [file for file in files if expected(file.path) and file.path not in skipped]
    theirs = [file for file in found if file.path not in skipped]
    audits = compare_files((bench.base, ours), (directory, theirs), recipe)
    slice_says = sliced is not None and sliced[0].records
    if not slice_says and not any(audit.file_class == "identity" for audit in audits):
        return Chained(name, impossible=f"nothing is written behind {name}")
    return Chained(name, ended.seconds, tuple(audits), chronicle.first_mismatch(*sliced) if sliced else None)


def _again(directory: Path, template: str, number: int) -> str:
    """A checkpoint from before the one it was to go on from; empty where there is none."""
    early = (path for one, path in resume.checkpoints(directory, template) if one < number)
    return next((str(path.relative_to(directory)) for path in early), "")


def _slices(base: Path, resumed: Path, digest: str) -> tuple[Chronicle, Chronicle] | None:
    """What both chronicles say behind the checkpoint of this digest; None where that cannot be told: then the bytes decide."""
    sides = chronicle.read_for(base), chronicle.read_for(resumed)
    ours, theirs = sides
    if ours is None or theirs is None or Status.CORRUPT in (ours.status, theirs.status):
        return None
    cycle = next((mark.cycle for mark in ours.checkpoints if mark.sha256.hex() == digest), None)
    if cycle is None:
        return None
    behind = [
        replace(
            side,
            records=tuple(record for record in side.records if record.cycle > cycle),
            checkpoints=tuple(mark for mark in side.checkpoints if mark.cycle > cycle),
        )
        for side in (ours, theirs)
    ]
    return behind[0], behind[1]


def killed(bench: Bench, files: list[FileEntry], checkpoint: tuple[int, Path], timeout: float) -> Chained:
    """Kill a run as soon as it has written a checkpoint, and resume it in the directory it left."""
    mark = checkpoint[1]
    name, size = str(mark.relative_to(bench.base)), mark.stat().st_size
    directory, recipe = bench.fresh(), bench.recipe()
    reached = directory / name
    ended = bench.run(timeout=timeout, kill_when=lambda: reached.exists() and reached.stat().st_size == size)
    if ended.problem:
        return Chained(name, ended.seconds, failed=ended.problem)
    if ended.code is not None:
        return Chained(name, impossible="it ended before it could be killed")
    valid = resume.last_valid(directory, recipe.checkpoints)
    if valid is None:
        return Chained(name, failed="the kill left no valid checkpoint")
    ended = bench.run(words=resume.words(recipe, valid), timeout=timeout)
    name = str(valid.relative_to(directory))
    if ended.problem:
        return Chained(name, ended.seconds, failed=ended.problem)
    found = mf.scan(directory, recipe.observational)
    audits = compare_files((bench.base, files), (directory, found), recipe)
    return Chained(
        name, ended.seconds, tuple(audits), compare_chronicles(bench.base, directory, complete=True)
    )
