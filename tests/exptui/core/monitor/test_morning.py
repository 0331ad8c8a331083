"""What is said of the hours nobody looked."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core import alerts
from exptui.core.alerts import EVENTS, Alert
from exptui.core.monitor import morning
from exptui.core.monitor.morning import KINDS, Left, News
from exptui.core.runs import messenger
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from soak.supervision import fresh, is_gone, running
from support import finished, until, workspace

NEVER = "2020-01-01T00:00:00Z"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def alert(space: Workspace, run_id: str, event: str, at: str = "") -> None:
    file = alerts.path(space.results / run_id, 1)
    file.parent.mkdir(exist_ok=True)
    at = at or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with file.open("ab") as opened:
        opened.write(msgspec.json.encode(Alert(at=at, event=event, text="so")) + b"\n")


def test_when_it_was_open_last_is_remembered_with_what_was_at_work(tmp_path: Path) -> None:
    assert morning.left(tmp_path) is None
    morning.mark(tmp_path, 1000.5)  # it is left before it ever was open
    assert morning.left(tmp_path) is None
    morning.mark(tmp_path, 1000.5, ["b", os.fsdecode(b"a\xff")])
    assert morning.left(tmp_path) == Left(1000.5, frozenset({"b", os.fsdecode(b"a\xff")}))
    morning.mark(tmp_path, 2000)
    assert morning.left(tmp_path) == Left(2000, frozenset({"b", os.fsdecode(b"a\xff")}))
    assert morning.left(tmp_path / "other") is None


def test_where_nothing_can_be_remembered_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    morning.mark(tmp_path, 1000, ["a"])
    assert morning.left(tmp_path) is None


def test_ends_are_told_once_the_worst_first(tmp_path: Path) -> None:
    space = workspace(tmp_path, 'if [ -e "$EXPTUI_OUTPUT/../../fail" ]; then exit 3; fi')
    before = Left(time.time() - 5, frozenset())
    good = finished(space)
    (space.root / "fail").touch()
    bad = space.run("a").name
    list(space.wait(bad))
    assert morning.since(space, before, ()) == (News(bad, "failed"), News(good, "finished"))
    assert morning.since(space, Left(time.time() + 60, frozenset()), ()) == ()
    alert(space, good, "stalled")  # that was before its end
    alert(space, bad, "nan")
    assert [one.kind for one in morning.since(space, before, ())] == ["failed", "finished"]
    alert(space, good, "nan", NEVER)
    alert(space, good, "threshold")
    assert morning.since(space, before, ()) == (News(bad, "failed"), News(good, "threshold", "so"))
    shutil.rmtree(space.results / good)
    assert morning.since(space, Left(before.at, frozenset({good, "", "../x"})), ("gone",)) == (
        News(bad, "failed"),
    )


def test_a_run_at_work_that_is_still_silent_and_one_that_was_lost(tmp_path: Path) -> None:
    space = fresh(tmp_path / "w")
    directory, trainer, supervisor = running(space)
    (directory / "trainer.log").write_text("x")
    left = Left(time.time() + 5, frozenset({directory.name}))
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(left.at + 10))
    assert morning.since(space, left, [directory.name]) == ()
    alert(space, directory.name, "stalled", soon)
    assert morning.since(space, left, [directory.name]) == (News(directory.name, "stalled", "so"),)
    os.utime(directory / "trainer.log", (left.at + 20,) * 2)  # it went on
    assert morning.since(space, left, [directory.name]) == ()
    for pid in (supervisor, trainer):
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: is_gone(pid))  # type: ignore[misc]
    until(lambda: space.show(directory.name).state is RunState.LOST)
    assert morning.since(space, left, ()) == (News(directory.name, "lost"),)
    assert morning.since(space, Left(left.at, frozenset()), ()) == ()  # it was lost before


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.text(max_size=5))))
def test_every_event_has_its_place(events: list[tuple[str, str]]) -> None:
    assert set(KINDS) == set(EVENTS)


def test_what_the_alert_command_could_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert morning.troubles(0) == ()
    messenger.note("first")
    messenger.note("second")
    assert morning.troubles(time.time() - 60) == ("first", "second")
    assert morning.troubles(time.time() + 60) == ()
    messenger.log_file().write_bytes(b"\xff\n" + b"x" * 99999 + b"\n2030-01-01T00:00:00Z last\n")
    assert morning.troubles(time.time()) == ("last",)
