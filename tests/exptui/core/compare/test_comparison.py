"""Only what differs is shown, missing is not null, seeds are a group, and an unclean A/B is called one."""

from __future__ import annotations

import csv
import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core.compare.comparison import Comparison, compare, letter
from exptui.core.compare.deltas import MISSING, UNKNOWN, Varying, differences, same, token, varying
from exptui.core.compare.export import as_csv, as_json
from exptui.core.compare.report import markdown
from exptui.core.compare.sides import Side, metrics_of_card
from exptui.core.compare.words import called, exact_text, letters, spread, told
from exptui.core.curves.series import Series
from exptui.core.directions import Directions
from exptui.core.errors import UsageError
from exptui.core.monitor import metrics
from exptui.core.monitor.metrics import Metrics
from exptui.core.workspace import Workspace
from support import finished, workspace

SEED = "engine.base_seed"
leaves = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(width=16) | st.sampled_from(["", "1", "nan"])
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
)
configs = st.dictionaries(st.sampled_from(["a", "b.c", "b.d", SEED]), values)


def side(
    name: str,
    config: dict[str, Any] | None,
    final: dict[str, float] | None = None,
    series: dict[str, list[float]] | None = None,
    **more: Any,
) -> Side:
    """A run with these numbers; `series` from step 1."""
    found = {key: Series.of(enumerate(points, 1)) for key, points in (series or {}).items()}
    ends = {key: points[-1] for key, points in (series or {}).items()}
    around = more.pop("circumstances", {"code.train.py": "0" * 64})
    return Side(name, SEED, config, around, Metrics({**ends, **(final or {})}, series=found), **more)


def compared(*sides: Side, at: float | None = None, **directions: Any) -> Comparison:
    return compare(sides, Directions(**directions), at)


def seeds(name: str, numbers: list[float], **config: Any) -> list[Side]:
    return [
        side(f"{name}{n}", {**config, SEED: n}, {"accuracy": value}) for n, value in enumerate(numbers, 1)
    ]


# Values


def test_equality_knows_types_and_nan() -> None:
    assert same(math.nan, math.nan)
    assert same([1, {"a": math.nan}], [1, {"a": math.nan}])
    assert len({token(value) for value in (1, 1.0, True, "1", None, MISSING, UNKNOWN, [1], {"a": 1})}) == 9
    assert not same([1, {"a": 1}], [1, {"a": 1.0}])


@given(values, values)
def test_tokens_are_equal_where_the_values_are_written_the_same(one: object, other: object) -> None:
    def written(value: object) -> str:
        return json.dumps(value, sort_keys=True).replace("-0.0", "0.0")

    assert same(one, other) == (written(one) == written(other))


@given(st.lists(configs, min_size=1, max_size=4))
def test_a_key_is_there_where_the_sides_do_not_agree(sides: list[dict[str, Any]]) -> None:
    found = {row.key: row.values for row in varying(sides)}
    for key in {key for one in sides for key in one}:
        of = tuple(one.get(key, MISSING) for one in sides)
        assert (key in found) == any(not same(of[0], value) for value in of)
        assert key not in found or all(map(same, found[key], of))
    assert varying([*sides, sides[0]]) == [Varying(k, (*v, v[0])) for k, v in found.items()] or any(
        value != value for v in found.values() for value in v
    )


def test_differences_keep_the_order_and_name_what_is_missing() -> None:
    found = differences({"b": 1, "a": 2, "same": 3}, {"a": 4, "same": 3, "new": None})
    assert [(d.key, d.baseline, d.candidate) for d in found] == [
        ("b", 1, MISSING),
        ("a", 2, 4),
        ("new", MISSING, None),
    ]


