"""What is made of what Slurm says: an end only by its word and a heartbeat that stands still."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from exptui.core.errors import RunError
from exptui.core.files import pretty_json
from exptui.core.launchers import job as jobs
from exptui.core.launchers.job import Job
from exptui.core.launchers.options import Launching, Options
from exptui.core.launchers.slurm import Listing, Seen
from exptui.core.launchers.watch import LATE, SOON, Watch
from exptui.core.runs import process, run
from exptui.core.runs.run import Attempt, Phase, RunState, RunView
from support import workspace

STALE = 30.0
NAME = f"{jobs.PREFIX}0"


class Cluster:
    """What it answers, and a clock that is moved by hand."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.at, self.beat, self.queries = directory, 1000.0, 0, 0
        self.state: str | None = "PENDING"
        self.name, self.node, self.down = NAME, "n1", False
        self.accounts: str | None = None
        self.watch = Watch(self.listing, self.accounted, lambda: self.at)

    def listing(self, _: set[str]) -> Listing:
        self.queries += 1
        if self.down:
            raise RunError("squeue: no answer")
        return {} if self.state is None else {(self.name, None): Seen("7", self.state, "", self.node, "None")}

    def accounted(self, _: list[Job]) -> Listing:
        return {} if self.accounts is None else {(self.name, None): Seen("7", self.accounts, "", "n1", "")}

    def begin(self) -> None:
        """Its supervisor is at work."""
        record = run.read(self.directory)
        assert record is not None
        run.write(self.directory, structs.replace(record, phase=Phase.RUNNING, supervisor=process.me()))
        self.heartbeat()

    def heartbeat(self) -> None:
        self.beat += 1
        path = run.attempt_file(self.directory, 1)
        path.write_bytes(pretty_json(Attempt(attempt=1, heartbeat=self.beat)))

    def look(self, seconds: float = 0.0) -> str:
        self.at += seconds
        record = run.read(self.directory)
        view = RunView(self.directory.name, self.directory, run.state_of(self.directory, record), record)
        return self.watch.look([view])[view.run_id] if view.state.live else str(view.state)

    def now(self) -> RunState:
        return run.observe(self.directory)[1]


def given_to_slurm(parent: Path) -> Cluster:
    """A run with a job."""
    space = workspace(parent)
    directory = space.results / "a_20260101T000000Z"
    (directory / "attempts").mkdir(parents=True)
    from exptui.core.runs import launch

    config = space.config("a")
    recipe = launch.freeze(config, space.settings.trainer, space.settings, space.places, directory)
    launching = Launching(options=Options(kind="slurm", stale=STALE))
    start = launch.queued(directory, config, recipe, launching)
    run.write(directory, start.record)
    jobs.write(directory, Job(name=NAME, job_id="7"))
    return Cluster(directory)


def test_a_run_waits_runs_and_ends_by_its_own_word(tmp_path: Path) -> None:
    cluster = given_to_slurm(tmp_path)
    assert (cluster.look(), cluster.now()) == ("waits", RunState.QUEUED)
    cluster.state = "RUNNING"
    cluster.begin()
    assert (cluster.look(5), cluster.now()) == ("runs on n1", RunState.RUNNING)
    cluster.state = "COMPLETED"
    assert "has not said so yet" in cluster.look(5)
    assert cluster.now() is RunState.RUNNING


def test_no_answer_is_no_state(tmp_path: Path) -> None:
    cluster = given_to_slurm(tmp_path)
    cluster.begin()
    cluster.down = True
    words = [cluster.look(60) for _ in range(50)]
    assert all(text.startswith("unknown since ") for text in words)
    assert len(set(words)) == 1
    assert (cluster.now(), cluster.watch.pause) == (RunState.RUNNING, LATE)


def test_absent_is_lost_only_the_third_time_and_with_a_silent_heart(tmp_path: Path) -> None:
    cluster = given_to_slurm(tmp_path)
    cluster.begin()
    cluster.state = None
    for _ in range(10):
        cluster.heartbeat()
        cluster.look(STALE + 1)
    assert cluster.now() is RunState.RUNNING
    cluster.look(STALE - 1)
    assert cluster.now() is RunState.RUNNING
    cluster.look(2)
    assert cluster.now() is RunState.LOST


