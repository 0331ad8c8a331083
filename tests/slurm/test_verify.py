"""Verification on a real cluster: a segment a task, and the verdict from what they wrote."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from exptui.core.audit.report import AuditReport, Verdict
from exptui.core.audit.request import Options
from exptui.core.workspace import Workspace
from slurm.cluster import Cluster
from slurm.spaces import on_slurm
from support import finished, reseal, touched, toy, until, verified


def original(parent: Path) -> tuple[Workspace, str]:
    """A finished run of eight epochs, made here."""
    space = toy(parent)
    (parent / "behaviour.json").write_text(json.dumps({"epochs": 8}))
    return space, finished(space)


def test_segments_on_three_nodes(cluster: Cluster, tmp_path: Path) -> None:
    space, run_id = original(tmp_path)
    on_slurm(space)
    report = verified(space, run_id, segments=6, on="slurm")
    assert (report.verdict, report.scope) == (Verdict.REPRODUCED, "6 of 6 segments")
    nodes = {
        line.split()[0] for line in cluster.call("squeue", "-h", "--states=all", "-o", "%N %j").splitlines()
    }
    assert len(nodes) > 1


def test_a_flipped_checkpoint_is_told_by_its_segments(cluster: Cluster, tmp_path: Path) -> None:
    space, run_id = original(tmp_path)
    path = space.results / run_id / "checkpoints/epoch_0004.ckpt"
    saved = json.loads(path.read_bytes())
    saved["state"] ^= 1
    reseal(space.results / run_id, 4, json.dumps(saved).encode())
    report = verified(space, run_id, segments=8, on="slurm")
    assert report.verdict is Verdict.DIVERGED
    assert touched(report) == [3, 4]  # the one that has to make it, and the one that starts from it


def test_a_segment_whose_node_died_is_run_again(cluster: Cluster, tmp_path: Path) -> None:
    space, run_id = original(tmp_path)
    on_slurm(space)
    (tmp_path / "behaviour.json").write_text(json.dumps({"epochs": 8, "hang_at": 9}))
    directory = space.verify(space.request(run_id, Options(segments=8)))
    until((tmp_path / "hanging").exists, 60)
    (segment,) = [path.parent for path in directory.rglob("run.json") if "segment-04" in str(path)]
    (tmp_path / "behaviour.json").write_text(json.dumps({"epochs": 8}))
    record = space.view(segment).record
    assert record is not None
    assert record.supervisor is not None
    os.kill(record.supervisor.pid, signal.SIGKILL)
    os.kill(int((tmp_path / "hanging").read_text()), signal.SIGKILL)
    report = list(space.follow(directory))[-1]
    assert isinstance(report, AuditReport)
    assert report.verdict is Verdict.REPRODUCED
