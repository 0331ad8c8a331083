"""Writing and sealing a chronicle, as a trainer does."""

from __future__ import annotations

import tempfile
from pathlib import Path

from exptui.chronicle import CycleRecord, Phase, Status, Writer
from exptui.chronicle.reader import read_for
from exptui.core.workspace import Workspace
from faults.state import Files

CONFIG = "ab" * 32
MARK = "cd" * 32
RECORDS = [CycleRecord(cycle, Phase.TRAIN, 1 / (cycle + 1), (0.5,), cycle) for cycle in range(5)]


def _directory(space: Workspace) -> Path:
    return space.root / "trained"


def _write(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    writer = Writer.create(directory, CONFIG, ("accuracy",))
    try:
        for record in RECORDS[:2]:
            writer.append(record)
        writer.checkpoint(1, MARK)
        _finish(writer)
    finally:
        writer.close()


def _finish(writer: Writer) -> None:
    for record in RECORDS[2:]:
        writer.append(record)
    try:
        writer.seal()
    except OSError:
        writer.seal()  # whoever tries again must not damage what the first attempt left


def write(space: Workspace) -> None:
    """From nothing to a sealed chronicle."""
    _write(_directory(space))


def resume(space: Workspace) -> None:
    """From its checkpoint to a sealed chronicle."""
    writer = Writer.resume(_directory(space), MARK)
    try:
        _finish(writer)
    finally:
        writer.close()


def cut_short(space: Workspace) -> None:
    """A chronicle whose trainer died behind the checkpoint."""
    directory = _directory(space)
    _write(directory)
    sealed = directory / "chronicle.cmeta"
    (directory / "chronicle.cmeta.open").write_bytes(
        sealed.read_bytes()[:6] + b"\xff" * 4 + sealed.read_bytes()[10:-30]
    )
    sealed.unlink()


def sealed(space: Workspace, _before: Files) -> list[str]:
    """Byte-equal to one that was written without a fault."""
    directory = _directory(space)
    names = sorted(path.name for path in directory.iterdir())
    if names != ["chronicle.cmeta"]:
        return [f"not sealed: {names}"]
    with tempfile.TemporaryDirectory() as elsewhere:
        _write(Path(elsewhere))
        expected = (Path(elsewhere) / "chronicle.cmeta").read_bytes()
    return ["the sealed chronicle differs"] * ((directory / "chronicle.cmeta").read_bytes() != expected)


def again(space: Workspace, before: Files) -> list[str]:
    """What is there is a prefix, and goes on from its checkpoint to the same bytes; without one it starts anew."""
    directory = _directory(space)
    directory.mkdir(exist_ok=True)
    found = read_for(directory)
    if found is not None:
        if found.status is Status.CORRUPT:
            return [f"the chronicle is corrupt: {found.problem}"]
        if [r.cycle for r in found.records] != list(range(len(found.records))):
            return ["the chronicle is no prefix"]
    if found is not None and found.checkpoints:
        resume(space)
    else:
        for path in directory.iterdir():
            path.unlink()
        write(space)
    return sealed(space, before)