def test_absent_twice_is_nothing(tmp_path: Path) -> None:
    cluster = given_to_slurm(tmp_path)
    cluster.state = None
    cluster.look()
    cluster.look(100)
    cluster.state = "PENDING"
    cluster.look(100)
    cluster.state = None
    cluster.look(100)
    cluster.look(100)
    assert cluster.now() is RunState.QUEUED
    cluster.look(100)
    assert cluster.now() is RunState.LOST


def test_a_number_given_again_is_not_ours(tmp_path: Path) -> None:
    cluster = given_to_slurm(tmp_path)
    cluster.name = f"{jobs.PREFIX}1"
    assert cluster.look() == "Slurm does not know it any more"


@pytest.mark.parametrize(
    ("state", "begun", "shown"),
    [
        ("NODE_FAIL", True, RunState.LOST),
        ("FAILED", True, RunState.LOST),
        ("FAILED", False, RunState.FAILED),
        ("TIMEOUT", True, RunState.FAILED),
        ("OUT_OF_MEMORY", True, RunState.FAILED),
        ("CANCELLED", False, RunState.STOPPED),
        ("COMPLETED", True, RunState.LOST),
    ],
)
def test_what_slurm_ended(tmp_path: Path, state: str, begun: bool, shown: RunState) -> None:
    cluster = given_to_slurm(tmp_path)
    if begun:
        cluster.begin()
    cluster.state = state
    cluster.look()
    assert cluster.now().live
    cluster.look(STALE + 1)
    assert cluster.now() is shown


def test_what_never_had_a_node_ends_at_once(tmp_path: Path) -> None:
    cluster = given_to_slurm(tmp_path)
    cluster.state, cluster.node = "CANCELLED", ""
    cluster.look()
    assert cluster.now() is RunState.STOPPED


def test_the_accounts_are_asked_for_what_is_missing(tmp_path: Path) -> None:
    cluster = given_to_slurm(tmp_path)
    cluster.state, cluster.accounts = None, "TIMEOUT"
    for _ in range(3):
        cluster.look(STALE)
    record = run.read(cluster.directory)
    assert record is not None
    assert record.exit is not None
    assert (cluster.now(), record.exit.error) == (RunState.FAILED, "the time limit was reached")


def test_an_interrupted_submission_is_found_by_its_name(tmp_path: Path) -> None:
    cluster = given_to_slurm(tmp_path)
    jobs.write(cluster.directory, Job(name=NAME, by=process.me()))
    cluster.state = None
    assert cluster.look() == "is being submitted"
    cluster.state = "PENDING"
    cluster.look()
    assert jobs.read(cluster.directory) == Job(
        name=NAME, by=process.me()
    )  # who submits it writes it down himself
    gone = structs.replace(process.me(), boot_id="another")
    jobs.write(cluster.directory, Job(name=NAME, by=gone))
    cluster.look()
    found = jobs.read(cluster.directory)
    assert found is not None
    assert found.job_id == "7"


def test_it_asks_less_and_less_while_nothing_changes(tmp_path: Path) -> None:
    cluster = given_to_slurm(tmp_path)
    pauses = [cluster.watch.pause for _ in range(12) if cluster.look()]
    assert pauses[0] == SOON
    assert pauses == sorted(pauses)
    assert pauses[-1] == LATE
    cluster.state = "RUNNING"
    cluster.look()
    assert cluster.watch.pause == SOON


def do(state: str | None) -> Callable[[Cluster], None]:
    return lambda cluster: setattr(cluster, "state", state)


STATES = [
    None,
    "PENDING",
    "RUNNING",
    "COMPLETING",
    "COMPLETED",
    "FAILED",
    "NODE_FAIL",
    "CANCELLED",
    "TIMEOUT",
    "?",
]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(STATES), st.booleans(), st.booleans(), st.floats(0.0, 50.0)), max_size=25
    )
)
def test_whatever_slurm_says_a_beating_run_goes_on_and_none_is_finished(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str | None, bool, bool, float]]
) -> None:
    cluster = given_to_slurm(tmp_path_factory.mktemp("cluster"))
    cluster.begin()
    silent = 0.0
    for state, down, beats, seconds in said:
        cluster.state, cluster.down = state, down
        if beats:
            cluster.heartbeat()
        silent = 0.0 if beats else silent + seconds
        before = cluster.now()
        cluster.look(seconds)
        assert cluster.now() is not RunState.FINISHED
        if before.live and not cluster.now().live:
            assert not down
            assert silent >= STALE
