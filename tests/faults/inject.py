"""A fault at one system call of a forked child, through strace; what the child did, call by call."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CHANGING = (
    "mkdir", "mkdirat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "truncate", "rename", "renameat",
    "renameat2", "link", "linkat", "symlink", "unlink", "unlinkat", "rmdir", "flock", "close", "fchmod", "chmod",
    "utimensat",
)  # fmt: skip
LOOKING = (
    "read",
    "pread64",
    "getdents64",
    "newfstatat",
    "fstat",
    "stat",
    "lstat",
    "statx",
    "statfs",
    "lseek",
)
TRACED = ("openat", *CHANGING, *LOOKING)
KILL, STOP, LOST, ENOSPC, EIO = "KILL", "STOP", "LOST", "ENOSPC", "EIO"
LIMIT = 60.0  # seconds until something that does not end counts as hung
_CALL = re.compile(r"(?:(\d+) +)?(\w+)\((.*)")
_LOCKED = re.compile(r"(\.(lock|run|supervisor)|/\.restore-[^/]*)>")
_SIZE = re.compile(r", (\d+)(?:, \d+)?\) += ")


@dataclass(frozen=True, slots=True)
class Call:
    """One system call in a log: its number among the calls of that name by that thread, from 1, and its line."""

    name: str
    number: int
    text: str

    @property
    def changes(self) -> bool:
        """Whether it may change what is on the disk, or who holds a lock."""
        if self.name == "openat":
            return any(flag in self.text for flag in ("O_CREAT", "O_WRONLY", "O_RDWR"))
        return self.name in CHANGING


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at the `number`th call of that name. LOST: the call says `result` and does nothing."""

    call: str
    number: int
    kind: str
    result: int = 0

    def __str__(self) -> str:
        return f"{self.kind} at {self.call} {self.number}"

    def expression(self) -> str:
        """The value of strace's `-e inject=`."""
        what = {
            KILL: "signal=KILL",
            STOP: "signal=STOP",
            LOST: f"retval={self.result}",
        }.get(self.kind, f"error={self.kind}")
        return f"{self.call}:{what}:when={self.number}"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a traced child ended (as `os.waitpid` says it; None: it hung) and its log."""

    status: int | None
    log: str


def available() -> bool:
    """Whether strace is here and may trace our own children."""
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-qq", "-o", os.devnull, "-e", "inject=getppid:error=EIO:when=999", "true"]
    return subprocess.run(command, capture_output=True).returncode == 0


def fork(act: Callable[[], int]) -> int:
    """A child that ends with the code `act` returns; 70 when it raises."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = act()
        finally:
            os._exit(code)
    return pid


def wait(pid: int, limit: float = LIMIT) -> int | None:
    """The wait status of a child, None when it did not end in time; then it is killed."""
    handle = os.pidfd_open(pid)
    try:
        ended = bool(select.select([handle], [], [], limit)[0])
    finally:
        os.close(handle)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    return status if ended else None


Meanwhile = Callable[[], Callable[[], None]]


class Waits(Protocol):
    """Passed by a child when it has prepared what is not to be traced."""

    def pass_through(self) -> None:
        """Go on to what is traced."""


