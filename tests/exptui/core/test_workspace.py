"""Bad input is refused with a hint and leaves nothing behind; foreign directories are listed truthfully."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptui.core.audit.report import Verdict
from exptui.core.errors import ArchiveError, ExptuiError, StorageError, UsageError
from exptui.core.runs.run import RunState, config_problem
from exptui.core.workspace import Workspace
from support import finished, verified, workspace


@pytest.mark.parametrize(
    ("name", "said"),
    [("missing", "no config"), ("../a", "outside"), ("/etc/passwd", "outside"), (".hidden", "cannot name")],
)
def test_a_config_that_is_not_one(tmp_path: Path, name: str, said: str) -> None:
    space = workspace(tmp_path)
    (space.configs / ".hidden.toml").write_text("")
    with pytest.raises(UsageError, match=said) as caught:
        space.run(name)
    assert caught.value.hint
    assert space.list_runs() == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('command = ["sh", "{nonsense}"]', "unknown placeholder {nonsense}"),
        ('command = ["no-such-program-here"]', "does not exist"),
        ("command = []", "empty"),
        ('command = ["sh"]\ncode = ["not/there"]', "does not exist"),
        ("comand = 1", "comand"),
        ('environment = { pass = ["HF_TOKEN"] }', "HF_TOKEN"),
        ("command = [", "exptui.toml: Invalid value"),
    ],
)
def test_settings_that_cannot_work_start_nothing(tmp_path: Path, settings: str, said: str) -> None:
    space = workspace(tmp_path)
    (space.root / "exptui.toml").write_text(f"[trainer]\n{settings}\n")
    with pytest.raises(ExptuiError) as caught:
        space.run("a")
    assert said in caught.value.message
    assert caught.value.hint
    assert space.list_runs() == []


def test_a_syntax_error_names_file_line_and_column(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    (space.configs / "bad.toml").write_text("a = 1\nb = = 2\n")
    with pytest.raises(UsageError, match=r"bad\.toml.*line 2, column 5"):
        space.run("bad")


def test_foreign_and_damaged_directories_are_listed(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    (space.results / "by_hand").mkdir(parents=True)
    (space.results / "broken").mkdir()
    (space.results / "broken/run.json").write_bytes(b'{"schema": 1, "ru')
    (space.results / "a file").write_bytes(b"\0\xff")
    views = {view.run_id: view for view in space.list_runs()}
    assert set(views) == {"by_hand", "broken"}
    assert {view.state for view in views.values()} == {RunState.EXTERNAL}
    assert "run.json" in views["broken"].problem


def test_found_upward_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPTUI_WORKSPACE", raising=False)
    space = workspace(tmp_path)
    below = space.configs / "deeper"
    below.mkdir()
    assert Workspace.find(start=below).root == space.root
    with pytest.raises(UsageError, match="not a workspace"):
        Workspace.find(str(tmp_path))


def test_an_archive_that_is_no_directory_is_said(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    assert space.list_archives() == []
    space.archives.write_text("")
    for look in (space.list_archives, lambda: list(space.check_all())):
        with pytest.raises(StorageError, match="is not a directory") as caught:
            look()
        assert caught.value.hint


def test_a_config_edited_after_the_launch_is_no_evidence(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    run_id = finished(space)
    config = space.results / run_id / "config.toml"
    config.write_text(config.read_text() + "# one more word\n")
    with pytest.raises(ArchiveError, match=r"config\.toml was changed after"):
        space.archive(run_id)
    report = verified(space, run_id)
    assert (report.verdict, "config.toml was changed" in report.reason) == (Verdict.UNKNOWN, True)
    config.unlink()
    assert "No such file" in config_problem(config.parent, space.show(run_id).record)
