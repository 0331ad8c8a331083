"""Bad input: what is wrong and what to do next, the right exit code, no traceback, and nothing changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from exptui.cli import main
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from support import until, workspace

NOBODY = 65534
PROBE = [sys.executable, "-c", "import exptui.tui.app"]
PLAIN_ROOT = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]


def listing(root: Path) -> dict[str, object]:
    """Every path below with its mode, and its bytes or where it leads."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        stat = path.lstat()
        what = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (stat.st_mode, what)
    return found


def exptui(
    root: Path, *words: str, before: Sequence[str] = (), **how: Any
) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-m", "exptui", *words]
    return subprocess.run(command, cwd=root.parent, capture_output=True, text=True, timeout=60, **how)


def refused(root: Path, *words: str, code: int, says: str = "", **how: Any) -> str:
    """Run it; it must refuse in one clear sentence with a hint, and change nothing."""
    before = listing(root)
    done = exptui(root, *words, **how)
    assert (done.returncode, done.stdout) == (code, ""), done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].startswith("exptui: "), done.stderr
    assert lines[1:], f"no hint: {done.stderr}"
    assert lines[1].startswith("  → "), done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert says in done.stderr
    assert listing(root) == before
    return lines[0]


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return initialized(tmp_path)


def initialized(parent: Path) -> Workspace:
    """With the directories that `exptui init` makes."""
    made = workspace(parent)
    made.results.mkdir()
    made.archives.mkdir()
    return made


def finished(space: Workspace) -> Path:
    directory = space.run("a")
    until(lambda: space.show(directory.name).state is RunState.FINISHED)
    return directory


@pytest.mark.parametrize("words", [("run",), ("run", "--wait"), ("run", "--set", "a=1")], ids=" ".join)
def test_a_config_with_a_syntax_error(space: Workspace, words: tuple[str, ...]) -> None:
    path = space.configs / "bad.toml"
    path.write_text('[engine]\nepochs = 3\nname = "x\n')
    said = refused(space.root, *words, "bad", code=2)
    assert str(path) in said
    assert "line 3" in said
    assert "column 10" in said


def test_a_config_that_is_not_utf_8(space: Workspace) -> None:
    (space.configs / "bad.toml").write_bytes(b'name = "\xff"\n')
    refused(space.root, "run", "bad", code=2, says="byte 8")


def test_a_missing_config(space: Workspace) -> None:
    refused(space.root, "run", "nowhere", code=2, says="exptui ls configs")


def test_the_second_of_two_configs_is_missing(space: Workspace) -> None:
    """Whatever was started is said; the error is as clear."""
    done = exptui(space.root, "run", "nowhere", "a")
    assert (done.returncode, done.stdout) == (2, "")
    assert list(space.results.glob("*")) == []


@pytest.mark.parametrize("name", ["outside.toml", "experiments/outside.toml"])
def test_a_config_outside_of_configs(space: Workspace, name: str) -> None:
    (space.root.parent / name).write_text("x = 1\n")
    refused(space.root, "run", f"./{name}", code=2, says="outside")


