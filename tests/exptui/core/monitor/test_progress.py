"""How far a run says it is, by a pattern that may be anybody's."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptui.core.curves.store import Store
from exptui.core.monitor import detail
from exptui.core.monitor.progress import said, total, unused
from exptui.core.monitor.run_rows import Memory, read_run
from support import finished, workspace

PATTERN = r"epoch (?P<done>[\d,.e+]+)(?:/(?P<total>\d+))?"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("epoch 1/10\nepoch 2/10\n", (2, 10)),
        ("epoch 1/10\repoch 3/10\r", (3, 10)),
        ("epoch 1,200\n", (1200, None)),
        ("epoch 1e999/10\n", (None, 10)),
        ("nothing\n", (None, None)),
        ("", (None, None)),
    ],
)
def test_the_last_one_counts(tmp_path: Path, text: str, found: tuple[int | None, int | None]) -> None:
    log = tmp_path / "trainer.log"
    log.write_text(text)
    assert said(log, PATTERN) == found
    assert said(tmp_path / "none", PATTERN) == (None, None)


@pytest.mark.parametrize("pattern", [r"(?P<done>(a+)+)$", "(?P<done>"])
def test_a_pattern_that_backtracks_for_ever_or_is_none_holds_nobody_up(tmp_path: Path, pattern: str) -> None:
    log = tmp_path / "trainer.log"
    log.write_text("a" * 60 + "!\n")
    assert said(log, pattern) == (None, None)
    assert "took more than" in unused(pattern) or "no answer" in unused(pattern)
    log.write_text("epoch 4/5\n")
    assert said(log, PATTERN) == (4, 5)
    assert unused(PATTERN) == ""


def test_a_pattern_that_is_not_used_any_more_is_a_problem_of_the_run(tmp_path: Path) -> None:
    slow = "(?P<done>(b+)+)$"
    space = workspace(tmp_path, f"echo {'b' * 60}!", progress=slow)
    row = read_run(space.show(finished(space)), Memory())
    (problem,) = detail.read(space, row, "", Store()).problems
    assert repr(slow) in problem


@pytest.mark.parametrize(
    ("flat", "found"),
    [
        ({"lr": 1, "engine.epochs": 3, "steps": 9}, ("engine.epochs", 3)),
        ({"max-epochs": 3}, ("max-epochs", 3)),
        ({"warmup_steps": 3, "epochs": "3"}, ("", None)),
    ],
)
def test_the_whole_is_a_key_of_the_config(flat: dict[str, object], found: tuple[str, int | None]) -> None:
    assert total(flat) == found


@pytest.mark.parametrize(("last", "steps"), [(3, 4), (5, 4), (2520, None)])
def test_steps_of_another_kind_are_no_part_of_the_whole(tmp_path: Path, last: int, steps: int | None) -> None:
    space = workspace(tmp_path, f'echo \'{{"step": {last}, "loss": 1}}\' > "$EXPTUI_OUTPUT/metrics.jsonl"')
    (space.configs / "a.toml").write_text("max-epochs = 4\n")
    row = read_run(space.show(finished(space)), Memory())
    assert (row.step, row.steps) == (last, steps)
