"""`check --read-data`: a file that is the one that was read back is proved by its digest, every other from its inside."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exptui.core.archive import ledger
from exptui.core.archive.reader import Reader
from exptui.core.errors import Cancelled
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
