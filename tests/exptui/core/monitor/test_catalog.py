"""What is there and what changed: snapshots, the watch, details, filters."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.chronicle import CycleRecord, Phase, Writer
from exptui.core.curves.series import Series
from exptui.core.curves.store import Store
from exptui.core.files import sha256_file
from exptui.core.monitor import detail, metrics
from exptui.core.monitor.catalog import ArchiveRow, Catalog, ConfigRow, RunRow, ordered
from exptui.core.monitor.filter import matches
from exptui.core.monitor.metrics import sampled
from exptui.core.runs.run import RunState, RunView
from exptui.core.workspace import Workspace
from support import workspace

METRICS = (
    'cd "$EXPTUI_OUTPUT"; for i in 1 2 3; do echo "{\\"epoch\\": $i, \\"validate_loss\\": 0.$i}" >> metrics.jsonl; done; '
    'echo "{\\"accuracy\\": 0.9}" > metrics.json; echo done'
)


def finished(space: Workspace) -> str:
    run_id = space.run("a").name
    assert list(space.wait(run_id))[-1].state is RunState.FINISHED
    return run_id


def test_a_snapshot_has_everything_and_equal_worlds_give_equal_ones(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    (space.configs / "a.toml").write_text("[engine]\nepochs = 3\n")
    (space.configs / "broken.toml").write_text("x = \n")
    first, second = finished(space), finished(space)
    space.archive(first)
    space.pin(second)
    catalog = Catalog(space)
    seen = catalog.snapshot()
    assert [(c.stem, c.runs, bool(c.problem)) for c in seen.configs] == [("a", 1, False), ("broken", 0, True)]
    assert [(r.run_id, r.step, r.steps, r.final) for r in seen.runs] == [
        (second, 3, 3, {"validate_loss": 0.3, "accuracy": 0.9})
    ]
    assert [(a.run_id, a.final["accuracy"]) for a in seen.archives] == [(first, 0.9)]
    assert seen.baseline == second
    assert catalog.snapshot() == seen == Catalog(space).snapshot()


def test_a_changed_file_is_seen_and_an_unchanged_one_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = workspace(tmp_path, METRICS)
    run_id = finished(space)
    catalog = Catalog(space)
    before = catalog.snapshot()
    monkeypatch.setattr(Workspace, "view", lambda *_: pytest.fail("a finished run was read again"))
    assert catalog.snapshot() == before
    (space.results / run_id / "metrics.json").write_text('{"accuracy": 0.5}')
    row = catalog.snapshot().run(run_id)
    assert row is not None
    assert row.final["accuracy"] == 0.5


def test_what_cannot_be_read_is_a_problem_of_the_snapshot(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    (space.root / "notes.json").write_text("{")
    (space.root / "exptui.toml").write_text("nonsense = 1\n")
    seen = Catalog(space).snapshot()
    assert len(seen.problems) == 2
    assert seen.slots == 1


def test_details_of_each_kind(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    base, run_id = finished(space), finished(space)
    space.archive(base, keep=True)
    seen = Catalog(space).snapshot()
    row = seen.run(run_id)
    assert row is not None
    found = detail.read(space, row, base, Store())
    assert (
        found.series == found.baseline == {"validate_loss": Series.of(((1.0, 0.1), (2.0, 0.2), (3.0, 0.3)))}
    )
    assert found.log == (b"done",)
    assert {f.path: f.file_class for f in found.files}["metrics.json"] == "identity"
    archived = detail.read(space, seen.archives[0], "", Store())
    assert isinstance(archived.subject, ArchiveRow)
    assert (archived.series, archived.log) == (found.series, (b"done",))
    config = detail.read(space, seen.configs[0], "", Store())
    assert isinstance(config.subject, ConfigRow)
    assert "base_seed" in config.config


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", True),
        ("exp", True),
        ("EXP layers>4", True),
        ("exp nothing", False),
        ("accuracy>0.9", True),
        ("accuracy>=0.95", False),
        ("model.layers=8", True),
        ("layers!=8", False),
        ("state:fin", True),
        ("state=FINISHED", True),
        ("loss<1", False),
        ("loss!=1", True),
        ("missing>0", False),
        ("act=relu", True),
    ],
)
def test_filters(query: str, expected: bool) -> None:
    facts = {
        "model.layers": 8,
        "accuracy": 0.94,
        "loss": math.nan,
        "state": "FINISHED",
        "id": "exp_1",
        "act": "ReLU",
    }
    assert matches(query, facts) is expected


@given(
    st.text(max_size=30),
    st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.floats(), st.text(max_size=5))),
)
def test_no_filter_crashes(query: str, facts: dict[str, object]) -> None:
    assert matches(query, facts) in (True, False)


def test_order_puts_the_best_first_and_nan_last(tmp_path: Path) -> None:
    values = {"x": 0.5, "y": math.nan, "z": 0.9}
    rows = [
        RunRow(
            RunView(name, tmp_path, RunState.FINISHED, None),
            {"lr": 1.0},
            {"accuracy": value, "loss": value},
            None,
            None,
            0,
        )
        for name, value in values.items()
    ]

    def names(key: str, *, reverse: bool = False) -> list[str]:
        return [row.run_id for row in ordered(rows, key, reverse=reverse)]

    assert names("accuracy") == ["z", "x", "y"]
    assert names("loss") == ["x", "z", "y"]
    assert names("loss", reverse=True) == ["z", "x", "y"]
    assert names("id", reverse=True) == ["z", "y", "x"]
    assert names("nothing") == ["x", "y", "z"]


@given(st.dictionaries(st.integers(0, 10**6), st.floats(allow_nan=False), min_size=1, max_size=2000))
def test_sampling_keeps_the_extremes_and_the_ends(series: dict[int, float]) -> None:
    kept = dict(sampled(Series.of(series.items()), 100))
    assert len(kept) <= max(100, 102)
    assert {min(series), max(series)} <= kept.keys()
    assert {min(series.values()), max(series.values())} <= set(kept.values())


def test_a_number_beyond_all_floats_blinds_nobody(tmp_path: Path) -> None:
    space = workspace(tmp_path, METRICS)
    run_id = finished(space)
    huge = "9" * 400
    (space.results / run_id / "metrics.jsonl").write_text(
        f'{{"epoch": 1, "loss": {huge}}}\n{{"epoch": {huge}, "x": -{huge}}}\n'
    )
    (space.configs / "huge.toml").write_text(f"a = {'9' * 5000}\n")
    seen = Catalog(space).snapshot()
    assert seen.runs[0].final["loss"] == math.inf
    assert next(row.problem for row in seen.configs if row.stem == "huge")
    assert detail.read(space, seen.runs[0], "", Store()).series["x"][0][1] == -math.inf


def test_a_trainer_that_writes_only_a_chronicle_has_curves(tmp_path: Path) -> None:
    writer = Writer.create(tmp_path, "0" * 64, ("accuracy",))
    for cycle, phase in enumerate((Phase.TRAIN, Phase.VALIDATE)):
        writer.append(CycleRecord(cycle=cycle, phase=phase, loss=0.5 + cycle, metrics=(0.9,), seed_state=1))
    writer.close()
    found = metrics.read(tmp_path)
    assert {name: list(one) for name, one in found.series.items()} == {
        "train_loss": [(0, 0.5)],
        "train_accuracy": [(0, 0.9)],
        "validate_loss": [(1, 1.5)],
        "validate_accuracy": [(1, 0.9)],
    }
    assert found.final["validate_loss"] == 1.5


def test_a_peek_gives_the_digest_and_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a\n" * 200_000)
    (tmp_path / "binary").write_bytes(b"\0\1")
    digest, lines = detail.peek(tmp_path / "text")
    assert (digest, lines[0], lines[-1]) == (sha256_file(tmp_path / "text")[0], "a", "… 137,856 bytes more")
    assert detail.peek(tmp_path / "binary")[1] == ("binary, 2 bytes",)
