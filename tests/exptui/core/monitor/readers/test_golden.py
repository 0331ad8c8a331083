"""What the real libraries wrote: whole, cut anywhere, damaged, and while it grows."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

from exptui.core.curves import follow
from exptui.core.curves.store import Store
from exptui.core.monitor import metrics
from exptui.core.monitor.readers import hparams
from exptui.core.monitor.summary import summary

GOLDEN = Path(__file__).parent / "golden"
EXPECTED: dict[str, dict[str, list[tuple[float, float]]]] = {
    "lightning": {
        "train_loss_step": [(1, 3.94), (3, 4.169), (5, 0.2345), (7, 0.9151), (9, 0.01014), (11, 0.3642)],
        "val_loss": [(3, 0.718), (7, 0.1702), (11, 0.1358)],
        "train_loss_epoch": [(3, 3.883), (7, 0.4456), (11, 0.1753)],
    },
    "torch_events": {
        "loss/train": [(step, 1 / (step + 1)) for step in range(20)],
        "accuracy": [(0, 0), (5, 0.25), (10, math.nan), (15, 0.75)],
        "both_a/both": [(step, step) for step in range(0, 20, 5)],
        "both_b/both": [(step, -step) for step in range(0, 20, 5)],
    },
    "tensorboardx": {
        "reward": [(1000 * step, 1.5 * step) for step in range(12)],
        "double": [(1000 * step, step / 3) for step in range(12)],
    },
    "tf2_tensors": {
        f"{name}/epoch_loss": [(step, 2.0**-step) for step in range(6)] for name in ("train", "validation")
    },
    "dvclive": {
        "accuracy": [(step, step / 8) for step in range(1, 8, 2)],
        "train/loss": [(step, 1 / (step + 1)) for step in range(8)],
    },
    "xgboost": {
        "train-logloss": [*enumerate([0.45996, 0.32492, 0.23744, 0.17774, 0.13568, 0.1054, 0.08322, 0.06676])],
        "eval-error": [(step, 0) for step in range(8)],
    },
    "transformers": {
        "loss": [(2, 7.71), (4, 6.241), (6, 5.788), (8, 5.777), (10, 4.988), (12, 5.419)],
        "eval_loss": [(4, 6.135), (8, 5.355), (12, 5.07)],
    },
    "stable_baselines3": {"rollout/ep_rew_mean": [(32, 15), (64, 21.33), (96, 23.25), (128, 22)]},
}  # fmt: skip


@pytest.fixture(params=EXPECTED)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a golden directory."""
    return Path(shutil.copytree(GOLDEN / request.param, tmp_path / request.param))


def points(directory: Path) -> dict[str, list[tuple[float, float]]]:
    return {name: list(one) for name, one in metrics.read(directory).series.items()}


def alone(directory: Path) -> Path:
    """The file of a directory that its series are read from, after all others that could be were taken away."""
    kept = {
        "transformers": "trainer_state.json",
        "xgboost": "trainer.log",
        "stable_baselines3": "progress.csv",
    }
    kept |= {"lightning": "metrics.csv", "dvclive": "accuracy.tsv"}
    found = sorted(
        (path for path in directory.rglob("*") if path.is_file()), key=lambda path: -path.stat().st_size
    )
    (one, *_) = [path for path in found if path.name == kept.get(directory.name, path.name)]
    for path in found:
        if path != one:
            path.unlink()
    return one


def test_the_numbers_are_those_the_library_was_given(golden: Path) -> None:
    found = metrics.read(golden)
    assert found.problems == ()
    for name, expected in EXPECTED[golden.name].items():
        series = list(found.series[name])
        assert [step for step, _ in series] == [step for step, _ in expected]
        assert [y for _, y in series] == pytest.approx([y for _, y in expected], rel=2e-3, nan_ok=True)
    assert repr(metrics.last(golden).final) == repr(found.final)
    assert (repr(summary(golden)[0]), summary(golden)[1]) == (repr(found.final), found.step)
    shown = Store().read(golden)
    assert repr({name: list(one) for name, one in shown.series.items()}) == repr(points(golden))


def test_a_torn_tail_leaves_what_came_before(golden: Path) -> None:
    path = alone(golden)
    whole = points(golden)
    data = path.read_bytes()
    for cut in range(len(data), -1, -max(1, len(data) // 150)):
        path.write_bytes(data[:cut])
        found = metrics.read(golden)
        for name, series in found.series.items():
            assert repr(whole[name]).startswith(repr(list(series))[:-1])
    path.write_bytes(b"")
    assert metrics.read(golden) == metrics.Metrics()


def test_growth_gives_what_the_whole_file_gives(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "BLOCK", 1 << 16)
    path = alone(golden)
    expected = points(golden)
    data, curves, lists = path.read_bytes(), Store(), metrics.Reader(golden)
    path.write_bytes(b"")
    for start in range(0, len(data), max(1, len(data) // 40)):
        with path.open("ab") as file:
            file.write(data[start : start + max(1, len(data) // 40)])
        shown, last = curves.read(golden), lists.read()
        assert {name: one[-1][1] for name, one in shown.series.items()}.keys() == last.final.keys()
    assert repr({name: list(one) for name, one in shown.series.items()}) == repr(expected)
    assert repr(last.final) == repr(metrics.last(golden).final)
    assert shown.problems == last.problems == ()


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "problem"),
    [
        ("lightning", "metrics.csv", b"0,3,,4.1", b'0,"3,,4.1', "metrics.csv line 3 is not CSV"),
        ("dvclive", "loss.tsv", b"3\t0.25", b"3\t\t0.25", "loss.tsv line 5 has 3 cells, not 2"),
        ("transformers", "trainer_state.json", b'"step": 8', b'"step": 8 8', "is not whole"),
        ("torch_events", ".0", b"loss/train", b"lost/train", "does not match its checksum"),
        ("tensorboardx", ".vm", b"reward", b"rework", "does not match its checksum"),
        ("stable_baselines3", "progress.csv", b"2,925", b"2,925,", "progress.csv line 3 has 17 cells"),
    ],
)
def test_of_a_damaged_file_the_error_is_named_and_the_rest_is_shown(
    tmp_path: Path, name: str, file: str, old: bytes, new: bytes, problem: str
) -> None:
    directory = Path(shutil.copytree(GOLDEN / name, tmp_path / name))
    if name != "dvclive":
        alone(directory)
    before = sum(map(len, points(directory).values()))
    (path,) = (path for path in directory.rglob("*") if path.name.endswith(file))
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    found = metrics.read(directory)
    assert any(problem in one for one in found.problems), found.problems
    assert found.series
    assert before - sum(map(len, found.series.values())) > 0
    assert Store().read(directory).problems == found.problems


def test_hyperparameters() -> None:
    path = hparams.source(GOLDEN / "lightning")
    assert path is not None
    assert hparams.read(path) == {
        "lr": 0.1, "layers": 2, "name": "line: 1", "warm": True, "betas": [0.9, 0.99],
        "extra": {"depth": 2, "tags": ["a", "b"], "none": None, "rate": 0.0003},
    }  # fmt: skip
    assert metrics.hyperparameters(GOLDEN / "dvclive") == {"lr": 0.1, "model.layers": 2}
    assert metrics.hyperparameters(GOLDEN / "xgboost") == {}
