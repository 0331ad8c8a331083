"""The runs of a workspace as the index and the roster give them are those that the files give, whatever happens to either."""

from __future__ import annotations

import math
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from exptui.core.files import pretty_json, write_atomic
from exptui.core.monitor import catalog_index, pages
from exptui.core.monitor import roster as rosters
from exptui.core.monitor.catalog import Catalog, RunRow, facts
from exptui.core.monitor.catalog_index import SCHEMA, Index
from exptui.core.monitor.columns import Entry, Table
from exptui.core.monitor.roster import Roster
from exptui.core.monitor.run_rows import Glimpse
from exptui.core.runs.run import Exit, Phase, Recipe, RunRecord, RunState
from exptui.core.workspace import Workspace
from support import until, workspace

RECIPE = Recipe(
    trainer="default",
    command=("true",),
    argv=("true",),
    cwd="/",
    resume=(),
    checkpoints="",
    code=(),
    passed=(),
    set={},
    secret=(),
    preset="",
    threads=1,
    stop_grace=1.0,
    observational=(),
    slots=1,
)


def record(run_id: str, **changes: Any) -> bytes:
    known: dict[str, Any] = {
        "run_id": ascii(run_id),
        "config_name": f"{run_id[:1]}.toml",
        "config_sha256": "0" * 64,
        "settings_digest": "0" * 64,
        "user": "u",
        "host": os.uname().nodename,
        "queued_at": "2026-01-01T00:00:00Z",
        "recipe": RECIPE,
        "phase": Phase.EXITED,
        "exit": Exit(code=0),
        "ended_at": "2026-01-01T01:00:00Z",
    }
    return pretty_json(RunRecord(**{**known, **changes}))


def make(space: Workspace, run_id: str, **changes: Any) -> Path:
    path = space.results / run_id
    path.mkdir(parents=True)
    (path / "config.toml").write_text("[model]\nlayers = 3\nlr = 0.1\n")
    (path / "metrics.json").write_text('{"accuracy": 0.5}')
    (path / "run.json").write_bytes(record(run_id, **changes))
    return path


def shown(rows: Any) -> list[str]:
    return [repr((row.run_id, row.view.stem, row.view.state, sorted(facts(row).items()))) for row in rows]


class Clock:
    """The real one, and moments later: so that what was changed just now need not be waited for."""

    def __init__(self) -> None:
        self.later = 0.0

    def __call__(self) -> float:
        import time

        return time.time() + self.later


def settled(roster: Roster, clock: Clock) -> list[str]:
    """What is shown once everything was read and nothing changes."""
    while roster.busy:
        roster.look()
    clock.later = rosters.TICK + 1
    roster.look()
    clock.later = 0.0
    return shown(roster.look())


def next_tick(directory: Path) -> None:
    """Until the file system gives out another time."""
    probe = directory / "probe"
    probe.write_text("")
    first = probe.stat().st_ctime_ns
    until(lambda: (probe.write_text("x"), probe.stat().st_ctime_ns)[1] > first)


IDS = st.sampled_from(
    [f"{stem}_20260101T00000{n}Z" for stem in "ab" for n in range(3)] + ["by hand", "ü-\udcff"]
)
TIMES = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", ""])
METRICS = st.sampled_from(
    [
        '{"epoch": 1, "loss": 0.5}\n{"epoch": 2, "loss": 0.25, "val": {"acc": 1}}\n',
        '{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.75}\n',
        '{"step": 3, "loss": NaN, "loss2": 1}\n',
        '{"loss": 1}\nnonsense\n',
        "",
    ]
)
CONFIGS = st.sampled_from(
    [
        "lr = 1\n",
        "lr = 1.0\n",
        "lr = nan\n",
        "lr = true\n",
        "[a]\nb = [1, 2]\nd = 2026-01-01\n",
        "broken =",
        "n = 99999999999999999999\n",
    ]
)
STATES = st.sampled_from(
    [
        {},
        {"exit": Exit(code=3)},
        {"exit": Exit(signal=9)},
        {"exit": Exit(code=0, stop_requested=True)},
        {"phase": Phase.RUNNING},
        {"phase": Phase.RUNNING, "host": "elsewhere"},
        {"phase": Phase.RUNNING, "adopted": "by hand"},
    ]
)


