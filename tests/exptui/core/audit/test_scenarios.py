"""What can happen to a verification, each with the verdict, the exit code and the place that must be named."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exptui import cli
from exptui.core.audit.report import AuditReport
from exptui.core.workspace import Workspace
from support import TOY, finished, toy, void, workspace, wrong

CODES = {"REPRODUCED": 0, "DIVERGED": 1, "FAILED": 3, "CORRUPT": 4, "UNKNOWN": 5, "AGREES": 6}
Do = Callable[[Workspace], None]


def settings(old: str, new: str) -> Do:
    """Change the settings after the launch."""

    def change(space: Workspace) -> None:
        path = space.root / "exptui.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def code(old: str, new: str) -> Do:
    """Change the trainer's code after the launch."""

    def change(space: Workspace) -> None:
        path = space.root.parent / "toy.py"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def damage(how: Callable[[bytes], bytes], suffix: str = ".tar.gz") -> Do:
    """Change the only archive's bytes."""

    def change(space: Workspace) -> None:
        (path,) = (p for p in space.archives.glob(f"*{suffix}") if p.is_file())
        path.write_bytes(how(path.read_bytes()))

    return change


def flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


@dataclass(frozen=True)
class Case:
    """`before` the first run, `after` it (and its archiving), and what must come of it."""

    name: str
    verdict: str
    after: Do = void
    before: Do = void
    words: tuple[str, ...] = ()
    archived: bool = False
    says: str = ""
    cycle: int | None = None
    bad: tuple[str, ...] = ()
    cause: str = ""
    trainer: dict[str, Any] = field(default_factory=dict)
    script: str = ""
    settings: str = ""


def no_interpreter(space: Workspace) -> None:
    """The script stays, its interpreter goes."""
    (space.root.parent / "train").write_text("#!/no/such/interpreter\n")


def other_identity(space: Workspace) -> None:
    """A ledger that was written anew, with an identity of its own."""
    path = space.archives / "ledger.jsonl"
    line = json.loads(path.read_bytes())
    path.write_text(json.dumps({**line, "identity": "0" * 64}) + "\n")


def renamed(space: Workspace) -> None:
    """The archive of another run of the same config takes its place, sidecars and all."""
    (mine,) = space.archives.glob("*.tar.gz")
    other = space.archive(finished(space)).path
    for suffix in (".tar.gz", ".manifest.json", ".sha256", ".card.json"):
        stem = other.name.removesuffix(".tar.gz")
        (other.parent / f"{stem}{suffix}").rename(str(mine).removesuffix(".tar.gz") + suffix)


def hidden(space: Workspace) -> None:
    """The output differs, and the settings now say that it does not count."""
    wrong(write={"model.bin": "other"})(space)
    settings("[trainer]\n", '[trainer]\nobservational = ["model.bin"]\n')(space)


VOLATILE = 'volatile = { "metrics.json" = ["at"] }\n'
CKPT = "checkpoints/epoch_000{}.ckpt".format
FROM_3 = (CKPT(3), CKPT(4), "chronicle.cmeta", "metrics.json")

TIMES = (
    'volatile = { "*.csv" = ["time"], "history.jsonl" = ["time"], "result.json" = ["*.time", "took.s"] }\n'
)
TENSORS = f'{TIMES}tensors = ["*.safetensors"]\n'
NEAR = f"{TENSORS}tolerance.metrics = {{ loss = {{ abs = 1e-6 }}, '*loss' = {{ abs = 1e-6 }}, best = {{ rel = 1e-5 }} }}\n"
NEAR += 'tolerance.tensors = { "*" = { rel = 1e-5 } }\n'
ALONE = 'compare = "metrics"\nvolatile = { "*" = ["time", "took.s"] }\n'
NOISE = wrong(noise=1e-7)
ALL = ("history.jsonl", "metrics.csv", "model.safetensors", "result.json")

