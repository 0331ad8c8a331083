"""Resume, adoption, trash: what happens to a run after its first attempt, or beside it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from exptui.core.errors import RunError, UsageError
from exptui.core.runs import adopt, resume
from exptui.core.runs.run import RunState, RunView
from exptui.core.workspace import Workspace
from support import until, workspace

RESUMABLE = (
    'cd "$EXPTUI_OUTPUT"; mkdir -p ck; if [ "$1" = --from ]; then cat "$2" > model; echo end >> model; '
    "else echo one > ck/e1; echo two > ck/e2; : > ck/e10; exit 3; fi"
)


def last(space: Workspace, run_id: str) -> RunView:
    return list(space.wait(run_id))[-1]


def resumable(parent: Path) -> Workspace:
    return workspace(
        parent,
        command=["sh", "-c", RESUMABLE, "trainer"],
        resume=["--from", "{checkpoint}", "--until", "{epoch}"],
        checkpoints="ck/e{epoch}",
    )


def test_a_resume_goes_on_from_the_last_checkpoint_that_is_not_empty(tmp_path: Path) -> None:
    space = resumable(tmp_path)
    run_id = space.run("a").name
    assert last(space, run_id).state is RunState.FAILED
    _, checkpoint = space.resume(run_id)
    assert checkpoint == "ck/e2"
    view = last(space, run_id)
    assert view.record is not None
    assert (view.state, view.record.attempts, view.record.resumed_from) == (RunState.FINISHED, 2, "ck/e2")
    assert (view.path / "model").read_text() == "two\nend\n"
    assert sorted(p.name for p in (view.path / "attempts").iterdir()) == ["1.json", "2.json"]
    with pytest.raises(RunError, match="is FINISHED"):
        space.resume(run_id)


def test_what_cannot_be_resumed_says_why(tmp_path: Path) -> None:
    space = workspace(tmp_path, "exit 1", resume=[], checkpoints="")
    run_id = space.run("a").name
    last(space, run_id)
    with pytest.raises(RunError, match="not set up to resume"):
        space.resume(run_id)
    other = tmp_path / "other"
    other.mkdir()
    space = workspace(other, "exit 1", resume=["{checkpoint}"], checkpoints="c{epoch}")
    run_id = space.run("a").name
    last(space, run_id)
    with pytest.raises(RunError, match="no valid checkpoint"):
        space.resume(run_id)


def test_the_highest_number_counts_not_the_last_name(tmp_path: Path) -> None:
    for number in (9, 10):
        (tmp_path / f"e{number}").write_text("x")
    assert resume.last_valid(tmp_path, "e{epoch}") == tmp_path / "e10"
    assert resume.last_valid(tmp_path, "f{epoch:04d}") is None


OWN = 'mkdir -p experiments/results/own_1; cp "$0" experiments/results/own_1/config.toml; {} '


def adopting(parent: Path, more: str) -> Workspace:
    return workspace(parent, command=["sh", "-c", OWN.format(more), "{config}"])


def test_a_directory_the_trainer_makes_is_read_hidden_and_merged(tmp_path: Path) -> None:
    go = tmp_path / "go"
    space = adopting(
        tmp_path, f"echo 1 > experiments/results/own_1/model; while [ ! -e {go} ]; do sleep 0.05; done"
    )
    run_id = space.run("a").name
    until(lambda: (r := space.show(run_id).record) and r.adopted == "own_1")
    assert [view.run_id for view in space.list_runs()] == [run_id]
    assert (space.show(run_id).files / "model").is_file()
    go.touch()
    view = last(space, run_id)
    assert view.state is RunState.FINISHED
    assert (view.path / "model").read_text() == "1\n"
    assert not (space.results / "own_1").exists()


def test_what_became_a_run_during_the_look_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()

    def meanwhile(directory: Path) -> str:
        (directory / "run.json").write_text("{}")
        return "digest"

    monkeypatch.setattr(adopt, "_config", meanwhile)
    assert adopt.find(tmp_path, frozenset(), "digest") == ""


def test_a_name_clash_is_a_failure_and_nothing_is_lost(tmp_path: Path) -> None:
    space = adopting(tmp_path, "echo 1 > experiments/results/own_1/x; echo 2 > $EXPTUI_OUTPUT/x")
    view = last(space, space.run("a").name)
    assert view.record is not None
    assert view.record.exit is not None
    assert view.state is RunState.FAILED
    assert "both hold x" in view.record.exit.error
    assert (space.results / "own_1/x").read_text() == "1\n"


def adopted_beside_another(parent: Path) -> tuple[Workspace, str, Path]:
    """A run that has taken its trainer's directory and waits for `go`, and another directory of the very config."""
    space = adopting(
        parent, f"echo 1 > experiments/results/own_1/model; until [ -e {parent}/go ]; do sleep 0.02; done"
    )
    run_id = space.run("a").name
    until(lambda: (r := space.show(run_id).record) and r.adopted == "own_1")
    by_hand = space.results / "by_hand"
    by_hand.mkdir()
    (by_hand / "config.toml").write_bytes(space.config("a").data)
    return space, run_id, by_hand


