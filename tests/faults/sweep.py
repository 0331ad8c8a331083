"""`make faults`: every fault at every call of every operation, the mutants, the lint, and disks that are full.

Ends with figures, in `build/faults.json` too; fails where a fault broke a promise or a mutant survived.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from faults import case, full_disk, inject, lint
from faults.case import Result
from faults.inject import EIO, ENOSPC, KILL, LOST, STOP, Fault
from faults.mutants import MUTANTS, Mutant
from faults.operations import OPERATIONS

KINDS = (KILL, ENOSPC, EIO, STOP, LOST)
STOPPED = ("start", "start captured", "archive", "archive again", "restore", "recover a removal")
"""Where a second process does the same while the first stands still; elsewhere there is no second one."""


@dataclass
class Figures:
    """What was done, and what was found."""

    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    not_reached: int = 0
    violations: list[str] = field(default_factory=list)
    linted: int = 0
    mutants: dict[str, str] = field(default_factory=dict)
    full_disks: int = 0
    skipped: list[str] = field(default_factory=list)

    @property
    def survivors(self) -> list[str]:
        """The mutants that nothing found."""
        return [name for name, how in self.mutants.items() if not how]

    def add(self, result: Result) -> None:
        """Count a fault that was injected."""
        if result.happened:
            self.faults[result.operation, result.fault.kind] += 1
        else:
            self.not_reached += 1
        self.violations += [f"{result.operation}: {result.fault}: {v}" for v in result.violations]


def plan(name: str, kinds: Sequence[str], mutant: str = "") -> tuple[list[Fault], list[str]]:
    """The faults of an operation, and what the lint says of its calls."""
    calls = case.explore(name, mutant)
    wanted = [kind for kind in kinds if kind != STOP or name in STOPPED]
    return inject.faults(calls, wanted), lint.violations(calls)


def attempt(work: tuple[str, Fault]) -> Result:
    """One case, in a worker."""
    return case.break_once(*work)


def hunt(mutant: Mutant) -> str:
    """How a mutant was found; empty when it was not."""
    faults, order = plan(mutant.operation, mutant.kinds, mutant.name)
    if not mutant.kinds:
        return f"lint: {order[0]}" if order else ""
    for fault in faults:
        result = case.break_once(mutant.operation, fault, mutant.name)
        if result.violations:
            return f"{fault}: {result.violations[0].strip().splitlines()[-1]}"
    return ""


def run(
    names: Iterable[str], mutants: Iterable[Mutant], sizes: Sequence[int], *, jobs: int, every: int = 1
) -> Figures:
    """The sweep: every `every`th fault of these operations, these mutants, full disks of these sizes (KiB)."""
    figures, work = Figures(), []
    for name in names:
        faults, order = plan(name, KINDS)
        figures.linted += 1
        figures.violations += [f"{name}: {problem}" for problem in order]
        work += [(name, fault) for fault in faults[::every]]
    case.clean()
    # Spawned: a worker forks for each case, and must have one thread and no threads' locks.
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="faults-", dir=case.MEMORY) as home,
        ProcessPoolExecutor(jobs, spawn, case.work_in, (home,)) as pool,
    ):
        hunted = {mutant.name: pool.submit(hunt, mutant) for mutant in mutants}
        for result in _shown(pool.map(attempt, work, chunksize=8), len(work)):
            figures.add(result)
        figures.mutants = {name: found.result() for name, found in hunted.items()}
    mounted = full_disk.available()
    for name in full_disk.NAMES:
        for size in sizes:
            figures.full_disks += 1
            found = full_disk.fill(name, size, mounted=mounted)["violations"]
            figures.violations += [f"{name} with {size} KiB free: {problem}" for problem in found]
    figures.skipped = _skipped(mounted=mounted)
    return figures


def _skipped(*, mounted: bool) -> list[str]:
    skipped = ["errors when a lock is closed: strace would leave it open, the kernel never does"]
    if case.RUN is not inject.traced:
        skipped.append(
            "strace is missing: only the calls of core/files.py were broken, and renames not linted"
        )
    if not mounted:
        skipped.append("tiny file systems: none may be mounted here; the size of files was limited instead")
    return skipped


def _shown(results: Iterator[Result], total: int) -> Iterator[Result]:
    began = time.monotonic()
    for number, result in enumerate(results, start=1):
        yield result
        if sys.stderr.isatty() and number % 20 == 0:
            print(f"\r{number} of {total}, {time.monotonic() - began:.0f} s", end="", file=sys.stderr)


def report(figures: Figures, seconds: float) -> dict[str, object]:
    """The figures, by name."""
    operations = {
        name: {k: figures.faults[name, k] for k in KINDS if figures.faults[name, k]} for name in OPERATIONS
    }
    return {
        "faults": figures.faults.total(),
        "by_operation": {name: kinds for name, kinds in operations.items() if kinds},
        "by_kind": {kind: sum(n for (_, k), n in figures.faults.items() if k == kind) for kind in KINDS},
        "not_reached": figures.not_reached,
        "violations": len(figures.violations),
        "operations_linted": figures.linted,
        "mutants": len(figures.mutants),
        "mutants_killed": len(figures.mutants) - len(figures.survivors),
        "mutants_found_by": figures.mutants,
        "full_disks": figures.full_disks,
        "skipped": figures.skipped,
        "seconds": round(seconds),
    }


def main() -> int:
    """All of it; 1 where something was found."""
    parser = argparse.ArgumentParser(description="Break every operation at every system call.")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="only each n-th fault")
    parser.add_argument("--json", type=Path, default=Path("build/faults.json"))
    options, began = parser.parse_args(), time.monotonic()
    figures = run(OPERATIONS, MUTANTS.values(), full_disk.SIZES, jobs=options.jobs, every=options.every)
    found = report(figures, time.monotonic() - began)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=2) + "\n")
    print("\n" + json.dumps(found, indent=2, ensure_ascii=False))
    for problem in figures.violations:
        print(f"VIOLATION {problem}")
    for name in figures.survivors:
        print(f"SURVIVED {name}")
    return 1 if figures.violations or figures.survivors else 0


if __name__ == "__main__":
    sys.exit(main())
