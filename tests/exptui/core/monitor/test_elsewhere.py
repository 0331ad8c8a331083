"""Runs people already have: listed, compared and reported like any other; nothing of them is ever changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.cli import main
from exptui.core.contents import Contents
from exptui.core.errors import ConfigError, ExptuiError, RunError, UsageError
from exptui.core.house.prune import Rules
from exptui.core.monitor import roster as rosters
from exptui.core.monitor.catalog_index import Index
from exptui.core.monitor.once import all_runs
from exptui.core.monitor.roster import Roster
from exptui.core.runs.run import RunState, directory_of, id_of
from exptui.core.workspace import Workspace
from support import finished, workspace

ALSO = ["../lightning_logs/*", "../outputs/*/*"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def also(space: Workspace, patterns: list[str]) -> None:
    path = space.root / "exptui.toml"
    path.write_text(
        path.read_text().partition("\n[results]")[0] + f"\n[results]\nalso = {json.dumps(patterns)}\n"
    )


def people(tmp_path: Path, patterns: list[str] = ALSO) -> Workspace:
    """A workspace beside what Lightning, Hydra and a script of one's own left."""
    space = workspace(tmp_path)
    for number, rate in enumerate((0.1, 0.2)):
        write(tmp_path / f"lightning_logs/version_{number}/hparams.yaml", f"lr: {rate}\n")
        write(tmp_path / f"lightning_logs/version_{number}/metrics.csv", f"step,val_loss\n1,0.9\n2,{rate}\n")
    hydra = tmp_path / "outputs/2026-01-01/12-00-00"
    write(hydra / ".hydra/config.yaml", "model:\n  layers: 3\n")
    write(hydra / "progress.csv", "step,loss\n1,3\n")
    mine = tmp_path / "outputs/2026-01-02/mine"
    write(mine / "args.json", '{"lr": 0.3, "deep": {"er": [1, 2]}}')
    write(mine / "metrics.jsonl", '{"step": 1, "loss": 2.5}\n')
    also(space, patterns)
    return space


def listed(space: Workspace, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    return {row.run_id: row for row in all_runs(space, say)}


def tree(top: Path) -> list[tuple[str, int, bytes]]:
    return [
        (str(path), path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(top.rglob("*"))
    ]


def test_they_are_listed_with_what_they_say_of_themselves(tmp_path: Path) -> None:
    rows = listed(people(tmp_path))
    assert list(rows) == [
        "outputs/2026-01-02/mine",
        "outputs/2026-01-01/12-00-00",
        "lightning_logs/version_1",
        "lightning_logs/version_0",
    ]
    assert {row.view.state for row in rows.values()} == {RunState.EXTERNAL}
    assert rows["lightning_logs/version_1"].flat == {"lr": 0.2}
    assert rows["lightning_logs/version_1"].final == {"val_loss": 0.2}
    assert rows["outputs/2026-01-01/12-00-00"].flat == {"model.layers": 3}
    assert rows["outputs/2026-01-02/mine"].flat == {"lr": 0.3, "deep.er": "[1, 2]"}
    assert rows["outputs/2026-01-02/mine"].view.path == tmp_path / "outputs/2026-01-02/mine"


def test_the_command_line_lists_shows_compares_and_reports_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = people(tmp_path)
    one = finished(space)

    def said(*words: str) -> str:
        assert main(["--workspace", str(space.root), *words]) == 0
        return capsys.readouterr().out

    found = json.loads(said("ls", "--json", "--filter", "lr>0.1"))
    assert [(row["run_id"], row["state"], row["path"]) for row in found] == [
        ("lightning_logs/version_1", "EXTERNAL", str(tmp_path / "lightning_logs/version_1")),
        ("outputs/2026-01-02/mine", "EXTERNAL", str(tmp_path / "outputs/2026-01-02/mine")),
    ]
    assert "lightning_logs/version_0     EXTERNAL   val_loss 0.1\n" in said("ls")
    assert "hparams.yaml" in said("show", "version_0")
    diff = said("diff", "version_0", "lightning_logs/version_1", one, "--markdown")
    assert "code and environment unknown" in diff
    assert "| lr" in diff
    page = Path(said("report", "version_0", "version_1").strip())
    assert page.parent == space.results / "comparisons"
    assert "how it ran is unknown" in page.read_text()
    assert main(["--workspace", str(space.root), "tag", "version_0", "keep"]) == 0
    assert space.notes.tags == {"lightning_logs/version_0": ("keep",)}


@pytest.mark.parametrize(
    "verb",
    [
        lambda space, name: space.stop(name),
        lambda space, name: space.remove(name),
        lambda space, name: space.resume(name),
        lambda space, name: space.archive(name),
        lambda space, name: space.move(name, "hold"),
        lambda space, name: space.request(name),
    ],
)
def test_nothing_of_them_is_ever_changed(tmp_path: Path, verb: Callable[[Workspace, str], object]) -> None:
    space = people(tmp_path)
    before = tree(tmp_path / "lightning_logs")
    with pytest.raises(RunError) as refused:
        verb(space, "lightning_logs/version_0")
    assert "only listed" in refused.value.message
    assert f"cp -r {tmp_path}/lightning_logs/version_0 {space.results}/" in refused.value.hint
    assert tree(tmp_path / "lightning_logs") == before
    assert space.recover() == []


def test_they_are_neither_pruned_nor_do_they_stand_for_the_best(tmp_path: Path) -> None:
    space = people(tmp_path)
    one = finished(space)
    (space.results / one / "metrics.json").write_text('{"val_loss": 0.9}')
    plan = space.prunable(Rules(older_than=0.0))
    assert not plan.going
    assert [stays.run_id for stays in plan.stays] == [one]
    assert "among the best" in plan.stays[0].why


def test_a_name_is_an_id_a_path_or_the_end_of_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = people(tmp_path, [*ALSO, "../more/*"])
    write(tmp_path / "more/version_0/metrics.csv", "step,a\n1,1\n")
    monkeypatch.chdir(tmp_path / "lightning_logs")
    for name in ("lightning_logs/version_0", "./version_0/", str(tmp_path / "lightning_logs/version_0")):
        assert space.show(name).run_id == "lightning_logs/version_0"
    monkeypatch.chdir(tmp_path)
    assert space.show("version_1").run_id == "lightning_logs/version_1"
    with pytest.raises(UsageError, match="can be lightning_logs/version_0 or more/version_0"):
        space.show("version_0")
    for name in ("ion_1", "../experiments", "lightning_logs", "/etc"):
        with pytest.raises(UsageError, match="no run"):
            space.show(name)


def test_the_same_names_are_told_apart(tmp_path: Path) -> None:
    space = people(
        tmp_path, ["../lightning_logs/*", "../version_*", "results/*", "../exp*", "../lightning_logs/*_0"]
    )
    for place in (space.results / "version_0", tmp_path / "version_0"):
        write(place / "metrics.csv", "step,a\n1,1\n")
    assert sorted(listed(space)) == [
        "./version_0",
        "lightning_logs/version_0",
        "lightning_logs/version_1",
        "version_0",
    ]
    assert space.show("version_0").path == space.results / "version_0"
    assert space.show("./version_0").path == tmp_path / "version_0"


@given(st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1), min_size=1, max_size=4))
def test_an_id_and_a_directory_are_the_same_thing(parts: list[str]) -> None:
    results = Path("/home/a/project/experiments/results")
    for above in (results, results.parent.parent, Path("/data")):
        path = above.joinpath(*parts)
        if ".." not in parts and path != above:
            assert directory_of(results, id_of(results, path)) == path
            assert ("/" in id_of(results, path)) == (path.parent != results)


