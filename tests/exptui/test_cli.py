"""The command line as a user meets it: exit codes, hints, JSON, and nothing raw on the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from exptui import cli
from exptui.core.workspace import Workspace
from support import finished, workspace


def exptui(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exptui", *words], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def test_init_run_ls_show_logs(tmp_path: Path) -> None:
    assert exptui("init", cwd=tmp_path).returncode == 0
    (tmp_path / "experiments/exptui.toml").write_text('[trainer]\ncommand = ["sh", "-c", "echo trained"]\n')
    done = exptui("run", "first", "--follow", cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["trained"])
    (listed,) = json.loads(exptui("ls", "--json", cwd=tmp_path).stdout)
    assert listed["state"] == "FINISHED"
    assert listed["record"]["exit"]["code"] == 0
    assert "FINISHED" in exptui("show", "first", cwd=tmp_path).stdout
    assert exptui("logs", "first", cwd=tmp_path).stdout == "trained\n"


def test_a_failed_run_is_3_and_bad_input_is_2_with_a_hint(tmp_path: Path) -> None:
    workspace(tmp_path, "exit 1")
    assert exptui("run", "a", "--wait", cwd=tmp_path).returncode == 3
    refused = exptui("run", "nope", cwd=tmp_path)
    assert refused.returncode == 2
    assert "→" in refused.stderr
    assert "Traceback" not in refused.stderr


EARLY = """
import sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "exptui.cli": raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from exptui.__main__ import main
sys.exit(main())
"""


def test_an_interrupt_before_the_commands_are_there_shows_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (5, "\nexptui: interrupted\n")


def test_a_command_that_writes_recovers_first_and_says_so(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    left = space.configs / ".a.toml.4194305.partial"  # of a process number that Linux does not give
    left.touch()
    done = exptui("run", "a", "--wait", cwd=tmp_path)
    assert (done.returncode, left.exists()) == (0, False)
    assert f"recovered: removed the unfinished {left.name}" in done.stderr


def test_an_internal_error_is_70(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object) -> Workspace:
        raise ZeroDivisionError("\x1b]52;c;x\x07")

    monkeypatch.setattr(Workspace, "find", broken)
    assert cli.main(["ls"]) == 70
    assert "\x1b" not in capsys.readouterr().err


def test_hostile_text_never_reaches_the_terminal_raw(tmp_path: Path) -> None:
    space = workspace(tmp_path, r"printf '\033]52;c;x\007[/x]\302\2332J\000\377\n'")
    name = "by\x1b[2Jhand"
    (space.results / name).mkdir(parents=True)
    done = exptui("run", "a", "--follow", cwd=tmp_path)
    for shown in (
        done,
        exptui("ls", cwd=tmp_path),
        exptui("show", "a", cwd=tmp_path),
        exptui("show", name, cwd=tmp_path),
    ):
        assert not any(
            (c < "\x20" and c != "\n") or "\x7f" <= c < "\xa0" for c in shown.stdout + shown.stderr
        )
    assert "[/x]" in done.stdout


def test_core_imports_neither_textual_nor_rich() -> None:
    code = """
import pkgutil, importlib, sys, exptui.core
for module in pkgutil.walk_packages(exptui.core.__path__, "exptui.core."):
    importlib.import_module(module.name)
print(sorted({"textual", "rich", "tiny_agent_trainer"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"


def test_a_run_against_several_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = workspace(tmp_path)
    ids = [space.run("a").name for _ in range(3)]
    for run_id in ids:
        list(space.wait(run_id))
    assert cli.main(["--workspace", str(space.root), "diff", *ids, "--markdown"]) == 0
    assert capsys.readouterr().out.count("## Metrics") == 1
    assert len(list((space.results / "comparisons").glob("*.md"))) == 1


def test_show_has_the_numbers_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = workspace(
        tmp_path, 'for n in 1 2 3; do echo "epoch $n lr=$n val_loss=0.$n"; done; echo "loss: nan"'
    )
    name = finished(space)
    assert cli.main(["--workspace", str(space.root), "show", "a"]) == 0
    assert "metrics        val_loss 0.3  loss nan  lr 3\n" in capsys.readouterr().out
    assert cli.main(["--workspace", str(space.root), "show", name, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["series"]["val_loss"] == [[1, 0.1], [2, 0.2], [3, 0.3]]
    assert (shown["metrics"], shown["step"]) == ({"lr": 3.0, "val_loss": 0.3, "loss": None}, 3)
