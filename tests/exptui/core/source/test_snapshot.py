"""The code is part of the run: captured when it is queued, and what happens to the project afterwards is no matter."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from exptui.core.audit.report import AuditReport, Verdict
from exptui.core.audit.trust import UntrustedError
from exptui.core.errors import RunError, StorageError, UsageError
from exptui.core.files import sha256_file
from exptui.core.runs import queue, run
from exptui.core.runs.cleanup import STORE
from exptui.core.runs.run import RunState, Snapshot
from exptui.core.source import pack, snapshot
from exptui.core.source import taken as listing
from exptui.core.source.snapshot import NAME
from exptui.core.workspace import Workspace
from support import finished, toy, until, verified, workspace

TRAIN = 'import os, lib; open(os.environ["EXPTUI_OUTPUT"] + "/model", "w").write(lib.VALUE)\n'
COMMAND = [sys.executable, "train.py"]


def git(project: Path, *words: str) -> str:
    """Ask git in a project; the user's own settings are left out."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    done = subprocess.run(
        ["git", *who, "-C", str(project), *words], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def tracked(project: Path, *, commit: bool = True, **more: Any) -> Workspace:
    """A project under git with a trainer of two files."""
    space = workspace(project, "", **{"command": COMMAND, "snapshot": True, **more})
    (project / "train.py").write_text(TRAIN)
    (project / "lib.py").write_text('VALUE = "one"\n')
    git(project, "init", "-q")
    git(project, "add", "train.py", "lib.py")
    if commit:
        git(project, "commit", "-q", "-m", "first")
    return space


def taken(space: Workspace, run_id: str) -> Snapshot:
    """What is recorded of a run's snapshot."""
    record = space.show(run_id).record
    assert record is not None
    assert record.recipe.snapshot is not None
    return record.recipe.snapshot


def model(space: Workspace, run_id: str) -> str:
    """What the trainer wrote."""
    return (space.results / run_id / "model").read_text()


def test_editing_while_a_run_waits_changes_nothing(tmp_path: Path) -> None:
    space = tracked(tmp_path)
    blocker = queue.take_slot(queue.lock_directory(space.results), "blocker", tmp_path)
    run_id = space.run("a").name
    (tmp_path / "lib.py").write_text('VALUE = "two"\n')
    git(tmp_path, "commit", "-q", "-a", "-m", "second")
    assert space.show(run_id).state is RunState.QUEUED
    blocker.path.unlink()
    blocker.release()
    assert list(space.wait(run_id))[-1].state is RunState.FINISHED
    assert model(space, run_id) == "one"
    assert model(space, finished(space)) == "two"


def test_the_uncommitted_difference_is_taken_and_noted(tmp_path: Path) -> None:
    space = tracked(tmp_path)
    (tmp_path / "lib.py").write_text('VALUE = "uncommitted"\n')
    (tmp_path / "new.py").write_text("")
    run_id = finished(space)
    assert model(space, run_id) == "uncommitted"
    found = taken(space, run_id)
    assert found.git == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": True}
    assert found.left == ("new.py: not tracked by git",)
    assert b"uncommitted" in (space.results / run_id / "code.patch").read_bytes()
    names = subprocess.run(
        ["tar", "tf", space.results / run_id / NAME], capture_output=True, text=True, check=True
    ).stdout.split()
    assert names == ["lib.py", "train.py"]
    assert sha256_file(space.results / run_id / NAME)[0] == found.digest


def test_runs_with_the_same_code_share_it_and_what_nobody_has_goes(tmp_path: Path) -> None:
    space = tracked(tmp_path)
    runs = [finished(space) for _ in range(3)]
    stored = space.results / ".code" / f"{taken(space, runs[0]).digest}.tar"
    assert stored.stat().st_nlink == 4
    assert space.recover() == []
    for run_id in runs:
        space.archive(run_id)
    assert space.recover() == [f"removed the code {stored.stem[:12]}, which no run has any more"]
    assert list(stored.parent.iterdir()) == []
    assert not list(queue.lock_directory(space.results).glob("*.scratch"))


def test_a_moved_head_does_not_turn_an_archive_red(tmp_path: Path) -> None:
    space = tracked(tmp_path)
    run_id = finished(space)
    space.archive(run_id)
    (tmp_path / "lib.py").write_text('VALUE = "two"\n')
    git(tmp_path, "commit", "-q", "-a", "-m", "second")
    report = verified(space, run_id)
    assert report.verdict is Verdict.REPRODUCED, report.reason
    assert report.environment == ()
    now = verified(space, run_id, code="current")
    assert now.verdict is Verdict.DIVERGED
    assert any(suspect.startswith("code lib.py ") for suspect in now.suspects)


