"""What may go: by the rules, and never what is protected."""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui import cli
from exptui.core.archive import attested
from exptui.core.directions import BY_NAME
from exptui.core.errors import CorruptError, UsageError
from exptui.core.files import pretty_json, sha256_bytes
from exptui.core.house.prune import Ended, Rules, best
from exptui.core.runs import trash
from exptui.core.runs.run import Exit, Phase, Recipe, RunRecord, RunState
from exptui.core.workspace import Workspace
from support import workspace

CHECKPOINTS = "ck/step_{epoch}.pt"
RECIPE = Recipe(
    trainer="default", command=("true",), argv=("true",), cwd="/", resume=(), checkpoints=CHECKPOINTS, code=(),
    passed=(), set={}, secret=(), preset="", threads=1, stop_grace=1.0, observational=(), slots=1,
    volatile={"ck/step_9.pt": ("at",)}, tensors=("ck/step_8.*",),
)  # fmt: skip
HERE = os.uname().nodename
DAY = 86_400
STATES: dict[RunState, dict[str, Any]] = {
    RunState.FINISHED: {"phase": Phase.EXITED, "exit": Exit(code=0)},
    RunState.FAILED: {"phase": Phase.EXITED, "exit": Exit(code=1)},
    RunState.STOPPED: {"phase": Phase.EXITED, "exit": Exit(signal=15, stop_requested=True)},
    RunState.LOST: {"phase": Phase.RUNNING},
    RunState.REMOTE: {"phase": Phase.RUNNING, "host": "another"},
    RunState.EXTERNAL: {},
}
Number = st.one_of(st.none(), st.sampled_from([0.1, 0.5, 0.9, math.nan, math.inf]))


class Drawn:
    """A run, as it was drawn."""

    def __init__(self, number: int, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.stem = draw(st.sampled_from(["a", "b"]))
        self.run_id = f"{self.stem}_2026010{number + 1}T000000Z"
        self.state: RunState = draw(st.sampled_from(list(STATES)))
        self.days: int = draw(st.sampled_from([0, 2, 40]))
        self.accuracy, self.loss = draw(Number), draw(Number)
        self.archived: bool = draw(st.booleans())
        self.changed: bool = draw(st.booleans())
        self.tagged: bool = draw(st.booleans())
        self.link: bool = draw(st.integers(0, 9)) == 0

    def make(self, space: Workspace) -> None:
        """Write its files; the archive of it is one of what it was before it changed."""
        path = (space.root.parent if self.link else space.results) / self.run_id
        (path / "ck").mkdir(parents=True)
        if self.link:
            space.results.mkdir(exist_ok=True)
            (space.results / self.run_id).symlink_to(path)
        (path / "config.toml").write_text("lr = 0.1\n")
        (path / "trainer.log").write_text("x\n")
        (path / "ck/step_1.pt").write_bytes(b"1" * 5000)
        values = {"accuracy": self.accuracy, "loss": self.loss}
        known = {k: v for k, v in values.items() if v is not None and math.isfinite(v)}
        (path / "metrics.json").write_text(json.dumps(known))
        then = time.time() - self.days * DAY - 60
        if self.state is not RunState.EXTERNAL:
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))
            facts: dict[str, Any] = {
                "run_id": self.run_id, "config_name": f"{self.stem}.toml", "settings_digest": "0" * 64, "user": "u",
                "config_sha256": sha256_bytes(b"lr = 0.1\n"), "host": HERE, "queued_at": at, "ended_at": at, "recipe": RECIPE,
                **STATES[self.state],
            }  # fmt: skip
            (path / "run.json").write_bytes(pretty_json(RunRecord(**facts)))
        if self.archived and not self.link and self.state is not RunState.REMOTE:
            space.archive(self.run_id, keep=True, incomplete=True)
            if self.changed:
                (path / "more.txt").write_text("written since")
        for inner in (*path.rglob("*"), path, space.results / self.run_id):
            os.utime(inner, (then, then), follow_symlinks=False)

    @property
    def whole_in_archive(self) -> bool:
        """Whether the archive has all of it."""
        return self.archived and not self.link and not self.changed


