"""The user's alert command, run with no cockpit open: whatever it does, the run is not its matter."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from exptui.core import alerts
from exptui.core.runs import messenger
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from soak.supervision import ended, is_gone, record_of, trainer_of
from support import until, verified, workspace

SAY = ("sh", "-c", 'echo "$1 $2 $3" >> "$0"')


class Mine:
    """The user's own settings and what is remembered."""

    def __init__(self, parent: Path) -> None:
        self.parent, self.said = parent, parent / "said"
        (parent / "exptui").mkdir()

    def tell(self, *command: str, more: str = "") -> None:
        listed = ", ".join(repr(word) for word in command)
        (self.parent / "exptui/config.toml").write_text(f"[alerts]\ncommand = [{listed}]\n{more}\n")

    def say(self, more: str = "") -> None:
        self.tell(*SAY[:2], SAY[2], str(self.said), "{run_id}", "{event}", "{text}", more=more)

    @property
    def lines(self) -> list[str]:
        return self.said.read_text().splitlines() if self.said.exists() else []

    @property
    def log(self) -> str:
        path = self.parent / "exptui/alerts.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mine:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return Mine(home)


def launched(parent: Path, script: str) -> tuple[Workspace, Path]:
    space = workspace(parent, script)
    return space, space.run("a")


def test_the_command_hears_of_what_happened_and_of_the_end(tmp_path: Path, mine: Mine) -> None:
    mine.say('loss = ">10"')
    space, directory = launched(
        tmp_path, 'echo "{\\"step\\": 1, \\"loss\\": 11}" > "$EXPTUI_OUTPUT/metrics.jsonl"; exit 7'
    )
    assert ended(space, directory) is RunState.FAILED
    until(lambda: len(mine.lines) == 2)
    assert mine.lines == [
        f"{directory.name} threshold loss is 11 at step 1 (> 10)",
        f"{directory.name} failed exit code 7",
    ]
    assert [one.event for one in alerts.read(alerts.path(directory, 1))] == ["threshold"]
    assert mine.log == ""


def test_a_run_that_was_archived_at_once_keeps_one_identity(tmp_path: Path, mine: Mine) -> None:
    """Nothing is written into a run's directory after its end."""
    mine.tell("false")
    space, directory = launched(tmp_path, "true")
    assert ended(space, directory) is RunState.FINISHED
    files = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    until(lambda: "false: exit code 1" in mine.log)
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == files


@pytest.mark.parametrize(
    ("command", "log"),
    [
        (("/missing/{event}", "x"), "/missing/finished: No such file or directory"),
        (("sh", "-c", "kill -9 $$"), "sh: signal 9"),
        (("sh", "-c", 'printf "no\\033]0;x"; exit 3'), "sh: exit code 3: no␛]0;x"),
        (("sh", "-c", "echo now; sleep 60"), "sh: ended after 1 s: now"),
        (("sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1; done"), "sh: ended after 1 s"),
        (("cat", "/dev/zero"), "cat: ended after 1 s"),
    ],
)
def test_a_command_that_fails_is_noted(
    tmp_path: Path, mine: Mine, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], log: str
) -> None:
    monkeypatch.setattr(messenger, "TIMEOUT", 1.0)
    before = set(psutil.Process().children(recursive=True))
    messenger.deliver(command, {"run_id": "a", "event": "finished", "text": "", "path": ""})
    assert f"a finished: {log}" in mine.log
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_command_that_hangs_holds_up_neither_the_run_nor_its_slot_nor_its_stop(
    tmp_path: Path, mine: Mine
) -> None:
    mine.tell("sh", "-c", 'echo $$ >> "$0"; sleep 600', str(mine.said), more='loss = ">10"')
    space, directory = launched(
        tmp_path,
        'echo "{\\"loss\\": 11}" > "$EXPTUI_OUTPUT/metrics.jsonl"; echo $$ > "$EXPTUI_OUTPUT/pid"; exec sleep 60',
    )
    until(lambda: mine.lines)
    trainer, hanging = trainer_of(directory), int(mine.lines[0])
    until(lambda: record_of(directory).phase == "running")
    supervisor = record_of(directory).supervisor
    assert supervisor is not None
    family = {child.pid for child in psutil.Process(supervisor.pid).children(recursive=True)}
    assert family == {trainer}
    assert space.stop(directory.name).state is RunState.STOPPED
    until(lambda: is_gone(supervisor.pid))
    lock = record_of(directory).supervisor_lock
    assert lock is not None
    assert not Path(lock.path).exists()
    assert psutil.pid_exists(hanging)
    mess = psutil.Process(hanging).ppid()
    os.kill(mess, signal.SIGKILL)
    os.killpg(hanging, signal.SIGKILL)


def test_a_killed_supervisor_is_told(tmp_path: Path, mine: Mine) -> None:
    mine.say()
    space, directory = launched(tmp_path, 'echo $$ > "$EXPTUI_OUTPUT/pid"; exec sleep 60')
    trainer_of(directory)
    until(lambda: record_of(directory).phase == "running")
    supervisor = record_of(directory).supervisor
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    until(lambda: mine.lines)
    assert mine.lines[0].startswith(f"{directory.name} lost its supervisor is gone")
    assert space.show(directory.name).state is RunState.ORPHANED
    assert space.stop(directory.name).state is RunState.STOPPED


def test_a_killed_messenger_is_not_the_runs_matter(tmp_path: Path, mine: Mine) -> None:
    mine.tell("sh", "-c", 'echo $PPID >> "$0"; kill -9 $PPID', str(mine.said), more='loss = ">10"')
    space, directory = launched(
        tmp_path,
        'echo "{\\"loss\\": 11}" > "$EXPTUI_OUTPUT/metrics.jsonl"; until [ -e "$EXPTUI_OUTPUT/go" ]; do sleep 0.05; done',
    )
    until(lambda: mine.lines and not psutil.pid_exists(int(mine.lines[0])))
    (directory / "go").touch()
    assert ended(space, directory) is RunState.FINISHED
    until(lambda: "finished: could not be handed to the alert command: Broken pipe" in mine.log)


def test_settings_that_cannot_be_read_are_noted_and_the_run_goes_on(tmp_path: Path, mine: Mine) -> None:
    mine.tell("x", more="bogus = 1")
    space, directory = launched(tmp_path, "true")
    assert ended(space, directory) is RunState.FINISHED
    until(lambda: "runs without these alerts" in mine.log)


def test_a_re_run_tells_nobody(tmp_path: Path, mine: Mine) -> None:
    space, directory = launched(tmp_path, 'echo 1 > "$EXPTUI_OUTPUT/model"')
    assert ended(space, directory) is RunState.FINISHED
    mine.say()
    assert verified(space, directory.name).verdict == "REPRODUCED"
    assert mine.lines == []


def test_the_log_is_bounded(mine: Mine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messenger, "LOG_SIZE", 1000)
    for _ in range(20):
        messenger.note("x\n" * 100)
    assert len(mine.log) < 1500
    assert "\n" not in mine.log.rstrip("\n").replace("\n20", "")


def test_what_is_told_never_waits(mine: Mine) -> None:
    read, write = os.pipe2(os.O_NONBLOCK)
    told = messenger.Messenger(write)
    for _ in range(2000):  # more than any pipe takes
        told.tell("nan", "x" * 5000)
    assert "could not be handed" in mine.log
    os.close(read)
    told.close()
