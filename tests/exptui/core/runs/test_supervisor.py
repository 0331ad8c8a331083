"""The life of a run, with real processes: how it ends, who may be killed, and what is said then."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest

from exptui.core.errors import RunError
from exptui.core.runs import run
from exptui.core.runs.run import RunState, RunView
from exptui.core.workspace import Workspace
from soak.supervision import is_gone
from support import until, workspace

WAIT = 'echo $$ > "$EXPTUI_OUTPUT/pid"; echo up; exec sleep 60'


def last(space: Workspace, run_id: str) -> RunView:
    return list(space.wait(run_id))[-1]


def running(space: Workspace) -> tuple[Path, int, int]:
    """Start a run that waits; its directory, the trainer's pid and the supervisor's."""
    directory = space.run("a")
    until(lambda: (directory / "pid").exists() and (directory / "pid").read_text().strip())
    until(lambda: space.show(directory.name).state is RunState.RUNNING)
    record = space.show(directory.name).record
    assert record is not None
    assert record.supervisor is not None
    return directory, int((directory / "pid").read_text()), record.supervisor.pid


@pytest.mark.parametrize(
    ("script", "state", "code", "number"),
    [
        ("true", RunState.FINISHED, 0, None),
        ("exit 7", RunState.FAILED, 7, None),
        ("kill -SEGV $$", RunState.FAILED, None, signal.SIGSEGV),
    ],
)
def test_how_a_run_ends(
    tmp_path: Path, script: str, state: RunState, code: int | None, number: int | None
) -> None:
    space = workspace(tmp_path, script)
    view = last(space, space.run("a").name)
    assert view.record is not None
    assert view.record.exit is not None
    assert (view.state, view.record.exit.code, view.record.exit.signal) == (state, code, number)


def test_a_trainer_that_writes_a_run_json_of_its_own_fails_and_is_seen_all_the_time(tmp_path: Path) -> None:
    go = tmp_path / "go"
    mine = f'echo "{{}}" > "$EXPTUI_OUTPUT/run.json"; until [ -e {go} ]; do sleep 0.02; done'
    space = workspace(tmp_path, mine)
    directory = space.run("a")
    until(lambda: space.view(directory).state is RunState.RUNNING)
    until(lambda: (directory / "run.json").read_text() != "{}\n")
    assert space.view(directory).state is RunState.RUNNING
    go.touch()
    view = last(space, directory.name)
    assert view.record is not None
    assert view.record.exit is not None
    assert view.state is RunState.FAILED
    assert "run.json of its own" in view.record.exit.error


def test_a_run_json_written_last_is_a_failure_too(tmp_path: Path) -> None:
    space = workspace(tmp_path, 'echo "{}" > "$EXPTUI_OUTPUT/run.json"')
    directory = space.run("a")
    until(lambda: (directory / "run.json").stat().st_size > 10 and not space.view(directory).state.live)
    assert space.view(directory).state is RunState.FAILED


def test_a_run_json_that_is_touched_or_copied_back_is_no_other_one(tmp_path: Path) -> None:
    space = workspace(tmp_path, 'cd "$EXPTUI_OUTPUT"; cp run.json x; mv x run.json; touch run.json')
    view = last(space, space.run("a").name)
    assert view.state is RunState.FINISHED, view.record


def test_a_run_that_ends_between_two_looks_is_not_called_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = workspace(tmp_path, "true")
    directory = space.run("a")
    last(space, directory.name)
    ended = run.read(directory)
    assert ended is not None
    until(lambda: not run.is_supervised(ended))
    before = msgspec.structs.replace(ended, phase=run.Phase.RUNNING, exit=None)
    looks = iter([before, ended])
    monkeypatch.setattr(run, "read", lambda _: next(looks, ended))
    assert run.observe(directory) == (ended, RunState.FINISHED)


def test_the_environment_is_built_from_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRAY", "1")
    monkeypatch.setenv("WANTED", "2")
    space = workspace(tmp_path, 'env > "$EXPTUI_OUTPUT/env"; umask >> "$EXPTUI_OUTPUT/env"', environment={})
    (space.root / "exptui.toml").write_text(
        (space.root / "exptui.toml")
        .read_text()
        .replace("environment = {}", 'environment = { pass = ["WANTED"] }')
    )
    directory = space.run("a")
    last(space, directory.name)
    seen = (directory / "env").read_text().splitlines()
    assert "WANTED=2" in seen
    assert "STRAY=1" not in seen
    assert {"TZ=UTC", "LC_ALL=C.UTF-8", "PYTHONHASHSEED=0", "0022"} <= set(seen)


def test_stop_ends_every_descendant_and_says_stopped(tmp_path: Path) -> None:
    space = workspace(tmp_path, 'setsid sleep 60 & echo $! > "$EXPTUI_OUTPUT/child"; ' + WAIT)
    directory, trainer, _ = running(space)
    child = int((directory / "child").read_text())
    assert space.stop(directory.name).state is RunState.STOPPED
    assert is_gone(trainer)
    assert is_gone(child)
    with pytest.raises(RunError, match="not running"):
        space.stop(directory.name)


def test_a_trainer_that_ignores_term_is_killed_after_the_grace(tmp_path: Path) -> None:
    space = workspace(
        tmp_path, 'trap "" TERM; echo $$ > "$EXPTUI_OUTPUT/pid"; while :; do sleep 0.1; done', stop_grace=0.3
    )
    directory, trainer, _ = running(space)
    assert space.stop(directory.name).state is RunState.STOPPED
    assert is_gone(trainer)


def test_killing_the_supervisor_orphans_the_run_and_killing_both_loses_it(tmp_path: Path) -> None:
    space = workspace(tmp_path, WAIT)
    directory, trainer, supervisor = running(space)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: space.show(directory.name).state is RunState.ORPHANED)
    os.kill(trainer, signal.SIGKILL)
    until(lambda: space.show(directory.name).state is RunState.LOST)


def test_an_orphan_can_be_stopped(tmp_path: Path) -> None:
    space = workspace(tmp_path, WAIT)
    directory, trainer, supervisor = running(space)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: space.show(directory.name).state is RunState.ORPHANED)
    assert space.stop(directory.name).state is RunState.STOPPED
    until(lambda: is_gone(trainer))


def test_stopping_an_orphan_leaves_a_run_of_the_same_id_elsewhere_alone(tmp_path: Path) -> None:
    space = workspace(tmp_path, WAIT)
    directory, _, supervisor = running(space)
    other = subprocess.Popen(
        ["sleep", "60"],
        env={"EXPTUI_RUN_ID": directory.name, "EXPTUI_OUTPUT": f"/elsewhere/{directory.name}"},
    )
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: space.show(directory.name).state is RunState.ORPHANED)
    space.stop(directory.name)
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_second_run_waits_for_the_slot_and_can_be_stopped_while_it_waits(tmp_path: Path) -> None:
    space = workspace(tmp_path, WAIT)
    first, _, _ = running(space)
    second, third = space.run("a"), space.run("a")
    assert space.show(second.name).state is RunState.QUEUED
    assert space.stop(third.name).state is RunState.STOPPED
    assert not (third / "trainer.log").exists()
    space.stop(first.name)
    until(lambda: space.show(second.name).state is RunState.RUNNING)
    space.stop(second.name)


def test_left_over_processes_are_said(tmp_path: Path) -> None:
    space = workspace(tmp_path, 'sleep 60 & echo $! > "$EXPTUI_OUTPUT/child"')
    directory = space.run("a")
    view = last(space, directory.name)
    assert view.state is RunState.FINISHED
    assert view.leftovers
    os.kill(int((directory / "child").read_text()), signal.SIGKILL)
    until(lambda: not space.show(directory.name).leftovers)
