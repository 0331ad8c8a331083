"""Trainers that depend on one thing each: it is found and named, and nothing else is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exptui import cli
from exptui.core.audit import conformance
from exptui.core.audit.conformity import ALONE, Conformity, Row
from exptui.core.audit.trial import Bench
from exptui.core.audit.variations import variations
from exptui.core.errors import UsageError
from exptui.core.runs import queue
from exptui.core.workspace import Workspace
from support import until, workspace

EVERYTHING = """
ls -U data > "$EXPTUI_OUTPUT/file order"
cd "$EXPTUI_OUTPUT"; mkdir deep
echo "$PWD" > directory
echo "$HOME" > HOME
echo "$TZ" > TZ
echo "$LC_ALL" > locale
umask > umask
uname -n > hostname
cat /proc/self/personality > addresses
grep Cpus_allowed_list /proc/self/status > 'one core'
echo "$ANOTHER_VARIABLE" > variable
echo always > deep/model
"""
HERE = {"directory", "HOME", "TZ", "locale", "umask", "variable"}  # possible on every machine
STEPS = """
cd "$EXPTUI_OUTPUT"; mkdir -p ck; e=0; s=1
if [ "$1" = --from ]; then . "$2"; fi
while [ $e -lt 4 ]; do e=$((e+1)); s=$((s*3+e)); echo "{saved}" > ck/.new; mv ck/.new ck/e$e; sleep 0.1; done
echo $s > model
"""


def checked(space: Workspace, **more: int) -> Conformity:
    return space.conformance("a", **more)[0].run(lambda *_: None)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the ten variations only those that a test of something else looks at."""
    names = ("directory", "TZ", "locale")
    monkeypatch.setattr(
        conformance,
        "variations",
        lambda *words, own: [one for one in variations(*words, own=own) if one.name in names],
    )


def by_name(found: Conformity) -> dict[str, Row]:
    return {row.name: row for row in found.rows}


def stepping(parent: Path, saved: str) -> Workspace:
    script = STEPS.replace("{saved}", saved)
    return workspace(
        parent,
        command=["sh", "-c", script, "trainer"],
        resume=["--from", "{checkpoint}", "--until", "{epoch}"],
        checkpoints="ck/e{epoch}",
    )


def test_each_thing_a_trainer_depends_on_is_named_with_its_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("z", "a", "m"):
        (tmp_path / "data" / name).touch()
    space = workspace(tmp_path, EVERYTHING)
    found = checked(space)
    rows = by_name(found)
    assert len(rows) == 11
    assert (rows["twice"].status, rows["twice"].compared, rows["twice"].hint) == ("same", 12, "")
    impossible = {name for name, row in rows.items() if row.status == "not possible" and row.detail}
    assert not impossible & HERE
    named = {name: [file.path for file in row.files] for name, row in rows.items() if row.hint}
    assert named == {name: [name] for name in rows.keys() - {"twice"} - impossible}
    assert (found.deterministic, found.resumable, found.independent) == ("yes", "unknown", "no")
    assert (found.exit_code, found.notes) == (
        1,
        ("not compared: trainer.log", "not resumable: [trainer] declares no resume and checkpoints"),
    )
    assert left(space) == []


def test_a_resume_that_silently_starts_anew_is_not_called_one(tmp_path: Path, few: None) -> None:
    space = stepping(tmp_path, "e=$e s=$s")
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text().replace("= --from ]", "= --never ]"))
    found = checked(space)
    row = by_name(found)[ALONE]
    assert (row.status, row.detail) == ("failed", "it started anew instead of going on: it wrote ck/e1")
    assert found.resumable == "no"


def test_the_bundled_trainer_passes_all_that_is_possible(tmp_path: Path) -> None:
    space = workspace(
        tmp_path, command=["tiny-agent-trainer", "--config", "{config}", "--output", "{output}"]
    )
    (space.configs / "a.toml").write_text(
        "[engine]\nbase_seed = 7\nbatch_size = 64\nepochs = 3\nlearning_rate = 0.01\n"
        '[model]\nmodel_type = "DeterministicMLP"\nlayers = 2\nactivation = "ReLU"\nhidden = 8\n'
    )
    found = checked(space, workers=2)
    assert {row.name: row.status for row in found.rows if row.status not in ("same", "not possible")} == {}
    rows = by_name(found)
    assert {name for name, row in rows.items() if row.status == "same"} >= {*HERE, "twice", "resume"}
    assert (found.deterministic, found.resumable, found.independent) == ("yes", "yes", "yes")
    assert (found.exit_code, found.problem) == (0, "")


