"""Runs handed to a fake Slurm: what it is asked, and what its answers lead to."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from exptui.core.errors import RunError, UsageError
from exptui.core.launchers import job as jobs
from exptui.core.launchers import slurm as slurms
from exptui.core.runs import launch, queue
from exptui.core.runs import run as runs
from exptui.core.runs.run import RunState, log_of
from exptui.core.workspace import Workspace
from fake_slurm import slurm
from support import finished, toy, until, workspace

__all__ = ["slurm"]


def on_slurm(space: Workspace, **options: object) -> Workspace:
    """From now on its runs go to the cluster."""
    keys = {"kind": "slurm", **options}
    with (space.root / "exptui.toml").open("a") as file:
        file.write(
            "\n[launcher]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items())
        )
    return space


def asked(slurm: Path, what: str = "asked") -> list[list[str]]:
    """How a command was called, each time."""
    path = slurm / what
    return [shlex.split(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_run_gives_what_a_local_one_gives(slurm: Path, tmp_path: Path) -> None:
    here, there = toy(tmp_path / "here"), on_slurm(toy(tmp_path / "there"), partition="gpu", gres="gpu:1")
    local, run = here.results / finished(here), there.results / finished(there)
    for name in ("metrics.json", "chronicle.cmeta", "model.bin", "config.toml"):
        assert (local / name).read_bytes() == (run / name).read_bytes()
    (words,) = asked(slurm)
    assert {"--partition=gpu", "--gres=gpu:1", "--requeue"} <= {*words}
    script = (slurm / "script").read_text()
    assert script.startswith("#!/bin/sh\nexec ")
    assert len(script.splitlines()) == 2
    record = runs.read(run)
    assert record is not None
    assert record.run_lock is None
    until(lambda: not list(queue.lock_directory(there.results).glob(f"{run.name}*")))


def test_a_grid_is_one_submission(slurm: Path, tmp_path: Path) -> None:
    space = on_slurm(toy(tmp_path), at_once=2)
    started = list(space.run_all(space.grid("a", {"model.layers": [1, 2, 3]})))
    assert ["--array=0-2%2" in words for words in asked(slurm)] == [True]
    found = [jobs.read(run) for run in started]
    assert [job.job_id for job in found if job] == ["7_0", "7_1", "7_2"]
    for run in started:
        assert list(space.wait(run.name))[-1].state is RunState.FINISHED
    assert not list(space.results.glob("*/.exptui*"))


def test_a_part_of_a_large_grid_that_is_refused_takes_none_with_it(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "TOGETHER", 2)
    space = on_slurm(workspace(tmp_path / "w"))
    (slurm / "hold").touch()
    grid = space.grid("a", {"model.layers": [1, 2, 3]})
    started = space.run_all(grid)
    first = [next(started), next(started)]
    (slurm / "refuse").write_text(
        "sbatch: error: Batch job submission failed: Job violates accounting policy"
    )
    with pytest.raises(RunError, match="violates accounting policy"):
        next(started)
    assert {path.name for path in space.run_directories()} == {run.name for run in first}


def test_what_slurm_refuses_leaves_nothing(slurm: Path, tmp_path: Path) -> None:
    space = on_slurm(workspace(tmp_path / "w"), partition="none")
    (slurm / "refuse").write_text(
        "sbatch: error: invalid partition specified: none\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
    )
    with pytest.raises(RunError, match="Slurm refused: Batch job submission failed: Invalid partition"):
        space.run("a")
    assert not list(space.results.iterdir())


def test_what_slurm_may_have_taken_stays(slurm: Path, tmp_path: Path) -> None:
    space = on_slurm(workspace(tmp_path / "w"))
    (slurm / "refuse").write_text(
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
    )
    run = space.run("a")
    assert space.view(run).state is RunState.QUEUED
    mine = jobs.read(run)
    assert mine is not None
    assert not mine.job_id


def test_a_resume_that_is_refused_leaves_the_run_as_it_was(slurm: Path, tmp_path: Path) -> None:
    space = on_slurm(toy(tmp_path / "w"))
    (tmp_path / "w/behaviour.json").write_text('{"crash_at": 5}')
    run = space.run("a")
    assert list(space.wait(run.name))[-1].state is RunState.FAILED
    before = (run / "run.json").read_bytes()
    (slurm / "refuse").write_text("sbatch: error: Batch job submission failed: Invalid account")
    with pytest.raises(RunError, match="Invalid account"):
        space.resume(run.name)
    assert (run / "run.json").read_bytes() == before
    (slurm / "refuse").unlink()
    (tmp_path / "w/behaviour.json").unlink()
    space.resume(run.name)
    view = list(space.wait(run.name))[-1]
    assert (view.state, view.record and view.record.attempts) == (RunState.FINISHED, 2)


def test_a_run_whose_end_was_asked_for_while_it_waited_does_nothing(slurm: Path, tmp_path: Path) -> None:
    space = on_slurm(workspace(tmp_path / "w", 'touch "$EXPTUI_OUTPUT/ran"'))
    (slurm / "hold").touch()
    run = space.run("a")
    mine = jobs.read(run)
    assert mine is not None
    (slurm / "queue").write_text(f"7|CANCELLED|2026-01-01T00:00:00||None|{mine.name}\n")
    assert space.stop(run.name).state is RunState.STOPPED
    assert asked(slurm, "cancelled")[0] == ["--quiet", f"--name={mine.name}", "--state=PENDING", "7"]
    script = (slurm / "script").read_text()
    import subprocess

    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert "nothing was done" in done.stdout
    assert not (run / "ran").exists()


def test_a_job_started_a_second_time_is_the_next_attempt(slurm: Path, tmp_path: Path) -> None:
    """Slurm starts a job again when it lost its node; the attempt before is over, or its heartbeat stands still."""
    import subprocess

    space = on_slurm(toy(tmp_path / "w"))
    (tmp_path / "w/behaviour.json").write_text('{"hang_at": 5}')
    run = space.run("a")
    until((run / "checkpoints/epoch_0002.ckpt").exists)
    until((tmp_path / "w/hanging").exists)
    record = runs.read(run)
    assert record is not None
    assert record.supervisor is not None
    old = Path(f"/proc/{record.supervisor.pid}")
    (tmp_path / "w/behaviour.json").unlink()
    again = subprocess.Popen(["sh", "-c", (slurm / "script").read_text()])
    assert again.wait(60) == 0  # the first one is alive: it steps back when it sees that the run is another's
    after = runs.read(run)
    assert after is not None
    assert (after.attempts, after.resumed_from) == (2, "checkpoints/epoch_0002.ckpt")
    assert space.view(run).state is RunState.FINISHED
    until(lambda: not old.exists())
    assert runs.read(run) == after


def test_the_log_of_a_job_that_could_not_begin_is_slurms(slurm: Path, tmp_path: Path) -> None:
    space = on_slurm(workspace(tmp_path / "w"))
    (slurm / "hold").touch()
    run = space.run("a")
    assert log_of(space.view(run)) == run / "trainer.log"
    (run / "attempts/slurm-1.out").write_text("slurmstepd: error: no such file\n")
    assert log_of(space.view(run)) == run / "attempts/slurm-1.out"
    (run / "trainer.log").write_text("epoch 1\n")
    assert log_of(space.view(run)) == run / "trainer.log"


def test_the_names_of_others_confuse_nobody(slurm: Path) -> None:
    (slurm / "queue").write_text(
        "1|RUNNING|2026-01-01T00:00:00|n1|None|some|thing|else\n"
        "2_3|PENDING|2026-01-01T00:00:00||Priority|exptui-1\n"
        "nonsense\n"
        "3|RUNNING|2026-01-01T00:00:00|n2|None|exptui-2\n"
    )
    found = slurms.listing({"me"})
    assert {key: seen.state for key, seen in found.items()} == {
        ("exptui-1", 3): "PENDING",
        ("exptui-2", None): "RUNNING",
    }
    assert len(asked(slurm, "queries")) == 1


def test_one_query_for_all(slurm: Path, tmp_path: Path) -> None:
    space = on_slurm(workspace(tmp_path / "w"))
    (slurm / "hold").touch()
    for _ in range(5):
        space.run("a")
    space.cluster_says(space.list_runs())
    assert len(asked(slurm, "queries")) == 1


def test_another_launcher_for_one_run(slurm: Path, tmp_path: Path) -> None:
    space = workspace(tmp_path / "w")
    (slurm / "hold").touch()
    run = space.run("a", how={"kind": "slurm", "time": "2:00:00", "extra": "--qos=low --mem=1G"})
    assert {"--time=2:00:00", "--qos=low", "--mem=1G"} <= {*asked(slurm)[0]}
    assert space.view(run).state is RunState.QUEUED
    with pytest.raises(UsageError, match="the launcher"):
        space.run("a", how={"kind": "pbs"})
    assert finished(space)


def test_a_directory_of_the_trainers_own_is_no_success(slurm: Path, tmp_path: Path) -> None:
    own = 'd=$(dirname "$EXPTUI_OUTPUT")/mine; mkdir "$d"; cp "$EXPTUI_CONFIG" "$d/config.toml"'
    space = on_slurm(workspace(tmp_path / "w", own))
    view = list(space.wait(space.run("a").name))[-1]
    assert view.state is RunState.FAILED
    assert view.record is not None
    assert view.record.exit is not None
    assert "mine, a directory of its own" in view.record.exit.error


def test_a_recovery_leaves_alone_what_a_node_is_writing(slurm: Path, tmp_path: Path) -> None:
    space = on_slurm(workspace(tmp_path / "w"))
    (slurm / "hold").touch()
    run = space.run("a")
    writing = run / ".run.json.4194304.partial"  # the number of a process of another node
    writing.touch()
    (space.results.parent / "archive").mkdir(exist_ok=True)
    from exptui.core.runs import cleanup

    (queue.lock_directory(space.results) / cleanup.ALL_SEEN).unlink(missing_ok=True)
    space.recover()
    assert writing.exists()
