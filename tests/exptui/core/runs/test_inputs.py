"""The data is part of the run: digests, a changed dataset named, a missing one UNKNOWN, one that moved found again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui import cli
from exptui.core.audit.report import Verdict
from exptui.core.errors import RunError, UsageError
from exptui.core.files import sha256_bytes, sha256_file
from exptui.core.runs import inputs
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from support import finished, until, verified, workspace

LONG_AGO = (1_000_000_000, 1_000_000_000)
READS = 'cat "$EXPTUI_INPUT_TRAIN" > "$EXPTUI_OUTPUT/model"'


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def reading(parent: Path, script: str = READS) -> Workspace:
    """A workspace whose trainer copies its one input."""
    (parent / "data").mkdir()
    (parent / "data/train").write_text("one\n")
    space = workspace(parent, script)
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text() + '[inputs]\ntrain = "data/train"\n')
    return space


def test_the_digest_of_a_file_is_its_own_and_of_a_directory_that_of_all_in_it(tmp_path: Path) -> None:
    top = tmp_path / "data"
    (top / "deep").mkdir(parents=True)
    (top / "b").write_text("b")
    (top / "deep/a").write_text("a")
    (top / "deep/again").symlink_to("..")
    given = {"file": str(top / "b"), "all": str(top)}
    first = inputs.digests(given)
    assert first["file"] == sha256_bytes(b"b")
    (top / "deep/a").rename(top / "deep/c")
    moved = inputs.digests(given)
    (top / "deep/c").rename(top / "deep/a")
    assert (moved["all"] != first["all"], inputs.digests(given)) == (True, first)
    (top / "deep/a").write_text("A")
    assert inputs.digests(given)["all"] not in (first["all"], moved["all"])


def test_what_has_not_changed_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def counted(path: Path, on_bytes: object) -> tuple[str, int]:
        hashed.append(path)
        return sha256_file(path)

    monkeypatch.setattr(inputs, "sha256_file", counted)
    monkeypatch.setattr(inputs, "RACY", 0)
    file = tmp_path / "x"
    file.write_text("1")
    given = {"x": str(file)}
    once, twice = inputs.digests(given), inputs.digests(given)
    assert (once, len(hashed)) == (twice, 1)
    file.write_text("2")
    os.utime(file, ns=LONG_AGO)
    assert inputs.digests(given) != once
    monkeypatch.setattr(inputs, "RACY", 10**12)
    file.write_text("3")
    inputs.digests(given)
    inputs.digests(given)
    assert len(hashed) == 4  # one that was touched just now is not believed


@pytest.mark.parametrize("damage", [b"no database", None])
def test_without_a_cache_everything_is_hashed(tmp_path: Path, damage: bytes | None) -> None:
    place = tmp_path / "cache/exptui"
    if damage is None:
        place.parent.mkdir()
        place.write_text("in the way")
    else:
        place.mkdir(parents=True)
        (place / "digests.sqlite").write_bytes(damage)
    file = tmp_path / "x"
    file.write_text("1")
    assert inputs.digests({"x": str(file)}) == {"x": sha256_bytes(b"1")}


@given(st.text(max_size=8))
def test_names(name: str) -> None:
    if inputs.NAME.fullmatch(name):
        assert inputs.located({name: "/"}, Path("/")) == {name: "/"}
        assert inputs.variables({name: "/"}) == {f"EXPTUI_INPUT_{name.upper()}": "/"}
    else:
        with pytest.raises(UsageError, match="no name for an input"):
            inputs.located({name: "/"}, Path("/"))


def test_a_changed_dataset_is_named(tmp_path: Path) -> None:
    space = reading(tmp_path)
    run_id = finished(space)
    record = space.show(run_id).record
    assert record is not None
    assert record.fingerprint is not None
    assert record.fingerprint["inputs"] == {"train": sha256_bytes(b"one\n")}
    assert verified(space, run_id).verdict is Verdict.REPRODUCED
    (tmp_path / "data/train").write_text("two\n")
    report = verified(space, run_id)
    assert report.verdict is Verdict.DIVERGED
    was, now = (sha256_bytes(text)[:12] for text in (b"one\n", b"two\n"))
    assert report.suspects[0] == f"input train {was} → {now}"


def test_a_dataset_that_moved_is_unknown_until_it_is_said_where(tmp_path: Path) -> None:
    space = reading(tmp_path)
    run_id = finished(space)
    space.archive(run_id)
    (tmp_path / "data/train").rename(tmp_path / "elsewhere")
    report = verified(space, run_id)
    assert (report.verdict, report.reason) == (
        Verdict.UNKNOWN,
        f"the input train is not there: {tmp_path}/data/train",
    )
    assert (
        verified(space, run_id, inputs={"train": str(tmp_path / "elsewhere")}).verdict is Verdict.REPRODUCED
    )
    other = verified(space, run_id, inputs={"test": "/"})
    assert (other.verdict, other.reason) == (Verdict.UNKNOWN, "the run has no input test")
    words = ["--workspace", str(space.root), "verify", run_id, "--input", f"train={tmp_path}/elsewhere"]
    assert cli.main(words) == 0


def test_a_run_without_its_input_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    space = reading(tmp_path)
    (tmp_path / "data/train").unlink()
    with pytest.raises(RunError, match="the input train is not there") as caught:
        space.run("a")
    assert caught.value.hint
    assert list(space.results.iterdir()) == []


def test_a_placeholder_says_where_it_is(tmp_path: Path) -> None:
    space = reading(tmp_path)
    settings = space.root / "exptui.toml"
    settings.write_text(
        '[trainer]\ncommand = ["cp", "{input_train}", "{output}/model"]\n[inputs]\ntrain = "data/train"\n'
    )
    run_id = finished(space)
    assert (space.results / run_id / "model").read_text() == "one\n"


def test_a_run_can_be_stopped_while_its_data_is_hashed(tmp_path: Path) -> None:
    space = reading(tmp_path)
    with (tmp_path / "data/train").open("wb") as file:
        file.truncate(8 << 30)  # a hole: it takes seconds to hash, and no disk
    run_id = space.run("a").name
    until(lambda: (record := space.show(run_id).record) and record.supervisor)
    space.stop(run_id)
    view = space.show(run_id)
    assert view.state is RunState.STOPPED
    assert not (view.path / "model").exists()