def test_an_unknown_side_is_neither_missing_nor_a_difference() -> None:
    assert varying([{"a": 1}, None, {"a": 1}]) == []
    assert varying([{"a": 1}, None, {}]) == [Varying("a", (1, UNKNOWN, MISSING))]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ReLU", "ReLU"),
        ("1", '"1"'),
        ("true", '"true"'),
        ("", '""'),
        ("–", '"–"'),
        ("null", '"null"'),
        (None, "null"),
        (MISSING, "–"),
        (1, "1"),
        (1.0, "1.0"),
        (True, "true"),
        (math.nan, "nan"),
        (date(2025, 1, 2), "2025-01-02"),
        ({"a": [1]}, "{a = [1]}"),
        (["a", 1], '["a", 1]'),
        ([None], "[null]"),
        ("0" * 64, "000000000000"),
    ],
)
def test_no_two_values_are_written_the_same(value: object, text: str) -> None:
    assert exact_text(value) == text


def test_letters_go_on_behind_z() -> None:
    assert [letter(at) for at in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]
    assert letters([0, 2, 3, 4, 6, 7]) == "A C–E G H"


# Directions


def test_directions_come_from_names_and_from_the_settings(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text() + '[metrics]\nlower = ["fid", "acc*"]\nhigher = ["*_loss"]\n')
    chosen = space.settings.metrics
    assert [chosen.of(name) for name in ("fid", "val/fid", "validate_fid", "xfid")] == [-1, -1, -1, 0]
    assert [chosen.of(name) for name in ("accuracy", "train_loss", "loss", "f1")] == [-1, 1, -1, 1]
    assert [Directions().of(name) for name in ("accuracy", "train_loss", "steps")] == [1, -1, 0]


def test_better_is_what_the_direction_says() -> None:
    one, other = (
        side("a", {}, {"loss": 0.5, "accuracy": 0.8, "x": 1.0}),
        side("b", {}, {"loss": 0.4, "accuracy": 0.7, "x": 2.0, "y": 1.0}),
    )
    found = as_json(compared(one, other))
    assert {m["name"]: m["groups"][1].get("verdict") for m in found["metrics"]} == {
        "loss": "better",
        "accuracy": "worse",
        "x": None,
        "y": None,
    }
    assert found["metrics"][0]["groups"][1]["percent"] == pytest.approx(-20)
    turned = as_json(compared(one, other, higher=("loss", "x")))
    assert [m["groups"][1].get("verdict") for m in turned["metrics"]] == ["worse", "worse", "better", None]


# Metrics


def test_final_best_and_the_last_common_step() -> None:
    one = side("a", {}, series={"loss": [3.0, 1.0, 2.0, 2.5]})
    other = side("b", {}, series={"loss": [3.0, 2.0, math.nan]})
    rows = {row.measure: row.values for row in compared(one, other).metrics}
    assert list(rows) == ["final", "best", "step 3"]
    assert rows["best"] == (1.0, 2.0)
    assert rows["step 3"][0] == 2.0
    assert math.isnan(rows["final"][1] or 0)
    assert compared(one, other, at=2).metrics[-1].values == (1.0, 2.0)


def test_metrics_that_are_the_same_everywhere_are_only_named() -> None:
    found = compared(
        side("a", {}, {"loss": math.nan, "x": 1.0, "same": 2.0}),
        side("b", {}, {"loss": math.nan, "x": 2.0, "same": 2.0}),
    )
    assert [row.name for row in found.metrics] == ["x"]
    assert found.equal == ("loss", "same")


def test_metrics_with_the_very_same_values_are_one_row() -> None:
    found = compared(
        *(side(n, {}, {"accuracy": v, "val/accuracy": v, "f1": v / 2}) for n, v in (("a", 1.0), ("b", 2.0)))
    )
    assert [row.name for row in told(found)] == ["accuracy = val/accuracy", "f1"]
    assert [m["name"] for m in as_json(found)["metrics"]] == ["accuracy", "val/accuracy", "f1"]


# Groups


