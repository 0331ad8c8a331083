"""The figures of the long form: printed at the end, and kept in build/hostile.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile.world import FULL, World, counts, make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    base = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(base / "home"))
        return make(base)


@pytest.fixture
def world(made: World) -> Iterator[World]:
    """Its settings are in force for these tests only: others of the same process have signed nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(made.base / "home"))
        yield made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Only after a long run that passed: a figure that nothing stands behind is worse than none."""
    if FULL and exitstatus == 0:
        figures = {name: counts[name] for name in ("not refused", "executed", "bytes outside")} | dict(counts)
        path = terminalreporter.config.rootpath / "build/hostile.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
        for name, count in sorted(figures.items()):
            terminalreporter.write_line(f"{count:8,} {name}")
        terminalreporter.write_line(f"written to {Path('build/hostile.json')}")
