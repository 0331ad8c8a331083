"""What is noticed of a run, and that it is told once."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core import alerts
from exptui.core.alerts import Alert, Rules, Threshold
from exptui.core.monitor.readers import matching
from exptui.core.runs import nightwatch
from exptui.core.runs.nightwatch import KNOWN, PATIENCE, Nightwatch, Rhythm
from exptui.core.runs.readings import LATER, SOON, Lines
from exptui.core.runs.run import Exit, RunState
from support import workspace

GOLDEN = Path(__file__).parents[1] / "monitor/readers/golden"
RULES = Rules(thresholds=(Threshold("loss", ">", 10), Threshold("accuracy", ">", 0.95)), stalled_after=60)


class Night:
    """A watch with a clock of its own."""

    def __init__(self, directory: Path, rules: Rules = RULES) -> None:
        self.at, self.directory, self.sent = 0.0, directory, list[tuple[str, str]]()
        messenger: Any = SimpleNamespace(
            tell=lambda event, text: self.sent.append((event, text)), close=lambda: self.sent.append(("", ""))
        )
        self.watch = Nightwatch(directory, 1, rules, messenger, lambda: self.at)

    def look(self, seconds: float = 1, output: str = "", rows: str = "") -> None:
        for name, text in (("trainer.log", output), ("metrics.jsonl", rows)):
            if text:
                with (self.directory / name).open("a") as file:
                    file.write(text)
        self.at += seconds
        self.watch.look(self.directory)

    @property
    def found(self) -> list[Alert]:
        return list(alerts.read(alerts.path(self.directory, 1)))


def words(found: list[Alert]) -> list[str]:
    return [f"{one.event}: {one.text}" for one in found]


def test_a_stall_is_a_silence_longer_than_the_runs_own_rhythm(tmp_path: Path) -> None:
    night = Night(tmp_path)
    (tmp_path / "trainer.log").touch()
    night.look()
    for _ in range(5):
        night.look(100, "x")  # longer than the least silence, and its rhythm
    night.look(299)
    assert night.found == []
    night.look(2)
    night.look(500)
    assert words(night.found) == ["stalled: no output for 5 min, where 100 s was its longest pause"]
    night.look(1, "x")  # it goes on, having been silent for 802 s
    night.look(2400)
    assert len(night.found) == 1
    night.look(10)
    assert [one.event for one in night.found] == ["stalled", "stalled"]
    assert [event for event, _ in night.sent] == ["stalled", "stalled"]


def test_while_its_rhythm_is_not_known_a_stall_takes_longer(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.look()
    night.look(359)
    assert night.found == []
    night.look(2)
    assert words(night.found) == ["stalled: no output for 6 min"]


@given(st.lists(st.floats(0.01, 1e6), max_size=30), st.floats(1, 1000))
def test_no_pause_it_has_made_before_is_a_stall(pauses: list[float], floor: float) -> None:
    rhythm, at = Rhythm(floor, 0), 0.0
    for pause in pauses:
        at += pause
        rhythm.heard(at)
    assert rhythm.limit >= floor
    if len(pauses) > KNOWN:
        assert rhythm.limit >= PATIENCE * max(pauses[1:]) * 0.999
    assert not rhythm.stalled(at + rhythm.limit * 0.999)
    assert rhythm.stalled(at + rhythm.limit * 1.001 + 1)
    assert not rhythm.stalled(at + rhythm.limit * 9)


def test_nan_and_thresholds_are_told_once_each(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.look(rows='{"step": 1, "train_loss": 3, "validate": {"accuracy": 0.5}}\n{"step": 2, "train_lo')
    assert night.found == []
    night.look(rows='ss": 11}\n{"step": 3, "train_loss": NaN, "val_loss": 1e400}\nnot json\n[1]\n')
    night.look(
        rows='{"step": 4, "train_loss": 12, "validate": {"accuracy": 0.96}}\n{"step": 5, "loss": NaN}\n'
    )
    assert words(night.found) == [
        "threshold: train_loss is 11 at step 2 (> 10)",
        "nan: train_loss is nan at step 3",
        "threshold: validate.accuracy is 0.96 at step 4 (> 0.95)",
    ]
    assert night.sent == [(one.event, one.text) for one in night.found]


def test_a_second_supervisor_of_the_attempt_does_not_repeat(tmp_path: Path) -> None:
    Night(tmp_path).look(rows='{"loss": 11}\n')
    again = Night(tmp_path)
    again.look(rows='{"loss": NaN}\n')
    assert [one.event for one in again.found] == ["threshold", "nan"]
    assert [event for event, _ in again.sent] == ["nan"]


def test_the_last_rows_and_the_report_are_looked_at_before_the_end_is_told(tmp_path: Path) -> None:
    night = Night(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"loss": 1}\n' * 300_000 + '{"loss": 11}\n')
    (tmp_path / "metrics.json").write_text('{"accuracy": 0.99}')
    night.look()
    assert night.found == []  # only a block a second
    night.watch.last_look(tmp_path)
    assert [one.event for one in night.found] == ["threshold", "threshold"]
    night.watch.ended(RunState.FAILED, Exit(signal=9, error="a\x1b]0;b"))
    assert night.sent[2:] == [("failed", "signal 9  a␛]0;b"), ("", "")]
    assert len(night.found) == 2


def test_only_the_events_that_were_chosen_are_sent(tmp_path: Path) -> None:
    night = Night(tmp_path, Rules(events=("nan",)))
    night.look(rows='{"loss": NaN}\n')
    night.watch.ended(RunState.STOPPED, Exit(stop_requested=True))
    assert [event for event, _ in night.sent] == ["nan", ""]


def test_a_full_disk_is_told_by_its_size_or_by_what_it_refuses_and_written_down_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(tmp_path)
    (tmp_path / "attempts").write_text("in the way")
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=10, f_frsize=4096))
    night.look()
    night.look()
    night.watch.refused(OSError(errno.ENOSPC, "No space left on device"))
    assert [event for event, _ in night.sent] == ["disk"]
    assert night.found == []
    (tmp_path / "attempts").unlink()
    night.look()
    assert [one.event for one in night.found] == ["disk"]

    quota = Night(tmp_path / "attempts")
    quota.watch.refused(OSError(errno.EIO, "Input/output error"))
    quota.watch.refused(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert [event for event, _ in quota.sent] == ["disk"]


def test_a_defect_of_ours_ends_the_watching_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(nightwatch, "note", notes.append)
    night = Night(tmp_path)
    monkeypatch.setattr(night.watch, "_listen", lambda _: 1 // 0)
    night.look()
    night.look()
    assert len(notes) == 1
    assert "ZeroDivisionError" in notes[0]


def test_names_from_a_trainer_reach_nobodys_terminal(tmp_path: Path) -> None:
    night = Night(tmp_path)
    name = "\x1b]9;evil\x07\x9d\u202e[/x]loss"
    night.look(rows=json.dumps({name: float("nan")}) + "\n" + json.dumps({f"{name}.loss": 11}) + "\n")
    assert len(night.sent) == 2
    assert all(text.isprintable() for _, text in night.sent)


@given(st.lists(st.one_of(st.just(b'{"a": 1}'), st.binary(max_size=12)), max_size=8), st.data())
def test_rows_come_out_the_same_however_a_file_grows(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    path = tmp_path_factory.mktemp("rows") / "metrics.jsonl"
    path.write_bytes(whole)
    expected = Lines().read(path)
    assert sum(row == {"a": 1} for row in expected) >= lines.count(b'{"a": 1}')
    grown, found = Lines(), []
    path.write_bytes(b"")
    at = 0
    while at < len(whole):
        step = data.draw(st.integers(1, 9))
        with path.open("ab") as file:
            file.write(whole[at : at + step])
        at += step
        found += grown.read(path)
    assert found == expected


def test_a_file_that_was_cut_or_replaced_is_read_from_its_start(tmp_path: Path) -> None:
    path, rows = tmp_path / "metrics.jsonl", Lines()
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert len(rows.read(path)) == 2
    path.write_text('{"a": 3}\n')
    assert rows.read(path) == [{"a": 3}]
    other = tmp_path / "other"
    other.write_text('{"a": 4}\n{"a": 5}\n')
    other.rename(path)
    assert rows.read(path) == [{"a": 4}, {"a": 5}]
    path.write_bytes(b"x" * (3 << 20))
    assert [rows.read(path) for _ in range(4)] == [[]] * 4


WRITES = {
    "version_0/metrics.csv": ("epoch,step,val_loss\n", "0,{step},{value}\n"),
    "trainer.log": ("hello\n", "epoch {step}: val loss {value:.1f}\n"),
    "history.jsonl": ("", '{{"step": {step}, "val": {{"loss": {value}}}}}\n'),
}


@pytest.mark.parametrize("name", WRITES)
def test_numbers_count_in_whatever_file_the_screens_read(tmp_path: Path, name: str) -> None:
    night, path, (head, row) = Night(tmp_path), tmp_path / name, WRITES[name]
    path.parent.mkdir(exist_ok=True)
    path.write_text(head + row.format(step=1, value=3))
    night.look(SOON)
    night.look()
    assert night.found == []
    with path.open("a") as file:
        file.write(row.format(step=2, value=12))
    night.look()
    (found,) = words(night.found)
    assert found.startswith("threshold: val")
    assert found.endswith("loss is 12 at step 2 (> 10)")


def test_a_short_run_is_read_when_it_has_ended(tmp_path: Path) -> None:
    night = Night(tmp_path)
    shutil.copytree(GOLDEN / "stable_baselines3", tmp_path, dirs_exist_ok=True)
    night.watch.rules = Rules(thresholds=(Threshold("rollout/ep_len_mean", ">", 1),))
    night.watch.last_look(tmp_path)
    assert "rollout/ep_len_mean is" in words(night.found)[0]


def test_what_only_writes_numbers_is_not_silent(tmp_path: Path) -> None:
    night, path = Night(tmp_path), tmp_path / "metrics.csv"
    path.write_text("step,lr\n0,1\n")
    night.look(SOON)
    for step in range(30):
        with path.open("a") as file:
            file.write(f"{step},1\n")
        night.look(50)
    assert night.found == []
    night.look(400)
    assert [one.event for one in night.found] == ["stalled"]


def test_declared_patterns_count_and_no_process_works_at_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = list[int](), matching.answer

    def counted(patterns: Sequence[str], lines: Sequence[str]) -> dict[str, Any]:
        asked.append(len(patterns))
        return answer(patterns, lines)

    monkeypatch.setattr(matching, "_start", pytest.fail)
    monkeypatch.setattr(matching, "answer", counted)
    space = workspace(tmp_path, metrics=["(b+)+(?P<x>c)", r"^at (?P<step>\d+): (?P<val_loss>\S+)"])
    directory = space.results / "a_20261109T120000Z"
    directory.mkdir(parents=True)
    night = Night(directory)
    night.look(SOON, output=f"at 1: 3\nloss=99\n{'b' * 60}\n")
    night.look(LATER, output="at 2: nan\nat 3: 12\n")
    assert words(night.found) == [
        "nan: val_loss is nan at step 2",
        "threshold: val_loss is 12 at step 3 (> 10)",
    ]
    assert asked == [2, 1]  # the slow one is used no more
