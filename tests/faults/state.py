"""What must hold of a workspace after any accident, once it was recovered."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from exptui.core.archive import check, ledger, restore
from exptui.core.archive.listing import SIDECARS, TARBALL
from exptui.core.archive.manifest import RECORD
from exptui.core.errors import ExptuiError
from exptui.core.files import sha256_bytes
from exptui.core.runs import queue, trash
from exptui.core.runs.cleanup import STORE
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from support import until

Files = dict[str, dict[str, bytes]]
"""Run id → path → bytes, of every run there was before."""


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def archives(space: Workspace) -> dict[str, Path]:
    """Run id → committed archive."""
    found = sorted(space.archives.glob(f"[!.]*{TARBALL}"))
    return {path.name.removesuffix(TARBALL): path for path in found}


def snapshot(space: Workspace) -> Files:
    """The runs there are, in results/ or restored from archive/ to somewhere else."""
    known = {run_id: _restored(path) for run_id, path in archives(space).items()}
    here = {path.name: contents(path) for path in space.run_directories()}
    return known | {run_id: files for run_id, files in here.items() if "trainer.log" in files}


def _restored(path: Path) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as elsewhere:
        place = Path(elsewhere) / "run"
        restore.restore(path, place, record=False)
        return contents(place)


def settle(space: Workspace) -> None:
    """Wait until no run is at work and every supervisor has ended, which is a moment after its run has."""
    for path in space.run_directories():
        list(space.wait(path.name))
    locks = queue.lock_directory(space.results)
    until(lambda: not any(queue.held(path) for path in locks.glob(f"*{queue.SUPERVISOR}")))


def sealed_problems(space: Workspace, run_id: str, files: dict[str, bytes]) -> list[str]:
    """Why the archive of a run is not a good one; empty when it is."""
    path = archives(space).get(run_id)
    if path is None:
        return [f"{run_id} has no archive"]
    problems = list(check.check(path, read_data=True).problems)
    try:
        problems += [f"{path.name} restores to other bytes"] * bool(differing(files, _restored(path)))
    except ExptuiError as error:
        problems.append(f"{path.name}: {error.message}")
    return problems


def differing(files: dict[str, bytes], now: dict[str, bytes]) -> set[str]:
    """The files that are not what they were; one that is gone may be attested by its digest, and then is."""
    record = json.loads(now[RECORD])["files"] if RECORD in now else []
    gone = {one["path"] for one in record if sha256_bytes(files.get(one["path"], b"")) == one["sha256"]}
    changed = {name for name in files | now if files.get(name) != now.get(name)}
    return changed - {RECORD} - (gone - now.keys())


def problems(space: Workspace, before: Files, *, midway: bool = False) -> list[str]:
    """Everything that is wrong once all has settled. `midway`: the operation was not done again yet, which cuts the ledger's torn
    last line and replaces the beginning of a trainer's new chronicle."""
    settle(space)
    found = [*_left_over(space, midway=midway), *_ledger(space), *_runs(space, before)]
    return [problem for problem in found if not (midway and problem.endswith("the last line is torn"))]


def _left_over(space: Workspace, *, midway: bool) -> list[str]:
    ends = (".partial",) if midway else (".partial", ".new")
    found = [
        path.relative_to(space.root)
        for path in space.root.rglob("*")
        if path.name.endswith(ends) or path.name.startswith((".trash-", ".restore-", ".launch"))
    ]
    if space.archives.is_dir():
        kept = set(archives(space))
        for path in space.archives.iterdir():
            alone = any(path.name.endswith(s) and path.name.removesuffix(s) not in kept for s in SIDECARS)
            if alone or (path.name.endswith(".lock") and path.name != ledger.LOCK):
                found.append(path.relative_to(space.root))
    # After an operation code may be there that its run took along to the archive: the next recovery removes it.
    store = () if not midway else (space.results / STORE).glob("*.tar")
    found += [path.relative_to(space.root) for path in store if path.stat().st_nlink == 1]
    return [f"left over: {path}" for path in found] + _left_locks(space)


def _left_locks(space: Workspace) -> list[str]:
    """Whatever the runs, none of which is at work, left where their locks are."""
    ours = (queue.RUN, queue.SUPERVISOR, queue.SCRATCH)
    paths = queue.lock_directory(space.results).iterdir()
    return [f"left over: {path.name}" for path in paths if path.suffix in ours]


def _ledger(space: Workspace) -> list[str]:
    events, found = ledger.read(space.archives)
    known, here = set(ledger.identities(events)), set(archives(space))
    return found + [f"ledger and archives disagree: {sorted(known)} {sorted(here)}"] * (known != here)


def _runs(space: Workspace, before: Files) -> list[str]:
    """Old runs: whole in results/ or in a good archive, and no half of one anywhere. New ones: whole."""
    found = []
    for run_id, files in before.items():
        here = space.results / run_id
        if here.exists():
            changed = differing(files, contents(here)) - {"run.json"}
            found += [f"{run_id} differs in {sorted(changed)}"] * bool(changed)
        elif (thrown := space.results / trash.TRASH / run_id).exists():
            found += [f"{run_id} is in the trash and not whole"] * bool(differing(files, contents(thrown)))
            continue
        if not here.exists() or run_id in archives(space):
            found += sealed_problems(space, run_id, files)
    for path in space.run_directories():
        view = space.view(path)
        if path.name not in before and view.state is RunState.EXTERNAL:
            found.append(f"{path.name} is half a run: {sorted(contents(path))} {view.problem}")
        if path.name in before and "run.json" in before[path.name] and view.record is None:
            found.append(f"run.json of {path.name} is gone or torn: {view.problem}")
    return found