def test_runs_that_differ_only_in_the_seed_are_a_group() -> None:
    found = compared(*seeds("a", [0.1, 0.2, 0.3], layers=5), *seeds("b", [0.4, 0.5, 0.6], layers=8))
    assert [group.runs for group in found.groups] == [(0, 1, 2), (3, 4, 5)]
    assert [called(group, found) for group in found.groups] == ["layers=5", "layers=8"]
    (row,) = found.metrics
    assert [(e.n, round(e.mean, 6)) for e in row.estimates if e] == [(3, 0.2), (3, 0.5)]
    assert row.contrasts[0] is None
    assert row.contrasts[1] is not None
    assert row.contrasts[1].p is None
    assert any("no p can be below 0.1" in note for note in found.notes)
    assert any("narrower than they should be" in note for note in found.notes)
    assert spread(found.config[1], found.groups) == [("1, 2, 3", [0, 1])]
    assert "unclear" in markdown(
        compared(*seeds("a", [0.1, 0.5, 0.3], n=1), *seeds("b", [0.2, 0.4, 0.31], n=2))
    )


def test_other_code_parts_a_group_and_another_machine_does_not() -> None:
    config = [{SEED: n} for n in (1, 2, 3)]
    code = [side(str(n), one, circumstances={"code.a": str(n == 2)}) for n, one in enumerate(config)]
    assert [group.runs for group in compared(*code).groups] == [(0, 1), (2,)]
    kernel = [
        side(str(n), one, circumstances={"code.a": "0", "kernel": str(n)}) for n, one in enumerate(config)
    ]
    found = compared(*kernel)
    assert [group.runs for group in found.groups] == [(0, 1, 2)]
    assert found.unclean == ("kernel differs",)


def test_another_commit_with_the_same_code_is_clean() -> None:
    hashed = [side(str(n), {SEED: n}, circumstances={"code.a": "0", "git.commit": str(n)}) for n in (1, 2, 3)]
    found = compared(*hashed)
    assert (len(found.groups), found.unclean, [row.key for row in found.fingerprint]) == (
        1,
        (),
        ["git.commit"],
    )
    bare = [side(str(n), {SEED: n}, circumstances={"git.commit": str(n)}) for n in (1, 2, 3)]
    assert (len(compared(*bare).groups), compared(*bare).unclean) == (3, ("git differs",))


def test_two_seeds_are_compared_with_each_other_and_three_are_one_group() -> None:
    assert [group.runs for group in compared(*seeds("a", [0.1, 0.2])).groups] == [(0,), (1,)]
    found = compared(*seeds("a", [0.1, 0.2, 0.3]))
    assert [group.runs for group in found.groups] == [(0, 1, 2)]
    assert "[0.1, 0.3]" in markdown(found, plain=True)


def test_a_seed_that_ran_twice_counts_once() -> None:
    again = side("again", {"layers": 5, SEED: 1}, {"accuracy": 0.9})
    found = compared(*seeds("a", [0.1, 0.2], layers=5), again)
    assert [group.runs for group in found.groups] == [(0, 1), (2,)]
    assert any(note.startswith("again: repeats a seed") for note in found.notes)
    assert [group.runs for group in compared(again, again).groups] == [(0,), (1,)]


def test_a_run_of_a_group_that_lacks_a_metric_is_counted() -> None:
    *two, last = seeds("a", [0.1, 0.2, 0.3], layers=5)
    lacking = side(last.run_id, last.config)
    page = markdown(compared(*two, lacking, *seeds("b", [0.4, 0.5, 0.6], layers=8)), plain=True)
    assert "(2 of 3)" in page


def test_a_nan_in_a_group_is_not_left_out() -> None:
    found = compared(*seeds("a", [0.1, math.nan, 0.3], layers=5), *seeds("b", [0.4, 0.5, 0.6], layers=8))
    estimate = found.metrics[0].estimates[0]
    assert estimate is not None
    assert math.isnan(estimate.mean)
    assert estimate.low is None


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3)), min_size=2, max_size=8))
def test_every_run_is_in_one_group(runs: list[tuple[int, int]]) -> None:
    sides = [side(str(n), {"layers": layers, SEED: seed}) for n, (layers, seed) in enumerate(runs)]
    found = compared(*sides)
    assert sorted(run for group in found.groups for run in group.runs) == list(range(len(runs)))
    for group in found.groups:
        assert len({runs[run] for run in group.runs}) == len(group.runs)
        assert len({runs[run][0] for run in group.runs}) == 1
    assert len(found.groups) >= max(runs.count(run) for run in runs)


