"""`ls` says what the files say, whether they are read for it or the index knows them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from exptui import cli
from exptui.cli.arguments import parser
from exptui.core.files import pretty_json
from exptui.core.monitor import places
from exptui.core.monitor.catalog_index import Index
from exptui.core.monitor.run_rows import Memory, read_run
from exptui.core.runs.run import Exit, Phase, Recipe, RunRecord
from exptui.core.workspace import Workspace
from support import until, workspace

RECIPE = Recipe(
    trainer="default", command=("true",), argv=("true",), cwd="/", resume=(), checkpoints="", code=(), passed=(),
    set={}, secret=(), preset="", threads=1, stop_grace=1.0, observational=(), slots=1,
)  # fmt: skip
NAMES = ("cut", "external", "failed", "finished", "listed", "lost", "old", "out", "ünder")


def make(space: Workspace, name: str, config: str = "lr = 0.1\n", **changes: Any) -> Path:
    path = space.results / name
    path.mkdir(parents=True)
    known: dict[str, Any] = {
        "run_id": name, "config_name": f"{name}.toml", "config_sha256": "0" * 64, "settings_digest": "0" * 64,
        "user": "u", "host": "here", "queued_at": "2026-01-01T00:00:00Z", "recipe": RECIPE, "phase": Phase.EXITED,
        "exit": Exit(code=0),
    }  # fmt: skip
    (path / "config.toml").write_text(config)
    (path / "metrics.json").write_text('{"accuracy": 0.5}')
    (path / "run.json").write_bytes(pretty_json(RunRecord(**{**known, **changes})))
    return path


def filled(parent: Path) -> Workspace:
    space = workspace(parent)
    make(space, "finished")
    make(space, "failed", exit=Exit(signal=9))
    make(space, "lost", phase=Phase.RUNNING, host=os.uname().nodename)
    make(space, "listed", "layers = [1, 2]\nday = 2026-01-01\nlr = nan\n")
    make(space, "ünder", user="ü")
    make(space, "out", f"huge = {10**30}\n")
    (make(space, "external") / "run.json").unlink()
    cut = make(space, "cut") / "run.json"
    cut.write_bytes(cut.read_bytes()[:-9])
    old = make(space, "old") / "run.json"
    record = json.loads(old.read_bytes())
    del record["recipe"]["volatile"], record["adopted"]
    old.write_text(json.dumps({**record, "of_tomorrow": 1}))
    return space


def said(space: Workspace, capfd: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(["--workspace", str(space.root), "ls", *words]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out


def from_files(space: Workspace) -> list[Any]:
    from exptui.cli.lists import _json, facts_of

    rows = [read_run(view, Memory()) for view in space.list_runs()]
    noted = {"tags": [], "note": ""}
    told = [{**facts_of(row.view), "config": row.flat, "metrics": row.final, **noted} for row in rows]
    found: list[Any] = json.loads(_json(told))
    return found


def kept(space: Workspace) -> int:
    index = Index(places.cache(space.root) / "runs.sqlite3")
    try:
        return index.count()
    finally:
        index.close()


def test_json_is_what_the_files_say_with_and_without_an_index(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    space = filled(tmp_path)
    expected = from_files(space)
    assert sorted(one["run_id"] for one in expected) == sorted(NAMES)
    settled = len(NAMES) - 1  # all but the one that may still move
    until(lambda: json.loads(said(space, capfd, "--json")) == expected and kept(space) == settled)
    assert json.loads(said(space, capfd, "--json")) == expected
    assert said(space, capfd).count("\n") == len(NAMES)


def test_a_file_changed_in_place_is_seen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    space = filled(tmp_path)
    until(lambda: said(space, capfd) != "" and kept(space) == len(NAMES) - 1)
    (space.results / "finished/metrics.json").write_text('{"accuracy": 0.75}')
    assert json.loads(said(space, capfd, "--json", "--filter", "accuracy>0.7"))[0]["run_id"] == "finished"
    (space.results / "old/config.toml").write_text("lr = 7\n")
    assert json.loads(said(space, capfd, "--json")) == from_files(space)


def test_the_end_of_a_run_is_told_from_the_index_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    space = filled(tmp_path)
    first = said(space, capfd)
    assert "failed    FAILED  signal 9" in first
    assert "run.json" in first  # what is wrong with it
    until(lambda: said(space, capfd) == first and kept(space) == len(NAMES) - 1)
    assert said(space, capfd) == first


def test_an_index_that_cannot_be_used_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    space = filled(tmp_path)
    cache = places.cache(space.root)
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    assert cli.main(["--workspace", str(space.root), "ls", "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == from_files(space)
    assert "the index of runs is not kept" in err


@pytest.mark.parametrize("words", [["ls"], ["ls", "--json"]])
def test_what_is_answered_before_there_is_a_parser_is_what_it_says(words: list[str]) -> None:
    parsed = vars(parser().parse_args(words))
    assert vars(cli.plain_ls(json=len(words) == 2)) == {k: v for k, v in parsed.items() if k != "command"}


def test_nothing_there_is_an_empty_list(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert said(workspace(tmp_path), capfd, "--json") == "[]\n"


@pytest.mark.parametrize("words", [["--sort", "-accuracy"], ["--sort=-accuracy"]])
def test_a_minus_before_the_key_puts_the_largest_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    space = workspace(tmp_path)
    for name, accuracy in (("low", 0.25), ("high", 0.75), ("none", None), ("middle", 0.5)):
        make(space, name)
        (space.results / f"{name}/metrics.json").write_text(json.dumps({"accuracy": accuracy, "loss": 1.0}))
    rows = json.loads(said(space, capfd, *words, "--filter", "loss<2", "--json"))
    assert [row["run_id"] for row in rows] == ["high", "middle", "low", "none"]
    turned = json.loads(said(space, capfd, *words, "--reverse", "--json"))
    assert [row["run_id"] for row in turned] == ["low", "middle", "high", "none"]


def test_an_option_is_not_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["ls", "--sort", "--json"])
    assert "--sort: expected one argument" in capsys.readouterr().err
