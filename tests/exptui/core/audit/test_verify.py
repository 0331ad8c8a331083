"""Verdicts, with real re-runs: never a vacuous pass, and where a divergence began."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui import cli
from exptui.chronicle import CycleRecord, Phase, Writer
from exptui.core.archive import manifest as mf
from exptui.core.audit import session
from exptui.core.audit.compare import compare_files
from exptui.core.audit.fields import Piece, pieces
from exptui.core.audit.report import AuditReport, Verdict, headline, lines, worst
from exptui.core.errors import UsageError
from exptui.core.files import read_json, sha256_bytes, write_atomic
from exptui.core.runs.run import RunState
from exptui.core.settings import TrainerSettings
from exptui.core.workspace import Workspace
from support import finished, until, verified, workspace

SAME = 'printf "out %s" 1 > "$EXPTUI_OUTPUT/model.bin"; echo trained'
COUNT = "n=$(cat {0} 2>/dev/null || echo 0); echo $((n+1)) > {0}; "


def retrain(space: Workspace, script: str) -> None:
    """Change the trainer's command in the settings, as a user would."""
    path = space.root / "exptui.toml"
    path.write_text(workspace_settings(script))


def workspace_settings(script: str) -> str:
    return f'[trainer]\ncommand = ["sh", "-c", {json.dumps(script)}]\nstop_grace = 5.0\n'


@pytest.mark.parametrize("archived", [True, False])
def test_the_same_bytes_are_reproduced(tmp_path: Path, archived: bool) -> None:
    space = workspace(tmp_path, SAME)
    run_id = finished(space)
    if archived:
        space.archive(run_id)
    report = verified(space, run_id)
    assert (report.verdict, report.is_identical, report.scope) == (Verdict.REPRODUCED, True, "full")
    assert report.environment == ()
    assert report.run_a_hash == report.run_b_hash
    assert {f.path: f.status for f in report.files}["trainer.log"] == "not compared"
    folder = next((space.archives / "restoration").iterdir())
    assert sorted(p.name for p in folder.iterdir()) == ["audit.json", "determinism_audit.log"]
    assert (folder / "determinism_audit.log").read_text().startswith("REPRODUCED")
    if archived:
        assert [a.verdict for a in space.list_archives()] == ["REPRODUCED"]


@pytest.mark.parametrize(
    ("second", "verdict", "words"),
    [
        ('printf "out 2" > "$EXPTUI_OUTPUT/model.bin"', Verdict.DIVERGED, "1 of 2 files differ"),
        (SAME + '; echo x > "$EXPTUI_OUTPUT/extra"', Verdict.DIVERGED, "1 of 3 files differ"),
        ("true", Verdict.FAILED, "wrote nothing"),
        ('touch "$EXPTUI_OUTPUT/model.bin"', Verdict.FAILED, "wrote nothing"),
        (SAME + "; echo no luck >&2; exit 9", Verdict.FAILED, "exit code 9 (no luck)"),
        ("kill -SEGV $$", Verdict.FAILED, "signal 11"),
    ],
)
def test_a_trainer_that_changed(tmp_path: Path, second: str, verdict: Verdict, words: str) -> None:
    space = workspace(tmp_path, SAME)
    run_id = finished(space)
    space.archive(run_id)
    retrain(space, second)
    report = verified(space, run_id)
    assert report.verdict is verdict
    assert words in headline(report)
    assert any(suspect.startswith("started with command") for suspect in report.suspects)
    assert Path(report.kept).is_dir()


def test_changed_code_is_a_suspect_and_the_offset_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text(SAME)
    space = workspace(tmp_path, "", command=["sh", "train.sh"], code=["train.sh"])
    run_id = finished(space)
    space.archive(run_id)
    (tmp_path / "train.sh").write_text(SAME.replace("%s", "%s!"))
    report = verified(space, run_id)
    assert report.verdict is Verdict.DIVERGED
    assert [s for s in report.suspects if s.startswith("code train.sh ")]
    assert [(f.path, f.offset) for f in report.diverged_files] == [("model.bin", 5)]
    assert "from byte 5" in "\n".join(lines(report))


