"""Where an unfinished re-run first differs: a missing checkpoint too, but none that may still come."""

from __future__ import annotations

import pytest

from exptui.chronicle import Checkpoint, Chronicle, CycleRecord, Phase, Status
from exptui.core.audit.compare import first_mismatch_so_far


def chronicle(losses: str, marks: tuple[int, ...]) -> Chronicle:
    """A loss a cycle, one digit each, and a checkpoint after each of these cycles."""
    records = tuple(CycleRecord(at, Phase.TRAIN, float(loss), (), 0) for at, loss in enumerate(losses))
    noted = tuple(Checkpoint(cycle, bytes([cycle] * 32)) for cycle in marks)
    return Chronicle(Status.SEALED, "", (), records, noted, "", 0)


BASELINE = chronicle("123456", (1, 3, 5))


@pytest.mark.parametrize(
    ("losses", "marks", "cycle"),
    [
        ("1234", (1,), None),  # the mark of cycle 3 may still come
        ("123456", (1,), None),
        ("123459", (1, 3), 5),
        ("123459", (1,), 3),  # it was due before the record that differs
        ("923456", (1,), 0),
        ("12349", (), 1),
    ],
)
def test_the_first_cycle_that_differs(losses: str, marks: tuple[int, ...], cycle: int | None) -> None:
    found = first_mismatch_so_far(BASELINE, chronicle(losses, marks))
    assert (found.cycle if found else None) == cycle