class Gate:
    """Where a child waits, its preparations made, until the tracer is there."""

    def __init__(self) -> None:
        self._ready, self._say = os.pipe()
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])

    def pass_through(self) -> None:
        """In the child. Opened by a signal, so that no call is made for it that would be counted."""
        os.close(self._ready)
        os.close(self._say)
        signal.sigwaitinfo([signal.SIGUSR1])
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def reached(self) -> None:
        """In the parent: wait for the child. It closes its end when it is there, or dies."""
        os.close(self._say)
        os.read(self._ready, 1)
        os.close(self._ready)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def traced(
    act: Callable[[Waits], int],
    log: Path,
    fault: Fault | None,
    *,
    follow: bool,
    meanwhile: Meanwhile | None = None,
) -> Ran:
    """Run `act` in a child under strace, with a fault or, without one, logging every call of TRACED.

    `act` passes the gate when it has prepared what is not to be traced. `meanwhile` runs while the child is stopped by a STOP; what it returns
    runs once the child was let go on.
    """
    gate = Gate()
    pid = fork(lambda: act(gate))
    gate.reached()
    what = ["-e", f"trace={fault.call}", "-e", f"inject={fault.expression()}"] if fault else [
        "-e", "trace=" + ",".join(f"?{name}" for name in TRACED)
    ]  # fmt: skip
    command = ["strace", *(["-f"] if follow else []), "-y", "-s", "0", "-o", str(log), *what, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        while b"attached" not in (line := tracer.stderr.readline()):
            if not line:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise OSError("strace could not attach")
        os.kill(pid, signal.SIGUSR1)
        status = watched(pid, log, fault, meanwhile)
        try:
            tracer.wait(5)
        except subprocess.TimeoutExpired:
            tracer.terminate()
    return Ran(status, log.read_text(errors="replace"))


def watched(pid: int, log: Path, fault: Fault | None, meanwhile: Meanwhile | None) -> int | None:
    """The wait status of a child that is let go; where a STOP is its fault, others act while it stands still."""
    after = None
    if fault and fault.kind == STOP and _stopped(pid, log):
        after = meanwhile() if meanwhile else None
        os.kill(pid, signal.SIGCONT)
    status = wait(pid)
    if after is not None:
        after()
    return status


def _stopped(pid: int, log: Path) -> bool:
    """Whether the child was stopped by its fault, rather than ended without reaching it."""
    handle = os.pidfd_open(pid)
    try:
        while not select.select([handle], [], [], 0.002)[0]:
            if "stopped by SIGSTOP" in log.read_text(errors="replace"):
                return True
        return False
    finally:
        os.close(handle)


def happened(fault: Fault, ran: Ran) -> bool:
    """Whether the fault was really injected."""
    if fault.kind == KILL:
        return ran.status is not None and os.waitstatus_to_exitcode(ran.status) == -signal.SIGKILL
    return ("stopped by SIGSTOP" if fault.kind == STOP else "(INJECTED)") in ran.log


def calls(log: str, places: Sequence[str]) -> list[Call]:
    """The calls of a log that name one of the places; numbered among all of the log."""
    found: list[Call] = []
    counters: Counter[tuple[str, str]] = Counter()
    for line in log.splitlines():
        if match := _CALL.match(line):
            counters[match[1] or "", match[2]] += 1
            if any(place in match[3] for place in places):
                found.append(Call(match[2], counters[match[1] or "", match[2]], match[3]))
    return found


def faults(seen: Sequence[Call], kinds: Sequence[str]) -> list[Fault]:
    """Every fault of these kinds at these calls; at a call that only looks, EIO alone.

    A close that fails is left open by strace and closed by Linux, so none is injected where that keeps a lock.
    """
    found: dict[Fault, None] = {}
    for call in seen:
        for kind in kinds:
            if kind == LOST:
                size = _SIZE.search(call.text)
                if call.name == "write" and ".tar.gz.partial>" in call.text and size:
                    found[Fault(call.name, call.number, kind, int(size[1]))] = None
            elif call.name == "close" and kind in (EIO, ENOSPC) and _LOCKED.search(call.text):
                continue
            elif call.changes or kind == EIO:
                found[Fault(call.name, call.number, kind)] = None
    return list(found)


def wait_a_moment(pid: int) -> int | None:
    """The wait status of a child that ends soon; None for one that may be waiting for a stopped one."""
    handle = os.pidfd_open(pid)
    try:
        ended = bool(select.select([handle], [], [], 0.5)[0])
    finally:
        os.close(handle)
    return os.waitpid(pid, 0)[1] if ended else None