# fmt: off
FOREIGN: list[tuple[str, str, str, Do, Do, list[str], bool, str, tuple[str, ...]]] = [
    # name, verdict, declared, before the run, after it, words, archived, says, bad
    ("times and paths", "DIVERGED", "", void, void, [], False, "model.safetensors: compared by tensor content, 1 tensor; ", ALL),
    ("times declared", "DIVERGED", TIMES, void, void, [], True, "not declared before the run, so the verdict stays", ALL[2:3]),
    ("times and tensors declared", "REPRODUCED", TENSORS, void, void, [], True, "bytes of metadata not compared (they differ in __metadata__.path, __metadata__.time)", ()),
    ("tensors declared later", "DIVERGED", TIMES, void, settings("[trainer]\n", '[trainer]\ntensors = ["*.safetensors"]\n'), [], True, "", ALL[2:3]),
    ("another number", "DIVERGED", TENSORS, void, NOISE, [], True, "loss 1.0 → 1.0000001", ALL),
    ("another number, tolerance now", "DIVERGED", TENSORS, void, NOISE, ["--tolerance", "abs=1e-6"], False, "metrics.csv: within the tolerance given now, max Δ 1e-07 (loss); it was not declared before", ALL),
    ("another number, too little now", "DIVERGED", TENSORS, void, NOISE, ["--tolerance", "abs=1e-9"], False, "metrics.csv: not within the tolerance given now: loss 1.0 →", ALL),
    ("within tolerances", "AGREES", NEAR, void, NOISE, [], True, "4 of 5 files differ within the tolerances declared before the run, max Δ 1.19e-07 (model.safetensors w)", ()),
    ("tolerances, and the same", "REPRODUCED", NEAR, void, void, [], False, "except declared", ()),
    ("beyond tolerances, more now", "DIVERGED", NEAR, void, wrong(noise=1e-3), ["--tolerance", "abs=0.01"], False, "result.json: within the tolerance given now, max Δ 0.001 (history.loss)", ALL),
    ("beyond tolerances", "DIVERGED", NEAR, void, wrong(noise=1e-3), [], True, "loss 1.0 → 1.001", ALL),
    ("tolerances declared later", "DIVERGED", TENSORS, void, lambda space: (NOISE(space), settings("tensors =", "tolerance.metrics.'*'.rel = 0.5\ntensors =")(space))[0], [], True, "", ALL),
    ("tolerances, NaN both times", "AGREES", NEAR, wrong(at={"2": "nan"}), wrong(at={"2": "nan"}, noise=1e-7), [], False, "max Δ", ()),
    ("tolerances, NaN once", "DIVERGED", NEAR, void, wrong(at={"2": "nan"}), [], False, "→ NaN", ALL),
    ("tolerances, an infinity once", "DIVERGED", NEAR, wrong(at={"2": "inf"}), wrong(at={"2": "-inf"}), [], False, "loss Infinity → -Infinity", ALL),
    ("tolerances, a step less", "DIVERGED", NEAR, void, wrong(skip=[4]), [], False, "something else than a declared field differs", ALL[:2] + ALL[3:]),
    ("a file of tensors that is none", "DIVERGED", TENSORS, wrong(damage=True), wrong(damage=True), [], False, "not read: neither safetensors", ALL[2:3]),
    ("metrics alone", "AGREES", ALONE, void, void, [], True, "5 values of 1 metric compared, and no file", ()),
    ("metrics alone, tolerance", "AGREES", f"{ALONE}tolerance.metrics.loss.abs = 1e-6\n", void, NOISE, [], True, "max Δ 1e-07 (loss)", ()),
    ("metrics alone, another number", "DIVERGED", ALONE, void, NOISE, ["--tolerance", "loss:rel=1e-5"], True, "loss: within the tolerance given now, max Δ 1e-07", ()),
    ("metrics alone, a step less", "DIVERGED", ALONE, void, wrong(skip=[3]), [], False, "step 3 only in the original", ()),
    ("metrics alone, a step more", "DIVERGED", ALONE, wrong(skip=[4]), wrong(), [], False, "step 4 only in the re-run", ()),
    ("metrics alone, only printed", "AGREES", ALONE, wrong(only=[]), wrong(only=[]), [], True, "5 values of 1 metric compared, and no file", ()),
    ("metrics alone, only printed, differs", "DIVERGED", ALONE, wrong(only=[]), wrong(only=[], noise=1e-7), [], True, "loss at 0: 1.0 → 1.0000001", ()),
    ("metrics alone, none", "UNKNOWN", 'compare = "metrics"\nvolatile = { "*" = ["*"] }\n', void, void, [], False, "no metrics are found, or all are declared volatile", ()),
    ("metrics alone, segments", "UNKNOWN", ALONE + 'resume = ["{checkpoint}{epoch}"]\ncheckpoints = "c{epoch}"\n', void, void, ["--segments", "2"], False, "whole runs", ()),
]
CASES = [
    Case("the same", "REPRODUCED", says="8 of 8"),
    Case("the same, archived", "REPRODUCED", archived=True),
    Case("a cycle differs", "DIVERGED", wrong(bad_at=5, hang_at=7), cycle=5, says="stopped at the first mismatch", cause="stable"),
    Case("a cycle differs, all compared", "DIVERGED", wrong(bad_at=5), words=("--keep-going",), cycle=5, bad=FROM_3),
    Case("the first cycle", "DIVERGED", wrong(bad_at=0), cycle=0, archived=True),
    Case("the last cycle", "DIVERGED", wrong(bad_at=7), cycle=7),
    Case("below what is shown", "DIVERGED", wrong(bad_at=6, by=1e-9), cycle=6, cause="stable"),
    Case("not deterministic", "DIVERGED", wrong(random_at=6), cycle=6, cause="nondeterministic", says=""),
    Case("the cause unasked", "DIVERGED", wrong(bad_at=2), words=("--no-cause",), cycle=2, cause="not examined"),
    Case("a cycle more", "DIVERGED", wrong(more=1), cycle=8),
    Case("a cycle fewer", "DIVERGED", wrong(), before=wrong(more=1), cycle=8),
    Case("a file missing", "DIVERGED", wrong(skip=["model.bin"]), bad=("model.bin",), cause="stable"),
    Case("a file too many", "DIVERGED", wrong(write={"extra": "x"}), bad=("extra",)),
    Case("a file empty", "DIVERGED", wrong(write={"model.bin": ""}), bad=("model.bin",)),
    Case("an empty file missing", "DIVERGED", wrong(), before=wrong(write={"e": ""}), bad=("e",)),
    Case("a checkpoint missing", "DIVERGED", wrong(skip=[CKPT(2)]), bad=(CKPT(2),)),
    Case("nothing written", "FAILED", wrong(nothing=True), says="wrote nothing"),
    Case("crashed at once", "FAILED", wrong(crash_at=0), says="exit code 9 (no luck)"),
    Case("crashed in the middle", "FAILED", wrong(crash_at=4), archived=True, says="exit code 9"),
    Case("ended by a signal", "FAILED", wrong(crash_at=4, how="signal"), says="signal 11"),
    Case("diverged, then crashed", "DIVERGED", wrong(bad_at=3, crash_at=6), words=("--keep-going",), cycle=3),
    Case("too slow", "FAILED", wrong(hang_at=3), words=("--timeout", "1.5"), says="timed out after 1.5 s"),
    Case(
        "diverged, then too slow", "DIVERGED", wrong(bad_at=1, hang_at=6),
        words=("--timeout", "1.5", "--keep-going", "--no-cause"), cycle=1, says="timed out",
    ),
    Case("no trainer", "UNKNOWN", settings(sys.executable, "/no/such/python"), says="/no/such/python"),
    Case("no interpreter", "UNKNOWN", no_interpreter, says="No such file", script="shebang"),
    Case("code gone", "UNKNOWN", settings('["toy.py"]', '["gone.py"]'), says="'gone.py' does not exist"),
    Case("a bit flipped", "CORRUPT", damage(flipped), archived=True),
    Case("cut off", "CORRUPT", damage(lambda data: data[:-9]), archived=True),
    Case("emptied", "CORRUPT", damage(lambda _: b""), archived=True),
    Case("the manifest beside it changed", "CORRUPT", damage(flipped, ".manifest.json"), archived=True),
    Case("the ledger says another identity", "CORRUPT", other_identity, archived=True),
    Case("another run under its name", "CORRUPT", renamed, archived=True),
    Case("code changed, outputs the same", "REPRODUCED", code("no luck", "bad luck")),
    Case("code changed", "DIVERGED", code("state >> 7", "state >> 9"), cycle=1, says="code toy.py "),
    Case("made observational later", "DIVERGED", hidden, bad=("model.bin",), archived=True),
    Case(
        "made volatile later", "DIVERGED", settings("[trainer]\n", f"[trainer]\n{VOLATILE}"),
        before=wrong(clock=True), bad=("metrics.json",), archived=True,
    ),
    Case(
        "volatile from the start", "REPRODUCED", before=wrong(clock=True), archived=True,
        settings=VOLATILE, says="except declared: metrics.json at",
    ),
    Case(
        "volatile, and another field", "DIVERGED", wrong(clock=True, more=0, write={"metrics.json": '{"loss": 1, "at": 2}'}),
        before=wrong(clock=True), settings=VOLATILE, bad=("metrics.json",),
    ),
    Case("a link as an output", "UNKNOWN", script='echo > "$EXPTUI_OUTPUT/m"; [ -e again ] && ln -sf m "$EXPTUI_OUTPUT/l"; echo >> again',
         before=void, says="it is a symbolic link"),
    Case("no output at all", "UNKNOWN", script="true", says="nothing but config.toml"),
    Case("only an empty output", "UNKNOWN", script='touch "$EXPTUI_OUTPUT/model"', says="nothing but config.toml"),
    Case(
        "results from a cache in its home", "DIVERGED", bad=("model",),
        script='c="$HOME/cached"; [ -e "$c" ] || date +%N > "$c"; cp "$c" "$EXPTUI_OUTPUT/model"',
    ),
    Case(
        "results from the original's directory", "DIVERGED", bad=("model",),
        script='o=$(ls -d experiments/results/*/model 2>/dev/null | head -1); cp "$o" "$EXPTUI_OUTPUT" || date +%N > "$EXPTUI_OUTPUT/model"',
    ),
    Case(
        "results from the archive", "DIVERGED", bad=("model",), archived=True,
        script='tar xzOf experiments/archive/*.tar.gz --wildcards "*/model" > "$EXPTUI_OUTPUT/model" || date +%N > "$EXPTUI_OUTPUT/model"',
    ),
    Case(
        "results copied with their age", "UNKNOWN", says="made nothing",
        script='[ -e cached ] || date +%N > cached; cp -p cached "$EXPTUI_OUTPUT/model"',
    ),
    Case(
        "results linked", "UNKNOWN", says="made nothing",
        script='[ -e cached ] || date +%N > cached; ln cached "$EXPTUI_OUTPUT/model"',
    ),
    Case("segments", "REPRODUCED", words=("--segments", "4"), says="4 of 4 segments"),
    Case("some segments", "REPRODUCED", words=("--segments", "4", "--sample", "2"), says="probability of 50%"),
    Case("a resume that forgets", "DIVERGED", wrong(forgets=True), words=("--segments", "4"), cycle=2),
    Case("a resume that forgets, straight", "REPRODUCED", wrong(forgets=True)),
    Case("segments of one that cannot resume", "UNKNOWN", words=("--segments", "4"), trainer={"resume": []}, says="resumed"),
    Case("segments without checkpoints", "UNKNOWN", words=("--segments", "4"), script='echo 1 > "$EXPTUI_OUTPUT/m"', trainer={"resume": ["{checkpoint}{epoch}"], "checkpoints": "c{epoch}"}, says="two checkpoints"),
    Case("segments, not deterministic", "DIVERGED", wrong(random_at=6), words=("--segments", "4"), cycle=6, cause="nondeterministic"),
    Case("segments, the second half", "DIVERGED", wrong(bad_at=5), words=("--segments", "2"), cycle=5, cause="stable", says="segment 1 differs"),
    Case("segments, the final file", "DIVERGED", wrong(write={"model.bin": "other"}), words=("--segments", "2"), bad=("model.bin",), cause="stable", says="segment 1 differs"),
    *[
        Case(f"foreign: {name}", verdict, after, before, tuple(words), archived, says, bad=bad, script="foreign", settings=declared)
        for name, verdict, declared, before, after, words, archived, says, bad in FOREIGN
    ],
    Case("a segment fails", "FAILED", wrong(crash_at=5), words=("--segments", "4"), says="segment 2 failed"),
]
# fmt: on