@pytest.mark.usefixtures("few")
def test_a_divergence_is_named_by_its_first_cycle(tmp_path: Path) -> None:
    script = """
import os, pathlib
from exptui.chronicle import CycleRecord, Phase, Writer
out = pathlib.Path(os.environ["EXPTUI_OUTPUT"])
with_tz = os.environ["TZ"] != "UTC"
writer = Writer.create(out, "0" * 64, ("accuracy",))
for cycle in range(5):
    writer.append(CycleRecord(cycle, Phase.TRAIN, 1.0 + (with_tz and cycle == 3), (0.5,), 7))
writer.seal(); writer.close()
"""
    rows = by_name(checked(workspace(tmp_path, command=[sys.executable, "-c", script, "{output}"])))
    assert {name for name, row in rows.items() if row.status == "differs"} == {"TZ"}
    assert (rows["TZ"].first_mismatch_cycle, rows["TZ"].mismatch_phase) == (3, "train")
    change = rows["TZ"].mismatch_details[0]
    assert (change.key, change.baseline, change.candidate) == ("loss", "1.000000", "2.000000")


@pytest.mark.parametrize(
    ("script", "agree"),
    [
        ("cat /proc/sys/kernel/random/uuid", False),
        ("head -1 /proc/self/maps; cat /proc/self/stat | cut -d' ' -f28", True),
    ],
)
def test_what_differs_unchanged_is_blamed_on_nothing_else(tmp_path: Path, script: str, agree: bool) -> None:
    found = checked(workspace(tmp_path, f'({script}) > "$EXPTUI_OUTPUT/model"'))
    rows = by_name(found)
    assert [row.name for row in found.rows if row.status != "not judged"] == ["twice"]
    assert (rows["twice"].status, rows["twice"].files[0].path) == ("differs", "model")
    if rows["addresses"].detail != conformance.UNSTEADY:  # else not possible here
        assert rows["addresses"].detail == f"two such runs {'agree' if agree else 'differ too'}"
    assert (found.deterministic, found.independent, found.exit_code) == ("no", "unknown", 1)


@pytest.mark.usefixtures("few")
def test_a_field_that_differs_by_nature_is_to_be_declared_and_then_is_the_same(tmp_path: Path) -> None:
    script = 'echo "{\\"loss\\": 1, \\"took\\": {\\"s\\": $(date +%s%N)}}" > "$EXPTUI_OUTPUT/m.json"'
    found = checked(workspace(tmp_path / "1", script))
    assert found.rows[0].status == "differs"
    assert found.rows[0].declare == 'volatile = { "m.json" = ["took.s"] }'
    space = workspace(tmp_path / "2", script)
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text() + 'volatile = { "m.json" = ["took.s"] }\n')
    found = checked(space)
    assert (found.exit_code, found.rows[0].detail) == (0, "except declared: m.json took.s")


@pytest.mark.usefixtures("few")
def test_a_field_is_offered_as_volatile_only_where_nothing_else_differs(tmp_path: Path) -> None:
    found = checked(
        workspace(
            tmp_path, 'echo "{\\"a\\": \\"$TZ\\"}" > "$EXPTUI_OUTPUT/m.json"; echo $TZ > "$EXPTUI_OUTPUT/x"'
        )
    )
    row = by_name(found)["TZ"]
    assert [file.path for file in row.files] == ["m.json", "x"]
    assert row.declare == ""


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(("saved", "status", "code"), [("e=$e s=$s", "same", 0), ("e=$e", "differs", 1)])
def test_a_checkpoint_that_does_not_hold_everything(
    tmp_path: Path, saved: str, status: str, code: int
) -> None:
    found = checked(stepping(tmp_path, saved))
    rows = by_name(found)
    assert {
        name: row.status
        for name, row in rows.items()
        if row.status == "differs" and name not in ("resume", "kill")
    } == {}
    assert (rows["resume"].status, rows["kill"].status, found.exit_code) == (status, status, code)
    assert rows["resume"].what == "from ck/e2 alone"
    if status == "differs":
        assert [file.path for file in rows["resume"].files] == ["model"]
        assert "does not hold everything" in rows["resume"].hint
    assert found.resumable == {"same": "yes", "differs": "no"}[status]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(("after", "status", "cycle"), [(0.0, "same", None), (0.25, "differs", 4)])
