"""A verification as a process of its own: started, followed and cancelled from any terminal, outliving all of them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from exptui.core.audit import RESTORATION
from exptui.core.audit.report import AuditReport, Verdict, headline, lines
from exptui.core.audit.request import Request
from exptui.core.audit.verify import RERUN
from exptui.core.errors import CorruptError, RunError
from exptui.core.files import Lock, LockId, pretty_json, read_json, storage_errors, write_atomic
from exptui.core.monitor.text import clean
from exptui.core.runs import launch, process, queue, run, stop
from exptui.core.runs.process import Process

REQUEST, STATE, AUDIT, LOG = "request.json", "state.json", "audit.json", "determinism_audit.log"
POLL = 0.1


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is: `done` of `total` bytes or cycles of what `phase` says."""

    phase: str
    done: int = 0
    total: int = 0
    unit: str = "bytes"
    lock: LockId
    worker: Process | None = None


def start(request: Request, archives: Path, places: launch.Places, root: Path) -> Path:
    """Start the worker; returns its directory, `archive/restoration/<run id>_<UTC>/`.

    Raises:
        StorageError: nothing was started.
    """
    with storage_errors("prepare the verification"):
        (archives / RESTORATION).mkdir(parents=True, exist_ok=True)
        directory = launch.claim(archives / RESTORATION, request.run_id)
        lock = Lock.take(queue.lock_directory(places.results) / f"{directory.name}.verify")
        assert lock is not None  # the directory's name is ours alone
        with lock:
            # The state first: whoever finds a request without a living state takes it for a killed one.
            write_state(directory, State(phase="starting", lock=lock.identity()))
            write_atomic(directory / REQUEST, pretty_json(request))
            launch.detach("exptui.core.audit.worker", (directory, root), lock)
    return directory


def write_state(directory: Path, state: State) -> None:
    """Replace state.json; not durable, as it means nothing after a crash."""
    temporary = directory / f".{STATE}.partial"
    temporary.write_bytes(msgspec.json.encode(state))
    temporary.rename(directory / STATE)


def follow(directory: Path, poll: float = POLL) -> Iterator[State | AuditReport]:
    """How far it is, again and again; the last item is the report."""
    while True:
        alive = is_alive(directory)
        if (found := report(directory)) is not None and not is_alive(directory):  # nor is it still tidying up
            yield found
            return
        if not alive:
            yield _interrupted(directory)
            return
        if (now := state(directory)) is not None:
            yield now
        time.sleep(poll)


def state(directory: Path) -> State | None:
    """How far it is, None when it has ended."""
    try:
        return read_json(directory / STATE, State)
    except (FileNotFoundError, CorruptError):
        return None


def report(directory: Path) -> AuditReport | None:
    """The finished report of a verification, None while there is none.

    Raises:
        CorruptError: audit.json cannot be read as one.
    """
    try:
        return read_json(directory / AUDIT, AuditReport)
    except FileNotFoundError:
        return None


def outcome(archives: Path, name: str) -> tuple[str, bool]:
    """What came of the verification in that directory, in a line or two, and whether it is good news."""
    directory = archives / RESTORATION / name
    if not directory.exists():
        return f"{name}: cancelled, nothing of it is left", True
    found = report(directory)
    if found is None:
        return f"{name}: interrupted, UNKNOWN", False
    return f"{found.run_id}\n{headline(found)}", found.verdict is Verdict.REPRODUCED


def is_alive(directory: Path) -> bool:
    """Whether its worker is at work."""
    try:
        known = read_json(directory / STATE, State)
    except (FileNotFoundError, CorruptError):
        return False
    return run.is_there(known.lock, known.worker)


def cancel(directory: Path) -> bool:
    """Ask the worker to stop the re-run and to say UNKNOWN; False where it has ended already.

    Raises:
        RunError: it belongs to somebody else.
    """
    while is_alive(directory):
        if (now := state(directory)) and now.worker is not None:
            try:
                process.send(now.worker, signal.SIGTERM)
            except PermissionError as error:
                owner = directory.owner()
                raise RunError(f"that verification belongs to {owner}", f"Ask {owner} to end it.") from error
            return True
        time.sleep(POLL)  # it has been started and will say who it is
    return False


def finish(
    directory: Path, found: AuditReport, enter: Callable[[AuditReport], AuditReport] = lambda found: found
) -> None:
    """Remove the copies, enter the report in the ledger, and write it; a re-run that says something is kept.

    The report comes last: whoever follows has then seen all of it.
    """
    keep = found.verdict in (Verdict.DIVERGED, Verdict.FAILED) and (directory / RERUN).is_dir()
    found = msgspec.structs.replace(found, kept=str(directory / RERUN) if keep else "")
    for left in directory.iterdir():
        if left.is_dir() and not (keep and left.name == RERUN):
            shutil.rmtree(left, ignore_errors=True)
    found = enter(found)
    text = "".join(f"{clean(line)}\n" for line in lines(found))
    with storage_errors("write the audit report"):
        write_atomic(directory / LOG, text.encode())
        write_atomic(directory / AUDIT, pretty_json(found))
        for name in (REQUEST, STATE):
            (directory / name).unlink(missing_ok=True)


def discard(directory: Path) -> None:
    """Leave nothing of a verification that was cancelled; first the request goes, last what says that it is alive."""
    for left in directory.iterdir():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
    for name in (REQUEST, STATE):
        (directory / name).unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)


def audits(archives: Path, run_id: str) -> list[Path]:
    """The directories of all verifications of a run, the newest first."""
    named = re.compile(rf"{re.escape(run_id)}{run.STAMP.pattern}")  # not those of `<run id>_copy`
    found = (archives / RESTORATION).glob("*")
    return sorted((p for p in found if named.fullmatch(p.name) and p.is_dir()), key=_claimed, reverse=True)


def _claimed(directory: Path) -> tuple[str, int]:
    stamp, _, number = directory.name.rpartition("_")[2].partition("-")
    return stamp, int(number) if number.isdigit() else 1


def recover(archives: Path) -> list[str]:
    """End what a killed worker left: its re-run is stopped, its copies are removed, and it is said."""
    messages = []
    if not (archives / RESTORATION).is_dir():
        return []
    for directory in sorted((archives / RESTORATION).iterdir()):
        others = not os.access(directory, os.W_OK)
        if others or not (directory / REQUEST).exists() or is_alive(directory):
            continue
        for record in (directory / RERUN).glob("*/*/run.json"):
            stop.end(record.parent)
        finish(directory, _interrupted(directory))
        messages.append(f"the verification {directory.name} was interrupted: UNKNOWN")
    return messages


def _interrupted(directory: Path) -> AuditReport:
    how = "killed"
    try:
        request = read_json(directory / REQUEST, Request)
    except FileNotFoundError:  # it ended between our two looks
        if (found := report(directory)) is not None:
            return found
        request = Request(run_id=directory.name.rpartition("_")[0], source="", archived=False)
        how = "cancelled"  # only `discard` takes the request and leaves no report
    return AuditReport(
        run_id=request.run_id,
        verdict=Verdict.UNKNOWN,
        reason=f"the verification was {how}: no comparison was made",
        source=request.source,
        ended_at=launch.now(),
    )
