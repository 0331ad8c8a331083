"""The order of system calls: fsync of the file → rename → fsync of the directory, and commit before removal.

A kill cannot show what a loss of power would do; the order in which things were made durable can.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from faults.inject import Call

_FD = re.compile(r"^\d+<([^>]*)>")
_PATHS = re.compile(r'"([^"]*)"')
_CREATED = re.compile(r'"([^"]*)".*O_CREAT.*\) = \d+<([^>]*)>')
RENAMES = ("rename", "renameat", "renameat2")


def violations(calls: Sequence[Call]) -> list[str]:
    """Every rename that is not framed by its fsyncs, and every removal of a run before its archive is durable."""
    found: list[str] = []
    dirty: set[str] = set()  # written to and not fsynced since
    waiting: dict[str, str] = {}  # directory to fsync → for which name
    for call in calls:
        if call.name in ("fsync", "fdatasync") and (match := _FD.match(call.text)):
            dirty.discard(match[1])
            waiting.pop(match[1], None)
        elif call.name in ("write", "pwrite64", "ftruncate") and (match := _FD.match(call.text)):
            dirty.add(match[1])
        elif call.name == "openat" and (match := _CREATED.search(call.text)) and not _is_lock(match[2]):
            dirty.add(match[2])
        elif call.name in RENAMES and call.text.endswith("= 0"):
            source, target = _PATHS.findall(call.text)[:2]
            found += _renamed(source, target, dirty, waiting)
            waiting[str(PurePath(target).parent)] = PurePath(target).name
    return found + [f"{name}: its directory was not fsynced after the rename" for name in waiting.values()]


def _is_lock(path: str) -> bool:
    return path.endswith((".lock", ".run", ".supervisor"))


def _renamed(source: str, target: str, dirty: set[str], waiting: dict[str, str]) -> list[str]:
    name = PurePath(target).name
    found = [
        f"{name}: {PurePath(path).name} was not fsynced before the rename"
        for path in sorted(dirty)
        if path == source or path.startswith(f"{source}/")
    ]
    dirty -= {path for path in dirty if path == source or path.startswith(f"{source}/")}
    if name.startswith(".trash-") and waiting:
        found.append(f"{name}: the source was removed before {sorted(waiting.values())} were durable")
    return found
