"""What goes wrong on a cluster, on a real one: no run is lost, none is submitted twice, none falsely FINISHED."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exptui.core.errors import RunError
from exptui.core.files import read_json
from exptui.core.launchers import job as jobs
from exptui.core.runs import run as runs
from exptui.core.runs.run import Attempt, RunState
from exptui.core.workspace import Workspace
from slurm.cluster import Cluster
from slurm.spaces import begun, gate, gated, let, seen, starts, state
from support import until

DOWN = 60.0


def node_of(run: Path) -> str:
    """Where its last attempt works. All nodes of the test are one host: the daemon's name is in the job's environment."""
    mine = jobs.read(run)
    assert mine is not None
    done = subprocess.run(["squeue", "-h", "-j", mine.job_id, "-o", "%N"], capture_output=True, text=True)
    return done.stdout.strip()


def jobs_of(run: Path) -> list[str]:
    """The numbers of all jobs that ever had the name of its last submission, as far as Slurm remembers."""
    mine = jobs.read(run)
    assert mine is not None
    words = ["squeue", "-h", "--states=all", f"--name={mine.name}", "-o", "%i"]
    return subprocess.run(words, capture_output=True, text=True).stdout.split()


def attempt(run: Path, number: int) -> Attempt:
    """What an attempt says of itself."""
    return read_json(runs.attempt_file(run, number), Attempt)


def test_the_controller_is_away_for_a_minute(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path)
    run, waits = space.run("a"), gated(tmp_path / "held", extra=["--hold"])
    held = waits.run("a")
    begun(space, run)
    cluster.kill("slurmctld", signal.SIGTERM)
    down = time.monotonic()
    watch = space.cluster()
    said = watch.look([space.view(run)])[run.name]
    assert said.startswith("unknown since ")
    assert watch.pause > 5
    assert state(space, run) is RunState.RUNNING
    with pytest.raises(RunError):
        space.run("a")
    assert len(list(space.results.glob("a_*"))) == 1
    let(space)
    until(lambda: state(space, run) is RunState.FINISHED, 30)  # the directory says so, whoever is away
    until(lambda: time.monotonic() - down > DOWN, DOWN + 10)
    assert state(waits, held) is RunState.QUEUED
    cluster.controller()
    until(lambda: "held by its user" in waits.cluster().look([waits.view(held)])[held.name], 30)
    assert waits.stop(held.name).state is RunState.STOPPED


def test_a_node_dies_and_the_run_goes_on_elsewhere_alone(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path)
    run = space.run("a")
    begun(space, run)
    let(space, [1, 2])
    until((run / "checkpoints/epoch_0002.ckpt").exists)
    node = node_of(run)
    cluster.kill(node)  # only the daemon: supervisor and trainer live on, on a node that counts as dead
    begun(space, run, 2)
    assert starts(space, run) == ["0", "2"]
    assert node_of(run) != node
    assert attempt(run, 1).over
    let(space)
    view = seen(space, run, space.cluster(), RunState.FINISHED)
    assert view.record is not None
    assert (view.record.attempts, view.record.resumed_from) == (2, "checkpoints/epoch_0002.ckpt")
    assert not (gate(space) / "clash").exists()


def test_a_node_dies_with_all_that_worked_on_it(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path)
    run = space.run("a")
    begun(space, run)
    let(space, [1])
    until((run / "checkpoints/epoch_0001.ckpt").exists)
    node, trainer = node_of(run), attempt(run, 1).pid
    cluster.kill(node)
    (mine,) = jobs_of(run)
    cluster.kill_job(mine)
    os.kill(trainer, signal.SIGKILL)  # its environment is its own
    let(space)
    view = seen(space, run, space.cluster(), RunState.FINISHED)
    assert view.record is not None
    assert starts(space, run) == ["0", "1"]
    assert not attempt(run, 1).over  # nobody was there to say so: its heartbeat stood still


def test_a_supervisor_that_was_held_up_steps_back(cluster: Cluster, tmp_path: Path) -> None:
    """Split brain: it sleeps until it is taken for dead, and wakes when another one has the run."""
    space = gated(tmp_path)
    run = space.run("a")
    begun(space, run)
    record = space.view(run).record
    assert record is not None
    assert record.supervisor is not None
    node, old, trainer = node_of(run), record.supervisor.pid, attempt(run, 1).pid
    os.kill(old, signal.SIGSTOP)
    os.kill(trainer, signal.SIGKILL)  # a node that is dead runs no trainer; what wakes is the supervisor
    cluster.kill(node)
    begun(space, run, 2, 90)
    os.kill(old, signal.SIGCONT)
    until(lambda: not Path(f"/proc/{old}").exists())
    record = space.view(run).record
    assert record is not None
    assert (record.attempts, record.phase) == (2, "running")
    let(space)
    assert seen(space, run, space.cluster(), RunState.FINISHED).record


def login(space: Workspace, bin_: Path, before: str, after: str) -> subprocess.Popen[str]:
    """`exptui run a`, whose sbatch kills it before or after it has submitted."""
    bin_.mkdir()
    real = subprocess.run(["which", "sbatch"], capture_output=True, text=True, check=True).stdout.strip()
    (bin_ / "sbatch").write_text(f'#!/bin/sh\n{before}\n{real} "$@"\n{after}\n')
    (bin_ / "sbatch").chmod(0o755)
    words = [sys.executable, "-m", "exptui", "--workspace", str(space.root), "run", "a"]
    env = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"}
    return subprocess.Popen(words, env=env, text=True, stdout=subprocess.PIPE)


def test_killed_between_intent_and_submission(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path)
    assert login(space, tmp_path / "bin", "kill -9 $PPID; exit 1", "").wait() == -signal.SIGKILL
    space.recover()
    (run,) = space.results.glob("a_*")
    assert state(space, run) is RunState.QUEUED
    view = seen(space, run, space.cluster(), RunState.LOST)
    assert view.record is not None
    assert view.record.exit is not None
    assert view.record.exit.error == "was never submitted"
    let(space)
    space.resume(run.name)
    seen(space, run, space.cluster(), RunState.FINISHED)
    assert starts(space, run) == ["0"]


def test_killed_between_submission_and_its_record(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path)
    assert login(space, tmp_path / "bin", "", "kill -9 $PPID").wait() == -signal.SIGKILL
    space.recover()
    (run,) = space.results.glob("a_*")
    mine = jobs.read(run)
    assert mine is not None
    assert not mine.job_id
    begun(space, run)
    space.cluster().look([space.view(run)])
    found = jobs.read(run)
    assert found is not None
    assert [found.job_id] == jobs_of(run)
    let(space)
    seen(space, run, space.cluster(), RunState.FINISHED)
    assert starts(space, run) == ["0"]


def test_cancelled_while_it_waits(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path, extra=["--hold"])
    mine, others = space.run("a"), space.run("a")
    assert space.stop(mine.name).state is RunState.STOPPED
    job = jobs.read(others)
    assert job is not None
    cluster.call("scancel", job.job_id)
    view = seen(space, others, space.cluster(), RunState.STOPPED)
    assert view.record is not None
    assert view.record.exit is not None
    assert view.record.exit.error == "cancelled in Slurm"
    assert starts(space, mine) == starts(space, others) == []


def test_a_stop_lets_the_trainer_write_its_last_state(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path)
    run = space.run("a")
    begun(space, run)
    let(space, [1])
    until((run / "checkpoints/epoch_0001.ckpt").exists)
    view = space.stop(run.name)
    assert view.state is RunState.STOPPED
    let(space)
    assert space.resume(run.name)[1] == "checkpoints/epoch_0001.ckpt"
    seen(space, run, space.cluster(), RunState.FINISHED)
    assert starts(space, run) == ["0", "1"]


def test_a_job_that_cannot_be_launched(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path, extra=["--output=/nonexistent/there/%j.out", "--no-requeue"])
    run = space.run("a")
    view = seen(space, run, space.cluster(), RunState.FAILED)
    assert view.record is not None
    assert view.record.exit is not None
    assert view.record.exit.error == "the job failed before the run could begin"


def test_a_job_that_will_never_start_says_so(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path, partition="short", time="10:00")
    run = space.run("a")
    watch = space.cluster()
    until(lambda: "will not start" in watch.look([space.view(run)])[run.name])
    space.stop(run.name)


def test_near_its_time_limit_it_goes_on_in_the_next_job(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path, {"checkpoint_request": "USR1"}, time="2", warn=60)
    run = space.run("a")
    begun(space, run)
    let(space, [1, 2])
    begun(space, run, 2, 200)
    assert (gate(space) / "asked").exists()
    assert starts(space, run) == ["0", "2"]
    assert attempt(run, 1).signals == ("SIGUSR1",)
    let(space)
    view = seen(space, run, space.cluster(), RunState.FINISHED)
    assert view.record is not None
    assert view.record.attempts == 2
    assert not (gate(space) / "clash").exists()


def test_what_makes_room_for_another_goes_on_after_it(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path)
    run = space.run("a")
    begun(space, run)
    let(space, [1])
    until((run / "checkpoints/epoch_0001.ckpt").exists)
    words = ("--partition=urgent", "--exclusive", "--nodes=3", "--output=/dev/null", "--wrap=sleep 5")
    cluster.call("sbatch", *words)
    begun(space, run, 2, 120)
    let(space)
    seen(space, run, space.cluster(), RunState.FINISHED)
    assert starts(space, run) == ["0", "1"]
    assert not (gate(space) / "clash").exists()
