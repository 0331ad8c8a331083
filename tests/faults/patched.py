"""Where there is no strace: the same faults, of the calls that core/files.py makes, by patching it in the child."""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exptui.core import files
from faults.inject import KILL, LOST, STOP, Fault, Meanwhile, Ran, Waits, fork, watched

NAMES = {"open": "openat", "write": "write", "fsync": "fsync", "close": "close"}


class _Os:
    """`os`, as core/files.py sees it: each call is logged the way strace does, one of them has the fault."""

    def __init__(self, log: Path, fault: Fault | None) -> None:
        self._log, self._fault = log, fault
        self._counts: Counter[str] = Counter()

    def pass_through(self) -> None:
        files.__dict__["os"] = self

    def __getattr__(self, name: str) -> Any:
        original = getattr(os, name)
        return (lambda *given: self._call(name, original, given)) if name in NAMES else original

    def _call(self, name: str, original: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        call = NAMES[name]
        self._counts[call] += 1
        what = (
            f'"{given[0]}"{", O_CREAT" * bool(given[1] & os.O_CREAT)}' if name == "open" else _named(given[0])
        )
        fault = self._fault
        now = fault is not None and (fault.call, fault.number) == (call, self._counts[call])
        with self._log.open("a") as log:
            log.write(f"{call}({what}) {'(INJECTED) stopped by SIGSTOP' if now else '= 0'}\n")
        if now and fault is not None:
            if fault.kind in (KILL, STOP):
                os.kill(os.getpid(), signal.SIGKILL if fault.kind == KILL else signal.SIGSTOP)
            elif fault.kind == LOST:
                return fault.result
            else:
                number = getattr(errno, fault.kind)
                raise OSError(number, os.strerror(number))
        return original(*given)


def _named(fd: int) -> str:
    return f"{fd}<{Path(f'/proc/self/fd/{fd}').readlink()}>"


def traced(
    act: Callable[[Waits], int],
    log: Path,
    fault: Fault | None,
    *,
    follow: bool,
    meanwhile: Meanwhile | None = None,
) -> Ran:
    """As `inject.traced`."""
    log.write_text("")
    pid = fork(lambda: act(_Os(log, fault)))
    return Ran(watched(pid, log, fault, meanwhile), log.read_text())