def test_a_repository_without_commits(tmp_path: Path) -> None:
    space = tracked(tmp_path, commit=False)
    run_id = finished(space)
    assert (taken(space, run_id).git, taken(space, run_id).files) == (None, 2)


def test_links_executable_bits_submodules_and_odd_names(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "inner.py").write_text("")
    git(other, "init", "-q")
    git(other, "add", "inner.py")
    git(other, "commit", "-q", "-m", "x")
    project = tmp_path / "project"
    project.mkdir()
    space = tracked(project, command=["./run.sh"])
    (project / "run.sh").write_text(
        '#!/bin/sh\ncp -P now sub/inner.py "$EXPTUI_OUTPUT/"; cat now > "$EXPTUI_OUTPUT/model"\n'
    )
    (project / "run.sh").chmod(0o755)
    (project / "now").symlink_to("lib.py")
    (project / "away").symlink_to("/etc/passwd")
    (project / "up").symlink_to("../other")
    (project / ("name-" * 30)).write_text("")
    (project / "mit\nzeile").write_text("")
    git(project, "submodule", "add", "-q", str(other), "sub")
    git(project, "submodule", "add", "-q", str(other), "gone")
    git(project, "submodule", "deinit", "-q", "-f", "gone")
    git(project, "add", "-A", ":!experiments")
    run_id = space.run("a").name
    last = list(space.wait(run_id))[-1]
    assert last.state is RunState.FINISHED, last
    left = taken(space, run_id).left
    assert [one for one in left if "not tracked" not in one] == [
        "away: a link to the outside",
        "gone: a submodule that is not checked out",
        "mit\nzeile: its name has control characters",
        "up: a link to the outside",
    ]
    output = space.results / run_id
    assert (output / "now").is_symlink()
    assert (output / "model").read_text() == 'VALUE = "one"\n'
    assert (output / "inner.py").exists()


def test_a_program_named_by_its_project_may_work_where_it_writes(tmp_path: Path) -> None:
    space = tracked(tmp_path, command=["{project}/run.sh"], cwd="{output}")
    (tmp_path / "run.sh").write_text('#!/bin/sh\necho "$0" > model\n')
    (tmp_path / "run.sh").chmod(0o755)
    git(tmp_path, "add", "run.sh")
    run_id = finished(space)
    assert model(space, run_id) == f"{snapshot.tree(space.results, run_id)}/run.sh\n"


def test_where_the_store_is_somebody_elses_a_run_has_its_own_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = tracked(tmp_path)
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != STORE and access(path, mode))
    run_id = finished(space)
    assert model(space, run_id) == "one"
    assert list((space.results / STORE).iterdir()) == []


@pytest.mark.parametrize("wanted", [["train.py", "l*.py"], ["."], ["**/*.py"], ["./[lt]*.py"]])
def test_without_git_what_is_named_is_taken(tmp_path: Path, wanted: list[str]) -> None:
    space = tracked(tmp_path, snapshot=wanted)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/x.py").write_text("")
    subprocess.run(["rm", "-r", tmp_path / ".git"], check=True)
    run_id = finished(space)
    assert taken(space, run_id).files == 2
    assert taken(space, run_id).git is None


def test_the_preview_knows_every_file_that_will_be_captured(tmp_path: Path) -> None:
    space = tracked(tmp_path, code=["train.py"])
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/own.py").write_text("")
    (tmp_path / "deep/link").symlink_to("../lib.py")
    (tmp_path / "link").symlink_to("lib.py")
    git(tmp_path, "add", "deep", "link")
    finished(space)
    (tmp_path / "new.py").write_text("")
    seen = space.preview("a")
    assert (seen.code, seen.left, seen.problems) == ((), ("new.py: not tracked by git",), ())
    (tmp_path / "lib.py").write_text('VALUE = "two"\n')
    assert space.preview("a").code == ("deep/link", "lib.py")
    subprocess.run(["rm", "-r", tmp_path / ".git"], check=True)
    assert "not a git repository" in space.preview("a").problems[0]


