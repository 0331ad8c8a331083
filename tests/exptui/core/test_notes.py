"""Tags and notes: by run id, for runs and archives, found by the filter, and never lost to another writer."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exptui import cli
from exptui.core import notes
from exptui.core.errors import CorruptError, UsageError
from support import finished, workspace


def test_tags_and_notes_come_and_go(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    first, second = finished(space), finished(space)
    assert space.tag([first, "a"], "keep") == [first, second]
    space.tag([first], "paper")
    space.tag([first], "keep")
    space.note(second, "look [here]")
    assert space.notes.tags == {first: ("paper", "keep"), second: ("keep",)}
    assert space.notes.said == {
        first: {"paper.tag": "paper", "keep.tag": "keep"},
        second: {"keep.tag": "keep", "note": "look [here]"},
    }
    space.pin(first)
    space.tag([first, second], "keep", remove=True)
    space.note(second, "")
    assert (space.notes.tags, space.notes.notes, space.notes.baseline) == ({first: ("paper",)}, {}, first)


def test_an_archived_run_has_tags_too(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    run_id = finished(space)
    identity = space.archive(run_id).identity
    assert space.tag([run_id], "keep") == [run_id]
    assert space.check(run_id).problems == []
    assert space.list_archives()[0].identity == identity


@pytest.mark.parametrize("tag", ["", "two words", "bell\a", "tab\t"])
def test_a_tag_is_one_word(tmp_path: Path, tag: str) -> None:
    space = workspace(tmp_path)
    with pytest.raises(UsageError):
        space.tag([finished(space)], tag)


def test_who_tags_at_once_loses_nothing(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    run_id = finished(space)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: space.tag([run_id], f"tag{n}"), range(24)))
    assert set(space.notes.tags[run_id]) == {f"tag{n}" for n in range(24)}


def test_damaged_notes_are_not_replaced(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    run_id = finished(space)
    (space.root / "notes.json").write_text("{")
    with pytest.raises(CorruptError):
        space.tag([run_id], "keep")
    assert (space.root / "notes.json").read_text() == "{"
    assert not list(space.root.glob("*.partial"))


def test_an_error_inside_changes_nothing(tmp_path: Path) -> None:
    def broken() -> None:
        with notes.changing(tmp_path) as now:
            now.baseline = "x"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert notes.load(tmp_path).baseline == ""


def test_the_command_line_tags_notes_and_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = 'grep -o "[0-9]*" "$EXPTUI_CONFIG" | sed "s/.*/{\\"fid\\": &}/" > "$EXPTUI_OUTPUT/metrics.json"'
    space = workspace(tmp_path, script)
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text() + '[metrics]\nlower = ["fid"]\n')
    (space.configs / "b.toml").write_text("[engine]\nbase_seed = 5\n")
    (space.configs / "c.toml").write_text("[model]\nlayers = 6\n")
    ids = {name: finished(space, name) for name in "abc"}

    def said(*words: str) -> str:
        assert cli.main(["--workspace", str(space.root), *words]) == 0
        return capsys.readouterr().out

    assert said("tag", "a", "b", "keep").splitlines() == [f"{ids[name]}  #keep" for name in "ab"]
    said("note", "c", "look", "again")
    assert ids["a"] in said("ls", "--filter", "tag:keep")
    assert ids["c"] not in said("ls", "--filter", "tag=keep")
    assert "#keep" in said("ls")
    assert "look again" in said("show", "c")
    listed = json.loads(said("ls", "--json", "--filter", "note:again"))
    assert [(row["run_id"], row["note"], row["tags"]) for row in listed] == [(ids["c"], "look again", [])]
    for name in ("hand1", "hand2"):  # of which no config is known
        (space.results / name).mkdir()
    best = [row["run_id"] for row in json.loads(said("ls", "--json", "--best", "fid"))]
    assert best == [ids["b"], ids["c"], "hand1", "hand2"]
    assert [row["run_id"] for row in json.loads(said("ls", "--json", "--sort", "fid"))][:3] == [
        ids[n] for n in "bca"
    ]
    said("tag", "a", "keep", "--remove")
    assert "#keep" in said("ls", "--filter", "tag:keep")
    assert "#" not in said("show", "a")
