"""One case: a fresh workspace, an operation, a fault in it; then what it did to the workspace."""

from __future__ import annotations

import functools
import importlib
import itertools
import json
import os
import pkgutil
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exptui import core
from exptui.core.runs import cleanup, queue
from exptui.core.workspace import Workspace
from faults import inject, mutants, patched, state
from faults.inject import Call, Fault
from faults.operations import OPERATIONS, Operation

# A fault is to meet what an operation does, not the module that it is the first to import.
for _module in (
    "getpass",
    *(found.name for found in pkgutil.walk_packages(core.__path__, f"{core.__name__}.")),
):
    importlib.import_module(_module)

RUN = inject.traced if inject.available() else patched.traced
DONE, REFUSED, RAW = 0, 10, 11
_NUMBERS = itertools.count()
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # the faults are the kernel's, not the disk's


@dataclass(frozen=True, slots=True)
class Result:
    """`happened`: the fault was injected. `violations`: what it broke, one line each."""

    operation: str
    fault: Fault
    happened: bool
    violations: tuple[str, ...]


@functools.cache
def _base() -> Path:
    """Where this process keeps its workspaces."""
    return Path(tempfile.mkdtemp(prefix="faults-", dir=tempfile.tempdir or MEMORY))


def work_in(home: str) -> None:
    """Keep them below this directory, which somebody else removes."""
    tempfile.tempdir = home


@functools.cache
def _template(name: str) -> tuple[Path, state.Files]:
    parent = _base() / f"template {name}"
    space = OPERATIONS[name].start(parent)
    before = state.snapshot(space)
    _forget(space)
    return parent, before


def clean() -> None:
    """Remove what this process keeps."""
    shutil.rmtree(_base())
    for cached in (_base, _template):
        cached.cache_clear()


def _forget(space: Workspace) -> None:
    """Remove the locks of a workspace, which lie outside of it."""
    shutil.rmtree(queue.lock_directory(space.results), ignore_errors=True)


def _fresh(name: str) -> tuple[Workspace, state.Files]:
    template, before = _template(name)
    for old in _base().glob("case *"):
        shutil.rmtree(old)
    parent = _base() / f"case {next(_NUMBERS)}"  # another place each time, and with it other locks
    shutil.copytree(template, parent, symlinks=True)
    return Workspace(parent / "experiments"), before


def _report(operation: Operation, act: Callable[[], object], notes: Path) -> int:
    try:
        act()
    except operation.raises as error:
        notes.write_text(str(error))
        return REFUSED
    except BaseException:  # noqa: BLE001  that it is none of the expected ones is the finding
        notes.write_text(traceback.format_exc())
        return RAW
    return DONE


def _child(operation: Operation, space: Workspace, mutant: str, notes: Path) -> Callable[[inject.Waits], int]:
    def act(gate: inject.Waits) -> int:
        mutants.apply(mutant)
        traced = operation.arrange(space)
        gate.pass_through()
        return _report(operation, traced, notes)

    return act


def explore(name: str, mutant: str = "") -> list[Call]:
    """Every call of an operation that touches its workspace or its locks, in order."""
    operation, (space, _) = OPERATIONS[name], _fresh(name)
    notes, log = _base() / "notes", _base() / "log"
    ran = RUN(_child(operation, space, mutant, notes), log, None, follow=operation.follow)
    code = None if ran.status is None else os.waitstatus_to_exitcode(ran.status)
    _forget_when_over(space)
    if code != DONE:
        raise AssertionError(f"{name} ends with {code} without a fault: {notes.read_text()}")
    return inject.calls(ran.log, (str(space.root), str(queue.lock_directory(space.results))))


def _forget_when_over(space: Workspace) -> None:
    state.settle(space)
    _forget(space)


def break_once(name: str, fault: Fault, mutant: str = "") -> Result:
    """Inject one fault and judge what is left."""
    operation, (space, before) = OPERATIONS[name], _fresh(name)
    notes, log = _base() / "notes", _base() / "log"
    notes.unlink(missing_ok=True)
    if not name.startswith("recover "):  # they begin with what older crashes left, without notes
        cleanup.say_all_seen(queue.lock_directory(space.results))  # here what is noted has to suffice
    violations: list[str] = []

    def rival() -> Callable[[], None]:
        """Somebody else doing the same while the first one stands still."""
        other = _base() / "notes of the rival"
        pid = inject.fork(lambda: _rival(operation, space, mutant, other))
        status = inject.wait_a_moment(pid)

        def after() -> None:
            ended = status if status is not None else inject.wait(pid)
            _, found = _outcome(ended, other)
            violations.extend(f"rival: {problem}" for problem in found)

        return after

    ran = RUN(_child(operation, space, mutant, notes), log, fault, follow=operation.follow, meanwhile=rival)
    code, found = _outcome(ran.status, notes)
    violations += found
    happened = inject.happened(fault, ran)
    if happened and code is not None:
        violations += _judged(operation, space, before, code, mutant)
    _forget_when_over(space)
    return Result(name, fault, happened, tuple(violations))


def _rival(operation: Operation, space: Workspace, mutant: str, notes: Path) -> int:
    mutants.apply(mutant)

    def act() -> None:
        space.recover()
        operation.arrange(space)()

    try:
        return _report(operation, act, notes)
    except StopIteration:
        return REFUSED


def _outcome(status: int | None, notes: Path) -> tuple[int | None, list[str]]:
    if status is None:
        return None, ["it hung"]
    code = os.waitstatus_to_exitcode(status)
    if code in (DONE, REFUSED, -signal.SIGKILL):
        return code, []
    return code, [f"it ended with {code}: {notes.read_text() if notes.exists() else ''}"]


def _judged(operation: Operation, space: Workspace, before: state.Files, code: int, mutant: str) -> list[str]:
    """In a child of its own, so that nothing of one case reaches the next."""
    place = _base() / "verdict"
    place.unlink(missing_ok=True)

    def judge() -> int:
        mutants.apply(mutant)
        try:
            found = _verdict(operation, space, before, code)
        except Exception:  # noqa: BLE001  whatever it is, it is a violation
            found = [traceback.format_exc()]
        place.write_text(json.dumps(found))
        return 0

    if inject.wait(inject.fork(judge)) != 0:
        return ["the judge did not come to an end"]
    return [str(problem) for problem in json.loads(place.read_text())]


def _verdict(operation: Operation, space: Workspace, before: state.Files, code: int) -> list[str]:
    found = []
    if code == DONE:
        found += [f"a success is not one: {problem}" for problem in operation.done(space, before)]
    state.settle(space)
    for path in space.run_directories():
        if not any(path.iterdir()):
            os.utime(path, (0, 0))  # a claim this old is nobody's
    space.recover()
    found += [f"recover() is not idempotent: {message}" for message in space.recover()]
    found += [f"recovered: {problem}" for problem in state.problems(space, before, midway=True)]
    found += [f"again: {problem}" for problem in operation.again(space, before)]
    return found + [f"at last: {problem}" for problem in state.problems(space, before)]
