"""One archive, moved to where nothing else of it is: another directory, another home, another user, no workspace."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import exptui
from exptui.core.workspace import Workspace
from support import finished, workspace

SRC = Path(exptui.__file__).parents[1]
NOBODY = 65534 if os.geteuid() == 0 else None
TRAIN = 'cat lib/value > "$EXPTUI_OUTPUT/model"; cat "$EXPTUI_CONFIG" > "$EXPTUI_OUTPUT/seen"; echo trained\n'


@pytest.fixture
def there() -> Iterator[Path]:
    """A directory of the other user, with a home beside it."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        for folder in ("empty", "home"):
            (Path(name) / folder).mkdir()
            if NOBODY is not None:
                os.chown(Path(name) / folder, NOBODY, NOBODY)
        yield Path(name)


def elsewhere(
    there: Path, python: str, *words: str, terminal: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Exptui as another user with an empty home, in an empty directory."""
    paths = os.pathsep.join((str(SRC), sysconfig.get_path("purelib")))
    return subprocess.run(
        [python, *words],
        cwd=there / "empty",
        env={"PATH": os.defpath, "HOME": str(there / "home"), "USER": "other", "PYTHONPATH": paths},
        user=NOBODY,
        group=NOBODY,
        extra_groups=[] if NOBODY is not None else None,
        stdin=terminal or subprocess.DEVNULL,
        stdout=terminal or subprocess.PIPE,
        stderr=terminal or subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def python(there: Path) -> str:
    """An interpreter that the other user may execute."""
    for found in (sys.executable, f"/usr/bin/python3.{sys.version_info[1]}"):
        try:
            if elsewhere(there, found, "-c", "import exptui.core.workspace").returncode == 0:
                return found
        except OSError:
            continue
    pytest.skip("no interpreter here that another user may execute")


def archived(project: Path, there: Path, **more: object) -> tuple[Workspace, str]:
    """A run of a project under git, of whose archive nothing but the one file is in the other directory."""
    space = workspace(project, "", command=["sh", "train.sh"], snapshot=True, **more)
    (project / "lib").mkdir()
    (project / "lib/value").write_text("42\n")
    (project / "train.sh").write_text(TRAIN)
    for words in (["init", "-q"], ["add", "train.sh", "lib"]):
        subprocess.run(["git", "-C", project, *words], check=True)
    sealed = space.archive(finished(space))
    shutil.copy(sealed.path, there / "empty")
    return space, sealed.path.name


def test_the_file_alone_is_enough(tmp_path: Path, there: Path, python: str) -> None:
    _, name = archived(tmp_path / "project", there)
    shutil.rmtree(tmp_path / "project")
    refused = elsewhere(there, python, "-m", "exptui", "verify", name)
    assert refused.returncode == 2
    assert f"{name} is from elsewhere; it would run: sh train.sh with its own code: 2 files" in refused.stderr
    done = elsewhere(there, python, "-m", "exptui", "verify", name, "--yes", "--json")
    assert done.returncode == 0, (done.stdout, done.stderr)
    (report,) = json.loads(done.stdout)
    assert (report["verdict"], report["environment"]) == ("REPRODUCED", [])
    status = {file["path"]: file["status"] for file in report["files"]}
    assert status["model"] == status["seen"] == "equal"
    assert status["trainer.log"] == status["code.tar"] == "not compared"
    shown = done.stderr.splitlines()
    assert f"{name} is from elsewhere and will run:" in shown
    assert "  sh train.sh" in shown
    assert [path.name for path in (there / "empty").iterdir()] == [name]
    plain = elsewhere(there, python, "-m", "exptui", "verify", name, "--yes")
    assert "not compared          code.tar" in plain.stdout
    assert "as it was captured" in plain.stdout


@pytest.mark.parametrize("answer", ["y", "n"])
def test_it_asks_where_somebody_can_answer(tmp_path: Path, there: Path, python: str, answer: str) -> None:
    _, name = archived(tmp_path / "project", there)
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = elsewhere(there, python, "-m", "exptui", "verify", name, terminal=theirs)
    os.close(theirs)
    said = b""
    try:
        while block := os.read(ours, 65536):
            said += block
    except OSError:  # the end of a pty
        pass
    os.close(ours)
    text = said.decode()
    assert "Run this? [y/N]" in text
    assert "with its own code: 2 files" in text
    assert (done.returncode, "REPRODUCED" in text) == ((0, True) if answer == "y" else (2, False)), text


def test_a_word_for_what_is_no_file(there: Path, python: str) -> None:
    done = elsewhere(there, python, "-m", "exptui", "verify", "nothing.tar.gz", "--yes")
    assert done.returncode == 2
    assert "no experiments/ found" in done.stderr


def test_a_strangers_archive_among_ours_does_not_run_its_code(tmp_path: Path, there: Path) -> None:
    space, name = archived(tmp_path / "project", there)
    here = workspace(tmp_path / "here", "", command=["sh", "train.sh"])
    here.archives.mkdir()
    shutil.copy(space.archives / name, here.archives)
    here.recover()
    words = [
        sys.executable,
        "-m",
        "exptui",
        "--workspace",
        str(here.root),
        "verify",
        name.removesuffix(".tar.gz"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, "has code from elsewhere" in done.stderr) == (2, True), done.stderr
    here.restore(name.removesuffix(".tar.gz"))
    (here.archives / name).unlink()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, "has code from elsewhere" in done.stderr) == (2, True), done.stderr
    done = subprocess.run([*words, "--yes"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
