"""What a process and its descendants used so far: CPU, memory, descriptors; from /proc, so that nothing is asked of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """CPU seconds (user and system, of ended children too), resident bytes now and at their most, open descriptors."""

    cpu: float
    rss: int
    peak: int
    descriptors: int


def usage(pid: int) -> Usage:
    """Of the whole tree under a process; zeros where it has gone."""
    cpu, rss, peak, descriptors = 0.0, 0, 0, 0
    for one in tree(pid):
        try:
            fields = _stat(one)
            memory = _memory(one)
            descriptors += len(os.listdir(f"/proc/{one}/fd"))  # noqa: PTH208  no Path a descriptor
        except (FileNotFoundError, ProcessLookupError):
            continue
        cpu += sum(map(int, fields[11:15])) / TICKS
        rss += memory.get("VmRSS", 0)
        peak += memory.get("VmHWM", 0)
    return Usage(cpu, rss, peak, descriptors)


def tree(pid: int) -> list[int]:
    """The process and its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit():
            try:
                parents.setdefault(int(_stat(int(entry))[1]), []).append(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def _stat(pid: int) -> list[str]:
    """The fields behind the name, which may hold anything: state is 0, the parent 1, utime to cstime 11 to 14."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _memory(pid: int) -> dict[str, int]:
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        words[0][:-1]: int(words[1]) << 10 for words in lines if words and words[0] in ("VmRSS:", "VmHWM:")
    }