def test_a_directory_that_cannot_be_read_is_not_left_out_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = tracked(tmp_path, snapshot=["train.py", "lib"])
    (tmp_path / "lib/deep").mkdir(parents=True)
    scandir = os.scandir

    def broken(path: str) -> object:
        if str(path).endswith("deep"):
            raise OSError(5, "Input/output error", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", broken)
    with pytest.raises(StorageError, match="lib/deep Input/output error"):
        space.run("a")


def test_what_cannot_be_captured_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = tracked(tmp_path)

    def refused(error: type[Exception], words: str) -> None:
        with pytest.raises(error, match=words):
            space.run("a")
        assert [path.name for path in space.results.iterdir()] in ([], [".code"])
        assert not list(space.results.glob(".code/*"))

    with monkeypatch.context() as patched:
        patched.setattr(listing, "MOST_FILES", 1)
        refused(RunError, "the code has 2 files")
    with monkeypatch.context() as patched:
        patched.setattr(listing, "MOST_BYTES", 1)
        refused(RunError, "largest file is train.py")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StorageError, match="No space"):
            space.run("a")
    space.recover()
    stamps = iter(range(10_000))
    with monkeypatch.context() as patched:
        patched.setattr(snapshot, "_stamp", lambda *_: (next(stamps),))
        refused(RunError, "changes while the code is captured")
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nonexistent")
        refused(RunError, "git is not installed")
    subprocess.run(["rm", "-r", tmp_path / ".git"], check=True)
    refused(RunError, "not a git repository")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"command": [sys.executable, "{here}/train.py"]}, "names the code in the project"),
        ({"cwd": "elsewhere"}, "not in the code that was captured"),
        ({"code": ["none.py"]}, "does not exist"),
        ({"snapshot": ["../x"]}, "lies outside"),
    ],
)
def test_what_would_not_run_the_snapshot_is_refused(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    change = {
        key: [w.replace("{here}", str(tmp_path)) for w in v] if isinstance(v, list) else v
        for key, v in change.items()
    }
    space = tracked(tmp_path, **change)
    with pytest.raises((RunError, UsageError), match=words):
        space.run("a")
    assert not list(space.results.glob("a_*"))


def test_a_package_installed_from_the_project_is_imported_from_the_snapshot(tmp_path: Path) -> None:
    python = tmp_path / ".venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    site = next((tmp_path / ".venv").glob("lib/python3*/site-packages"))
    (tmp_path / "src").mkdir()
    (site / "__editable__.mine-1.pth").write_text(f"{tmp_path}/src\n")
    (site / "mine-1.dist-info").mkdir()
    (site / "mine-1.dist-info/direct_url.json").write_text(
        f'{{"url": "file://{tmp_path}", "dir_info": {{"editable": true}}}}'
    )
    space = tracked(tmp_path, command=["python", "train.py"])
    (tmp_path / "lib.py").rename(tmp_path / "src/lib.py")
    git(tmp_path, "add", "-A", ":!experiments", ":!.venv")
    blocker = queue.take_slot(queue.lock_directory(space.results), "blocker", tmp_path)
    run_id = space.run("a").name
    (tmp_path / "src/lib.py").write_text('VALUE = "two"\n')
    blocker.path.unlink()
    blocker.release()
    assert list(space.wait(run_id))[-1].state is RunState.FINISHED
    assert model(space, run_id) == "one"
    found = taken(space, run_id)
    assert (found.roots, found.packages) == (("src",), ("mine",))
    assert python.exists()


def test_what_is_built_and_what_is_written_beside_the_code(tmp_path: Path) -> None:
    space = tracked(
        tmp_path,
        prepare=["./build.sh"],
        command=["bin/train"],
    )
    (tmp_path / "build.sh").write_text("#!/bin/sh\nmkdir -p bin; cp lib.sh bin/train\n")
    (tmp_path / "lib.sh").write_text(
        '#!/bin/sh\nmkdir out; echo 1 > out/log; echo 2 >> lib.py; echo 3 > "$EXPTUI_OUTPUT/model"\n'
    )
    for name in ("build.sh", "lib.sh"):
        (tmp_path / name).chmod(0o755)
    git(tmp_path, "add", "build.sh", "lib.sh")
    run_id = finished(space)
    beside = space.results / run_id / "beside_code"
    assert sorted(str(path.relative_to(beside)) for path in beside.rglob("*") if path.is_file()) == [
        "lib.py",
        "out/log",
    ]
    record = space.show(run_id).record
    assert record is not None
    assert record.code_changed
    assert not (tmp_path / "bin").exists()
    assert (tmp_path / "lib.py").read_text() == 'VALUE = "one"\n'


def test_a_resume_goes_on_with_the_code_it_began_with(tmp_path: Path) -> None:
    script = (
        'cd "$EXPTUI_OUTPUT"; test -e ck/1 && exec cp "$OLDPWD/value" model; mkdir ck; echo x > ck/1; exit 1'
    )
    resumes: dict[str, Any] = {"resume": ["--resume", "{checkpoint}"], "checkpoints": "ck/{epoch}"}
    space = tracked(tmp_path, command=["sh", "-c", script], snapshot=["value"], **resumes)
    (tmp_path / "value").write_text("one")
    directory = space.run("a")
    assert list(space.wait(directory.name))[-1].state is RunState.FAILED
    until(lambda: not space.show(directory.name).leftovers)
    (tmp_path / "value").write_text("two")
    space.resume(directory.name)
    assert list(space.wait(directory.name))[-1].state is RunState.FINISHED
    assert model(space, directory.name) == "one"


def test_every_segment_works_from_the_code_that_was_captured(tmp_path: Path) -> None:
    space = toy(tmp_path, snapshot=["toy.py"])
    run_id = finished(space)
    (tmp_path / "toy.py").write_text("raise SystemExit(3)\n")
    report = verified(space, run_id, segments=2)
    assert report.verdict is Verdict.REPRODUCED, report.reason
    assert report.environment == ()
    assert verified(space, run_id, segments=2, code="current").verdict is Verdict.FAILED


def test_a_run_whose_code_was_exchanged_does_not_start(tmp_path: Path) -> None:
    space = tracked(tmp_path)
    blocker = queue.take_slot(queue.lock_directory(space.results), "blocker", tmp_path)
    directory = space.run("a")
    (directory / NAME).unlink()
    (directory / NAME).write_bytes(bytes(10240))
    blocker.path.unlink()
    blocker.release()
    last = list(space.wait(directory.name))[-1]
    assert last.state is RunState.FAILED
    assert last.record is not None
    assert last.record.exit is not None
    assert "not the code that was captured" in last.record.exit.error
    until(lambda: not list(queue.lock_directory(space.results).glob("*.scratch")))


@pytest.mark.parametrize("honest", [True, False])
def test_hostile_code_in_an_archive_is_corrupt_and_nothing_is_executed(
    tmp_path: Path, *, honest: bool
) -> None:
    space = tracked(tmp_path, command=["touch", str(tmp_path / "executed")])
    directory = space.run("a")
    list(space.wait(directory.name))
    (tmp_path / "executed").unlink()
    record = run.read(directory)
    assert record is not None
    assert record.recipe.snapshot is not None
    out = io.BytesIO()
    writer = pack.Writer(out)
    writer.write(pack.Entry("../escaped", 0, executable=True, link="").header)
    digest = writer.close() if honest else "0" * 64
    (directory / NAME).unlink()
    (directory / NAME).write_bytes(out.getvalue())
    known = structs.replace(record.recipe.snapshot, digest=digest)
    run.write(directory, structs.replace(record, recipe=structs.replace(record.recipe, snapshot=known)))
    (directory / "model").write_text("x")
    until(lambda: not space.show(directory.name).leftovers)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = space.archive(directory.name).path.rename(elsewhere / f"{directory.name}.tar.gz")
    report = verified(space, str(path), trust=True)
    assert (report.verdict, report.command) == (Verdict.CORRUPT, ())
    assert NAME in report.reason
    assert not (tmp_path / "executed").exists()
    assert not list(tmp_path.rglob("escaped"))


def test_an_archive_that_was_exchanged_after_the_question_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    space = tracked(tmp_path / "there")
    path = space.archive(finished(space)).path
    here = workspace(tmp_path / "here")
    with pytest.raises(UntrustedError, match="from elsewhere") as asked:
        here.request(str(path))
    request = structs.replace(asked.value.request, seen="0" * 64)
    last = list(here.follow(here.verify(request)))[-1]
    assert isinstance(last, AuditReport)
    assert (last.verdict, last.command) == (Verdict.UNKNOWN, ())
    assert "not the archive any more" in last.reason
    agreed = list(here.follow(here.verify(asked.value.request)))[-1]
    assert isinstance(agreed, AuditReport)
    assert agreed.verdict is Verdict.REPRODUCED, agreed.reason


def test_the_identity_of_an_archive_without_captured_code_knows_nothing_of_it(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    sealed = space.archive(finished(space)).path
    assert "snapshot" not in sealed.with_name(sealed.name.replace(".tar.gz", ".manifest.json")).read_text()
