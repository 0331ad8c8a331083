"""What `[alerts]` may say, and who may say it."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core import alerts, doctor, settings, user
from exptui.core.alerts import EVENTS, Alert, Rules, Threshold
from exptui.core.errors import ConfigError

HERE = Path("exptui.toml")


def test_conditions() -> None:
    found = alerts.rules({"accuracy": ">0.95", "loss": " <= -1e-3 ", "stalled_after": 60.0}, HERE)
    assert found.thresholds == (Threshold("accuracy", ">", 0.95), Threshold("loss", "<=", -0.001))
    assert found.stalled_after == 60
    assert "stopped" not in found.events


@pytest.mark.parametrize(
    "table",
    [
        {"loss": "10"},
        {"loss": ">"},
        {"loss": ">1.2.3"},
        {"loss": 10.0},
        {"stalled_after": 0.0},
        {"stalled_after": "1"},
        {"stalled_after": math.inf},
        {"loss": (">1",)},
    ],
)
def test_what_means_nothing_is_refused_with_its_place(table: alerts.Table) -> None:
    for own in (False, True):
        with pytest.raises(ConfigError, match=rf"exptui.toml: \[alerts\] {next(iter(table))}"):
            alerts.rules(table, HERE, own=own)


@pytest.mark.parametrize(
    "table",
    [
        {"command": ()},
        {"command": ("",)},
        {"command": "mail"},
        {"command": ("mail", "{user}")},
        {"events": ("died",)},
        {"events": "failed"},
    ],
)
def test_a_command_that_cannot_be_is_refused(table: alerts.Table) -> None:
    with pytest.raises(ConfigError):
        alerts.rules(table, HERE, own=True)


@pytest.mark.parametrize("line", ['command = ["evil"]', 'events = ["failed"]'])
def test_a_workspace_names_no_command(tmp_path: Path, line: str) -> None:
    path = tmp_path / "exptui.toml"
    path.write_text(f"[alerts]\n{line}\n")
    with pytest.raises(ConfigError, match="only your own settings"):
        settings.load(path)
    path.write_text('[alerts]\nloss = ">10"\nstalled_after = 60\n')
    assert settings.load(path).alerts == {"loss": ">10", "stalled_after": 60}


def test_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "exptui").mkdir()
    file = tmp_path / "exptui/config.toml"
    file.write_text('[alerts]\ncommand = ["./tell", "{text}"]\nevents = ["failed"]\nloss = ">10"\n')
    mine = user.load().alerts
    assert mine.command == (str(file.parent / "./tell"), "{text}")
    assert mine.events == ("failed",)
    both = mine.over(alerts.rules({"loss": ">99", "acc": ">1", "stalled_after": 9.0}, HERE))
    assert [str(one) for one in both.thresholds] == ["loss > 99", "acc > 1"]
    assert (both.command, both.events, both.stalled_after) == (mine.command, mine.events, 9)
    assert mine.over(Rules()) == mine


@pytest.mark.parametrize(("sign", "values"), [(">", (2,)), (">=", (1, 2)), ("<", (0,)), ("<=", (0, 1))])
def test_signs(sign: str, values: tuple[int, ...]) -> None:
    one = Threshold("loss", sign, 1)
    assert tuple(v for v in (0, 1, 2) if one.crossed(v)) == values
    assert not one.crossed(math.nan)


def test_a_name_is_the_metrics_or_its_end() -> None:
    one = Threshold("loss", ">", 1)
    names = ("loss", "train_loss", "val/loss", "a.loss", "closs", "loss_x")
    assert [name for name in names if one.concerns(name)] == list(names[:4])


@given(st.text(), st.sampled_from(EVENTS))
def test_what_stands_in_a_value_is_no_placeholder(text: str, event: str) -> None:
    values = {"run_id": "{text}", "event": event, "text": text, "path": "/"}
    assert alerts.fill(("a", "{run_id}", "-{text}-{event}", "{no}"), values) == [
        "a", "{text}", f"-{text}-{event}", "{no}",
    ]  # fmt: skip


@given(st.lists(st.text(), max_size=4), st.binary(max_size=40))
def test_a_damaged_line_hides_no_other(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], junk: bytes
) -> None:
    file = tmp_path_factory.mktemp("alerts") / "1.alerts.jsonl"
    kept = [Alert(at="t", event="nan", text=text, key="k") for text in texts]
    bad = b"!" + junk.replace(b"\n", b"")
    file.write_bytes(b"\n".join([bad, *map(msgspec.json.encode, kept), bad]))
    assert list(alerts.read(file)) == kept
    assert alerts.read(file.with_name("missing")) == ()


def test_doctor_says_whether_the_command_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "exptui").mkdir()

    def found(text: str) -> list[tuple[str, str]]:
        (tmp_path / "exptui/config.toml").write_text(f"[alerts]\n{text}\n")
        return [(one.mark, one.what) for one in doctor._own()]

    assert found("") == []
    assert found('command = ["sh", "{text}"]') == [("ok", "alerts")]
    assert found('command = ["/missing"]') == [("bad", "alerts")]
    assert found("command = 1") == [("bad", "your settings")]
