"""The cockpit in a real terminal (tmux): run, watch, hang up, come back, compare, archive, verify."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from support import until, workspace

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not on this machine")

# Ten steps, each when the test says so: nothing here depends on how fast the machine is.
TRAINER = r"""
cd "$EXPTUI_OUTPUT"
for i in 1 2 3 4; do
  while [ ! -e "{gate}/$i" ]; do sleep 0.02; done
  echo "step $i of 4"
  echo "{{\"epoch\": $i, \"train_loss\": 0.$((9 - i)), \"validate_accuracy\": 0.$((4 + i))}}" >> metrics.jsonl
done
echo '{{"accuracy": 0.8, "final_loss": 0.5}}' > metrics.json
"""


class Terminal:
    """One tmux session that runs exptui."""

    def __init__(self, socket: str, cwd: Path, columns: int, rows: int) -> None:
        self.base = ["tmux", "-L", socket, "-f", "/dev/null"]
        self.cwd, self.size = cwd, (columns, rows)

    def open(self) -> None:
        """Start a session; the cockpit is its only process."""
        columns, rows = self.size
        subprocess.run(
            [
                *self.base,
                "new-session",
                "-d",
                "-s",
                "x",
                "-x",
                str(columns),
                "-y",
                str(rows),
                "-c",
                str(self.cwd),
                f"{sys.executable} -m exptui; echo EXIT $?; exec cat",
            ],
            check=True,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        )

    def keys(self, *pressed: str) -> None:
        """Press keys."""
        subprocess.run([*self.base, "send-keys", "-t", "x", *pressed], check=True)

    def screen(self) -> str:
        """What is to be seen."""
        done = subprocess.run(
            [*self.base, "capture-pane", "-p", "-t", "x"], capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stdout
        return done.stdout

    def shows(self, text: str) -> None:
        """Wait until a text is on the screen."""
        try:
            until(lambda: text in self.screen(), 30)
        except AssertionError:
            raise AssertionError(f"{text!r} never came:\n{self.screen()}") from None

    def lacks(self, text: str) -> None:
        """Wait until a text has gone."""
        until(lambda: text not in self.screen(), 30)

    def pid(self) -> int:
        """The cockpit's process."""
        done = subprocess.run(
            [*self.base, "display", "-p", "-t", "x", "#{pane_pid}"],
            capture_output=True,
            text=True,
            check=True,
        )
        return next(p.pid for p in psutil.Process(int(done.stdout)).children(recursive=True))

    def kill(self) -> None:
        """The terminal goes away, and every process on it gets its hang-up."""
        subprocess.run([*self.base, "kill-server"], check=False, capture_output=True)


@pytest.fixture(params=[(120, 40), (80, 24)], ids=["120x40", "80x24"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(f"exptui-{os.getpid()}-{request.param[0]}", tmp_path, *request.param)
    yield made
    made.kill()


def gate(tmp_path: Path, *steps: int) -> None:
    (tmp_path / "gate").mkdir(exist_ok=True)
    for step in steps:
        (tmp_path / "gate" / str(step)).touch()


def test_from_the_first_run_to_the_verdict(terminal: Terminal, tmp_path: Path) -> None:
    space = prepared(tmp_path)
    terminal.open()
    terminal.shows("1 Configs 2")
    terminal.keys("1")
    terminal.keys("r")
    terminal.shows("Run a")
    terminal.keys("Enter")
    until(lambda: [row.state for row in space.list_runs()] == [RunState.RUNNING])
    first = space.list_runs()[0].run_id

    gate(tmp_path, 1)
    terminal.keys("2")
    terminal.shows("25%")
    terminal.keys("0")
    terminal.shows("epoch 1/4")
    gate(tmp_path, 2)
    terminal.shows("epoch 2/4")
    terminal.keys("L")
    terminal.shows("step 2 of 4")

    cockpit = terminal.pid()
    terminal.kill()
    until(lambda: not psutil.pid_exists(cockpit))
    assert space.show(first).state is RunState.RUNNING
    gate(tmp_path, 3, 4)
    until(lambda: space.show(first).state is RunState.FINISHED)

    finish(space, "b")
    terminal.open()
    terminal.shows("2 Runs 2")
    terminal.keys("2")
    terminal.shows("✔ a")
    terminal.keys("*")
    terminal.shows("2 marked")
    terminal.keys("d")
    terminal.shows("vs")
    terminal.keys("m")
    until(lambda: list((space.results / "comparisons").glob("*_vs_*.md")))
    terminal.keys("Escape")
    terminal.shows("2 Runs")
    terminal.keys("Escape")
    terminal.lacks("marked")

    terminal.keys("2", "G")
    terminal.keys("a")
    terminal.shows("Archive a_")
    terminal.keys("y")
    until(lambda: (space.archives / f"{first}.tar.gz").exists() and not (space.results / first).exists())
    terminal.keys("3")
    terminal.shows("not verified")
    terminal.keys("V")
    terminal.shows("Verify a_")
    terminal.keys("Enter")
    terminal.shows("REPRODUCED")
    terminal.keys("0", "[")
    terminal.shows("REPRODUCED  2 of 2 files equal")
    terminal.keys("q")
    terminal.shows("EXIT 0")


def prepared(tmp_path: Path) -> Workspace:
    gate(tmp_path)
    space = workspace(tmp_path, TRAINER.format(gate=tmp_path / "gate"))
    for name, seed in (("a", 7), ("b", 8)):
        (space.configs / f"{name}.toml").write_text(f"[engine]\nbase_seed = {seed}\nepochs = 4\n")
    return space


def finish(space: Workspace, name: str) -> None:
    directory = space.run(name)
    until(lambda: space.show(directory.name).state is RunState.FINISHED)


def test_a_terminal_that_is_gone_without_a_signal_ends_the_cockpit(tmp_path: Path) -> None:
    """A hang-up that is ignored: the kernel's POLLHUP alone must do."""
    workspace(tmp_path)
    master, slave = os.openpty()
    child = subprocess.Popen(
        ["sh", "-c", f"trap '' HUP; exec {sys.executable} -m exptui"],
        cwd=tmp_path,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(slave)
    seen = b""
    while b"Configs" not in seen:
        seen += os.read(master, 65536)
    os.close(master)
    try:
        child.wait(20)
    finally:
        child.kill()
    used = psutil.Process().children()
    assert child.pid not in [process.pid for process in used]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_ends_it_without_a_traceback(tmp_path: Path, number: signal.Signals) -> None:
    workspace(tmp_path)
    master, slave = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "exptui"],
        cwd=tmp_path,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(slave)
    seen = b""
    while b"Configs" not in seen:
        seen += os.read(master, 65536)
    child.send_signal(number)
    try:
        while chunk := os.read(master, 65536):
            seen += chunk
    except OSError:
        pass  # the other side is closed
    assert child.wait(20) == 128 + number
    assert b"Traceback" not in seen
    os.close(master)