# What has to be said


def test_what_is_not_known_is_said() -> None:
    found = compared(
        side("a", {}),
        side("b", None, circumstances=None, problems=("no config",)),
        side("c", {}, doubts=("the code changed while it ran",)),
        side("d", {}, state="FAILED"),
    )
    assert found.unclean == (
        "b: code and environment unknown",
        "c: the code changed while it ran",
        "b: config unknown",
    )
    assert "d: not finished (FAILED)" in found.notes
    assert found.problems == ("b: no config",)
    page = markdown(found, plain=True)
    assert "The same where it is known." in page
    many = compared(*(side(str(n), {}, circumstances=None) for n in range(5)))
    assert many.unclean == ("5 runs: code and environment unknown",)
    assert "## Fingerprint\n\nUnknown." in markdown(many)


def test_twenty_runs_with_two_hundred_keys_show_only_what_differs() -> None:
    base: dict[str, Any] = {f"table.key{n}": n for n in range(200)}
    sides = [
        side(f"run{n}", {**base, "table.key7": n % 4, SEED: 1, "only": n} if n else base) for n in range(20)
    ]
    found = compared(*sides)
    assert [row.key for row in found.config] == ["table.key7", SEED, "only"]
    page = markdown(found, plain=True)
    assert "key8" not in page
    assert "| table.key7       | 7     | A" in page


def test_markdown_csv_and_json_hold_the_same(tmp_path: Path) -> None:
    found = compared(
        side("a", {"x": math.nan, "n": None, "s": "1"}, {"accuracy": 0.25}),
        side("b", {"x": 1.0, "s": 1, "p|q": "[x](y)"}, {"accuracy": math.inf}),
    )
    rows = list(csv.DictReader(as_csv(found).splitlines()))
    assert rows == [
        {"run": "a", "group": "A", "x": "nan", "n": "null", "s": '"1"', "p|q": "", "accuracy": "0.25"},
        {"run": "b", "group": "B", "x": "1.0", "n": "", "s": "1", "p|q": "[x](y)", "accuracy": "inf"},
    ]
    config = {row["key"]: row["values"] for row in as_json(found)["config"]}
    assert config == {
        "x": {"a": "nan", "b": 1.0},
        "n": {"a": None},
        "s": {"a": "1", "b": 1},
        "p|q": {"b": "[x](y)"},
    }
    page = markdown(found)
    assert r"| p\|q | –        | \[x\](y)  |" in page
    assert r'| s    | "1"      | 1         |' in page


# In a workspace


def test_a_broken_metrics_file_is_named_and_the_rest_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(
        b'{"epoch":1,"loss":2,"v":{"acc":0.5}}\n{"epo\n{"epoch":1,"loss":1}\n{"epoch":2,"loss":NaN}\n{"epoch":3,"lo'
    )
    (tmp_path / "metrics.json").write_bytes(b"[1]")
    found = metrics.read(tmp_path)
    assert list(found.series["v.acc"]) == [(1, 0.5)]
    assert found.series["loss"][0][1] == 1
    assert math.isnan(found.final["loss"])
    assert found.problems == (
        "metrics.jsonl line 2 is not a JSON object",
        "metrics.json is not a JSON object",
    )


def test_two_runs_that_differ_in_their_config_only(tmp_path: Path) -> None:
    script = 'grep -o "[0-9]*" "$EXPTUI_CONFIG" | sed "s/.*/{\\"loss\\": &}/" > "$EXPTUI_OUTPUT/metrics.json"'
    space = workspace(tmp_path, script)
    (space.configs / "b.toml").write_text("[engine]\nbase_seed = 5 # _less_\n")
    first, second = finished(space), finished(space, "b")
    comparison = space.compare(["a", "b"])
    assert comparison.config == (Varying("engine.base_seed", (7, 5)),)
    assert comparison.unclean == ()
    assert [group.runs for group in comparison.groups] == [(0,), (1,)]
    path = space.write_comparison(comparison)
    assert path.name == f"{first}_vs_{second}.md"
    assert path.read_text() == markdown(comparison)
    with pytest.raises(UsageError):
        space.compare(["a", "a"])


