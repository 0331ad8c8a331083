"""Numbers in what trainers print, and in what patterns declare."""

from __future__ import annotations

import math
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.core.curves import follow
from exptui.core.curves.columns import Columns
from exptui.core.curves.follow import Follower
from exptui.core.curves.store import Store
from exptui.core.errors import ConfigError
from exptui.core.monitor import metrics
from exptui.core.monitor.readers.log import LogLines, Row, pairs
from exptui.core.monitor.readers.matching import Matcher, answer
from exptui.core.monitor.readers.protocol import Last, Problems
from exptui.core.monitor.stamps import stamps
from exptui.core.monitor.summary import summary
from exptui.core.workspace import Workspace
from support import finished, workspace

Points = dict[str, list[tuple[float, float]]]


def read(text: str) -> Points:
    sink, reader = Columns(), LogLines("trainer.log")
    reader.read(text.encode(), sink)
    return {name: list(one) for name, one in sink.snapshot().items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("step=1 loss=0.5 lr=3e-4\n", {"loss": [(1, 0.5)], "lr": [(1, 3e-4)]}),
        ("epoch: 3/10, loss: nan, acc@1: 93.5%\n", {"loss": [(3, math.nan)], "acc@1": [(3, 93.5)]}),
        ("Epoch 2/3\n10/10 - 1s 5ms/step - val_loss: 0.25\n", {"val_loss": [(2, 0.25)]}),
        ("{'loss': '7.7', 'epoch': '0.5'}\n", {"loss": [(0.5, 7.7)]}),
        ('{"step": 4, "eval/loss": -1.5e-3}\n', {"eval/loss": [(4, -1.5e-3)]}),
        ("[7]\ttrain-rmse:0.5\n", {"train-rmse": [(7, 0.5)]}),
        ("\x1b[32mstep 5\x1b[0m \x1b[1mloss=2\x1b[0m\n", {"loss": [(5, 2)]}),
        ("step 1 loss=9\rstep 2 loss=8\n", {"loss": [(2, 8)]}),
        ("test accuracy: 0.5\n\naccuracy: 0.75\n", {"test_accuracy": [(1, 0.5)], "accuracy": [(3, 0.75)]}),
        # The phase in front is part of the name, and a metric needs no sign before its decimal fraction.
        ("Epoch 3/9 | train loss: 2 | Validation loss: 1.5 | val acc: 99.1%\n",
         {"train_loss": [(3, 2)], "val_loss": [(3, 1.5)], "val_acc": [(3, 99.1)]}),
        ("epoch 2: train loss 0.5, test loss 0.25 acc 0.75\n",
         {"train_loss": [(2, 0.5)], "test_loss": [(2, 0.25)], "acc": [(2, 0.75)]}),
        ("[10]\ttraining's auc: 0.5\tvalid_0's auc: 0.25\n", {"train_auc": [(10, 0.5)], "val_0_auc": [(10, 0.25)]}),
        # Two counters: one that begins again in each epoch is counted on, one that does not is left alone.
        ("".join(f"Epoch [{e}/2], Step [{s}/3], Loss: {e * s}\n" for e in (1, 2) for s in (1, 2, 3)),
         {"Loss": [(1, 1), (2, 2), (3, 3), (4, 2), (5, 4), (6, 6)]}),
        ("epoch 1 step 5 loss=1\nepoch 2 step 10 loss=2\n", {"loss": [(5, 1), (10, 2)]}),
        # What is no metric.
        ("port: 8080 seed=7\n", {}),
        ("step 3 at 12:30:11, took: 3.2s, host: 127.0.0.1, torch: 2.1.0, date: 2025-11-09\n", {}),
        ("loss: none, accuracy=high\n", {}),
        ("epoch 1 took 3.25 of 10.5, error 404, loss 0.5s, version 1.5\n", {}),
        ("epochs: 10\nsteps = 5\n", {}),
    ],
)  # fmt: skip
def test_a_line_has_what_a_person_reads_in_it(text: str, expected: Points) -> None:
    assert repr(read(text)) == repr({n: [(float(x), float(y)) for x, y in p] for n, p in expected.items()})


