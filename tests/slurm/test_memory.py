"""A cluster that forgets its jobs at once, and gives their numbers again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from exptui.core.launchers import job as jobs
from exptui.core.runs.run import RunState
from slurm.cluster import Cluster
from slurm.spaces import begun, gated, let, seen, state
from support import until

SETTINGS = {"min_job_age": 2, "first_job": 100, "max_job": 104}


def test_a_job_that_slurm_forgot(cluster: Cluster, tmp_path: Path) -> None:
    space = gated(tmp_path)
    done, killed = space.run("a"), space.run("a")
    for run in (done, killed):
        begun(space, run)
    record = space.view(killed).record
    assert record is not None
    assert record.supervisor is not None
    os.kill(record.supervisor.pid, signal.SIGKILL)
    let(space)
    until(lambda: state(space, done) is RunState.FINISHED)
    cluster.until(lambda: not cluster.call("squeue", "-h", "--states=all"), 120)
    assert state(space, done) is RunState.FINISHED
    assert state(space, killed) is RunState.RUNNING  # nobody has asked yet
    view = seen(space, killed, space.cluster(), RunState.LOST)
    assert view.record is not None
    assert view.record.exit is not None
    assert view.record.exit.error == "Slurm does not know it any more"


def test_a_number_that_was_given_again(cluster: Cluster, tmp_path: Path) -> None:
    """What is somebody else's by now is neither taken for ours, nor ended."""
    space = gated(tmp_path, extra=["--hold"])
    run = space.run("a")
    mine = jobs.read(run)
    assert mine is not None
    cluster.call("scancel", mine.job_id)
    cluster.until(lambda: not cluster.call("squeue", "-h", "--states=all"), 120)
    other = ""
    while other != mine.job_id:
        other = cluster.call("sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true").strip()
        if other != mine.job_id:
            cluster.call("scancel", other)
            cluster.until(lambda: not cluster.call("squeue", "-h", "--states=all"), 120)
    view = seen(space, run, space.cluster(), RunState.LOST)
    assert view.record is not None
    assert cluster.call("squeue", "-h", "-o", "%i").split() == [other]
    space.resume(run.name)
    space.stop(run.name)
    assert cluster.call("squeue", "-h", "--states=pending", "-o", "%i").split() == [other]