def test_the_slice_of_a_resumed_chronicle_is_compared_by_its_records(
    tmp_path: Path, after: float, status: str, cycle: int | None
) -> None:
    script = """
import hashlib, os, pathlib, sys
from exptui.chronicle import CycleRecord, Phase, Writer
out, done = pathlib.Path(os.environ["EXPTUI_OUTPUT"]), 0
(out / "ck").mkdir(exist_ok=True)
if "--from" in sys.argv:
    done = int(pathlib.Path(sys.argv[-1]).read_text())
writer = Writer.create(out, "0" * 64, ("accuracy",))
for epoch in range(done + 1, 4):
    for cycle in (2 * epoch - 2, 2 * epoch - 1):
        loss = 1.0 / (cycle + 1) + (AFTER if done and cycle == 4 else 0.0)
        writer.append(CycleRecord(cycle, Phase.TRAIN, loss, (0.5,), 7))
    writer.checkpoint(2 * epoch - 1, hashlib.sha256(str(epoch).encode()).hexdigest())
    (out / f"ck/e{epoch}").write_text(str(epoch))
writer.seal(); writer.close()
""".replace("AFTER", str(after))
    (tmp_path / "train.py").write_text(script)
    command = [sys.executable, "train.py", "{output}"]
    space = workspace(tmp_path, command=command, resume=["--from", "{checkpoint}"], checkpoints="ck/e{epoch}")
    row = by_name(checked(space))["resume"]
    assert (row.status, row.first_mismatch_cycle) == (status, cycle)
    assert row.compared == 1  # the third checkpoint: no chronicle of a slice has the bytes of the whole


@pytest.mark.usefixtures("few")
def test_a_checkpoint_behind_the_resume_that_differs_or_is_missing(tmp_path: Path) -> None:
    space = stepping(tmp_path, "e=$e s=$s")
    settings = space.root / "exptui.toml"
    settings.write_text(
        settings.read_text().replace("mv ck/.new ck/e$e", '[ \\"$1$e\\" = --from3 ] || mv ck/.new ck/e$e')
    )
    row = by_name(checked(space))["resume"]
    assert [(file.path, file.status) for file in row.files] == [("ck/.new", "extra"), ("ck/e3", "missing")][
        1:
    ]


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("echo no luck >&2; exit 9", 3, "exit code 9: no luck"),
        ("kill -SEGV $$", 3, "signal 11"),
        ("true", 5, ""),
        ('touch "$EXPTUI_OUTPUT/empty"; echo x > "$EXPTUI_OUTPUT/metrics.jsonl"', 5, ""),
    ],
)
def test_a_first_run_that_fails_or_writes_nothing_is_no_pass(
    tmp_path: Path, script: str, code: int, words: str
) -> None:
    found = checked(workspace(tmp_path, script))
    assert (found.exit_code, found.runs) == (code, 1)
    assert [row.detail for row in found.rows] == ([words] if words else [])
    assert found.problem == ("" if words else "the trainer wrote nothing to compare")


def test_a_variation_under_which_the_trainer_fails_or_hangs(tmp_path: Path) -> None:
    script = """
echo 1 > "$EXPTUI_OUTPUT/model"
[ "$TZ" = UTC ] || { echo what time is it; exit 4; }
[ "$(umask)" = 0022 ] || { sleep 1000 & wait; }
"""
    space = workspace(tmp_path, script)
    found = checked(space, timeout=2)
    rows = by_name(found)
    assert {name for name, row in rows.items() if row.status == "failed"} == {"TZ", "umask"}
    assert rows["TZ"].detail == "exit code 4: what time is it"
    assert rows["umask"].detail == "no end after 2 s"
    assert (found.exit_code, found.independent) == (3, "no")


@pytest.mark.usefixtures("few")
def test_processes_left_behind_are_ended_and_said(tmp_path: Path) -> None:
    script = 'echo 1 > "$EXPTUI_OUTPUT/model"; setsid sleep 1000 > /dev/null 2>&1 &'
    found = checked(workspace(tmp_path, script))
    assert found.exit_code == 0
    assert "it leaves processes behind; they were ended" in found.notes
    assert not sleeping(tmp_path)


@pytest.mark.usefixtures("few")
def test_what_the_settings_fix_is_not_varied(tmp_path: Path) -> None:
    space = workspace(tmp_path, 'echo "$TZ" > "$EXPTUI_OUTPUT/model"')
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text() + 'environment = { set = { TZ = "Mars" } }\n')
    found = checked(space)
    row = by_name(found)["TZ"]
    assert (row.status, row.detail, found.exit_code) == ("not possible", "exptui.toml gives TZ itself", 0)


def test_what_this_machine_cannot_do_is_said_and_never_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = workspace(tmp_path, 'echo 1 > "$EXPTUI_OUTPUT/model"')
    monkeypatch.setattr(Bench, "impossible", lambda _, variation: "no" if variation.changes else "")
    found = checked(space)
    assert {row.name for row in found.rows if row.status == "not possible"} == {
        "hostname",
        "addresses",
        "one core",
        "file order",
    }
    assert found.exit_code == 0
    monkeypatch.setattr(Bench, "impossible", lambda *_: "no")
    found = checked(space)
    assert (found.exit_code, found.deterministic, found.independent) == (5, "unknown", "unknown")