def test_a_directory_somebody_else_writes_in_is_not_taken_over(tmp_path: Path) -> None:
    space, run_id, by_hand = adopted_beside_another(tmp_path)
    with (by_hand / "log").open("w") as log:
        log.write("begun")
        (tmp_path / "go").touch()
        view = last(space, run_id)
    assert view.state is RunState.FINISHED
    assert (view.path / "model").read_text() == "1\n"
    assert (by_hand / "log").read_text() == "begun"


def test_two_directories_of_one_config_are_a_failure_and_both_stay(tmp_path: Path) -> None:
    space, run_id, by_hand = adopted_beside_another(tmp_path)
    (tmp_path / "go").touch()
    view = last(space, run_id)
    assert view.record is not None
    assert view.record.exit is not None
    assert view.state is RunState.FAILED
    assert "several directories: by_hand, own_1" in view.record.exit.error
    assert by_hand.is_dir()
    assert (space.results / "own_1").is_dir()


def test_trainers_that_choose_their_directory_work_one_at_a_time(tmp_path: Path) -> None:
    space = adopting(tmp_path, "exec sleep 60")
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text() + "[queue]\nslots = 2\n")
    first, second = space.run("a").name, space.run("a").name
    until(lambda: space.show(first).state is RunState.RUNNING)
    assert space.show(second).state is RunState.QUEUED
    space.stop(second)
    space.stop(first)


def test_a_removed_run_can_be_taken_back(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    first, second = space.run("a").name, space.run("a").name
    for run_id in (first, second):
        last(space, run_id)
        space.remove(run_id)
    assert space.list_runs() == []
    assert space.undo_remove().name == second
    assert space.undo_remove(first).name == first
    with pytest.raises(UsageError, match="nothing is in"):
        space.undo_remove()


def test_a_live_run_is_not_removed(tmp_path: Path) -> None:
    space = workspace(tmp_path, "exec sleep 60")
    run_id = space.run("a").name
    with pytest.raises(RunError, match="still at work"):
        space.remove(run_id)
    space.stop(run_id)


def test_the_uncommitted_difference_is_kept(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    (tmp_path / "train.py").write_text("one\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x"]
    for words in (["init", "-q"], ["add", "train.py"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    clean = last(space, space.run("a").name)
    (tmp_path / "train.py").write_text("two\n")
    dirty = last(space, space.run("a").name)
    assert not (clean.path / "code.patch").exists()
    assert "+two" in (dirty.path / "code.patch").read_text()


def test_json_round_trip_of_a_resumed_record(tmp_path: Path) -> None:
    space = resumable(tmp_path)
    run_id = space.run("a").name
    last(space, run_id)
    space.resume(run_id)
    view = last(space, run_id)
    raw = json.loads((view.path / "run.json").read_text())
    assert raw["argv"][-2:] == ["--from", str(view.path / "ck/e2")]