def test_many_runs_have_a_file_of_their_own(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    space.results.mkdir()
    names = {
        space.write_comparison(compared(*(side("r" * 100 + str(n), {}) for n in some))).name
        for some in ((1, 2, 3), (1, 2, "\udcff"))
    }
    assert len(names) == 2
    assert all(len(name) < 200 for name in names)


def test_an_archived_run_compares_from_its_card(tmp_path: Path) -> None:
    script = 'echo \'{"step": 1, "loss": 3}\n{"step": 2, "loss": 4}\' > "$EXPTUI_OUTPUT/metrics.jsonl"'
    space = workspace(tmp_path, script)
    (space.configs / "b.toml").write_text("[model]\nlayers = 5\n")
    first, second = finished(space), finished(space, "b")
    before = space.compare([first, second])
    space.archive(first)
    assert not (space.results / first).exists()
    assert space.compare([first, second]) == before
    (space.archives / f"{first}.manifest.json").write_text("{")
    (space.archives / f"{first}.card.json").write_text("{")
    found = space.compare([first, second])
    assert f"{first}: code and environment unknown" in found.unclean
    assert len(found.problems) == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
)


@given(json_values, json_values)
def test_a_card_of_any_shape_is_read(series: object, numbers: object) -> None:
    for one in ({"series": series, "metrics": numbers}, {"series": {"a": series}, "metrics": {"a": numbers}}):
        found = metrics_of_card(one)
        other = Side("b", SEED, {}, {})
        compared(Side("a", SEED, {}, {}, found), other)


def test_a_run_without_a_config_is_compared_all_the_same(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    finished(space)
    (space.results / "by_hand").mkdir()
    found = space.compare(["a", "by_hand"])
    assert "by_hand: config unknown" in found.unclean
    assert len(found.problems) == 1


def test_logs_differ_where_their_ends_do(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    first, second = finished(space), finished(space)
    for run_id, word in ((first, "one"), (second, "two\x1b[2J")):
        log = space.results / run_id / "trainer.log"
        log.write_text("".join(f"line {n}\n" for n in range(9)) + f"{word}\nend")
    assert space.compare_logs(first, second) == [
        f"--- {first}/trainer.log",
        f"+++ {second}/trainer.log",
        "@@ -8,4 +8,4 @@",
        " line 7",
        " line 8",
        "-one",
        "+two␛[2J",
        " end",
    ]
    (space.results / first / "trainer.log").write_text("x\n" * 5000)
    assert (
        space.compare_logs(first, first)
        == [f"of {first}/trainer.log only the last 2,000 lines were compared"] * 2
    )


def test_a_changed_program_is_not_a_clean_comparison(tmp_path: Path) -> None:
    space = workspace(tmp_path, code=["train.py"])
    for source in ("one", "two"):
        (tmp_path / "train.py").write_text(source)
        finished(space)
    found = space.compare([view.run_id for view in space.list_runs()])
    assert found.unclean == ("code differs",)
    assert found.config == ()
    assert [row.key for row in found.fingerprint] == ["code.train.py"]


def test_a_config_that_was_edited_in_the_run_is_said(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    first, second = finished(space), finished(space)
    (space.results / second / "config.toml").write_text("[engine]\nbase_seed = 8\n")
    found = space.compare([first, second])
    assert found.unclean == (f"{second}: config.toml was changed after the run was started with it",)


def test_another_command_is_not_a_clean_comparison(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    finished(space)
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text().replace("echo trained", "echo otherwise"))
    finished(Workspace(space.root))
    assert space.compare([view.run_id for view in space.list_runs()]).unclean == ("recipe differs",)