@settings(max_examples=1000)
@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.floats(width=32)), max_size=9),
    st.sampled_from(["=", ": ", " = ", ":"]),
    st.sampled_from(["step", "Epoch", "iter", "global_step", "round"]),
)
def test_what_is_printed_is_read(rows: list[tuple[int, float]], joint: str, counter: str) -> None:
    text = "".join(f"x {counter}{joint}{step}, loss{joint}{value!r} done\n" for step, value in rows)
    expected = {"loss": sorted(dict(rows).items())} if rows else {}
    assert repr(read(text)) == repr({n: [(float(x), y) for x, y in p] for n, p in expected.items()})


def test_a_line_of_any_length_is_looked_at_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(_signal: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, 20)
    try:
        for text in (
            "a" * 4096,
            "a." * 2048,
            "step " * 800,
            "1" * 4096,
            "a=1" + "0" * 4000,
            "=" * 4096,
            "a \t" * 1365,
        ):
            for _ in range(20):
                pairs(text)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_what_is_far_behind_in_a_line_is_not_looked_at() -> None:
    assert read("loss=1 " + "." * 4096 + " accuracy=2\n") == {"loss": [(1, 1)]}
    assert read("." * 9999 + "\rloss=1\n") == {"loss": [(1, 1)]}


def test_of_a_long_log_the_end_counts_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "NEAR", 1000)
    log = tmp_path / "trainer.log"
    log.write_text("".join(f"step {at} loss={at / 2}\n" for at in range(500)))
    found = metrics.read(tmp_path)
    steps = [step for step, _ in found.series["loss"]]
    assert 20 < len(steps) < 80
    assert steps[-1] == 499
    assert found.problems == ("trainer.log: only the last 0 kB were looked at",)
    assert repr(metrics.last(tmp_path).final) == repr(found.final)


PATTERN = r"at (?P<step>\d+): (?P<train_loss>\S+) / (?P<val_loss>\S+)"
PRINTS = 'echo warming up; echo "at 1: 0.5 / 0.75"; echo "at 2: 0.25 / bad"; echo "loss=9"'


def test_declared_patterns_are_what_counts(tmp_path: Path) -> None:
    space = workspace(tmp_path, PRINTS, metrics=[PATTERN])
    view = space.show(finished(space))
    expected = {"train_loss": [(1, 0.5), (2, 0.25)], "val_loss": [(1, 0.75)]}
    found, curves = metrics.read(view.path), Store()
    assert {name: list(one) for name, one in found.series.items()} == expected
    assert {name: list(one) for name, one in curves.read(view.path).series.items()} == expected
    assert summary(view.path) == ({"train_loss": 0.25, "val_loss": 0.75}, 2)
    before = stamps(view.path)
    path = space.root / "exptui.toml"
    path.write_text(path.read_text().replace("metrics", "# metrics"))  # settings are those of now
    assert list(metrics.read(view.path).series) == list(curves.read(view.path).series) == ["loss"]
    assert stamps(view.path)[0] == before[0]
    assert stamps(view.path)[1] != before[1]


@pytest.mark.parametrize("step", ["nan", "-inf", "x", "1e999"])
def test_a_step_that_is_no_number_is_none(step: str) -> None:
    sink, rows = Columns(), [(0, {"step": step, "a": "1", "b": "?"})]
    LogLines("trainer.log", lambda *_: rows).read(b"a line\n", sink)
    assert {name: list(one) for name, one in sink.snapshot().items()} == {"a": [(1, 1)]}
    assert read(f"total_timesteps: {step} loss: 2\n") == {"loss": [(1, 2)]}


@pytest.mark.parametrize("pattern", ["(", "step", "(?P<a>x){99999999999}"])
def test_a_pattern_that_is_none_is_refused(tmp_path: Path, pattern: str) -> None:
    space = workspace(tmp_path, metrics=[pattern])
    with pytest.raises(ConfigError, match="the pattern"):
        Workspace(space.root).settings  # noqa: B018


