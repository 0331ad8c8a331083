"""How far a run says it is, by a pattern that may be anybody's."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptui.core.monitor.progress import said

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
    log.write_text("epoch 4/5\n")
    assert said(log, PATTERN) == (4, 5)