class World(RuleBasedStateMachine):
    """Two exptui on one workspace and one index, while runs and index change under them."""

    copies = Bundle("copies")

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="exptui-roster-"))
        self.space = workspace(self.home)
        self.path = self.home / "cache/runs.sqlite3"
        self.clock = Clock()
        self.rosters = [self.opened(), self.opened()]

    def opened(self) -> Roster:
        return Roster(self.space, Index(self.path), self.clock)

    def teardown(self) -> None:
        for one in self.rosters:
            one.index.close()
        shutil.rmtree(self.home)

    def run(self, run_id: str) -> Path:
        path = self.space.results / run_id
        return path if path.is_dir() else make(self.space, run_id)

    @rule(run_id=IDS, queued=TIMES, state=STATES)
    def write_record(self, run_id: str, queued: str, state: dict[str, Any]) -> None:
        write_atomic(self.run(run_id) / "run.json", record(run_id, queued_at=queued, **state))

    @rule(run_id=IDS, name=st.sampled_from(["run.json", "config.toml", "metrics.json"]))
    def damage_or_remove(self, run_id: str, name: str) -> None:
        path = self.run(run_id) / name
        if path.exists() and path.stat().st_size > 2:
            path.write_bytes(path.read_bytes()[:-2])
        else:
            path.unlink(missing_ok=True)

    @rule(run_id=IDS, text=CONFIGS)
    def write_config(self, run_id: str, text: str) -> None:
        (self.run(run_id) / "config.toml").write_text(text)

    @rule(run_id=IDS, text=METRICS)
    def write_metrics(self, run_id: str, text: str) -> None:
        (self.run(run_id) / "metrics.jsonl").write_text(text)

    @rule(run_id=IDS, digit=st.integers(0, 9))
    def change_in_place(self, run_id: str, digit: int) -> None:
        (self.run(run_id) / "metrics.json").write_text(f'{{"accuracy": 0.{digit}}}')

    @rule(run_id=IDS)
    def remove(self, run_id: str) -> None:
        if (path := self.space.results / run_id).is_dir():
            shutil.rmtree(path)

    @rule(run_id=IDS, other=IDS)
    def rename(self, run_id: str, other: str) -> None:
        if not (self.space.results / other).exists():
            self.run(run_id).rename(self.space.results / other)

    @rule(which=st.integers(0, 1))
    def look(self, which: int) -> None:
        self.rosters[which].look()

    @rule(which=st.integers(0, 1))
    def restart(self, which: int) -> None:
        self.rosters[which].index.close()
        self.rosters[which] = self.opened()

    @rule(target=copies)
    def copy_index(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    @rule(old=copies)
    def stale_index(self, old: bytes) -> None:
        self.path.write_bytes(old)

    @rule(at=st.floats(0, 1), length=st.integers(1, 5000))
    def damage_index(self, at: float, length: int) -> None:
        if self.path.exists() and (size := self.path.stat().st_size):
            with self.path.open("r+b") as file:
                file.seek(int(at * (size - 1)))
                data = file.read(length)
                file.seek(int(at * (size - 1)))
                file.write(bytes(byte ^ 0x5A for byte in data))

    @rule(share=st.floats(0, 1))
    def cut_index(self, share: float) -> None:
        if self.path.exists():
            os.truncate(self.path, int(share * self.path.stat().st_size))

    @rule()
    def delete_index(self) -> None:
        self.path.unlink(missing_ok=True)

    @invariant()
    def the_list_is_what_the_files_say(self) -> None:
        expected = shown(Catalog(self.space).snapshot().runs)
        for one in self.rosters:
            assert settled(one, self.clock) == expected
        next_tick(self.home)


World.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
test_world = World.TestCase


def opened(tmp_path: Path, space: Workspace) -> Roster:
    return Roster(space, Index(tmp_path / "cache/runs.sqlite3"))


def all_of(roster: Roster) -> list[str]:
    while roster.busy:
        roster.look()
    return shown(roster.look())


def test_a_warm_index_reads_no_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = workspace(tmp_path)
    make(space, "a_1", config_name="other.toml")
    make(space, "a_2", exit=Exit(code=1))
    clock = Clock()
    first = Roster(space, Index(tmp_path / "cache/runs.sqlite3"), clock)
    before = settled(first, clock)
    first.index.close()
    monkeypatch.setattr(rosters, "read_ended", lambda *_: pytest.fail("a run was read"))
    clock.later = rosters.TICK + 1
    second = Roster(space, Index(tmp_path / "cache/runs.sqlite3"), clock)
    assert all_of(second) == before
    assert second.problems == ()
    row = second.look().find("a_1")
    assert isinstance(row, RunRow)
    assert isinstance(row.view, Glimpse)
    assert (row.view.stem, row.flat["model.layers"], row.final) == ("other", 3, {"accuracy": 0.5})


def test_the_newest_come_first_and_the_others_in_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rosters, "HEAD", 2)
    monkeypatch.setattr(catalog_index, "HEAD", 2)
    monkeypatch.setattr(rosters, "SLICE", 0.0)
    space, clock = workspace(tmp_path), Clock()
    for number in range(5):
        make(space, f"a_{number}", queued_at=f"2026-01-0{number + 1}T00:00:00Z")
    cold = Roster(space, Index(tmp_path / "cache/runs.sqlite3"), clock)
    seen = [(len(cold.look()), cold.unread) for _ in range(5)]
    assert seen == [(1, 4), (2, 3), (3, 2), (4, 1), (5, 0)]
    expected = settled(cold, clock)
    warm = Roster(space, Index(tmp_path / "cache/runs.sqlite3"), clock)
    assert shown(warm.look()) == expected[:2]
    assert (warm.unread, warm.busy) == (3, True)
    assert shown(warm.look()) == expected


