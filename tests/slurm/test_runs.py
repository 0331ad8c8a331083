"""Runs on a real cluster: started, seen, ended, resumed."""

from __future__ import annotations

from pathlib import Path

from exptui.core.launchers import job as jobs
from exptui.core.runs.run import RunState
from slurm.cluster import Cluster
from slurm.spaces import on_slurm
from support import finished, toy


def test_a_run_on_the_cluster_gives_what_a_local_one_gives(cluster: Cluster, tmp_path: Path) -> None:
    here = toy(tmp_path / "here")
    local = here.results / finished(here)
    space = on_slurm(toy(tmp_path / "there"))
    directory = space.results / finished(space)
    record = space.view(directory).record
    assert record is not None
    mine = jobs.read(directory)
    assert mine is not None
    assert mine.job_id
    for name in (
        "metrics.json",
        "chronicle.cmeta",
        "model.bin",
        "checkpoints/epoch_0004.ckpt",
        "config.toml",
    ):
        assert (directory / name).read_bytes() == (local / name).read_bytes()
    assert space.view(directory).state is RunState.FINISHED


def test_a_grid_is_one_array_with_as_many_at_once_as_said(cluster: Cluster, tmp_path: Path) -> None:
    axes = {"model.layers": [1, 2, 3], "model.width": [8, 16, 32]}
    here, there = toy(tmp_path / "here"), on_slurm(toy(tmp_path / "there"), at_once=4)
    local = {run.name.rpartition("_")[0]: run for run in here.run_all(here.grid("a", axes, (1, 2)))}
    runs = list(there.run_all(there.grid("a", axes, (1, 2))))
    assert len(runs) == 18
    numbers = {job.job_id.partition("_")[0] for run in runs if (job := jobs.read(run))}
    assert len(numbers) == 1
    most = 0
    watch = there.cluster()
    while live := [view for view in map(there.view, runs) if view.state.live]:
        said = watch.look(live)
        most = max(most, sum(text.startswith("runs on") for text in said.values()))
    assert most <= 4
    for run in (*local.values(), *runs):
        assert list((here if run in local.values() else there).wait(run.name))[-1].state is RunState.FINISHED
    for run in runs:
        twin = local[run.name.rpartition("_")[0]]
        for name in ("metrics.json", "chronicle.cmeta", "model.bin", "checkpoints/epoch_0004.ckpt"):
            assert (run / name).read_bytes() == (twin / name).read_bytes()