def stamps(space: Workspace) -> dict[Path, tuple[int, int]]:
    """What tells whether anything was changed."""
    return {path: (path.lstat().st_ctime_ns, path.lstat().st_ino) for path in space.root.rglob("*")}


def _values(runs: list[Drawn], metric: str) -> list[float]:
    sign = 1 if metric == "accuracy" else -1
    found = (getattr(one, metric) for one in runs)
    return sorted(
        (sign * value for value in found if value is not None and math.isfinite(value)), reverse=True
    )


def among_the_best(one: Drawn, runs: list[Drawn], keep: int) -> bool:
    """The model: by counting, for each metric and group, how many are better."""
    resting = [other for other in runs if other.state is not RunState.REMOTE]
    sound = [o for o in resting if o.stem == one.stem and o.state not in (RunState.FAILED, RunState.LOST)]
    for group, metric in itertools.product((resting, sound), ("accuracy", "loss")):
        value = getattr(one, metric)
        if one in group and value is not None and math.isfinite(value):
            mine = value if metric == "accuracy" else -value
            if sum(other > mine for other in _values(group, metric)) < keep:
                return True
    return False


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_planned_is_what_the_rules_say_and_never_protected(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    space = workspace(tmp_path_factory.mktemp("w"), checkpoints=CHECKPOINTS)
    runs = [Drawn(number, data.draw) for number in range(data.draw(st.integers(1, 6)))]
    for one in runs:
        one.make(space)
        if one.tagged:
            space.tag([one.run_id], "keep")
    if data.draw(st.booleans()):
        space.pin(runs[0].run_id)
    rules = Rules(
        state=data.draw(st.sampled_from(["", "failed", "FINISHED", "external"])),
        older_than=data.draw(st.sampled_from([0.0, 1.5 * DAY, 30 * DAY])),
        filter=data.draw(st.sampled_from(["", "accuracy>0.4", "tag:keep"])),
        keep_best=data.draw(st.sampled_from([None, 1, 2])),
        checkpoints_only=data.draw(st.booleans()),
    )

    def asked(one: Drawn) -> bool:
        good = one.accuracy is not None and math.isfinite(one.accuracy) and one.accuracy > 0.4
        return (
            rules.state.upper() in ("", one.state)
            and (rules.older_than or 0) <= one.days * DAY + 60
            and {"": True, "accuracy>0.4": good, "tag:keep": one.tagged}[rules.filter]
        )

    def protected(one: Drawn) -> bool:
        return (
            one.state is RunState.REMOTE
            or one.tagged
            or one.link
            or space.notes.baseline == one.run_id
            or (one.state is RunState.EXTERNAL and one.days < 1)
            or (among_the_best(one, runs, rules.keep_best or 1) and not one.whole_in_archive)
        )

    before = stamps(space)
    plan = space.prunable(rules)
    assert stamps(space) == before
    assert {one.run_id for one in plan.going} == {
        one.run_id for one in runs if asked(one) and not protected(one)
    }
    assert {one.run_id for one in plan.stays} == {one.run_id for one in runs if asked(one) and protected(one)}
    went = list(space.prune(plan))
    assert [one.why for one in went] == [""] * len(plan.going)
    left = {path.name for path in space.run_directories()}
    gone = set() if rules.checkpoints_only else {one.run_id for one in plan.going}
    assert left == {one.run_id for one in runs} - gone
    assert {one.run_id for one in space.trashed()} == gone
    for going in plan.going if rules.checkpoints_only else ():
        assert [one.path for one in attested.read(space.results / going.run_id)] == ["ck/step_1.pt"]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(list(RunState)), st.dictionaries(st.sampled_from(["loss", "accuracy", "epochs"]), st.floats())), max_size=9), st.integers(1, 3))  # fmt: skip
def test_the_best_are_those_with_fewer_than_so_many_better_ones(
    drawn: list[tuple[str, RunState, dict[str, float]]], keep: int
) -> None:
    runs = [Ended(str(at), stem, state, final) for at, (stem, state, final) in enumerate(drawn)]

    def is_best(one: Ended) -> bool:
        broke = (RunState.FAILED, RunState.LOST)
        sound = [o for o in runs if o.stem == one.stem and o.state not in broke]
        for name, sign in (("loss", -1), ("accuracy", 1)):
            for group in (runs, sound):
                value = one.final.get(name, math.nan)
                better = sum(sign * o.final.get(name, math.nan) > sign * value for o in group)
                if one in group and value == value and better < keep:
                    return True
        return False

    assert set(best(runs, BY_NAME, keep)) == {one.run_id for one in runs if is_best(one)}