def test_a_flipped_byte_is_corrupt_and_nothing_is_started(tmp_path: Path) -> None:
    space = workspace(tmp_path, COUNT.format(tmp_path / "starts") + SAME)
    run_id = finished(space)
    path = space.archive(run_id).path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert verified(space, run_id).verdict is Verdict.CORRUPT
    assert (tmp_path / "starts").read_text().strip() == "1"


@pytest.mark.parametrize(
    ("script", "words"),
    [("true", "nothing but config.toml"), ('touch "$EXPTUI_OUTPUT/empty"', "nothing but config.toml")],
)
def test_nothing_to_compare_is_unknown_and_nothing_is_started(
    tmp_path: Path, script: str, words: str
) -> None:
    space = workspace(tmp_path, COUNT.format(tmp_path / "starts") + script)
    run_id = finished(space)
    report = verified(space, run_id)
    assert report.verdict is Verdict.UNKNOWN
    assert words in report.reason
    assert (tmp_path / "starts").read_text().strip() == "1"


def test_a_missing_trainer_and_an_unfinished_run_are_unknown(tmp_path: Path) -> None:
    space = workspace(tmp_path, SAME)
    run_id = finished(space)
    space.archive(run_id)
    (space.root / "exptui.toml").write_text('[trainer]\ncommand = ["no-such-trainer"]\n')
    report = verified(space, run_id)
    assert report.verdict is Verdict.UNKNOWN
    assert "no-such-trainer" in report.reason
    retrain(space, "exit 3")
    failed = space.run("a").name
    assert list(space.wait(failed))[-1].state is RunState.FAILED
    assert verified(space, failed).verdict is Verdict.UNKNOWN
    space.archive(failed, incomplete=True)
    assert "did not finish" in verified(space, failed).reason


def test_settings_changed_after_launch_cannot_hide_a_divergence(tmp_path: Path) -> None:
    clock = 'date +%s%N > "$EXPTUI_OUTPUT/model.bin"'
    space = workspace(tmp_path, clock)
    run_id = finished(space)
    space.archive(run_id)
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text() + 'observational = ["model.bin"]\n')
    assert verified(space, run_id).verdict is Verdict.DIVERGED


def test_declared_volatile_fields_are_printed(tmp_path: Path) -> None:
    script = 'echo "{\\"loss\\": 1, \\"at\\": $(date +%s%N)}" > "$EXPTUI_OUTPUT/metrics.json"'
    space = workspace(tmp_path, command=["sh", "-c", script, "{output}"])
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text() + 'volatile = { "metrics.json" = ["at"] }\n')
    report = verified(space, finished(space))
    assert report.verdict is Verdict.REPRODUCED
    assert not report.is_identical
    assert headline(report).endswith("except declared: metrics.json at")


def chronicle(directory: Path, losses: list[float], *, seal: bool = True) -> None:
    with_config = sha256_bytes((directory / "config.toml").read_bytes())
    writer = Writer.create(directory, with_config, ("accuracy",))
    for cycle, loss in enumerate(losses):
        writer.append(CycleRecord(cycle=cycle, phase=Phase.TRAIN, loss=loss, metrics=(0.5,), seed_state=1))
    if seal:
        writer.seal()
    writer.close()


