"""What passed in vain once, or was named wrongly: each with the verdict, the cause and the place it has to have."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from exptui import chronicle
from exptui.chronicle import CycleRecord, Phase, Writer
from exptui.core.audit.report import AuditReport, Verdict
from exptui.core.audit.request import Options
from exptui.core.workspace import Workspace
from support import CHECKPOINTS, finished, toy, until, verified, workspace, wrong

SAME = 'echo out > "$EXPTUI_OUTPUT/model.bin"'
CHRONICLE = """
import json, pathlib, sys, time
from exptui.chronicle import CycleRecord, Phase, Writer
plan = pathlib.Path("plan.json")
now, *later = json.loads(plan.read_text())
plan.write_text(json.dumps(later or [now]))
writer = Writer.create(pathlib.Path(sys.argv[1]), "0" * 64, ())
for cycle in now:
    if cycle == 99:
        time.sleep(60)
    elif cycle < 0:
        writer.checkpoint(-cycle, "1" * 64)
    else:
        writer.append(CycleRecord(cycle=cycle, phase=Phase.TRAIN, loss=1.0, metrics=(), seed_state=0))
writer.seal()
"""


def writes(parent: Path, *plans: list[int]) -> Workspace:
    """A trainer that writes these cycles: those of the first plan in its first run, and so on; below zero a checkpoint, at 99 it waits to be ended."""
    (parent / "t.py").write_text(CHRONICLE)
    (parent / "plan.json").write_text(json.dumps(plans))
    return workspace(parent, command=[sys.executable, "t.py", "{output}"])


def declared(space: Workspace, line: str) -> None:
    """More of [trainer] in the settings."""
    path = space.root / "exptui.toml"
    path.write_text(path.read_text() + line + "\n")


@pytest.mark.parametrize(
    ("rerun", "again", "cycle", "cause"),
    [
        ([0, 1], [0, 1], 2, "stable-difference: a second re-run gave the same files"),
        ([0, 1], [0, 1, 2], 2, "nondeterministic: a second re-run gave another chronicle.cmeta"),
        ([], [0, 1], 0, "nondeterministic: a second re-run gave another chronicle.cmeta"),
        ([0, 2, 3], [0, 2, 3], 1, "stable-difference"),
        ([0, 1, 2, 3, 4, -4], [0, 1, -1, 2, 3, 4, -4], 1, "nondeterministic"),
        ([0, 1, 2, 3, 4, -4], [0, 1, 2, 3, 4, -4], 1, "stable-difference"),
        ([0, 1, 2, 3, 4, -4, 99], [0, 1], 1, "nondeterministic: a second re-run ended after 2 cycles"),
    ],
)
def test_what_the_rerun_lacks_is_looked_for_in_the_second_one_too(
    tmp_path: Path, rerun: list[int], again: list[int], cycle: int, cause: str
) -> None:
    original = [0, 1, -1, 2, 3, 4, -4] if 4 in rerun else [0, 1, 2, 3]
    space = writes(tmp_path, original, rerun, again)
    report = verified(space, finished(space))
    assert (report.verdict, report.first_mismatch_cycle) == (Verdict.DIVERGED, cycle)
    assert report.cause.startswith(cause)


@pytest.mark.parametrize(
    ("ours", "theirs", "cycle"), [([0, 2, 4], [0, 1, 2, 4], 1), ([0, 1, 4, -4], [0, 1, -1, 4], 1)]
)
def test_the_earlier_of_two_cycles_is_the_first_that_differs(
    tmp_path: Path, ours: list[int], theirs: list[int], cycle: int
) -> None:
    found = []
    for name, plan in (("a", ours), ("b", theirs)):
        (tmp_path / name).mkdir()
        writer = Writer.create(tmp_path / name, "0" * 64, ())
        for at in plan:
            if at < 0:
                writer.checkpoint(-at, "1" * 64)
            else:
                writer.append(CycleRecord(cycle=at, phase=Phase.TRAIN, loss=1.0, metrics=(), seed_state=0))
        writer.seal()
        found.append(chronicle.read(tmp_path / name / chronicle.NAME))
    mismatch = chronicle.first_mismatch(found[0], found[1])
    assert mismatch is not None
    assert mismatch.cycle == cycle


@pytest.mark.parametrize("fields", [["loss"], [""], ["loss", "a.b"]])
def test_a_file_of_which_all_is_declared_volatile_proves_nothing(tmp_path: Path, fields: list[str]) -> None:
    made = '{\\"loss\\": 0.%N, \\"a\\": {\\"b\\": 1%N}}' if len(fields) > 1 else '{\\"loss\\": 0.%N}'
    space = workspace(tmp_path, f'date "+{made}" > "$EXPTUI_OUTPUT/metrics.json"')
    declared(space, f'volatile = {{ "metrics.json" = {json.dumps(fields)} }}')
    report = verified(space, finished(space))
    assert (report.verdict, "declared volatile" in report.reason) == (Verdict.UNKNOWN, True)
    assert not report.is_identical


def test_a_line_end_counts_beside_a_declared_field(tmp_path: Path) -> None:
    made = 'printf "{\\"at\\": %s,$(cat end)\\n\\"x\\": 2}" $(date +1%N) > "$EXPTUI_OUTPUT/metrics.json"'
    space = workspace(tmp_path, f"{SAME}; {made}")
    declared(space, 'volatile = { "metrics.json" = ["at"] }')
    (tmp_path / "end").touch()
    run_id = finished(space)
    assert verified(space, run_id).verdict is Verdict.REPRODUCED
    (tmp_path / "end").write_text("\\r")
    report = verified(space, run_id)
    assert [file.path for file in report.diverged_files] == ["metrics.json"]


def test_segments_whose_checkpoints_are_copied_are_not_reproduced(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    for epoch in (1, 2, 3):
        (tmp_path / f"cache/epoch_000{epoch}.ckpt").write_text(str(epoch))
    words = {"resume": ["--resume", "{checkpoint}", "--until-epoch", "{epoch}"], "checkpoints": CHECKPOINTS}
    space = workspace(
        tmp_path, 'cd "$EXPTUI_OUTPUT"; mkdir -p checkpoints; cp -p "$OLDPWD"/cache/* checkpoints', **words
    )
    run_id = finished(space)
    report = verified(space, run_id, segments=3)
    assert (report.verdict, "segment 0 unknown" in report.reason) == (Verdict.UNKNOWN, True), report.reason
    assert all("made nothing" in one.detail for one in report.segments)


def of_another_config(directory: Path) -> None:
    """The chronicle says that it is of another config."""
    seen = chronicle.read_for(directory)
    assert seen is not None
    (directory / chronicle.NAME).unlink()
    writer = Writer.create(directory, "0" * 64, seen.metric_names)
    marks = {mark.cycle: mark for mark in seen.checkpoints}
    for record in seen.records:
        writer.append(record)
        if mark := marks.get(record.cycle):
            writer.checkpoint(mark.cycle, mark.sha256.hex())
    writer.seal()


def unnoted(directory: Path) -> None:
    """A checkpoint that the chronicle does not know, and that is not the one which was written."""
    (directory / "checkpoints/epoch_0009.ckpt").write_text("made by nobody")


@pytest.mark.parametrize(
    ("change", "behaviour", "bad"),
    [
        (lambda d: (d / "checkpoints/epoch_0002.ckpt").unlink(), {}, "checkpoints/epoch_0002.ckpt"),
        (
            lambda d: (d / "checkpoints/epoch_0002.ckpt").write_text("x"),
            {"more": 1},
            "checkpoints/epoch_0002.ckpt",
        ),
        (unnoted, {}, "checkpoints/epoch_0009.ckpt"),
        (lambda d: (d / "chronicle.cmeta_weights").write_text("x"), {}, "chronicle.cmeta_weights"),
        (of_another_config, {}, "chronicle"),
    ],
    ids=["deleted", "changed", "unnoted", "named alike", "header"],
)
def test_segments_see_all_that_a_straight_rerun_sees(
    tmp_path: Path, change: Any, behaviour: dict[str, Any], bad: str
) -> None:
    space = toy(tmp_path)
    wrong(**behaviour)(space)
    run_id = finished(space)
    change(space.results / run_id)
    straight, pieces = verified(space, run_id, keep_going=True), verified(space, run_id, segments=4)
    assert (straight.verdict, pieces.verdict) == (Verdict.DIVERGED, Verdict.DIVERGED), pieces.files
    assert bad in "".join(one.detail for one in pieces.segments)


def test_two_verifications_work_beside_each_other(tmp_path: Path) -> None:
    """Each waits for the other to be at work, so neither ends alone."""
    script = f"{SAME}; [ -e {tmp_path}/again ] || exit 0; touch {tmp_path}/$$.here; until [ -e {tmp_path}/go ]; do sleep 0.05; done"
    space = workspace(tmp_path, command=["sh", "-c", script, "{output}"])
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text() + "[queue]\nslots = 2\n")
    names = [finished(space), finished(space)]
    (tmp_path / "again").touch()
    directories = [space.verify(space.request(name, Options(cause=False))) for name in names]
    until(lambda: len(list(tmp_path.glob("*.here"))) == 2)
    (tmp_path / "go").touch()
    reports = [list(space.follow(directory))[-1] for directory in directories]
    assert [r.verdict for r in reports if isinstance(r, AuditReport)] == 2 * [Verdict.REPRODUCED]


@pytest.mark.parametrize("broken", ["mkdir chronicle.cmeta.open", "echo {} > run.json"])
def test_no_rerun_works_on_behind_a_verdict(tmp_path: Path, broken: str) -> None:
    mark = tmp_path / "pid"
    again = f"echo $$ > {mark}; {broken}; exec sleep 60"
    writes = "import pathlib; from exptui.chronicle import Writer; Writer.create(pathlib.Path(), '0' * 64, ()).seal()"
    script = f'cd $EXPTUI_OUTPUT; {SAME}; [ -e {mark} ] && {{ {again}; }}; {sys.executable} -c "{writes}"'
    space = workspace(tmp_path, script)
    run_id = finished(space)
    mark.touch()
    report = verified(space, run_id)
    assert (report.verdict, broken.rsplit(maxsplit=1)[-1] in report.reason) == (Verdict.UNKNOWN, True)
    until(lambda: not Path(f"/proc/{mark.read_text().strip()}").exists(), 5)


def test_the_verifications_of_a_copy_are_not_those_of_the_run(tmp_path: Path) -> None:
    space = workspace(tmp_path, SAME)
    run_id = finished(space)
    shutil.copytree(space.results / run_id, space.results / f"{run_id}_copy")
    verified(space, f"{run_id}_copy")
    assert [len(space.audits(name)) for name in (run_id, f"{run_id}_copy")] == [0, 1]


@pytest.mark.parametrize(
    ("script", "more", "says"),
    [
        (
            'date "+{\\"loss\\": 0.%N}" > "$1/metrics.json"',
            'volatile = { "metrics.json" = ["loss"] }',
            "declared volatile",
        ),
        ('[ -e cached ] || date +%N > cached; cp -p cached "$1/model"', "", "model is older than the run"),
    ],
)
def test_a_trainer_that_proves_nothing_is_not_called_deterministic(
    tmp_path: Path, script: str, more: str, says: str
) -> None:
    space = workspace(tmp_path, command=["sh", "-c", script, "trainer", "{output}"])
    declared(space, more)
    found = space.conformance("a")[0].run(lambda *_: None)
    assert (found.exit_code, found.deterministic, found.independent) == (5, "unknown", "unknown")
    assert says in found.problem
