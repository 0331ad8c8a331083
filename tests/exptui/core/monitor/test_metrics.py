"""The final values and the last step, read whole or read on."""

from __future__ import annotations

import json
import math
from pathlib import Path

from exptui.core.archive.prepare import prepare
from exptui.core.monitor import metrics
from support import finished, workspace


def test_a_reader_reads_on_and_says_what_the_series_say(tmp_path: Path) -> None:
    reader = metrics.Reader(tmp_path)
    assert reader.read() == metrics.Metrics()
    path = tmp_path / "metrics.jsonl"
    rows = [
        {"epoch": 3, "a": 1.0},
        {"epoch": 9, "b": 2, "val": {"c": 3}},
        {"epoch": 5, "a": 4.0},
        {"a": math.nan},
    ]
    for count in range(1, len(rows) + 1):
        with path.open("a") as file:
            file.write(json.dumps(rows[count - 1]) + "\n")
        found, whole = reader.read(), metrics.read(tmp_path)
        assert repr(found.final) == repr(whole.final)
        assert (found.step, found.problems, found.series) == (whole.step, whole.problems, {})
        assert repr(metrics.last(tmp_path)) == repr(found)
    assert found.step == 9
    assert found.final["val.c"] == 3
    (tmp_path / "metrics.json").write_text('{"epochs": 9, "a": 7, "new": true}')
    assert reader.read().final == {"a": 7.0, "b": 2.0, "val.c": 3.0}
    path.unlink()
    (tmp_path / "progress.csv").write_text("step,d\n1.0,2\n")
    assert reader.read() == metrics.Metrics({"d": 2.0, "a": 7.0}, 1)


def test_the_card_of_a_long_run_has_samples_with_whole_steps(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    view = space.show(finished(space))
    values = [math.sin(step / 99) for step in range(5000)]
    values[1234] = 9.0
    (view.path / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": step, "a": value}) + "\n" for step, value in enumerate(values))
        + '{"step": 5000.5, "a": NaN}\n'
    )
    _, card = prepare(view, incomplete=False)
    points = json.loads(card)["series"]["a"]
    assert len(points) <= metrics.SAMPLES + 3
    assert [1234, 9.0] in points
    assert points[-1] == [5000.5, None]
    assert all(isinstance(x, int) for x, _ in points[:-1])
    assert all(values[x] == y for x, y in points[:-1])
