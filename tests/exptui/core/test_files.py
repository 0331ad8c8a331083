"""Atomic files, digests and locks."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from exptui.core import files
from exptui.core.errors import Cancelled, CorruptError, StorageError


def test_write_atomic_replaces_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    files.write_atomic(target, b"old")
    files.write_atomic(target, b"new and longer")
    assert target.read_bytes() == b"new and longer"
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_write_atomic_keeps_the_old_file_when_the_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    target = tmp_path / "run.json"
    files.write_atomic(target, b"old")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StorageError) as caught, files.storage_errors("write run.json"):
        files.write_atomic(target, b"new")
    assert "Free some space" in caught.value.hint
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_digest_and_canonical_json(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a" * (files.BLOCK + 3))
    seen: list[int] = []
    assert files.sha256_file(path, seen.append) == (
        hashlib.sha256(path.read_bytes()).hexdigest(),
        files.BLOCK + 3,
    )
    assert seen == [files.BLOCK, 3]
    assert files.canonical_json({"b": 1, "a": [1.5, None]}) == b'{"a":[1.5,null],"b":1}\n'


def test_read_json_names_the_file_and_the_place(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b'{"schema": 1, "run')
    with pytest.raises(CorruptError, match=r"run\.json"):
        files.read_json(path, dict)


def test_cancel_is_seen_at_the_next_check() -> None:
    cancel = files.Cancel()
    cancel.check()
    cancel.ask()
    with pytest.raises(Cancelled):
        cancel.check()


def test_a_lock_is_held_until_every_inheritor_is_gone(tmp_path: Path) -> None:
    lock = files.Lock.take(tmp_path / "run.lock")
    assert lock is not None
    identity = lock.identity()
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=[lock.fd]
    )
    lock.release()
    assert files.is_held(identity)
    assert files.Lock.take(tmp_path / "run.lock", wait=False) is None
    child.communicate(b"")
    assert not files.is_held(identity)


def test_another_file_of_the_same_name_is_another_lock(tmp_path: Path) -> None:
    first = files.Lock.take(tmp_path / "run.lock")
    assert first is not None
    identity = first.identity()
    (tmp_path / "run.lock").unlink()
    assert not files.is_held(identity)
    second = files.Lock.take(tmp_path / "run.lock", wait=False)
    assert second is not None
    assert second.identity() != identity


def test_a_rename_whose_answer_was_lost_has_succeeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def twice(source: Path, target: Path) -> Path:
        rename(source, target)
        return rename(source, target)  # as a network file system asks again: the name is gone

    monkeypatch.setattr(Path, "rename", twice)
    files.write_atomic(tmp_path / "run.json", b"new")
    assert (tmp_path / "run.json").read_bytes() == b"new"


def test_a_rename_of_what_somebody_removed_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_atomic(tmp_path / "run.json", b"old")
    rename = Path.rename

    def removed(source: Path, target: Path) -> Path:
        source.unlink()
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", removed)
    with pytest.raises(FileNotFoundError):
        files.write_atomic(tmp_path / "run.json", b"new")
    assert (tmp_path / "run.json").read_bytes() == b"old"


@pytest.mark.parametrize(("number", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_directories_that_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fails: bool
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    if fails:
        with pytest.raises(OSError, match="Input/output"):
            files.fsync_dir(tmp_path)
    else:
        files.fsync_dir(tmp_path)


def test_a_lock_is_for_everybody_who_may_enter_its_directory(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with files.Lock.take(tmp_path / "x.lock") or pytest.fail("not taken"):
            assert (tmp_path / "x.lock").stat().st_mode & 0o777 == 0o666
    finally:
        os.umask(before)


def test_a_directory_removed_as_a_left_over_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, path, looks = files.lock_directory, tmp_path / "private", list[Path]()

    def late(directory: Path) -> int | None:
        looks.append(directory)
        if len(looks) == 1:
            directory.rmdir()
        return real(directory)

    monkeypatch.setattr(files, "lock_directory", late)
    with files.locked_directory(path) as fd:
        assert os.path.samestat(os.fstat(fd), path.stat())
        assert real(path, wait=False) is None  # it is somebody's
    assert (len(looks), path.exists()) == (2, False)
