"""Which files are taken for a run's numbers, what their metrics are called, and that nobody looks without end."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

from exptui.core.archive.prepare import prepare
from exptui.core.compare.comparison import compare
from exptui.core.compare.sides import of_run
from exptui.core.curves.store import Store
from exptui.core.directions import Directions
from exptui.core.monitor import detail, metrics
from exptui.core.monitor.catalog import Catalog
from exptui.core.monitor.readers import find, plugins
from exptui.core.monitor.readers.protocol import Problems, Sink, Unit
from exptui.core.monitor.stamps import folders, stamps
from support import finished, workspace


def write(directory: Path, **files: str) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def found(directory: Path) -> dict[str, list[tuple[float, float]]]:
    return {name: list(one) for name, one in metrics.read(directory).series.items()}


def test_the_first_source_that_has_a_series_counts(tmp_path: Path) -> None:
    write(tmp_path, **{"trainer.log": "step 1 loss=6\n"})
    assert found(tmp_path) == {"loss": [(1, 6)]}
    write(tmp_path, **{"history.jsonl": '{"step": 1, "loss": 5}\n', "other.jsonl": '{"text": 1}\n'})
    assert found(tmp_path) == {"loss": [(1, 5)]}
    write(tmp_path, **{"scores.csv": "epoch,loss\n1,4\n", "data.csv": "x,y\n1,2\n"})
    assert found(tmp_path) == {"loss": [(1, 4)]}
    write(tmp_path, **{"out/trainer_state.json": '{"log_history": [{"step": 1, "loss": 3}]}'})
    assert found(tmp_path) == {"loss": [(1, 3)]}
    write(tmp_path, **{"a/b/c/metrics.csv": "step,loss\n1,2\n"})
    assert found(tmp_path) == {"loss": [(1, 2)]}
    write(tmp_path, **{"metrics.jsonl": '{"step": 1}\n'})
    assert found(tmp_path) == {"loss": [(1, 2)]}
    write(tmp_path, **{"metrics.jsonl": '{"step": 1, "loss": 1}\n'})
    assert found(tmp_path) == {"loss": [(1, 1)]}


def test_what_came_later_takes_over_and_places_are_names(tmp_path: Path) -> None:
    write(tmp_path, **{
        "lightning_logs/version_9/metrics.csv": "step,loss\n1,1\n2,2\n3,3\n",
        "lightning_logs/version_10/metrics.csv": "step,loss\n2,20\n4,40\n",
        "deep/er/lightning_logs/version_0/metrics.csv": "step,loss\n1,7\n",
    })  # fmt: skip
    assert found(tmp_path) == {"loss": [(1, 1), (2, 20), (4, 40)]}
    assert metrics.last(tmp_path).final == {"loss": 40}
    assert metrics.last(tmp_path).step == metrics.read(tmp_path).step == 4
    other = tmp_path / "other"
    write(other, **{"train_log.csv": "step,loss\n1,1\n", "val_log.csv": "step,loss\n1,2\n"})
    assert found(other) == {"train_log/loss": [(1, 1)], "val_log/loss": [(1, 2)]}
    both = tmp_path / "both"
    write(both, **{"x/train/progress.csv": "step,loss\n1,1\n", "x/val/progress.csv": "step,loss\n1,2\n"})
    assert found(both) == {"train/loss": [(1, 1)], "val/loss": [(1, 2)]}
    odd = tmp_path / "odd"
    write(odd, **{"\udcff/progress.csv": "step,loss\n1,1\n", "val/progress.csv": "step,loss\nx\n1,2\n"})
    assert found(odd) == {"val/loss": [(1, 2)], "\ufffd/loss": [(1, 1)]}
    states = tmp_path / "states"
    for step in (500, 1000):
        write(
            states,
            **{f"checkpoint-{step}/trainer_state.json": f'{{"log_history": [{{"step": {step}, "a": 1}}]}}'},
        )
    assert found(states) == {"a": [(1000, 1)]}


def test_nobody_looks_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {f"d{at}/x": "" for at in range(find.FOLDERS + 9)} | {"1/2/3/4/5/metrics.csv": "step,a\n1,2\n"}
    write(tmp_path, **names, **{"trainer.log": "no numbers"})
    (tmp_path / "loop").symlink_to(tmp_path)
    assert metrics.read(tmp_path).problems == (
        f"only {find.FOLDERS} directories and {find.NAMES:,} names were looked through for metrics",
    )
    assert (
        Store().read(tmp_path).problems == metrics.last(tmp_path).problems == metrics.read(tmp_path).problems
    )
    many = tmp_path / "many"
    write(many, **{f"{at}.txt": "" for at in range(20)})
    assert metrics.read(many).problems == ()
    monkeypatch.setattr(find, "NAMES", 19)
    assert len(find.look(many)[0]) == 19
    assert len(metrics.read(many).problems) == 1
    hidden = tmp_path / "hidden"
    write(hidden, **{f"{name}/metrics.csv": "step,a\n1,2\n" for name in (".git", "attempts", "checkpoints")})
    assert found(hidden) == {}


def test_a_change_of_any_of_them_is_one_of_the_run(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{"logs/version_0/metrics.csv": "step,a\n1,2\n", "trainer.log": "", "hparams.yaml": "a: 1\n"},
    )
    for name in ("logs/version_0/metrics.csv", "trainer.log", "hparams.yaml"):
        before = stamps(tmp_path)
        with (tmp_path / name).open("a") as file:
            file.write("2,3\n")
        assert stamps(tmp_path)[0] == before[0]
        assert stamps(tmp_path)[1] != before[1]
    code = "import sys; from pathlib import Path; from exptui.core.monitor.stamps import stamps; print(stamps(Path(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(stamps(tmp_path))  # an index lives longer than a process
    assert folders(tmp_path) == {tmp_path / "logs/version_0"}
    assert stamps(tmp_path)[2] > (tmp_path / "hparams.yaml").stat().st_ctime - 1e-3


def test_the_numbers_are_everywhere_where_numbers_are(tmp_path: Path) -> None:
    script = (
        'd="$EXPTUI_OUTPUT/lightning_logs/version_0"; mkdir -p "$d"; printf "epoch,step,val_loss\\n0,1,0.5\\n0,2,0.25\\n"'
        ' > "$d/metrics.csv"; echo working'
    )
    space = workspace(tmp_path, script)
    names = [finished(space), finished(space)]
    seen = Catalog(space).snapshot()
    assert [row.final for row in seen.runs] == [{"val_loss": 0.25}] * 2
    shown = detail.read(space, seen.runs[0], names[0], Store())
    assert list(shown.series["val_loss"]) == list(shown.baseline["val_loss"]) == [(1, 0.5), (2, 0.25)]
    views = [space.show(name) for name in names]
    assert compare([of_run(view, "seed") for view in views], Directions()).equal == ("val_loss",)
    card = json.loads(prepare(views[0], incomplete=False)[1])
    assert (card["metrics"], card["series"]) == ({"val_loss": 0.25}, {"val_loss": [[1, 0.5], [2, 0.25]]})


def test_a_run_without_a_config_is_compared_by_its_hyperparameters(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    for name, rate in (("one", 0.1), ("two", 0.2)):
        write(
            space.results / name,
            **{"version_0/hparams.yaml": f"lr: {rate}\nsame: 1\n", "version_0/metrics.csv": "step,a\n1,2\n"},
        )
    seen = Catalog(space).snapshot()
    assert sorted(row.flat["lr"] for row in seen.runs) == [0.1, 0.2]
    found = compare([of_run(space.show(name), "seed") for name in ("one", "two")], Directions())
    assert [(one.key, one.values) for one in found.config] == [("lr", (0.1, 0.2))]
    assert found.problems == ()
    shown = detail.read(space, seen.runs[0], "", Store())
    assert shown.config.startswith("# version_0/hparams.yaml\nlr: 0.")


class Mine:
    """A reader as another package would write it."""

    files = ("*.mine",)
    unit = Unit.LINES

    @staticmethod
    def probe(head: bytes) -> bool:
        return head.startswith(b"mine")

    def __init__(self, file: str) -> None:
        self.problems, self.lines, self.header = Problems(file), 0, list[str]()

    def read(self, block: bytes, sink: Sink) -> int:
        for line in block.splitlines()[1:]:
            sink.add([float(self.lines)], {"mine": [float(line)] * (2 if line == b"9" else 1)})
            self.lines += 1
        return len(block)

    def is_whole(self, line: bytes) -> bool:
        return False


def test_readers_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        importlib.metadata.EntryPoint(name, value, plugins.GROUP)
        for name, value in (("mine", "mine_readers:Mine"), ("gone", "no_such_module:X"))
    ]
    module = type(sys)("mine_readers")
    module.Mine = Mine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mine_readers", module)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: points)
    plugins.others.cache_clear()
    try:
        write(tmp_path, **{"x/a.mine": "mine\n1\n2\n", "b.mine": "not mine", "trainer.log": "loss: 3\n"})
        assert found(tmp_path) == {"mine": [(0, 1), (1, 2)]}
        (problem,) = metrics.read(tmp_path).problems
        assert problem.startswith("the reader gone cannot be loaded: ModuleNotFoundError")
        before = stamps(tmp_path)
        write(tmp_path, **{"x/a.mine": "mine\n1\nno number\n"})
        assert stamps(tmp_path)[1] != before[1]
        again = metrics.read(tmp_path)
        assert [one[1] for one in again.series["mine"]] == [1]
        assert again.problems[1].startswith("x/a.mine: the reader mine failed: ValueError")
        assert Store().read(tmp_path).problems == again.problems
        write(tmp_path, **{"x/a.mine": "mine\n1\n9\n"})
        assert metrics.read(tmp_path).problems[1].endswith("ValueError: columns of different lengths")
    finally:
        plugins.others.cache_clear()


def test_a_reader_is_imported_when_its_file_is_there(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from exptui.core.monitor import metrics; metrics.last(Path(sys.argv[1]));"
        "print(*(m for m in sys.modules if 'monitor.readers.' in m or m in ('yaml', 'csv', 'numpy', 'exptui.chronicle')))"
    )

    def imported() -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
        )
        return {name.rpartition(".")[2] for name in done.stdout.split()}

    write(tmp_path, **{"metrics.csv": "step,a\n1,2\n"})
    assert imported() == {"find", "protocol", "table", "csv"}
    write(tmp_path, **{"metrics.jsonl": '{"step": 1, "a": 2}\n'})
    assert imported() == {"find", "protocol", "jsonl"}
