"""The packages that were recorded, for the re-run: exactly they, or it is said what could not be had."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from exptui.core.audit.report import Verdict
from exptui.core.workspace import Workspace
from support import finished, verified, workspace

TRAIN = 'import os, toy; open(os.environ["EXPTUI_OUTPUT"] + "/model", "w").write(toy.VALUE)\n'


def wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel of one module that knows its version."""
    folder.mkdir(exist_ok=True)
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f'VALUE = "{version}"\n')
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(
            f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    return path


def put(project: Path, *wheels: Path) -> None:
    """Let the project's own environment hold these and nothing else."""
    (site,) = (project / ".venv").glob("lib/python3*/site-packages")
    shutil.rmtree(site)
    for path in wheels:
        zipfile.ZipFile(path).extractall(site)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip finds packages, and nowhere else."""
    folder = tmp_path / "wheels"
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(folder)), ("UV_NO_INDEX", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def space(tmp_path: Path, wheels: Path) -> Workspace:
    """A project with an environment of its own, which held `toy` 1.0 when its one run was archived and has 2.0 now."""
    made = workspace(tmp_path, "", command=["python", "train.py"])
    (tmp_path / "train.py").write_text(TRAIN)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    put(tmp_path, wheel(wheels, "toy", "1.0"), wheel(wheels, "other", "3"))
    made.archive(finished(made))
    put(tmp_path, wheel(wheels, "toy", "2.0"), wheel(wheels, "other", "3"))
    return made


def test_the_recorded_versions_bring_back_the_result(space: Workspace) -> None:
    now = verified(space, "a")
    assert now.verdict is Verdict.DIVERGED
    assert "package toy 1.0 → 2.0" in now.suspects
    then = verified(space, "a", prepare_env=True)
    assert then.verdict is Verdict.REPRODUCED, then.reason
    assert then.environment == ()
    assert "2 packages as recorded" in then.prepared
    directory = next(space.archives.glob("restoration/*"))
    assert not list(space.archives.glob("restoration/*/env")), directory


def test_what_cannot_be_had_is_said_and_nothing_else_is_taken(space: Workspace, wheels: Path) -> None:
    (wheels / "toy-1.0-py3-none-any.whl").unlink()
    report = verified(space, "a", prepare_env=True)
    assert report.verdict is Verdict.UNKNOWN
    assert "1 of 2 recorded packages cannot be had: toy==1.0" in report.reason
    assert report.command == ()


def test_of_a_run_without_python_nothing_can_be_prepared(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    finished(space)
    report = verified(space, "a", prepare_env=True)
    assert (report.verdict, report.reason) == (Verdict.UNKNOWN, "the original records no Python packages")


def test_without_the_recorded_python_there_is_no_other(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    report = verified(space, "a", prepare_env=True)
    assert report.verdict is Verdict.UNKNOWN
    assert report.reason == f"Python 3.{sys.version_info[1]} is not here"