def test_what_leads_nowhere_or_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = people(
        tmp_path, ["../nothing/*", "../lightning_logs/*", "../locked/*", "../lightning_logs/version_9"]
    )
    scandir = os.scandir

    def refusing(path: Any = ".") -> Any:
        if "locked" in str(path) or "version_1" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    said = list[str]()
    assert list(listed(space, said.append)) == ["lightning_logs/version_0"]
    assert said == [
        "[results] also: nothing is where '../nothing/*' leads",
        f"[results] also: cannot read {tmp_path}/lightning_logs/version_1: Permission denied",
        f"[results] also: cannot read {tmp_path}/locked: Permission denied",
        "[results] also: nothing is where '../lightning_logs/version_9' leads",
    ]


def test_what_comes_goes_and_changes_is_seen(tmp_path: Path) -> None:
    space = people(tmp_path)
    roster = Roster(space, Index(tmp_path / "runs.sqlite3"))

    def seen() -> dict[str, Any]:
        roster.look()
        while roster.busy:
            roster.look()
        return {row.run_id: row.final for row in roster.look()}

    assert len(seen()) == 4
    write(tmp_path / "lightning_logs/version_2/metrics.csv", "step,val_loss\n1,0.7\n")
    assert seen()["lightning_logs/version_2"] == {"val_loss": 0.7}
    write(tmp_path / "lightning_logs/version_2/metrics.csv", "step,val_loss\n1,0.7\n2,0.6\n")
    assert seen()["lightning_logs/version_2"] == {"val_loss": 0.6}
    (tmp_path / "lightning_logs").rename(tmp_path / "gone")
    assert sorted(seen()) == ["outputs/2026-01-01/12-00-00", "outputs/2026-01-02/mine"]
    also(space, [])
    assert seen() == {}
    roster.index.close()


def test_a_second_look_takes_them_from_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = people(tmp_path)
    old = 1_700_000_000
    for path in (*(tmp_path / "lightning_logs").rglob("*"), *(tmp_path / "outputs").rglob("*")):
        os.utime(path, (old, old))
    monkeypatch.setattr(rosters, "TICK", 0.0)  # a ctime cannot be set back
    first = listed(space)

    def read(_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(rosters, "read_ended", read)
    assert listed(space) == first


def test_without_the_setting_no_settings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = people(tmp_path)

    def asked(_: Contents) -> None:
        raise ConfigError("asked", "")

    monkeypatch.setattr(Contents, "settings", property(asked))
    said = list[str]()
    assert listed(space, said.append) == {}
    assert said == ["the runs of [results] also are not listed: asked"]
    (space.root / "exptui.toml").write_text("[trainer]\n")
    assert listed(space, said.append) == {}
    (space.root / "exptui.toml").unlink()
    assert listed(space, said.append) == {}
    assert len(said) == 1


def test_a_pattern_of_any_depth_is_refused(tmp_path: Path) -> None:
    space = people(tmp_path, ["../outputs/**"])
    with pytest.raises(ExptuiError, match=r"has a \*\*"):
        _ = space.settings
