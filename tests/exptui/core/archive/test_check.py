"""`check --read-data`: a file that is the one that was read back is proved by its digest, every other from its inside."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exptui import cli
from exptui.core.archive import ledger
from exptui.core.archive.reader import Reader
from exptui.core.errors import Cancelled, ExptuiError, StorageError
from exptui.core.files import Cancel, sha256_bytes
from exptui.core.workspace import Workspace
from support import finished, workspace


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[Workspace, str]:
    space = workspace(tmp_path, 'seq 99999 > "$EXPTUI_OUTPUT/numbers"')
    run_id = finished(space)
    space.archive(run_id)
    return space, run_id


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every archive that was read from its inside."""
    seen: list[Path] = []
    verify = Reader.verify

    def spy(self: Reader) -> None:
        seen.append(self.path)
        verify(self)

    monkeypatch.setattr(Reader, "verify", spy)
    return seen


def write_ledger(space: Workspace, change: Callable[[dict[str, object]], object]) -> None:
    """The ledger anew, as somebody would who follows his change up."""
    events = ledger.load(space.archives).events
    (space.archives / ledger.NAME).unlink()
    for event in events:
        change(event)
        ledger.append(space.archives, event)


def repack(space: Workspace, run_id: str) -> str:
    """Compress the same tar in another way; the digest of the new file."""
    path = space.archived(run_id)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 9, mtime=0))
    return sha256_bytes(path.read_bytes())


def test_the_file_that_was_read_back_needs_no_unpacking(
    sealed: tuple[Workspace, str], unpacked: list[Path]
) -> None:
    space, run_id = sealed
    seen: list[tuple[int, int]] = []
    found = space.check(run_id, read_data=True, progress=lambda *at: seen.append(at))
    size = space.archived(run_id).stat().st_size
    assert (found.problems, unpacked, seen[-1]) == ([], [], (size, size))
    path = space.archived(run_id)
    assert found.identity == sha256_bytes(gzip.decompress(path.read_bytes()))
    path.rename(path.with_name("aside"))
    shutil.copy(path.with_name("aside"), path)
    assert space.check(run_id, read_data=True).identity == found.identity


def test_an_older_or_damaged_ledger_proves_nothing_of_the_file(
    sealed: tuple[Workspace, str], unpacked: list[Path]
) -> None:
    space, run_id = sealed
    identity = space.check(run_id, read_data=True).identity
    path = space.archives / ledger.NAME
    whole = path.read_bytes()
    path.write_bytes(whole + b"{}\n")
    found = space.check(run_id, read_data=True)
    assert (found.identity, len(unpacked)) == (identity, 1)
    assert any(ledger.NAME in problem for problem in found.problems)
    path.write_bytes(whole)
    write_ledger(space, lambda event: event.pop(ledger.GZ))
    assert (space.check(run_id, read_data=True).identity, len(unpacked)) == (identity, 2)


def test_the_same_tar_in_another_file_is_not_the_one_that_was_sealed(
    sealed: tuple[Workspace, str], unpacked: list[Path]
) -> None:
    space, run_id = sealed
    digest = repack(space, run_id)
    (problem,) = space.check(run_id, read_data=True).problems
    assert f"{run_id}.sha256" in problem
    sums = space.archives / f"{run_id}.sha256"
    sums.write_text(f"{digest}{sums.read_text()[64:]}")
    found = space.check(run_id, read_data=True)
    assert found.problems == [f"{run_id}.tar.gz: its digest is not the one in the ledger"]
    assert (found.identity, len(unpacked)) == (None, 2)


def test_a_digest_that_the_sidecar_gives_otherwise_is_named(sealed: tuple[Workspace, str]) -> None:
    space, run_id = sealed
    sums = space.archives / f"{run_id}.sha256"
    sums.write_text(f"{'0' * 64}{sums.read_text()[64:]}")
    found = space.check(run_id, read_data=True)
    assert (found.identity, found.problems) == (
        None,
        [f"{run_id}.tar.gz: its digest is not the one in {run_id}.sha256"],
    )


def test_it_can_be_cancelled(sealed: tuple[Workspace, str]) -> None:
    space, run_id = sealed
    cancel = Cancel()
    cancel.ask()
    with pytest.raises(Cancelled):
        space.check(run_id, read_data=True, cancel=cancel)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a FIFO", "a directory"])
@pytest.mark.parametrize("suffix", [".tar.gz", ".manifest.json", ".sha256", ".card.json", ".sig"])
def test_what_is_no_file_is_named_and_not_waited_for(
    sealed: tuple[Workspace, str], suffix: str, make: Callable[[Path], None]
) -> None:
    space, run_id = sealed
    path = space.archives / f"{run_id}{suffix}"
    path.unlink(missing_ok=True)
    make(path)
    found, book = space.check_all(read_data=True)
    assert (found.problems, found.identity, book.problems) == ([f"{path.name} is not a file"], None, [])
    if suffix == ".card.json":
        assert [one.card for one in space.list_archives()] == [None]
    elif suffix in (".manifest.json", ".sha256"):
        with pytest.raises(ExptuiError, match="is not a regular file"):
            space.restore(run_id)


def test_a_ledger_that_is_a_fifo_is_not_waited_for(sealed: tuple[Workspace, str]) -> None:
    space, run_id = sealed
    (space.archives / ledger.NAME).unlink()
    os.mkfifo(space.archives / ledger.NAME)
    with pytest.raises(StorageError, match=r"ledger.jsonl is not a regular file"):
        space.check(run_id)


def test_one_that_cannot_be_read_hides_no_other(
    sealed: tuple[Workspace, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space, first = sealed
    second = finished(space)
    space.archive(second)
    raw = Reader._raw

    def broken(self: Reader) -> bytes:
        if self.path.name.startswith(f"{first}."):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self.path))
        return raw(self)

    monkeypatch.setattr(Reader, "_raw", broken)
    command = ["--workspace", str(space.root), "check", "--read-data"]
    assert cli.main(command) == 3
    out = capsys.readouterr().out
    assert f"{first}  NOT CHECKED\n" in out
    assert "Input/output error" in out
    assert f"{second}  intact\n" in out
    repack(space, second)
    assert cli.main(command) == 4