@pytest.mark.usefixtures("few")
def test_a_trainer_that_makes_its_own_directory_is_read_there(tmp_path: Path) -> None:
    script = 'd=experiments/results/own_1; mkdir -p $d; cp "$0" $d/config.toml; echo "$LC_ALL" > $d/model'
    space = workspace(tmp_path, command=["sh", "-c", script, "{config}"])
    found = checked(space)
    assert {name for name, row in by_name(found).items() if row.status == "differs"} == {"locale"}
    assert by_name(found)["directory"].status == "not possible"
    assert list(space.results.iterdir()) == []
    with pytest.raises(UsageError, match="one at a time"):
        checked(space, workers=2)
    with pytest.raises(UsageError, match="1 or more"):
        checked(space, workers=0)


@pytest.mark.usefixtures("few")
def test_code_that_changes_meanwhile_makes_it_void(tmp_path: Path) -> None:
    script = 'echo 1 > "$EXPTUI_OUTPUT/model"; echo >> code'
    (tmp_path / "code").touch()
    found = checked(workspace(tmp_path, script, code=["code"]))
    assert found.exit_code == 5
    assert found.problem.startswith("the code changed")


def left(space: Workspace) -> list[Path]:
    """What is left of a check, in `results/` and beside the locks."""
    places = (space.results, queue.lock_directory(space.results))
    return [path for place in places for path in place.glob(".conformance-*")]


def sleeping(tmp_path: Path) -> list[str]:
    """The processes whose output directory lies below a path."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if b"EXPTUI_OUTPUT=" + os.fsencode(tmp_path) in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def started(space: Workspace) -> subprocess.Popen[str]:
    """`exptui doctor --trainer a` on its own, once its trainer is at work."""
    code = "import sys; from exptui.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "--workspace", str(space.root), "doctor", "--trainer", "a"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until(lambda: list(space.results.glob(".conformance-*/w0/*/ready")))
    assert sleeping(space.root)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_every_process_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    space = workspace(tmp_path, 'echo 1 > "$EXPTUI_OUTPUT/ready"; sleep 1000 & setsid sleep 1000 & wait')
    process = started(space)
    process.send_signal(number)
    assert "every run of it was ended" in process.communicate(timeout=30)[0]
    assert process.returncode == 5
    assert left(space) == []
    assert not sleeping(tmp_path)


def test_what_a_kill_leaves_is_removed_by_the_next_command_once_nobody_works_in_it(tmp_path: Path) -> None:
    space = workspace(tmp_path, 'echo 1 > "$EXPTUI_OUTPUT/ready"; exec sleep 1000')
    process = started(space)
    assert space.recover() == []
    assert space.list_runs() == []
    process.kill()
    process.communicate(timeout=30)
    until(lambda: not sleeping(tmp_path))
    assert len(left(space)) == 2
    # A process that ends has no environment any more a moment before its locks are free.
    until(lambda: "removed the unfinished conformance check .conformance-" in "".join(space.recover()))
    assert left(space) == []


def test_the_table_fits_80_columns_and_says_what_it_costs_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = workspace(tmp_path, EVERYTHING)
    (tmp_path / "data").mkdir()
    list(space.wait(space.run("a").name))
    arguments = ["--workspace", str(space.root), "doctor", "--trainer", "a"]
    assert cli.main(arguments) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("up to 12 runs of a; the last run of it took ")
    assert max(map(len, shown.out.splitlines())) <= 80
    assert (
        "✗ TZ         DIFFERS  13:45 hours ahead of UTC\n             TZ from byte 0\n             → local time"
        in shown.out
    )
    assert "✔ twice      same     nothing changed\n" in shown.out
    assert "environment-independent  no: directory, HOME, TZ, " in shown.out
    assert cli.main([*arguments, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["deterministic"], told["independent"], len(told["rows"])) == ("yes", "no", 11)


@pytest.mark.usefixtures("few")
def test_files_that_hold_the_same_tensors_are_offered_and_then_are_the_same(tmp_path: Path) -> None:
    def space(name: str, more: str = "") -> Workspace:
        (tmp_path / name).mkdir()
        shutil.copy(Path(__file__).parents[3] / "trainers/foreign.py", tmp_path / name)
        made = workspace(tmp_path / name, command=[sys.executable, "foreign.py", "{output}"])
        settings = made.root / "exptui.toml"
        settings.write_text(settings.read_text() + more)
        return made

    found = checked(space("1"))
    offered = found.rows[0].declare
    assert offered.splitlines()[1] == 'tensors = ["model.safetensors"]'
    assert '"metrics.csv" = ["time"]' in offered
    assert '"history.jsonl" = ["time"]' in offered
    assert '"result.json" = ["history.time", "took.s"]' in offered
    again = checked(space("2", offered + "\n"))
    assert again.rows[0].status == "same"
    assert "compared by tensor content" in again.rows[0].detail