def made(case: Case, parent: Path) -> Workspace:
    """The workspace of a case."""
    if case.script == "foreign":
        (parent / "foreign.py").write_bytes((TOY.parent / "foreign.py").read_bytes())
        space = workspace(parent, "", command=[sys.executable, "foreign.py", "{output}"])
        path = space.root / "exptui.toml"
        path.write_text(path.read_text() + case.settings)
        return space
    if case.script == "shebang":
        program = parent / "train"
        program.write_text('#!/bin/sh\necho 1 > "$EXPTUI_OUTPUT/model"\n')
        program.chmod(0o755)
        return workspace(parent, "", command=["./train"])
    space = workspace(parent, case.script, **case.trainer) if case.script else toy(parent, **case.trainer)
    path = space.root / "exptui.toml"
    path.write_text(path.read_text() + case.settings)
    return space


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_verdict(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = made(case, tmp_path)
    case.before(space)
    run_id = finished(space)
    if case.archived:
        space.archive(run_id)
    case.after(space)
    capsys.readouterr()
    exit_code = cli.main(["--workspace", str(space.root), "verify", run_id, "--json", *case.words])
    (report,) = msgspec.json.decode(capsys.readouterr().out, type=list[AuditReport])
    text = "\n".join(audit_lines(report))
    assert (str(report.verdict), exit_code) == (case.verdict, CODES[case.verdict]), text
    assert case.says in text
    assert report.first_mismatch_cycle == case.cycle, text
    if case.bad:
        assert tuple(file.path for file in report.diverged_files) == case.bad, text
    assert report.cause.startswith(case.cause)
    if report.verdict == "REPRODUCED" and not report.segments and "declared" not in text:
        assert report.run_a_hash == report.run_b_hash != ""


def audit_lines(report: AuditReport) -> list[str]:
    from exptui.core.audit.report import lines

    return lines(report)


def test_there_are_enough_cases() -> None:
    assert len({case.name for case in CASES}) >= 40
