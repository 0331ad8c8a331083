"""Runs by their metrics alone: every value at every step, whatever file holds it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.core.audit.by_metrics import MetricAudit, compare
from exptui.core.audit.report import Verdict
from exptui.core.errors import ArchiveError
from exptui.core.settings import TrainerSettings
from exptui.core.tolerance import Bound, Tolerances, apart
from support import finished, verified, workspace

Rows = list[dict[str, Any]]
Final = tuple[dict[str, Any], dict[str, Any]]
EXACT = TrainerSettings()


def written(directory: Path, rows: Rows, final: dict[str, Any]) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (directory / "metrics.json").write_text(json.dumps(final))
    return directory


def near(**bounds: Bound) -> TrainerSettings:
    return TrainerSettings(tolerance=Tolerances(metrics=bounds))


def compared(
    tmp_path: Path, sides: tuple[Rows, Rows], declared: TrainerSettings = EXACT, final: Final = ({}, {})
) -> dict[str, MetricAudit]:
    left, right = (
        written(tmp_path / name, *both)
        for name, both in zip("ab", zip(sides, final, strict=True), strict=True)
    )
    return {one.name: one for one in compare(left, right, declared, ())}


def row(step: int, **values: float) -> dict[str, float]:
    return {"step": step, **values}


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("ours", "theirs", "bound", "status", "detail"),
    [
        ([1.0, 2.0], [1.0, 2.0], None, "equal", ""),
        ([1.0, NAN, INF], [1.0, NAN, INF], None, "equal", ""),
        ([1.0, NAN], [1.0, 2.0], Bound(abs=9), "differs", "at 1: nan → 2.0"),
        ([1.0, INF], [1.0, -INF], Bound(abs=9), "differs", "at 1: inf → -inf"),
        ([1.0, 0.0], [1.0, -0.0], None, "differs", "at 1: 0.0 → -0.0"),
        ([1.0, 0.0], [1.0, -0.0], Bound(), "agrees", ""),
        ([1.0, 2.0], [1.0, 2.5], Bound(abs=0.5), "agrees", ""),
        ([1.0, 2.0], [1.0, 2.5], Bound(abs=0.4), "differs", "at 1: 2.0 → 2.5"),
        ([1.0, 2.0], [1.0], Bound(abs=9), "differs", "step 1 only in the original"),
        ([1.0], [1.0, 2.0], Bound(abs=9), "differs", "step 1 only in the re-run"),
    ],
)  # fmt: skip
def test_a_metric(
    tmp_path: Path, ours: list[float], theirs: list[float], bound: Bound | None, status: str, detail: str
) -> None:
    one, two = (
        [row(step, loss=value, other=1.0) for step, value in enumerate(side)] for side in (ours, theirs)
    )
    found = compared(tmp_path, (one, two), near(**({"loss": bound} if bound else {})))["loss"]
    assert (found.status, found.detail) == (status, detail)


def test_a_step_in_the_middle_and_a_metric_that_one_side_lacks(tmp_path: Path) -> None:
    ours = [row(0, a=1.0), row(1, a=1.0, gone=1.0), row(2, a=1.0)]
    found = compared(tmp_path, (ours, [row(0, a=1.0, new=1.0), row(2, a=1.0)]))
    details = {name: one.detail for name, one in found.items()}
    assert details == {
        "a": "step 1 only in the original",
        "gone": "step 1 only in the original",
        "new": "step 0 only in the re-run",
    }


def test_final_values_count_too_and_volatile_names_do_not(tmp_path: Path) -> None:
    rows = [row(0, loss=1.0)]
    declared = TrainerSettings(volatile={"x": ("took*",)})
    final = ({"best": 1, "took_s": 1}, {"best": 2, "took_s": 2})
    found = compared(tmp_path, (rows, rows), declared, final)
    assert {name: (one.status, one.values) for name, one in found.items()} == {
        "loss": ("equal", 1),
        "best": ("differs", 0),
        "took_s": ("not compared", 0),
    }
    assert found["best"].detail == "in the end: 1.0 → 2.0"
    found = compared(tmp_path, (rows, rows), final=({"loss": 3}, {}))
    assert found["loss"].detail == "in the end: 3.0 → 1.0"


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "no metrics are found"), ('{"step": 1, "loss": 1}\nbroken\n{"step": 2, "loss": 1}\n', "the original cannot be read whole")],
)  # fmt: skip
def test_what_cannot_be_read_is_not_compared(tmp_path: Path, text: str, why: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(text)
    with pytest.raises(ArchiveError, match=why):
        compare(tmp_path / "a", tmp_path / "b", near(), ())


VALUES = st.lists(st.floats(), min_size=1, max_size=6)


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES, st.builds(Bound, abs=st.floats(0, 9), rel=st.floats(0, 0.9)))
def test_a_metric_agrees_when_all_its_values_do(ours: list[float], theirs: list[float], bound: Bound) -> None:
    from tempfile import TemporaryDirectory

    one, two = ([row(step, loss=value) for step, value in enumerate(side)] for side in (ours, theirs))
    with TemporaryDirectory() as name:
        found = compared(Path(name), (one, two), near(loss=bound))["loss"]
    far = [apart(a, b, bound) for a, b in zip(ours, theirs, strict=False)]
    assert (found.status != "differs") is (len(ours) == len(theirs) and None not in far)


def test_metrics_that_were_copied_prove_nothing(tmp_path: Path) -> None:
    script = '[ -e cached ] || echo "{\\"step\\": 1, \\"loss\\": 0.5}" > cached; cp -p cached "$EXPTUI_OUTPUT/metrics.jsonl"; date +%N > "$EXPTUI_OUTPUT/m"'
    report = verified(space := workspace(tmp_path, script, compare="metrics"), finished(space))
    assert (report.verdict, "may be copied" in report.reason) == (Verdict.UNKNOWN, True)


def test_patterns_are_those_from_before_the_run(tmp_path: Path) -> None:
    """Else a difference could be hidden by another pattern."""
    script = 'n=$(cat n 2>/dev/null || echo 1); echo "step 1 loss is $n, or 5"; echo $((n+1)) > n'
    space = workspace(
        tmp_path, script, compare="metrics", metrics=[r"step (?P<step>\d+) loss is (?P<loss>\d+)"]
    )
    run_id = finished(space)
    path = space.root / "exptui.toml"
    path.write_text(path.read_text().replace("loss is (", "loss is .*or ("))
    report = verified(space, run_id)
    assert (report.verdict, report.metrics[0].detail) == (Verdict.DIVERGED, "at 1: 1.0 → 2.0")
    assert report.cause == "nondeterministic: a second re-run gave another loss"


def test_equal_files_are_reproduced_all_the_same(tmp_path: Path) -> None:
    script = (
        'echo "{\\"step\\": 1, \\"loss\\": 0.5}" > "$EXPTUI_OUTPUT/metrics.csv"; echo 1 > "$EXPTUI_OUTPUT/m"'
    )
    report = verified(space := workspace(tmp_path, script, compare="metrics"), finished(space))
    assert (report.verdict, report.metrics) == (Verdict.REPRODUCED, ())
