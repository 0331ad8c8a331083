"""A trainer that knows nothing of exptui: its flags, its directory, and the build before it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from exptui.core.archive.manifest import classify
from exptui.core.errors import RunError, UsageError
from exptui.core.monitor.run_rows import Memory, read_run
from exptui.core.runs import process, queue, run
from exptui.core.runs.run import RunState, RunView
from exptui.core.workspace import Workspace
from support import finished, until, verified, workspace

SAY = 'printf "%s\\n" "$@" > "$EXPTUI_OUTPUT/argv"; pwd > "$EXPTUI_OUTPUT/cwd"'


def last(space: Workspace) -> RunView:
    return list(space.wait(space.run("a").name))[-1]


def test_flags_are_words_of_their_own_in_the_place_they_have(tmp_path: Path) -> None:
    space = workspace(tmp_path, command=["sh", "-c", SAY, "x", "{flags}", "--out", "{output}"])
    (space.configs / "a.toml").write_text('lr = 1e-3\nname = "two words"\n')
    directory = space.results / finished(space)
    assert (directory / "argv").read_text().split("\n")[:-1] == [
        *("--lr", "1e-3", "--name", "two words", "--out", str(directory))
    ]


def test_what_a_launch_would_pass_is_shown_before_it(tmp_path: Path) -> None:
    space = workspace(tmp_path, command=["sh", "-c", SAY, "x", "{flags}", "{output}"])
    assert space.preview("a", {"engine.base_seed": 9}).command[-3:] == ("--engine.base_seed", "9", "{output}")
    (space.configs / "a.toml").write_text("[[layer]]\nsize = 1\n")
    (problem,) = space.preview("a").problems
    assert "layer holds a list or a table" in problem


def test_flags_without_an_output_leave_the_other_slots_alone(tmp_path: Path) -> None:
    space = workspace(tmp_path, command=["sh", "-c", SAY, "x", "{flags}"])
    record = space.show(finished(space)).record
    assert record is not None
    assert not record.recipe.adopts


def test_flags_inside_of_a_word_are_refused(tmp_path: Path) -> None:
    space = workspace(tmp_path, command=["sh", "-c", "train {flags}"])
    with pytest.raises(UsageError, match="stands for several words"):
        space.run("a")
    assert not space.run_directories()


def test_a_directory_to_work_in(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    space = workspace(tmp_path, command=["sh", "-c", SAY, "x", "{project}"], cwd="model")
    directory = space.results / finished(space)
    assert (directory / "cwd").read_text() == f"{tmp_path}/model\n"
    assert (directory / "argv").read_text() == f"{tmp_path}\n"
    (tmp_path / "model").rmdir()
    with pytest.raises(RunError, match="model is not there"):
        space.run("a")


BUILD = (
    "echo building; printf '#!/bin/sh\\necho 1 > $EXPTUI_OUTPUT/out\\n' > prog; chmod +x prog; sleep 100 &"
)


def test_a_build_is_not_the_run(tmp_path: Path) -> None:
    space = workspace(tmp_path, command=["./prog"], prepare=["sh", "-c", BUILD])
    run_id = finished(space)  # and what the build left at work was ended
    directory = space.results / run_id
    assert (directory / "prepare.log").read_text() == "building\n"
    assert (directory / "trainer.log").read_text() == ""
    assert classify("prepare.log", ()) == "observational"
    report = verified(space, run_id)
    assert report.verdict.value == "REPRODUCED", report
    elsewhere = tmp_path / f"else/{run_id}.tar.gz"
    shutil.copytree(space.archive(run_id).path.parent, elsewhere.parent)
    with pytest.raises(UsageError, match=r"would run: sh -c echo building.*and then: \./prog"):
        space.request(str(elsewhere))
    assert verified(space, str(elsewhere), trust=True).verdict.value == "REPRODUCED"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo first; echo 'error[E0425]: cannot find x' >&2; exit 101",
            "exit code 101 (prepare.log): error[E0425]",
        ),
        ("exit 3", "exit code 3 (prepare.log): it said nothing"),
        ("kill -9 $$", "signal 9"),
        ("true", "prog is not there"),
    ],
)
def test_a_build_that_fails_is_a_run_that_failed_and_says_why(tmp_path: Path, script: str, said: str) -> None:
    view = last(workspace(tmp_path, command=["./prog"], prepare=["sh", "-c", script]))
    assert view.state is RunState.FAILED
    assert view.record is not None
    assert view.record.exit is not None
    assert said in view.record.exit.error
    assert not view.record.started_at
    assert not (view.path / "trainer.log").exists()


def test_a_build_can_be_stopped_and_is_no_run_yet(tmp_path: Path) -> None:
    space = workspace(tmp_path, prepare=["sh", "-c", "echo up; exec sleep 100"])
    directory = space.run("a")
    until(lambda: (directory / "prepare.log").exists() and (directory / "prepare.log").read_text())
    view = space.view(directory)
    assert view.state is RunState.QUEUED
    assert view.record is not None
    assert view.record.run_lock is not None
    assert space.stop(directory.name).state is RunState.STOPPED
    assert not run.named(directory.name, directory)


def test_a_build_whose_supervisor_was_killed_is_an_orphan_that_can_be_stopped(tmp_path: Path) -> None:
    space = workspace(tmp_path, prepare=["sh", "-c", "echo up; exec sleep 100"])
    directory = space.run("a")
    until(lambda: (directory / "prepare.log").exists() and (directory / "prepare.log").read_text())
    record = space.view(directory).record
    assert record is not None
    assert record.supervisor is not None
    process.send(record.supervisor, signal.SIGKILL)
    until(lambda: space.view(directory).state is RunState.ORPHANED)
    assert queue.busy(queue.lock_directory(space.results)) == 1
    assert space.stop(directory.name).state is RunState.LOST
    assert not run.named(directory.name, directory)
    assert queue.busy(queue.lock_directory(space.results)) == 0


def test_a_build_without_its_program_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no-such-builder"):
        workspace(tmp_path, prepare=["no-such-builder"]).run("a")


def test_how_far_it_is_by_a_pattern_in_its_log(tmp_path: Path) -> None:
    lines = "Epoch 1/20 loss 3\rEpoch 7/20 loss 2\rEpo"
    space = workspace(
        tmp_path, f"printf '{lines}'; sleep 100", progress=r"Epoch (?P<done>\d+)/(?P<total>\d+)"
    )
    directory = space.run("a")
    until(lambda: read_run(space.view(directory), Memory()).step)
    row = read_run(space.view(directory), Memory())
    assert (row.step, row.steps) == (7, 20)
    space.stop(directory.name)


@pytest.mark.parametrize(("pattern", "said"), [(r"epoch (\d+", "missing"), (r"epoch (\d+)", "named done")])
def test_a_pattern_that_is_none_is_said_before_anything_starts(
    tmp_path: Path, pattern: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        workspace(tmp_path, progress=pattern).run("a")