def test_nothing_changed_is_the_same_object_and_a_change_is_one_more_row(tmp_path: Path) -> None:
    space, clock = workspace(tmp_path), Clock()
    path = make(space, "a_1")
    make(space, "a_2")
    roster = Roster(space, Index(tmp_path / "cache/runs.sqlite3"), clock)
    settled(roster, clock)
    before = roster.look()
    assert roster.look() is before
    next_tick(tmp_path)
    (path / "metrics.json").write_text('{"accuracy": 0.9}')
    after = roster.look()
    assert [row.final["accuracy"] for row in after] == [0.5, 0.9]
    assert [row.final["accuracy"] for row in before] == [0.5, 0.5]


def test_runs_that_change_for_days_do_not_pile_up(tmp_path: Path) -> None:
    space, clock = workspace(tmp_path), Clock()
    path = make(space, "a_1", phase=Phase.RUNNING, host="elsewhere")
    roster = Roster(space, Index(tmp_path / "cache/runs.sqlite3"), clock)
    for number in range(1200):
        (path / "metrics.json").write_text(f'{{"accuracy": {number}}}')
        runs = roster.look()
    assert len(roster.table) < 1100
    assert [row.final["accuracy"] for row in runs] == [1199.0]


def test_counts_follow_what_comes_and_goes(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    for number in range(3):
        make(space, f"a_{number}")
    roster = opened(tmp_path, space)
    roster.look()
    stems = frozenset({"a", "b"})
    assert roster.counts(stems) == {"a": 3}
    make(space, "b_1")
    shutil.rmtree(space.results / "a_1")
    roster.look()
    assert roster.counts(stems) == {"a": 2, "b": 1}


# The index itself


def test_an_index_that_cannot_be_kept_is_said_and_the_list_is_whole(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    make(space, "a_1")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    roster = opened(tmp_path, space)
    assert len(all_of(roster)) == 1
    assert "can be written by others" in roster.problems[0]
    (tmp_path / "cache").chmod(0o700)
    (tmp_path / "cache/runs.sqlite3").mkdir()
    roster = opened(tmp_path, space)
    assert len(all_of(roster)) == 1
    assert roster.problems[0].startswith("the index of runs is not kept")


def test_one_that_another_process_holds_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exptui.core.monitor.catalog_index.WAIT", 0.0)
    space = workspace(tmp_path)
    make(space, "a_1")
    roster = opened(tmp_path, space)
    other = sqlite3.connect(tmp_path / "cache/runs.sqlite3", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert len(all_of(roster)) == 1
    assert len(all_of(opened(tmp_path, space))) == 1
    other.execute("ROLLBACK")
    other.close()
    assert opened(tmp_path, space).problems == ()


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_another_file_in_its_place_is_replaced(tmp_path: Path, content: bytes) -> None:
    space, clock = workspace(tmp_path), Clock()
    make(space, "a_1")
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache/runs.sqlite3").write_bytes(content)
    roster = Roster(space, Index(tmp_path / "cache/runs.sqlite3"), clock)
    assert len(settled(roster, clock)) == 1
    roster.index.close()
    assert Index(tmp_path / "cache/runs.sqlite3").count() == 1


def test_an_index_of_another_version_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "cache/runs.sqlite3"
    Index(path).close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    database.close()
    index = Index(path)
    assert (index.problem, index.count()) == ("", 0)


FILL = """
import sys
from pathlib import Path
from exptui.core.monitor import catalog_index, pages
from exptui.core.monitor import roster as rosters
from exptui.core.monitor.catalog_index import Index
from exptui.core.monitor.roster import Roster
from exptui.core.workspace import Workspace
rosters.SLICE = 0.0
roster = Roster(Workspace(Path(sys.argv[1])), Index(Path(sys.argv[2])), lambda: __import__("time").time() + 10)
while roster.busy:
    roster.look()
    print(roster.index.count(), flush=True)
"""


def filling(space: Workspace, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FILL, str(space.root), str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_build_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    space, path = workspace(tmp_path), tmp_path / "cache/runs.sqlite3"
    for number in range(60):
        make(space, f"a_{number:02}")
    process = filling(space, path)
    assert process.stdout
    while int(process.stdout.readline()) < 20:
        pass
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    kept = Index(path).count()
    assert 20 <= kept <= 60
    roster = Roster(space, Index(path))
    assert all_of(roster) == shown(Catalog(space).snapshot().runs)
    assert roster.problems == ()


def test_two_at_once_fill_one_index(tmp_path: Path) -> None:
    space, path = workspace(tmp_path), tmp_path / "cache/runs.sqlite3"
    for number in range(40):
        make(space, f"a_{number:02}")
    both = [filling(space, path), filling(space, path)]
    for process in both:
        process.communicate()
        assert process.returncode == 0
    kept = Table()
    for _, page in Index(path).load():
        pages.add(kept, page)
    assert len(kept.rows) == 40
    assert all_of(Roster(space, Index(path))) == shown(Catalog(space).snapshot().runs)


def test_a_full_disk_is_said_and_nothing_is_missing(tmp_path: Path) -> None:
    space, path = workspace(tmp_path), tmp_path / "cache/runs.sqlite3"
    for number in range(40):
        (make(space, f"a_{number:02}") / "config.toml").write_text(f'x = "{"y" * 3000}"\n')
    code = FILL + "\nprint(len(roster.look()), roster.problems[0])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(space.root), str(path)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
    )
    assert done.stdout.splitlines()[-1].startswith("40 the index of runs is not kept"), done.stderr
    assert all_of(Roster(space, Index(path))) == shown(Catalog(space).snapshot().runs)


def test_nan_is_no_change(tmp_path: Path) -> None:
    space, clock = workspace(tmp_path), Clock()
    (make(space, "a_1") / "metrics.json").write_text('{"loss": NaN}')
    roster = Roster(space, Index(tmp_path / "cache/runs.sqlite3"), clock)
    settled(roster, clock)
    runs = roster.look()
    assert math.isnan(runs[0].final["loss"])
    assert runs[0] == runs[0]
    assert roster.look() is runs


def test_a_lost_run_is_read_again_only_when_a_file_of_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, clock = workspace(tmp_path), Clock()
    path = make(space, "a_1", phase=Phase.RUNNING)
    roster = Roster(space, Index(tmp_path / "cache/runs.sqlite3"), clock)
    settled(roster, clock)
    clock.later = rosters.TICK + 1
    (row,) = roster.look()
    assert row.view.state is RunState.LOST
    read: list[str] = []
    real = roster._entry

    def noting(name: str) -> Entry:
        read.append(name)
        return real(name)

    monkeypatch.setattr(roster, "_entry", noting)
    roster.look()
    assert read == []
    (path / "metrics.json").write_text('{"accuracy": 0.9}')
    assert roster.look()[0].final["accuracy"] == 0.9
    assert read == ["a_1"]
