"""Domain → text, without an app."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core.audit.compare import FileAudit
from exptui.core.audit.report import AuditReport, Change, Verdict
from exptui.core.curves import phases
from exptui.core.curves.series import Series
from exptui.tui import overview, present
from exptui.tui.commands import COMMANDS, bindings
from exptui.tui.screens.actions import Actions
from exptui.tui.screens.sheets import help_rows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9441, ".944"),
        (1.2034, "1.203"),
        (-0.5, "-0.500"),
        (0.0, "0.000"),
        (1e-7, "1e-07"),
        (None, "–"),
        (math.nan, "nan"),
        (1.0, "1.000"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert present.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4, "4 s"), (125, "2 min 5 s"), (11400, "3 h 10 min"), (187200, "2 d 4 h"), (3600, "1 h"), (-3, "0 s")],
)
def test_spans(seconds: float, text: str) -> None:
    assert present.span(seconds) == text


def test_ages_and_times() -> None:
    then = present.seconds("20261124T120000Z")
    assert then == present.seconds("2026-11-24T12:00:00Z")
    assert then is not None
    assert [present.age(then, then + past) for past in (4, 1200, 7200, 90000)] == [
        "4 s",
        "20 m",
        "2 h",
        "1 d",
    ]
    assert present.seconds("nonsense") is None


@given(st.floats(0, 1), st.integers(0, 80))
def test_a_bar_fills_its_width(share: float, width: int) -> None:
    done, left = present.bar(share, width)
    assert len(done) + len(left) == width


def test_metrics_are_found_by_their_base_name() -> None:
    assert (
        present.base_name("validate_loss")
        == present.base_name("final_loss")
        == present.base_name("val/loss")
        == "loss"
    )
    assert present.value_of({"train_loss": 1.0, "validate_loss": 2.0}, "loss") == 2.0
    assert present.value_of({"x": 1.0}, "") is None


def test_train_and_validate_share_a_chart() -> None:
    groups = phases.grouped(dict.fromkeys(("train_loss", "validate_loss", "val/acc", "lr"), Series.of(())))
    assert {base: list(members) for base, members in groups.items()} == {
        "loss": ["train", "validate"],
        "acc": ["val"],
        "lr": ["lr"],
    }
    names = (
        "train-logloss",
        "validation-logloss",
        "validation_0-auc",
        "valid_1-auc",
        "time/fps",
        "ep_rew_mean",
    )
    groups = phases.grouped(dict.fromkeys(names, Series.of(())))
    assert {base: list(members) for base, members in groups.items()} == {
        "logloss": ["train", "validation"],
        "auc": ["validation_0", "valid_1"],
        "time/fps": ["time/fps"],
        "ep_rew_mean": ["ep_rew_mean"],
    }
    assert phases.leading(groups) == ["auc", "ep_rew_mean", "logloss", "time/fps"]
    assert phases.leading(("lr", "mse", "accuracy", "f1", "loss")) == [
        "loss",
        "accuracy",
        "f1",
        "mse",
        "lr",
    ]
    assert present.base_name("validation-logloss") == "logloss"


def test_the_curve_that_stands_for_a_run_is_of_no_training() -> None:
    one, other, last = (Series.of(((1, at),)) for at in (0.0, 1.0, 2.0))
    assert phases.held_out({"train": one, "loss": other}, "loss") is other
    assert phases.held_out({"train": one, "loss": other, "validation_0": last}, "loss") is last
    assert phases.held_out({"train": one}, "loss") is one
    assert phases.held_out({}, "loss") is None


def test_an_audit_leads_with_the_divergence() -> None:
    report = AuditReport(
        run_id="r",
        verdict=Verdict.DIVERGED,
        reason="",
        source="s",
        first_mismatch_cycle=3,
        mismatch_details=(Change("loss", "1", "2"),),
        suspects=("code differs",),
        files=(
            FileAudit(path="a", file_class="identity", status="equal"),
            FileAudit(path="b", file_class="identity", status="differs", offset=7),
        ),
    )
    texts = ["".join(text for text, _ in row.left) for row in overview.audit_rows([report])]
    assert texts[0] == "✗ DIVERGED  at cycle 3 (loss 1 → 2), 1 of 2 files differ"
    assert (
        next(text for text in texts if text.startswith(("  equal", "  differs")))
        == "  differs               b  (from byte 7)"
    )
    narrow = ["".join(text for text, _ in row.left) for row in overview.audit_rows([report], width=30)]
    assert narrow[:2] == ["✗ DIVERGED  at cycle 3 (loss 1", "            → 2), 1 of 2 files"]
    assert "".join(narrow).replace(" ", "") == "".join(texts).replace(" ", "")
    assert overview._wrapped("identity     " + "a" * 20, 28) == [
        "identity     " + "a" * 15,
        " " * 13 + "a" * 5,
    ]


def test_every_command_has_an_action_a_key_and_a_line_of_help() -> None:
    assert all(hasattr(Actions, f"action_{command.name}") for command in COMMANDS)
    keys = [key for command in COMMANDS for key in command.keys.split(",")]
    assert len(keys) == len(set(keys))
    assert len(bindings()) == len(COMMANDS)
    shown = {row.key for row in help_rows()}
    assert all(sum(len(text) for text, _ in row.left) <= 68 for row in help_rows())
    assert {command.name for command in COMMANDS} <= shown
