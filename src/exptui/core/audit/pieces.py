"""Where a run can be cut: its checkpoints, and the pieces between them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from exptui.chronicle import Chronicle
from exptui.core.archive.manifest import Attested, FileEntry
from exptui.core.audit.compare import CONFIG
from exptui.core.errors import ArchiveError, RunError
from exptui.core.runs import resume
from exptui.core.runs.run import Recipe


@dataclass(frozen=True)
class Mark:
    """A checkpoint of the original: its number, its path, and the cycle it was written after.

    `cuts`: a piece can begin there; not where the chronicle does not say at which cycle, or only its digest is kept.
    """

    epoch: int
    path: str
    cycle: int | None
    cuts: bool = True


@dataclass(frozen=True)
class Piece:
    """From a checkpoint (None: the config) to another (None: the end); `outputs`: the checkpoints it must write."""

    number: int
    start: Mark | None
    end: Mark | None
    outputs: tuple[str, ...]

    @property
    def names(self) -> tuple[str, str]:
        """Both ends, for people."""
        return self.start.path if self.start else CONFIG, self.end.path if self.end else "the end"


def checkpoints(files: Sequence[FileEntry], recipe: Recipe, seen: Chronicle | None) -> list[Mark]:
    """The original's checkpoints by number, each with the cycle that the chronicle gives it.

    Raises:
        RunError: the trainer is not set up for it.
    """
    words = " ".join(recipe.resume)
    if not recipe.checkpoints or "{checkpoint}" not in words or "{epoch}" not in words:
        raise RunError(
            "segments need a trainer that can be resumed and told where to stop",
            "Set [trainer] checkpoints, and resume with {checkpoint} and {epoch}, or verify without --segments.",
        )
    pattern = resume.pattern(recipe.checkpoints)
    found = [
        (int(match[1]), file) for file in files if (match := pattern.fullmatch(file.path)) and match.groups()
    ]
    found.sort(key=lambda one: one[0])
    marks = seen.checkpoints if seen else ()
    digests = {mark.sha256.hex(): mark.cycle for mark in marks}
    cycles: list[int | None] = (
        [mark.cycle for mark in marks]
        if len(marks) == len(found)
        else [digests.get(file.sha256) for _, file in found]
    )
    return [
        Mark(epoch, file.path, cycle, (seen is None or cycle is not None) and not isinstance(file, Attested))
        for (epoch, file), cycle in zip(found, cycles, strict=True)
    ]


def plan(marks: Sequence[Mark], wanted: int) -> list[Piece]:
    """At most `wanted` pieces of about the same number of checkpoints; the last mark is inside the last piece.

    Raises:
        ArchiveError: there are no two checkpoints.
    """
    inner = [mark for mark in marks[:-1] if mark.cuts]
    if not inner:
        raise ArchiveError("segments need two checkpoints, the first of them kept here: verify the whole")
    most = len(inner) + 1
    count = min(wanted, most)
    cuts = [inner[round(number * most / count) - 1] for number in range(1, count)]
    bounds: list[Mark | None] = [None, *cuts, None]
    pieces = []
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        after, upto = start.epoch if start else -1, end.epoch if end else marks[-1].epoch
        outputs = tuple(mark.path for mark in marks if after < mark.epoch <= upto)
        pieces.append(Piece(number, start, end, outputs))
    return pieces


def sample(pieces: list[Piece], wanted: int) -> list[Piece]:
    """The first, the last, and as many of the others as `wanted` leaves; all of them for 0. Not to be foreseen."""
    if not wanted or wanted >= len(pieces):
        return pieces
    chosen = random.SystemRandom().sample(pieces[1:-1], wanted - 2)
    return [pieces[0], *sorted(chosen, key=lambda piece: piece.number), pieces[-1]]
