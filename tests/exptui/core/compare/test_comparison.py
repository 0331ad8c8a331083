"""Only what differs is shown, missing is not null, and an unclean A/B is called one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from exptui.core.compare.deltas import MISSING, differences, metric_deltas, same
from exptui.core.compare.report import markdown
from exptui.core.monitor import metrics
from exptui.core.workspace import Workspace
from support import workspace


def test_equality_knows_types_and_nan() -> None:
    assert same(math.nan, math.nan)
    assert same([1, math.nan], [1, math.nan])
    assert not same(1, 1.0)
    assert not same(1, True)
    assert not same(None, MISSING)


def test_differences_keep_the_order_and_name_what_is_missing() -> None:
    found = differences({"b": 1, "a": 2, "same": 3}, {"a": 4, "same": 3, "new": None})
    assert [(d.key, d.baseline, d.candidate) for d in found] == [
        ("b", 1, MISSING),
        ("a", 2, 4),
        ("new", MISSING, None),
    ]


def test_metrics_know_their_direction() -> None:
    rows = {
        m.name: m
        for m in metric_deltas(
            {"loss": 0.5, "accuracy": 0.8, "x": 1.0}, {"loss": 0.4, "accuracy": 0.7, "y": 1.0}
        )
    }
    assert (rows["loss"].better, rows["accuracy"].better) == (True, False)
    assert rows["loss"].percent == pytest.approx(-20)
    assert (rows["x"].delta, rows["y"].delta, rows["x"].better) == (None, None, None)


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
    for name in ("a", "b"):
        list(space.wait(space.run(name).name))
    comparison = space.compare("a", "b")
    assert [(d.key, d.baseline, d.candidate) for d in comparison.config] == [("engine.base_seed", 7, 5)]
    assert comparison.unclean == []
    assert [(m.name, m.delta, m.better) for m in comparison.metrics] == [("loss", -2.0, True)]
    text = space.write_comparison(comparison).read_text()
    assert text == markdown(comparison)
    assert "| engine.base\\_seed | 7 | 5 |" in text


def test_a_changed_program_is_not_a_clean_comparison(tmp_path: Path) -> None:
    space = workspace(tmp_path, code=["train.py"])
    for source in ("one", "two"):
        (tmp_path / "train.py").write_text(source)
        list(space.wait(space.run("a").name))
    first, second = (view.run_id for view in space.list_runs())
    comparison = space.compare(first, second)
    assert comparison.unclean == ["code differs"]
    assert "fingerprint" not in json.dumps([d.key for d in comparison.config])


def test_another_command_is_not_a_clean_comparison(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    list(space.wait(space.run("a").name))
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text().replace("echo trained", "echo otherwise"))
    list(space.wait(Workspace(space.root).run("a").name))
    first, second = (view.run_id for view in space.list_runs())
    assert space.compare(first, second).unclean == ["recipe differs"]
