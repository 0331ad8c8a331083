"""Disks that are really full: tiny file systems of several sizes, in a mount namespace of our own.

`python -m faults.full_disk` inside the namespace does one operation on one size; `sweep` starts it for each.
"""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from exptui.core.archive import restore, seal
from faults import state
from faults.operations import OPERATIONS, lock_directory

NAMES = ("start", "start captured", "replace", "archive", "restore")
SIZES = (0, 4, 8, 16, 32, 64, 128)  # KiB that are left free
TESTS = Path(__file__).parents[1]
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def available() -> bool:
    """Whether a file system of ours may be mounted here."""
    if shutil.which("unshare") is None:
        return False
    script = "mount -t tmpfs tmpfs /var/tmp"
    return subprocess.run([*NAMESPACE, "sh", "-c", script], capture_output=True).returncode == 0


def fill(name: str, size: int, *, mounted: bool) -> dict[str, Any]:
    """Do an operation with `size` KiB free (else: files of at most that size): was it refused, what did it break."""
    command = [sys.executable, "-m", "faults.full_disk", name, str(size), "mounted" if mounted else "limited"]
    ran = subprocess.run(
        [*(NAMESPACE if mounted else ()), *command], capture_output=True, text=True, timeout=120, cwd=TESTS
    )
    if ran.returncode != 0:
        return {"refused": False, "violations": [f"it ended with {ran.returncode}: {ran.stderr}"]}
    return dict(json.loads(ran.stdout))


@contextlib.contextmanager
def _mounted(size: int) -> Iterator[tuple[Path, Callable[[], AbstractContextManager[None]]]]:
    """A directory, and what makes its disk full for a while."""
    _mount(Path("/var/tmp"), "-t", "tmpfs")
    parent = Path(tempfile.mkdtemp(dir="/var/tmp"))
    _mount(parent, "-t", "tmpfs", "-o", "size=64m")

    @contextlib.contextmanager
    def full() -> Iterator[None]:
        _mount(parent, "-o", f"remount,size={(shutil.disk_usage(parent).used >> 10) + size}k")
        yield
        _mount(parent, "-o", "remount,size=64m")

    yield parent, full


@contextlib.contextmanager
def _limited(size: int) -> Iterator[tuple[Path, Callable[[], AbstractContextManager[None]]]]:
    """The same with a limit on the size of a file."""

    @contextlib.contextmanager
    def full() -> Iterator[None]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size << 10, resource.RLIM_INFINITY))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    with tempfile.TemporaryDirectory() as parent:
        yield Path(parent), full


def _mount(place: Path, *options: str) -> None:
    subprocess.run(["mount", *options, "tmpfs", place], check=True)


def _one(name: str, parent: Path, full: Callable[[], AbstractContextManager[None]]) -> dict[str, Any]:
    operation, found, refused = OPERATIONS[name], [], False
    space = operation.start(parent)
    before = state.snapshot(space)
    act = operation.arrange(space)
    # The space there was when the operation looked is gone when it writes.
    for module in (seal, restore):
        module.__dict__["free_bytes"] = lambda _: 1 << 40
    with full():
        try:
            act()
        except operation.raises:
            refused = True
    state.settle(space)  # a run that has ended waits for the space to say so
    if not refused and name != "start":  # a run may fail for want of space, and then says so
        found += [f"a success is not one: {problem}" for problem in operation.done(space, before)]
    space.recover()
    found += [f"recover() is not idempotent: {message}" for message in space.recover()]
    found += state.problems(space, before, midway=True) + operation.again(space, before)
    found += state.problems(space, before)
    shutil.rmtree(lock_directory(space))
    return {"refused": refused, "violations": found}


def main() -> None:
    """One operation on one size; the answer is JSON."""
    name, size, how = sys.argv[1:4]
    with (_mounted if how == "mounted" else _limited)(int(size)) as (parent, full):
        print(json.dumps(_one(name, parent, full)))


if __name__ == "__main__":
    main()