def aged(space: Workspace, state: RunState, number: int = 0) -> str:
    one = Drawn(number, lambda _: False)
    one.stem, one.state, one.days, one.accuracy, one.loss = "a", state, 40, None, None
    one.run_id = f"a_2026010{number + 1}T000000Z"
    one.link = False
    one.make(space)
    return one.run_id


def test_rules_that_choose_nothing_are_refused() -> None:
    for wrong in ({}, {"state": "finnished"}, {"keep_best": 0}, {"checkpoints_only": True}):
        with pytest.raises(UsageError):
            Rules(**wrong)


def test_unreadable_notes_protect_everything(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    aged(space, RunState.FAILED)
    (space.root / "notes.json").write_text("{")
    with pytest.raises(CorruptError):
        space.prunable(Rules(state="failed"))


def test_what_is_protected_between_plan_and_deed_stays(tmp_path: Path) -> None:
    space = workspace(tmp_path, checkpoints=CHECKPOINTS)
    tagged, taken, changed, gone = (aged(space, RunState.FAILED, number) for number in range(4))
    plan = space.prunable(Rules(state="failed"))
    assert len(plan.going) == 4
    space.tag([tagged], "keep")
    space.remove(taken)
    record = json.loads((space.results / changed / "run.json").read_bytes())
    record["exit"]["code"] = 0
    (space.results / changed / "run.json").write_text(json.dumps(record))
    whys = {one.run_id: one.why for one in space.prune(plan)}
    assert whys == {
        tagged: "it is tagged keep",
        taken: "it is not there any more",
        changed: "it is FINISHED now",
        gone: "",
    }


def test_a_file_with_another_name_elsewhere_gives_nothing_back(tmp_path: Path) -> None:
    space = workspace(tmp_path, checkpoints=CHECKPOINTS)
    run_id = aged(space, RunState.FAILED)
    rules = Rules(state="failed", checkpoints_only=True)
    assert space.prunable(rules).bytes > 0
    os.link(space.results / run_id / "ck/step_1.pt", tmp_path / "elsewhere")
    (going,) = space.prunable(rules).going
    assert (going.bytes, going.checkpoints) == (0, ("ck/step_1.pt",))


def test_checkpoints_that_are_compared_by_what_is_in_them_stay(tmp_path: Path) -> None:
    space = workspace(tmp_path, checkpoints=CHECKPOINTS)
    run_id = aged(space, RunState.FAILED)
    for number in (8, 9):
        (space.results / run_id / f"ck/step_{number}.pt").write_text('{"at": 1}')
    (going,) = space.prunable(Rules(state="failed", checkpoints_only=True)).going
    assert going.checkpoints == ("ck/step_1.pt",)


def test_the_command_is_dry_unless_yes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = workspace(tmp_path, checkpoints=CHECKPOINTS)
    run_id, tagged = aged(space, RunState.FAILED), aged(space, RunState.FAILED, 1)
    space.tag([tagged], "keep")
    words = ["--workspace", str(space.root), "prune", "--state", "failed", "--older-than", "30d"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert f"{run_id}  FAILED  5 files" in out
    assert f"stays  {tagged}: it is tagged keep" in out
    assert out.endswith("nothing was changed: --yes does it\n")
    assert cli.main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["dry"], [one["run_id"] for one in told["plan"]["going"]]) == (True, [run_id])
    assert {path.name for path in space.run_directories()} == {run_id, tagged}
    assert cli.main([*words, "--yes"]) == 0
    assert "1 in the trash" in capsys.readouterr().out
    assert [path.name for path in space.run_directories()] == [tagged]
    assert [one.run_id for one in trash.listed(space.results)] == [run_id]
    with pytest.raises(SystemExit):
        cli.main([*words[:3], "--older-than", "30"])
