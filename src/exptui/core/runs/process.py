"""Processes by number, start and boot: never mistaken for a later one of the same number."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

POLL = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process. `start_time`: seconds from the boot to its start, which no change of the clock moves."""

    pid: int
    start_time: float
    boot_id: str


class _Stat(NamedTuple):
    parent: int
    start_time: float
    working: bool  # neither a zombie nor dead


@functools.cache
def boot_id() -> str:
    """The kernel's name for this boot, empty where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def user() -> str:
    """Who the caller is, as a number where that has no name."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def me() -> Process:
    """The calling process."""
    (found,) = of(os.getpid())
    return found


def of(pid: int) -> list[Process]:
    """The process of that number, where one works."""
    stat = _stat(pid)
    return [_process(pid, stat)] if stat is not None and stat.working else []


def alive(process: Process) -> bool:
    """Whether that very process works, whoever owns it; a zombie does not."""
    if process.boot_id != boot_id():
        return False
    stat = _stat(process.pid)
    if stat is not None:
        return stat.working and stat.start_time == process.start_time
    try:  # a /proc that hides the processes of others (hidepid) tells less than the kernel
        os.kill(process.pid, 0)
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def descendants(root: int) -> list[Process]:
    """All that descends from a process and works."""
    table = {pid: stat for pid in _pids() if (stat := _stat(pid)) is not None}
    children: dict[int, list[int]] = {}
    for pid, stat in table.items():
        children.setdefault(stat.parent, []).append(pid)
    family = list(children.get(root, ()))
    for pid in family:  # grows while it is walked
        family += children.get(pid, ())
    return [_process(pid, table[pid]) for pid in family if table[pid].working]


def marked(marks: set[bytes]) -> list[Process]:
    """All whose environment holds these NAME=VALUE; what may not be read is not among them."""
    found = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            if marks <= set(environ.split(b"\0")) and (stat := _stat(pid)) and stat.working:
                found.append(_process(pid, stat))
    return found


def writers(directory: Path) -> list[Process]:
    """All that have a file below a directory open for writing; what may not be looked into is not among them."""
    below, found = f"{directory.resolve()}/", list[Process]()
    for pid in _pids():
        with contextlib.suppress(OSError):
            opened = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
            if any(_writes(pid, fd) for fd in opened if _opened(pid, fd).startswith(below)):
                found += of(pid)
    return found


def _opened(pid: int, fd: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")  # noqa: PTH115  of every descriptor there is
    except OSError:
        return ""


def _writes(pid: int, fd: str) -> bool:
    try:
        lines = Path(f"/proc/{pid}/fdinfo/{fd}").read_text().splitlines()
    except OSError:
        return False
    flags = next((int(line.split()[1], 8) for line in lines if line.startswith("flags:")), 0)
    return flags & os.O_ACCMODE != os.O_RDONLY


def oom_kills(root: Path = Path("/")) -> int:
    """How many processes of our cgroup the kernel has killed for want of memory; 0 where it does not count them."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        base = root / "sys/fs/cgroup" / controllers
        name = "memory.oom_control" if controllers else "memory.events"
        for directory in (base / path.lstrip("/"), base):  # a container may see its own cgroup as the root
            with contextlib.suppress(OSError, ValueError):
                found = dict(one.split() for one in (directory / name).read_text().splitlines())
                if "oom_kill" in found:
                    return int(found["oom_kill"])
    return 0


def send(process: Process, number: int) -> None:
    """Signal that very process; nothing where it is gone.

    Raises:
        PermissionError: it is somebody else's.
    """
    if alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def end_all(find: Callable[[], list[Process]], grace: float) -> None:
    """SIGTERM to all that `find` finds, the grace in seconds, SIGKILL, until it finds none.

    Raises:
        PermissionError: none is left but somebody else's.
    """
    deadline = time.monotonic() + grace
    asked, refused = set[Process](), set[Process]()
    while found := [process for process in find() if process not in refused]:
        late = time.monotonic() >= deadline
        for process in found:
            if late or process not in asked:
                asked.add(process)
                try:
                    send(process, signal.SIGKILL if late else signal.SIGTERM)
                except PermissionError:
                    refused.add(process)
        time.sleep(POLL)
    if any(map(alive, refused)):
        raise PermissionError(errno.EPERM, "some of its processes belong to somebody else")


def _process(pid: int, stat: _Stat) -> Process:
    return Process(pid=pid, start_time=stat.start_time, boot_id=boot_id())


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _stat(pid: int) -> _Stat | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123  of every process, each second
            fields = file.read(4096).rpartition(b")")[2].split()
    except OSError:
        return None
    threads = int(fields[17])  # a main thread that has ended is a zombie, and the others may work
    return _Stat(int(fields[1]), int(fields[19]) / _TICKS, fields[0] not in b"ZX" or threads > 1)
