"""An archive agrees with plain tools, has one identity, and the source is gone only after the commit."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from pathlib import Path

import pytest

from exptui.core.archive import restore as restoring
from exptui.core.archive import seal as sealing
from exptui.core.errors import ArchiveError, CorruptError, ExptuiError
from exptui.core.workspace import Workspace
from support import workspace


@pytest.fixture
def ran(tmp_path: Path) -> tuple[Workspace, Path]:
    space = workspace(
        tmp_path, 'mkdir "$EXPTUI_OUTPUT/checkpoints"; echo weights > "$EXPTUI_OUTPUT/checkpoints/1.ckpt"'
    )
    directory = space.run("a")
    list(space.wait(directory.name))
    return space, directory


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_plain_tools_agree_and_a_restore_gives_the_same_files(ran: tuple[Workspace, Path]) -> None:
    space, directory = ran
    before = contents(directory)
    sealed = space.archive(directory.name)
    assert not directory.exists()
    run = {"cwd": space.archives, "capture_output": True, "text": True}
    names = subprocess.run(["tar", "tzf", sealed.path.name], **run).stdout.split()  # type: ignore[call-overload]
    assert names[0] == f"{directory.name}/MANIFEST.json"
    for command in (["gzip", "-t", sealed.path.name], ["sha256sum", "-c", f"{directory.name}.sha256"]):
        assert subprocess.run(command, **run).returncode == 0  # type: ignore[call-overload]
    tar = subprocess.run(f"gzip -dc {sealed.path} | sha256sum", shell=True, capture_output=True, text=True)
    assert tar.stdout.split()[0] == sealed.identity
    assert space.check(directory.name, read_data=True).problems == []
    assert contents(space.restore(directory.name)) == before


def test_one_identity_after_touch_and_chmod(ran: tuple[Workspace, Path]) -> None:
    space, directory = ran
    first = space.archive(directory.name, keep=True)
    for path in directory.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    again = space.archive(directory.name, keep=True)
    assert (again.identity, again.already) == (first.identity, True)
    (directory / "checkpoints/1.ckpt").write_text("other")
    with pytest.raises(ArchiveError):
        space.archive(directory.name)
    assert directory.exists()


@pytest.mark.parametrize("step", ["read_back", "_write_sidecars", "_publish"])
def test_a_failure_before_the_commit_keeps_the_source_and_leaves_nothing(
    ran: tuple[Workspace, Path], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    space, directory = ran
    before = contents(directory)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sealing, step, full)
    with pytest.raises((ExptuiError, OSError)):
        space.archive(directory.name)
    assert contents(directory) == before
    assert not list(space.archives.glob("*.tar.gz"))
    assert not list(space.archives.glob("*.partial"))


def test_a_change_of_the_same_size_before_the_removal_is_kept(
    ran: tuple[Workspace, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    space, directory = ran
    changed = directory / "checkpoints/1.ckpt"
    publish = sealing._publish

    def edited(partial: Path, final: Path) -> None:
        publish(partial, final)
        changed.write_text("WEIGHTS\n")

    monkeypatch.setattr(sealing, "_publish", edited)
    with pytest.raises(ArchiveError, match="changed meanwhile and was kept"):
        space.archive(directory.name)
    assert changed.read_text() == "WEIGHTS\n"
    (found, _) = space.check_all(read_data=True)
    assert found.problems == []


def test_every_flipped_or_missing_byte_is_refused(ran: tuple[Workspace, Path]) -> None:
    space, directory = ran
    sealed = space.archive(directory.name)
    good, dice = sealed.path.read_bytes(), random.Random(5)
    for number in range(150):
        bad = bytearray(good)
        if number % 3:
            bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
        else:
            del bad[dice.randrange(len(bad)) :]
        sealed.path.write_bytes(bad)
        assert space.check(directory.name, read_data=True).problems
        with pytest.raises(CorruptError):
            restoring.restore(sealed.path, directory)
        assert not directory.exists()
    assert list(space.results.iterdir()) == []


def test_links_live_runs_and_failed_runs_are_refused(ran: tuple[Workspace, Path]) -> None:
    space, directory = ran
    (directory / "link").symlink_to("/etc/passwd")
    with pytest.raises(ArchiveError, match="symbolic link"):
        space.archive(directory.name)
    assert directory.exists()
    (space.root / "exptui.toml").write_text('[trainer]\ncommand = ["sh", "-c", "exit 1"]\n')
    failed = Workspace(space.root).run("a").name
    list(space.wait(failed))
    with pytest.raises(ArchiveError, match="FAILED"):
        space.archive(failed)
    assert space.archive(failed, incomplete=True).run_id == failed


def test_an_empty_directory_is_named_as_not_archived(ran: tuple[Workspace, Path]) -> None:
    space, directory = ran
    (directory / "plots/later").mkdir(parents=True)
    assert space.archive(directory.name).skipped == ("plots/later",)


def test_recovery_keeps_the_source_of_a_damaged_archive(
    ran: tuple[Workspace, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    space, directory = ran
    before = contents(directory)
    monkeypatch.setattr(sealing, "remove_tree", lambda _: None)  # as if killed after the commit
    sealed = space.archive(directory.name)
    monkeypatch.undo()
    trash = space.results / f".trash-{directory.name}"
    good = sealed.path.read_bytes()
    sealed.path.write_bytes(good[:-8] + bytes(8))
    assert "not intact" in space.recover()[0]
    assert contents(trash) == before
    sealed.path.write_bytes(good)
    assert space.recover() == [f"finished removing {directory.name}, which is archived"]
    assert not trash.exists()
    assert space.recover() == []
