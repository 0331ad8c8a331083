"""A script in front of a trainer: changes one thing of its own process, then becomes the trainer.

`python -I start.py '{"cpus": [0]}' PROGRAM ARGUMENT…` needs nothing but the standard library. Where the change is not
possible here it says why on stderr and ends with IMPOSSIBLE; the program is then not started.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

IMPOSSIBLE, CANNOT_START = 125, 127
ADDR_NO_RANDOMIZE, PR_SET_PDEATHSIG = 0x0040000, 1
NEW_MOUNTS, NEW_HOSTNAME, NEW_USER = 0x00020000, 0x04000000, 0x10000000
BIND, RECURSIVE, PRIVATE = 4096, 16384, 1 << 18
MOST_FILES = 20_000
LIBC = ctypes.CDLL(None, use_errno=True)


class ImpossibleError(Exception):
    """What was asked for cannot be done on this machine."""


def _call(what: str, function: Callable[..., int], *arguments: object) -> None:
    if function(*arguments) < 0:
        raise ImpossibleError(f"{what}: {os.strerror(ctypes.get_errno())}")


def fixed_addresses(_: object) -> None:
    """Every address the same in every run from the next exec on."""
    if Path("/proc/sys/kernel/randomize_va_space").read_text().strip() == "0":
        raise ImpossibleError("this kernel does not randomise addresses")
    _call("personality", LIBC.personality, ADDR_NO_RANDOMIZE)


def cpus(numbers: list[int]) -> None:
    """Only these processors."""
    if os.sched_getaffinity(0) == set(numbers):
        raise ImpossibleError("there is one processor only")
    os.sched_setaffinity(0, numbers)


def _namespaces(kind: int) -> None:
    """Namespaces of our own; where that needs it a user namespace too, in which we are who we were."""
    uid, gid = os.geteuid(), os.getegid()
    if LIBC.unshare(kind) == 0:
        return
    _call("unshare", LIBC.unshare, kind | NEW_USER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def hostname(name: str) -> None:
    """Another name of this host, seen by this process and its children."""
    _namespaces(NEW_HOSTNAME)
    _call("sethostname", LIBC.sethostname, name.encode(), len(name.encode()))


def _mount(source: Path | str, target: Path, kind: bytes, flags: int) -> None:
    what = f"mount on {target}"
    _call(what, LIBC.mount, os.fsencode(source), os.fsencode(target), kind, flags, None)


def reordered(where: dict[str, Any]) -> None:
    """The same files below `top`, each directory listed backwards; `whole` stay as they are, as do hidden directories.

    A memory file system is laid over `top`, prepared on the empty directory `stage`, with every file bound into it.
    """
    top, stage, whole = Path(where["top"]), Path(where["stage"]), set(map(Path, where["whole"]))
    _namespaces(NEW_MOUNTS)
    _mount("none", Path("/"), b"", RECURSIVE | PRIVATE)
    _mount("tmpfs", stage, b"tmpfs", 0)
    for name in ("first", "second"):
        (stage / name).mkdir()
    newest_first = [path.name for path in stage.iterdir()] == ["second", "first"]
    for name in ("first", "second"):
        (stage / name).rmdir()
    count = moved = 0
    pending = [(top, stage)]
    while pending:
        old, new = pending.pop()
        sources = list(old.iterdir())
        count, moved = count + len(sources), moved + (len(sources) > 1)
        if count > MOST_FILES:
            raise ImpossibleError(f"{top} holds more than {MOST_FILES:,} files")
        for source in sources if newest_first else sources[::-1]:
            bind = source in whole or source.name.startswith(".")
            pending += _placed(source, new / source.name, bind=bind)
    if not moved:
        raise ImpossibleError(f"{top} holds no two files to list in another order")
    _mount(stage, top, b"", BIND | RECURSIVE)
    os.chdir(top)


def _placed(source: Path, target: Path, *, bind: bool) -> list[tuple[Path, Path]]:
    """Make what stands for `source`; a directory whose entries are still to come is returned."""
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return []
    if source.is_dir():
        target.mkdir()
        if not bind:
            return [(source, target)]
    else:
        target.touch()
    _mount(source, target, b"", BIND | RECURSIVE)
    return []


CHANGES: dict[str, Callable[[Any], None]] = {
    "fixed_addresses": fixed_addresses,
    "cpus": cpus,
    "hostname": hostname,
    "reordered": reordered,
}


def main() -> int:
    """Change what is asked for and become the program; returns only where that fails."""
    changes, argv = json.loads(sys.argv[1]), sys.argv[2:]
    try:
        for name, value in changes.items():
            CHANGES[name](value)
    except (ImpossibleError, OSError) as error:
        print(error, file=sys.stderr)
        return IMPOSSIBLE
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # a killed exptui leaves no trainer behind
    try:
        os.execv(argv[0], argv)  # noqa: S606  a shell is what must not come between
    except OSError as error:
        print(f"cannot start {argv[0]}: {error.strerror}", file=sys.stderr)
        return CANNOT_START


if __name__ == "__main__":
    sys.exit(main())
