"""A recovery looks where something was noted; after a boot, and once a day, everywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exptui.core.runs import cleanup, launch, queue
from exptui.core.runs.adopt import CLAIM
from exptui.core.workspace import Workspace
from support import finished, until, workspace


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the directories that were looked into."""
    names = list[str]()
    real = cleanup._run

    def noting(directory: Path, there: list[str]) -> list[str]:
        names.append(directory.name)
        return real(directory, there)

    monkeypatch.setattr(cleanup, "_run", noting)
    return names


def ended(space: Workspace) -> str:
    """A finished run whose supervisor is gone too."""
    run_id = finished(space)
    until(lambda: not queue.known(queue.lock_directory(space.results)))
    return run_id


def killed(space: Workspace, stage: str) -> None:
    """Launch a run in a process that is killed when it is about to enter that function."""
    pid = os.fork()
    if pid == 0:
        setattr(launch, stage, lambda *_: os._exit(9))
        try:
            space.run("a")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def test_all_are_looked_into_once_and_then_only_what_is_noted(tmp_path: Path, looked: list[str]) -> None:
    space = workspace(tmp_path)
    run_id = ended(space)
    assert (space.recover(), looked) == ([], [run_id])
    assert (space.recover(), looked) == ([], [run_id])
    killed(space, "queued")
    (left,) = (path.name for path in space.run_directories() if path.name != run_id)
    assert space.recover() == [f"removed {left}, which was never queued"]
    assert looked == [run_id, left]
    assert space.recover() == []
    assert looked == [run_id, left]


@pytest.mark.parametrize("stage", ["share", "write_atomic"])
def test_a_launcher_killed_before_its_claim_was_written_leaves_a_note(
    tmp_path: Path, stage: str, looked: list[str]
) -> None:
    space = workspace(tmp_path)
    space.results.mkdir()
    space.recover()
    killed(space, stage)
    (left,) = space.run_directories()
    assert space.recover() == []  # a trainer may just have made it
    os.utime(left, (0, 0))
    assert space.recover() == [f"removed the empty {left.name}"]
    assert space.recover() == []
    assert looked == [left.name, left.name]


def test_the_note_of_a_launcher_at_work_stays(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    space.results.mkdir()
    locks = queue.lock_directory(space.results)
    directory = launch.claim(space.results, "a", locks)
    space.recover()
    assert queue.known(locks) == {directory.name}


@pytest.mark.parametrize("why", ["another boot", "a day", "the clock was ahead", "damaged"])
def test_what_was_seen_does_not_count_for_ever(tmp_path: Path, why: str, looked: list[str]) -> None:
    space = workspace(tmp_path)
    run_id = ended(space)
    space.recover()
    seen = queue.lock_directory(space.results) / cleanup.ALL_SEEN
    now = seen.stat().st_mtime
    match why:
        case "another boot":
            seen.write_text("another")
        case "a day":
            os.utime(seen, (now - cleanup.DAY - 1,) * 2)
        case "the clock was ahead":
            os.utime(seen, (now + 3600,) * 2)
        case _:
            seen.write_bytes(b"\xff")
    space.recover()
    assert looked == [run_id, run_id]


def test_a_launch_that_went_well_leaves_no_note(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    directory = space.results / ended(space)
    assert not (directory / CLAIM).exists()
    assert directory.name not in {
        path.name.removesuffix(queue.CLAIMED)
        for path in queue.lock_directory(space.results).glob(f"*{queue.CLAIMED}")
    }


def test_live_runs_are_found_without_reading_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = workspace(tmp_path, 'read -r line < "$EXPTUI_OUTPUT/gate"; exit 0')
    directory = space.run("a")
    os.mkfifo(directory / "gate")
    monkeypatch.setattr(space, "list_runs", lambda: pytest.fail("all were read"))
    try:
        assert [view.run_id for view in space.live_runs()] == [directory.name]
    finally:
        space.stop(directory.name)
    assert space.live_runs([directory.name, "gone"]) == []
