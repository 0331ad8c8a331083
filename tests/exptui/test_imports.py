"""What a start imports: nothing that its first frame or its answer does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support import workspace

HEAVY = ("textual", "rich", "asyncio", "numpy", "tomlkit", "watchfiles", "subprocess", "exptui.chronicle")


def imported(code: str, cwd: Path) -> set[str]:
    """The modules there are after some code ran in a fresh interpreter."""
    code += "\nimport sys; print(*sys.modules, sep='\\n', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines())


@pytest.mark.parametrize(
    ("words", "without"),
    [
        (["--version"], (*HEAVY, "argparse", "msgspec", "pathlib")),
        (["ls", "--json"], (*HEAVY, "tomli_w", "exptui.core.archive.seal", "exptui.core.audit.session")),
        (["logs", "--help"], (*HEAVY, "msgspec")),
    ],
)
def test_a_command_imports_only_what_it_needs(
    tmp_path: Path, words: list[str], without: tuple[str, ...]
) -> None:
    workspace(tmp_path)
    code = f"""
from exptui.cli import main
try:
    main({words!r})
except SystemExit:
    pass
"""
    assert not imported(code, tmp_path) & {*without}


def test_the_first_frame_imports_no_later_one(tmp_path: Path) -> None:
    later = {
        "numpy", "tomlkit", "watchfiles", "humanize", "ssl", "exptui.chronicle",
        "exptui.tui.braille", "exptui.tui.widgets.chart", "exptui.tui.widgets.log_view",
        "exptui.tui.screens.compare", "exptui.tui.screens.sheets", "exptui.tui.overview",
        "exptui.core.archive.seal", "exptui.core.audit.session", "exptui.core.runs.launch",
    }  # fmt: skip
    assert not imported("import exptui.tui.app", tmp_path) & later
    assert "ssl" in imported("import exptui.tui.app, ssl", tmp_path)


CLUSTER = {f"exptui.core.launchers.{name}" for name in ("slurm", "watch", "job", "node", "words", "heart")}


def test_who_has_no_cluster_imports_nothing_of_it(tmp_path: Path) -> None:
    workspace(tmp_path)
    used = """
from pathlib import Path
from exptui.core.workspace import Workspace
space = Workspace.find()
run = space.run("a")
assert list(space.wait(run.name))[-1].state == "FINISHED"
space.list_runs(); space.recover(); space.cluster_says(space.list_runs())
import exptui.tui.app, exptui.tui.bridge, exptui.tui.screens.main, exptui.tui.screens.sheets
from exptui.cli import main
main(["ls"])
"""
    assert not imported(used, tmp_path) & CLUSTER
    assert CLUSTER - {"exptui.core.launchers.node"} <= imported(
        "import exptui.core.launchers.watch", tmp_path
    )
