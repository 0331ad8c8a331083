"""A run in pieces: the same verdict as in one go, and exactly the pieces that a change touches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core.audit.pieces import Mark, plan, sample
from exptui.core.audit.report import AuditReport, Verdict
from exptui.core.runs.run import RunState
from support import finished, reseal, touched, toy, until, verified, wrong

EPOCHS = 6


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_a_changed_checkpoint_names_exactly_the_segments_that_touch_it(tmp_path: Path, epoch: int) -> None:
    space = toy(tmp_path)
    wrong(epochs=EPOCHS)(space)
    run_id = finished(space)
    directory = space.results / run_id
    path = directory / f"checkpoints/epoch_{epoch:04d}.ckpt"
    saved = json.loads(path.read_bytes())
    reseal(directory, epoch, json.dumps({**saved, "momentum": saved["momentum"] ^ 1}).encode())
    space.archive(run_id)
    report = verified(space, run_id, segments=EPOCHS, workers=2)
    assert report.verdict is Verdict.DIVERGED
    assert touched(report) == [epoch - 1, epoch][: 2 if epoch < EPOCHS else 1], report.segments
    assert report.scope == f"{EPOCHS} of {EPOCHS} segments"
    assert report.first_mismatch_cycle == 2 * epoch - 1, report.segments
    assert report.cause.startswith("stable-difference")
    assert {f.path: f.status for f in report.files}["checkpoints/epoch_0001.ckpt"] == (
        "not compared" if epoch == 1 else "equal"
    )


@pytest.mark.parametrize("segments", [0, 1, 3, 6, 50])
def test_a_chained_run_has_the_verdict_of_a_straight_one(tmp_path: Path, segments: int) -> None:
    space = toy(tmp_path)
    wrong(epochs=EPOCHS, hang_at=5)(space)
    run_id = space.run("a").name
    until((tmp_path / "hanging").exists)
    space.stop(run_id)
    wrong(epochs=EPOCHS)(space)
    assert space.resume(run_id)[1] == "checkpoints/epoch_0002.ckpt"
    assert list(space.wait(run_id))[-1].state is RunState.FINISHED
    report = verified(space, run_id, segments=segments, workers=2)
    assert (report.verdict, report.attempts) == (Verdict.REPRODUCED, 2)
    assert len(report.segments) == min(segments, EPOCHS)


def test_a_checkpoint_without_everything_is_found(tmp_path: Path) -> None:
    space = toy(tmp_path)
    wrong(epochs=EPOCHS, forgets=True)(space)
    run_id = finished(space)
    assert verified(space, run_id).verdict is Verdict.REPRODUCED
    report = verified(space, run_id, segments=3, workers=2)
    assert report.verdict is Verdict.DIVERGED
    assert touched(report) == [1, 2]
    assert "segment 1 differs" in report.reason


def test_a_run_chained_by_a_trainer_that_forgets_diverges_where_it_was_resumed(tmp_path: Path) -> None:
    space = toy(tmp_path)
    wrong(hang_at=5, forgets=True)(space)
    run_id = space.run("a").name
    until((tmp_path / "hanging").exists)
    space.stop(run_id)
    wrong(forgets=True)(space)
    space.resume(run_id)
    assert list(space.wait(run_id))[-1].state is RunState.FINISHED
    report = verified(space, run_id)
    assert (report.verdict, report.first_mismatch_cycle) == (Verdict.DIVERGED, 4)
    assert any("2 attempts" in suspect for suspect in report.suspects)


def test_a_segment_sees_only_the_checkpoint_it_starts_from(tmp_path: Path) -> None:
    """The command writes down what there is before the trainer begins."""
    space = toy(tmp_path)
    run_id = finished(space)
    path = space.root / "exptui.toml"
    look = f'find "$0" {space.root} -name "*.ckpt" | sort -u > {tmp_path}/seen.$$; exec "$@"'
    path.write_text(
        path.read_text().replace(
            'command = ["', f'command = ["sh", "-c", {json.dumps(look)}, "{{output}}", "', 1
        )
    )
    report = verified(space, run_id, segments=4, workers=2)
    assert report.verdict is Verdict.REPRODUCED, report.reason
    if "masked" in report.isolation:
        seen = [len(found.read_text().splitlines()) for found in tmp_path.glob("seen.*")]
        assert sorted(seen) == [0, 1, 1, 1]


def early(tmp_path: Path, **now: str) -> AuditReport:
    """The verdict of a run that wrote a vocabulary at its start, when its re-run writes these."""
    space = toy(tmp_path)
    wrong(early={"vocab.txt": "a b c"})(space)
    run_id = finished(space)
    wrong(early=now)(space)
    return verified(space, run_id, segments=3, workers=2, cause=False)


def test_a_file_that_only_the_first_segment_writes_is_compared_there(tmp_path: Path) -> None:
    report = early(tmp_path, **{"vocab.txt": "a b c"})
    assert report.verdict is Verdict.REPRODUCED, report.reason
    assert {f.path: f.status for f in report.files}["vocab.txt"] == "equal"
    assert not touched(report)


@pytest.mark.parametrize(("now", "status"), [({"vocab.txt": "a b d"}, "differs"), ({}, "missing")])
def test_a_file_that_only_the_first_segment_writes_counts(
    tmp_path: Path, now: dict[str, str], status: str
) -> None:
    report = early(tmp_path, **now)
    assert report.verdict is Verdict.DIVERGED, report.reason
    assert {f.path: f.status for f in report.files}["vocab.txt"] == status
    assert "vocab.txt" in report.segments[-1].detail


@given(st.integers(2, 60), st.integers(1, 80), st.integers(2, 80))
def test_pieces_cover_every_checkpoint_once(count: int, wanted: int, some: int) -> None:
    marks = [Mark(epoch, f"{epoch}.ckpt", epoch) for epoch in range(1, count + 1)]
    pieces = plan(marks, wanted)
    assert len(pieces) == min(wanted, count)
    assert [path for piece in pieces for path in piece.outputs] == [mark.path for mark in marks]
    assert all(piece.outputs for piece in pieces)
    assert [piece.start for piece in pieces[1:]] == [piece.end for piece in pieces[:-1]]
    assert pieces[0].start is None
    assert pieces[-1].end is None
    chosen = sample(pieces, some)
    assert {pieces[0], pieces[-1]} <= set(chosen)
    assert len(chosen) == min(some, len(pieces))
    assert [piece.number for piece in chosen] == sorted(piece.number for piece in chosen)
