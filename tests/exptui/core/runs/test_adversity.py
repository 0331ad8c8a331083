"""A few times each of what `make soak` does a hundred times."""

from __future__ import annotations

from pathlib import Path

import pytest

from soak import at_once, supervision


def test_no_trainer_is_lost_to_a_hang_up(tmp_path: Path) -> None:
    assert supervision.hang_ups(tmp_path / "h", 2) == 2


def test_a_killed_supervisor_leaves_an_orphan_that_is_stopped_and_resumed(tmp_path: Path) -> None:
    assert supervision.killed_supervisors(tmp_path / "k", 2) == 2


@pytest.mark.parametrize("boot", [False, True], ids=["number used again", "another boot"])
def test_another_process_is_neither_taken_for_ours_nor_signalled(tmp_path: Path, boot: bool) -> None:
    assert supervision.mistaken(tmp_path / "p", 3, boot=boot) == 3


def test_without_locks_nothing_starts_and_nothing_is_called_lost(tmp_path: Path) -> None:
    assert supervision.no_locks(tmp_path / "l", 3) == 3


def test_commands_at_once_on_one_run_lose_nothing(tmp_path: Path) -> None:
    counts = at_once.schedule(tmp_path / "s", seed=7, rounds=6)
    assert counts["done"] > 0
    assert counts["refused"] > 0
