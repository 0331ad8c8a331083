"""What the kernel says of memory, in each place where it may say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptui.core.runs import process


@pytest.mark.parametrize(
    ("cgroup", "file", "text"),
    [
        ("0::/user.slice/a", "user.slice/a/memory.events", "low 0\noom 2\noom_kill 3\n"),
        ("0::/", "memory.events", "oom_kill 3\n"),
        ("0::/host/path", "memory.events", "oom_kill 3\n"),  # in a container, whose own is the root
        ("9:cpu:/\n4:memory:/x\n0::/", "memory/x/memory.oom_control", "under_oom 0\noom_kill 3\n"),
    ],
)
def test_processes_killed_for_want_of_memory(tmp_path: Path, cgroup: str, file: str, text: str) -> None:
    assert process.oom_kills(tmp_path) == 0
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"{cgroup}\n")
    assert process.oom_kills(tmp_path) == 0
    path = tmp_path / "sys/fs/cgroup" / file
    path.parent.mkdir(parents=True)
    path.write_text("nonsense\n")
    assert process.oom_kills(tmp_path) == 0
    path.write_text(text)
    assert process.oom_kills(tmp_path) == 3


def test_this_machine_is_asked_without_an_error() -> None:
    assert process.oom_kills() >= 0