NAMES = ["../a", "..", ".", "a/b", "/", "/etc/passwd", "a/../../x", "", "n" * 300, "a b", "-x/..", "*"]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:12] or "empty")
@pytest.mark.parametrize(
    "command", ["run", "show", "stop", "resume", "archive", "restore", "check", "verify", "rm", "logs"]
)
def test_a_name_that_is_none(
    space: Workspace,
    command: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, as there are many."""
    monkeypatch.chdir(space.root.parent)
    before = listing(space.root)
    code = main([command, "--", name])
    said = capsys.readouterr()
    assert (code, said.out) == (2, ""), said.err
    assert said.err.splitlines()[1].startswith("  → ")
    assert listing(space.root) == before


def test_names_of_both_sides_and_of_what_was_removed(space: Workspace) -> None:
    refused(space.root, "diff", "../a", "a", code=2)
    refused(space.root, "rm", "--undo", "../a", code=2)
    refused(space.root, "rm", "--undo", code=2)
    refused(space.root, "rm", code=2)


def test_a_clone_gets_no_path_for_a_name(space: Workspace) -> None:
    refused(space.root, "run", "a", "--set", "=1", code=2)
    refused(space.root, "run", "a", "--set", "novalue", code=2)
    refused(space.root, "run", "a", "--set", "engine.base_seed.deep=1", code=2)


def settings(space: Workspace, text: str) -> None:
    (space.root / "exptui.toml").write_text(text)


def test_an_unknown_placeholder(space: Workspace) -> None:
    settings(space, '[trainer]\ncommand = ["sh", "-c", "true", "{outptu}"]\n')
    refused(space.root, "run", "a", code=2, says="{outptu}")
    assert list(space.results.glob("*")) == []


def test_a_placeholder_the_config_has_no_value_for(space: Workspace) -> None:
    (space.configs / "a.toml").write_text("x = 1\n")
    settings(space, '[trainer]\ncommand = ["sh", "{seed}"]\n')
    refused(space.root, "run", "a", code=2, says="{seed}")


def test_an_unknown_placeholder_in_the_working_directory(space: Workspace) -> None:
    settings(space, '[trainer]\ncommand = ["sh"]\ncwd = "{nowhere}"\n')
    refused(space.root, "run", "a", code=2, says="{nowhere}")


@pytest.mark.parametrize(
    "program", ["no-such-program", "./no-such-program", "/no/such", "n" * 300], ids=lambda p: p[:9]
)
def test_a_command_that_does_not_exist(space: Workspace, program: str) -> None:
    settings(space, f'[trainer]\ncommand = ["{program}"]\n')
    refused(space.root, "run", "a", code=3, says=program)
    done = exptui(space.root, "doctor")
    assert (done.returncode, done.stderr) == (3, "")
    assert program in done.stdout
    assert "  → " in done.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[trainer]\ncomand = ["sh"]\n', "comand"),
        ("[queue]\nslot = 1\n", "slot"),
        ("[quue]\nslots = 1\n", "quue"),
        ('[queue]\nslots = "two"\n', "slots"),
        ("[trainer]\ncommand = []\n", "empty"),
        ("[trainer\n", "line 1, column 9"),
        ('[trainer]\nenvironment = { pass = ["HF_TOKEN"] }\n', "HF_TOKEN"),
    ],
)
def test_a_settings_file_that_cannot_be_used(space: Workspace, text: str, says: str) -> None:
    settings(space, text)
    refused(space.root, "run", "a", code=2, says=says)


# Permissions


@pytest.fixture
def readable() -> Iterator[Path]:
    """A directory that everybody may enter; pytest's own are private."""
    made = Path(tempfile.mkdtemp(prefix="exptui-test-"))
    made.chmod(0o755)
    yield made
    for path in made.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(made)


def unprivileged(readable: Path) -> dict[str, Any]:
    """How to run the child so that permissions count for it: as nobody, or as a root without that privilege."""
    home = readable / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home)}
    if os.getuid():
        return {"env": environment}
    os.chown(home, NOBODY, NOBODY)
    somebody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    readable.chmod(0o755)
    try:
        subprocess.run(PROBE, cwd=readable, capture_output=True, check=True, env=environment, **somebody)
    except (OSError, subprocess.CalledProcessError):
        # Somebody else may not read this interpreter (it is in /root, say).
        try:
            subprocess.run([*PLAIN_ROOT, *PROBE], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this interpreter is private to root, and setpriv cannot take root's privileges away")
        return {"env": environment, "before": PLAIN_ROOT}
    return {"env": environment, **somebody}


def test_a_results_directory_that_cannot_be_written(readable: Path) -> None:
    space, how = initialized(readable), unprivileged(readable)
    run_id = finished(space).name
    space.results.chmod(0o555)
    (space.results / run_id).chmod(0o555)
    refused(space.root, "run", "a", code=3, says="ls -ld", **how)
    refused(space.root, "rm", run_id, code=3, says="ls -ld", **how)
    done = exptui(space.root, "archive", run_id, **how)  # the archive can be made; the source stays
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines()[1].startswith("  → ")
    assert (space.results / run_id / "run.json").exists()
    assert run_id in exptui(space.root, "ls", **how).stdout
    assert "cannot be written" in exptui(space.root, "doctor", **how).stdout


@pytest.mark.parametrize(
    "words", [("run", "a"), ("ls",), ("show", "a"), ("archive", "a"), ("logs", "x")], ids=" ".join
)
def test_a_results_directory_that_cannot_be_read(readable: Path, words: tuple[str, ...]) -> None:
    space, how = initialized(readable), unprivileged(readable)
    finished(space)
    space.results.chmod(0)
    refused(space.root, *words, code=3, **how)


def test_a_config_that_cannot_be_read(readable: Path) -> None:
    space, how = initialized(readable), unprivileged(readable)
    (space.configs / "a.toml").chmod(0)
    refused(space.root, "run", "a", code=2, says="permissions", **how)


def test_a_run_json_that_cannot_be_read(readable: Path) -> None:
    space, how = initialized(readable), unprivileged(readable)
    run_id = finished(space).name
    (space.results / run_id / "run.json").chmod(0)
    done = exptui(space.root, "ls", **how)
    assert done.returncode == 0, done.stderr
    assert "FINISHED" not in done.stdout
    refused(space.root, "archive", run_id, code=3, says="--incomplete", **how)


# A full disk

MOUNTED = 'mount -t tmpfs -o size=2m none "$1" && cp -a "$2/." "$1/" && cd "$1" && shift 2 && exec "$@"'
FILL = (
    "dd if=/dev/zero of=experiments/filler bs=4096 >/dev/null 2>&1; "
    "find . -type f ! -name filler | sort | xargs sha256sum > /tmp/before.$$; "
    '"$1" -m exptui run a; code=$?; '
    "find . -type f ! -name filler | sort | xargs sha256sum | cmp -s - /tmp/before.$$ && echo same; "
    "rm /tmp/before.$$; ls -A experiments/results 2>/dev/null; exit $code"
)


def test_a_full_disk(space: Workspace, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    source = tmp_path / "source"
    source.mkdir()
    space.root.rename(source / "experiments")
    inside = ["unshare", "-Urm", "sh", "-c", MOUNTED, "x", str(full), str(source)]
    try:
        probe = subprocess.run([*inside, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("unshare is not on this machine")
    if probe.returncode:
        pytest.skip(f"no file system can be mounted here: {probe.stderr.strip()}")
    done = subprocess.run([*inside, "sh", "-c", FILL, "x", sys.executable], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "same\n"), done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert "No space left" in lines[0]
    assert lines[1].startswith("  → Free some space")


# What lies in results/


def test_foreign_files_in_results_are_left_alone(space: Workspace) -> None:
    run_id = finished(space).name
    (space.results / "notes.txt").write_text("mine")
    (space.results / "empty").mkdir()
    (space.results / "gone").symlink_to("/nowhere")
    os.mkfifo(space.results / "pipe")
    (space.archives / "readme.txt").write_text("mine")
    before = listing(space.root)
    for words in (["ls"], ["ls", "archive"], ["show", run_id], ["check"], ["doctor"]):
        done = exptui(space.root, *words)
        assert done.returncode == 0, done.stderr
    assert run_id in exptui(space.root, "ls").stdout
    assert listing(space.root) == before
    assert exptui(space.root, "archive", run_id).returncode == 0
    assert exptui(space.root, "restore", run_id).returncode == 0
    after = listing(space.root)
    assert {name: after.get(name) for name in before if "pipe" not in name} == {
        name: value for name, value in before.items() if "pipe" not in name
    }
    refused(space.root, "archive", "notes.txt", code=2)
    refused(space.root, "rm", "notes.txt", code=2)
    refused(space.root, "archive", "empty", code=2)


def test_a_link_to_itself_in_results(space: Workspace) -> None:
    run_id = finished(space).name
    other = finished(space).name
    (space.results / "loop").symlink_to("loop")
    for words in (["ls"], ["show", run_id], ["diff", run_id, other]):
        done = exptui(space.root, *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert run_id in done.stdout.replace("\\", "")


BROKEN = [
    '{"loss": 0.',
    "[1, 2]",
    "null",
    '"text"',
    "\x00\x01",
    '{"loss": "a"}',
    "[" * 9999,
    f'{{"loss": 1{"0" * 400}}}',
]


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: ascii(text)[:14])
@pytest.mark.parametrize("name", ["metrics.json", "metrics.jsonl"])
def test_broken_metrics(space: Workspace, name: str, text: str) -> None:
    directory, other = finished(space), finished(space)
    (directory / name).write_text(text + "\n")
    before = listing(space.root)
    for words in (["ls"], ["show", directory.name], ["diff", other.name, directory.name]):
        done = exptui(space.root, *words)
        assert done.returncode == 0, done.stderr
    if text[0] not in '{"' or text == BROKEN[0]:
        assert f"{name}" in done.stdout
        assert "not a JSON object" in done.stdout
    assert listing(space.root) == before
    from exptui.core.monitor.catalog import Catalog

    assert len(Catalog(space).snapshot().runs) == 2  # the cockpit lists it
    done = exptui(space.root, "archive", directory.name)
    assert done.returncode == 0, done.stderr


def halves(directory: Path) -> list[str]:
    text = (directory / "run.json").read_text()
    other = json.loads(text)
    return [
        "",
        text[:20],
        text[: len(text) // 2],
        text[:-3],
        "{}",
        "[]",
        "null",
        json.dumps({**other, "phase": "done"}),
    ]


@pytest.mark.parametrize("number", range(8))
def test_a_half_written_run_json(space: Workspace, number: int) -> None:
    directory = finished(space)
    (directory / "run.json").write_text(halves(directory)[number])
    for words in (["ls"], ["show", directory.name]):
        done = exptui(space.root, *words)
        assert done.returncode == 0, done.stderr
        assert "run.json" in done.stdout.splitlines()[0]
        assert "FINISHED" not in done.stdout
    refused(space.root, "archive", directory.name, code=3, says="--incomplete")
    refused(space.root, "stop", directory.name, code=3)
    refused(space.root, "resume", directory.name, code=3)
    assert exptui(space.root, "archive", "--incomplete", directory.name).returncode == 0