@pytest.mark.parametrize("crashes", [False, True])
def test_the_first_mismatching_cycle_is_named(tmp_path: Path, crashes: bool) -> None:
    """A chronicle that the trainer copies into place stands for one that it computes."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    for place, losses in ((good, [1.0, 0.5, 0.25]), (bad, [1.0, 0.5, 0.250001])):
        place.mkdir()
        (place / "config.toml").write_text("[engine]\nbase_seed = 7\n")
        chronicle(place, losses, seal=not (crashes and place is bad))
    space = workspace(tmp_path, f'cp {good}/chronicle.cmeta "$EXPTUI_OUTPUT"')
    run_id = finished(space)
    space.archive(run_id)
    retrain(space, f'cp {bad}/chronicle.cmeta* "$EXPTUI_OUTPUT"' + ("; exit 1" if crashes else ""))
    report = verified(space, run_id)
    assert report.verdict is Verdict.DIVERGED
    assert report.first_mismatch_cycle == 2
    assert headline(report).startswith("DIVERGED  at cycle 2 (loss 0.250000 → 0.250001")


def test_cancelling_stops_the_rerun_and_says_unknown(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    space = workspace(tmp_path, SAME + f"; [ -e {mark} ] && {{ echo $$ > {mark}; exec sleep 60; }}; true")
    run_id = finished(space)
    mark.touch()
    directory = space.verify(space.request(run_id))
    until(lambda: mark.read_text().strip())
    assert list(space.verification_states()) == [directory.name]
    assert space.cancel(directory)
    report = list(space.follow(directory))[-1]
    assert isinstance(report, AuditReport)
    assert (report.verdict, "cancelled" in report.reason) == (Verdict.UNKNOWN, True)
    until(lambda: not Path(f"/proc/{mark.read_text().strip()}").exists())
    until(lambda: not directory.exists())
    assert list((space.archives / "restoration").iterdir()) == []
    assert space.verification_states() == {}
    assert not space.cancel(directory)  # it has ended already


def test_whoever_looks_while_a_cancelled_one_is_removed_is_told_so(tmp_path: Path) -> None:
    directory = tmp_path / "a_20260101T000000Z_20260101T000001Z"
    directory.mkdir()
    (found,) = session.follow(directory)
    assert isinstance(found, AuditReport)
    assert (found.run_id, "cancelled" in found.reason) == ("a_20260101T000000Z", True)


def test_a_killed_worker_is_unknown_and_recovered(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    space = workspace(tmp_path, SAME + f"; [ -e {mark} ] && {{ echo $$ > {mark}; exec sleep 60; }}; true")
    run_id = finished(space)
    mark.touch()
    directory = space.verify(space.request(run_id))
    until(lambda: mark.read_text().strip())
    state = read_json(directory / session.STATE, session.State)
    assert state.worker is not None
    os.kill(state.worker.pid, signal.SIGKILL)
    report = list(space.follow(directory))[-1]
    assert isinstance(report, AuditReport)
    assert (report.verdict, "killed" in report.reason) == (Verdict.UNKNOWN, True)
    assert any("interrupted" in message for message in space.recover())
    until(lambda: not Path(f"/proc/{mark.read_text().strip()}").exists())
    assert sorted(p.name for p in directory.iterdir()) == ["audit.json", "determinism_audit.log"]
    assert space.recover() == []


def test_a_run_that_changes_meanwhile_is_unknown(tmp_path: Path) -> None:
    space = workspace(tmp_path, SAME)
    run_id = finished(space)
    target = space.results / run_id / "model.bin"
    mark = tmp_path / "mark"
    retrain(space, f"{SAME}; touch {mark}; until [ -e {mark}.seen ]; do sleep 0.05; done")
    directory = space.verify(space.request(run_id))
    until(mark.exists)
    target.write_text("touched")
    (tmp_path / "mark.seen").touch()
    report = list(space.follow(directory))[-1]
    assert isinstance(report, AuditReport)
    assert (report.verdict, report.reason) == (Verdict.UNKNOWN, "the original changed while it was verified")


def test_a_file_from_elsewhere_needs_a_yes(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    there = workspace(tmp_path / "there", SAME)
    run_id = finished(there)
    path = there.archive(run_id).path
    here = workspace(tmp_path / "here", "false")
    with pytest.raises(UsageError, match="from elsewhere; it would run: sh -c"):
        here.request(str(path))
    assert verified(here, str(path), trust=True).verdict is Verdict.REPRODUCED


def test_exit_codes_and_precedence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert worst([Verdict.REPRODUCED, Verdict.UNKNOWN]) is Verdict.UNKNOWN
    assert worst([Verdict.FAILED, Verdict.DIVERGED, Verdict.REPRODUCED]) is Verdict.DIVERGED
    assert worst([]) is Verdict.UNKNOWN
    space = workspace(tmp_path, SAME)
    run_id = finished(space)
    assert cli.main(["--workspace", str(space.root), "verify", run_id]) == 0
    retrain(space, "date +%N > $EXPTUI_OUTPUT/model.bin")
    assert cli.main(["--workspace", str(space.root), "verify", run_id, "--json"]) == 1
    assert '"verdict": "DIVERGED"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("again", "same"),
    [
        ('{"at": 2, "n": [{"x": 1}], "f": 0.0}', True),
        ('{"at": 2, "n": [{"x": true}], "f": 0.0}', False),
        ('{"at": 2, "n": [{"x": 1}], "f": -0.0}', False),
        ('{"at": 2, "n": [{"x": 1}], "f": 0.0, "e": {}}', False),
        ('{"at": 2, "n":  [{"x": 1}], "f": 0.0}', False),
        ('{"n": [{"x": 1}], "at": 2, "f": 0.0}', False),
        ('{"at": 2, "at": 3, "n": [{"x": 1}], "f": 0.0}', False),
        ("not json", False),
    ],
)
def test_beside_declared_fields_every_byte_counts(tmp_path: Path, again: str, same: bool) -> None:
    first = '{"at": 1, "n": [{"x": 1}], "f": 0.0}'
    sides = []
    for name, text in (("one", first), ("two", again)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.json").write_text(text)
        sides.append((tmp_path / name, mf.scan(tmp_path / name)))
    (found,) = compare_files(sides[0], sides[1], TrainerSettings(volatile={"m.json": ("at",)}))
    assert (found.status == "equal except declared") is same


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda x: st.dictionaries(st.text(max_size=3), x, max_size=3),
    )
)
def test_no_byte_is_lost(value: object) -> None:
    text = json.dumps(value, indent=1)
    found = list(pieces(text.encode(), ".json", (), lambda _: False))
    assert "".join(one.text for one in found) == text


def test_a_nested_declared_field_is_one_piece() -> None:
    found = list(pieces(b'{"a": {"b": [1, 2], "c": 3}}', ".json", ("a.b",), lambda _: False))
    assert [one for one in found if one.how == "volatile"] == [Piece("volatile", "[1, 2]", "a.b")]
    assert [one.text for one in found if one.how == "value"] == ["3"]


def test_a_child_that_writes_late_is_waited_for(tmp_path: Path) -> None:
    late = '(sleep 0.7; echo late > "$EXPTUI_OUTPUT/late.bin") & '
    space = workspace(tmp_path, late + SAME)
    run_id = finished(space)
    until(lambda: not space.show(run_id).leftovers)
    report = verified(space, run_id)
    assert report.verdict is Verdict.REPRODUCED
    assert "late.bin" in {file.path for file in report.files}


def test_code_that_changes_during_the_rerun_is_said(tmp_path: Path) -> None:
    (tmp_path / "code.txt").write_text("1\n")
    mark = tmp_path / "again"
    change = f'[ -e {mark} ] && echo more >> "{tmp_path}/code.txt"; true'
    space = workspace(tmp_path, f"{SAME}; {change}", code=["code.txt"])
    run_id = finished(space)
    mark.touch()
    report = verified(space, run_id)
    assert report.environment is not None
    assert [change.key for change in report.environment] == ["code.while_running"]


def test_a_verification_that_is_just_being_started_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = workspace(tmp_path, SAME)
    run_id = finished(space)
    looks: list[list[str]] = []

    def looking(path: Path, data: bytes) -> None:
        looks.append(session.recover(space.archives))
        write_atomic(path, data)
        looks.append(session.recover(space.archives))

    monkeypatch.setattr(session, "write_atomic", looking)
    directory = space.verify(space.request(run_id))
    monkeypatch.undo()
    last = list(space.follow(directory))[-1]
    assert isinstance(last, AuditReport)
    assert (looks, last.verdict) == ([[], []], Verdict.REPRODUCED)


def test_a_stem_means_the_newest_archive(tmp_path: Path) -> None:
    space = workspace(tmp_path, SAME)
    space.archive(finished(space))
    newest = finished(space)
    space.archive(newest)
    assert space.archived("a").name == f"{newest}.tar.gz"
    assert verified(space, "a").run_id == newest


def test_the_verdict_is_the_exit_code_also_where_nobody_reads_it(tmp_path: Path) -> None:
    space = workspace(tmp_path, SAME)
    path = space.archive(finished(space)).path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for words, code in ((["verify", "a"], 4), (["check", "--read-data"], 141)):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "exptui", *words], cwd=tmp_path, stdout=write, stderr=subprocess.PIPE
        )
        os.close(write)
        assert (done.returncode, b"Traceback" in done.stderr) == (code, False)