def test_a_pattern_that_backtracks_for_ever_is_named_and_used_no_more() -> None:
    matcher, problems = Matcher(), Problems("trainer.log")
    bad, good = r"(?P<a>(x+x+)+y)", r"loss (?P<loss>\S+)"
    lines = ["loss 1", "x" * 60, "loss 2"]
    try:
        expected: list[Row] = [(0, {"loss": "1"}), (2, {"loss": "2"})]
        assert matcher.rows([bad, good], lines, problems) == expected
        assert len(problems.texts()) == 1
        assert "took more than 1 s" in problems.texts()[0]
        process = matcher._process
        assert matcher.rows([bad, good], lines, problems) == expected
        assert matcher.rows([bad], lines, problems) == []
        assert len(problems.texts()) == 1
        assert process is matcher._process
        assert process is not None
        process.kill()
        process.wait()
        assert matcher.rows([good], lines, problems) == expected  # started again
    finally:
        matcher.close()


def test_a_process_that_does_not_answer_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exptui.core.monitor.readers.matching.PATIENCE", 0.0)
    matcher, problems = Matcher(), Problems("trainer.log")
    assert matcher.rows(["(?P<a>x)"], ["x"], problems) == []
    assert matcher._process is None
    assert problems.texts() == ("trainer.log: the pattern '(?P<a>x)' gave no answer",)


def test_threads_share_one_process() -> None:
    matcher, found = Matcher(), list[list[Row]]()

    def ask(number: int) -> None:
        found.append(matcher.rows([r"(?P<a>\d+)"], [str(number)] * 500, Problems("")))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        matcher.close()
    assert sorted(rows[0][1]["a"] for rows in found) == [str(number) for number in range(8)]
    assert all(len(rows) == 500 for rows in found)


@settings(max_examples=1000)
@given(
    st.lists(st.sampled_from([r"(?P<a>\d+)", r"b(?P<b>.)", r"(?P<step>\d) (?P<a>x)?"]), max_size=3),
    st.lists(st.text("ab 12x\n", max_size=6), max_size=5),
)
def test_an_answer_is_what_each_pattern_says_of_each_line(patterns: list[str], lines: list[str]) -> None:
    import re

    reply = answer(patterns, lines)
    expected: dict[int, dict[str, str]] = {}
    for text in patterns:
        for number, line in enumerate(lines):
            if match := re.search(text, line):
                named = {k: v for k, v in match.groupdict().items() if v is not None}
                expected.setdefault(number, {}).update(named)
    assert reply == {"rows": sorted(expected.items()), "slow": {}}


def test_of_a_log_that_grew_by_much_only_the_news_count_where_only_the_last_values_do(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    path.write_text("step 1 loss=0.5\n")
    all_of_it, news = Follower(path, Columns, LogLines), Follower(path, Last, LogLines, near=50)
    all_of_it.grow()
    news.grow()
    with path.open("a") as file:
        file.write("step 2 acc=0.25\n" + "".join(f"step {n} loss=0.{n}\n" for n in range(3, 30)))
    all_of_it.grow()
    news.grow()
    assert len(all_of_it.sink.snapshot()["loss"]) == 28
    assert news.sink.found == {"loss": (29, 0.29)}
    assert news.share == 1


def test_a_log_that_grows_faster_than_it_is_read_is_not_followed_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trainer.log"
    path.write_text("step 1 loss=0.5\n" * 10)
    read = LogLines.read

    def writing(self: LogLines, block: bytes, sink: Any) -> int:
        with path.open("a") as file:
            file.write("step 2 loss=0.25\n" * 20)
        return read(self, block, sink)

    monkeypatch.setattr(LogLines, "read", writing)
    follower = Follower(path, Last, LogLines)
    follower.grow()
    assert follower.sink.found == {"loss": (1, 0.5)}
    follower.grow()
    assert follower.sink.found == {"loss": (2, 0.25)}
