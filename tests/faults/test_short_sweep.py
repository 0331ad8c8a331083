"""A little of `make faults`: some faults of every operation break nothing, and broken promises are found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults import case, full_disk, inject, lint, patched, sweep
from faults.inject import Call
from faults.mutants import MUTANTS
from faults.operations import OPERATIONS


@pytest.fixture(autouse=True)
def _cleaned() -> Iterator[None]:
    yield
    case.clean()


def test_a_few_faults_of_every_operation_break_nothing() -> None:
    figures = sweep.run(OPERATIONS, [MUTANTS["no read-back"]], (16,), jobs=1, every=61)
    assert figures.violations == []
    assert {name for name, _ in figures.faults} == set(OPERATIONS)
    assert figures.faults.total() > 40
    if case.RUN is inject.traced:
        assert figures.survivors == []


def test_the_lint_finds_what_was_not_made_durable() -> None:
    if case.RUN is not inject.traced:
        pytest.skip("strace is missing")
    for name in ("no fsync", "no fsync of the directory"):
        assert sweep.hunt(MUTANTS[name])


def test_the_lint_knows_the_order() -> None:
    wrote = Call("write", 1, '3</d/.f.1.partial>, ""..., 9) = 9')
    synced = Call("fsync", 1, "3</d/.f.1.partial>) = 0")
    renamed = Call("rename", 1, '"/d/.f.1.partial", "/d/f") = 0')
    folder = Call("fsync", 2, "4</d>) = 0")
    assert lint.violations([wrote, synced, renamed, folder]) == []
    assert lint.violations([wrote, renamed, folder]) == ["f: .f.1.partial was not fsynced before the rename"]
    assert lint.violations([synced, wrote, renamed, folder]) != []
    assert lint.violations([wrote, synced, renamed]) == ["f: its directory was not fsynced after the rename"]


def test_without_strace_faults_go_through_the_one_module_that_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case, "RUN", patched.traced)
    faults, _ = sweep.plan("archive", sweep.KINDS)
    assert {fault.call for fault in faults} == {"openat", "write", "fsync", "close"}
    for fault in faults[::15]:
        result = case.break_once("archive", fault)
        assert (result.happened, result.violations) == (True, ())
    found = [case.break_once("archive", fault, "no recover") for fault in faults if fault.kind == "KILL"]
    assert any(result.violations for result in found)


def test_where_nothing_may_be_mounted_the_size_of_files_is_limited() -> None:
    assert full_disk.fill("archive", 8, mounted=False) == {"refused": True, "violations": []}
