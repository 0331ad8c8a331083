"""The machine and what each live run takes of it, from /proc, statvfs and nvidia-smi, in coarse steps.

Steps, so that what has hardly changed is equal to what it was, and is not painted again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from exptui.core.files import free_bytes

SPACING, HISTORY, SHORTEST = 30.0, 40, 60.0  # seconds, looks, seconds: what a disk's rate is taken from
HORIZON = 24 * 3600.0  # seconds: a disk that is full later than that is not worth a word
GPU_EVERY, GPU_PATIENCE = 10.0, 3.0  # seconds
QUERY = ("--query-gpu=index,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits")
_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Load:
    """What a process tree takes: cores, bytes of resident memory, processes."""

    cores: float
    memory: int
    processes: int


@dataclass(frozen=True)
class Gpu:
    """One GPU: how busy, 0 to 1, and bytes; None where it does not say."""

    index: int
    busy: float | None
    used: int | None
    total: int | None


@dataclass(frozen=True)
class Machine:
    """One look. `cpu`: 0 to 1; `full_in`: seconds until the disk is full as it goes, None for not soon."""

    cpu: float | None = None
    memory: int = 0
    memory_total: int = 0
    gpus: tuple[Gpu, ...] = ()
    gpu_problem: str = ""
    free: int = 0
    full_in: float | None = None
    loads: Mapping[str, Load] = field(default_factory=dict)


class _Seen(NamedTuple):
    parent: int
    ticks: int
    start: int
    pages: int


class Sampler:
    """Looks at the machine; a load is what was taken since its last look."""

    def __init__(
        self,
        place: Path,
        proc: Path = Path("/proc"),
        clock: Callable[[], float] = time.monotonic,
        gpus: Callable[[], tuple[tuple[Gpu, ...], str]] | None = None,
    ) -> None:
        self.place, self.proc, self.clock = place, proc, clock
        self._gpus = gpus or Gpus(clock=clock).read
        self._at = clock()
        self._cpu: tuple[int, int] | None = None
        self._table: dict[int, _Seen] = {}
        self._disk: deque[tuple[float, int]] = deque(maxlen=HISTORY)

    def sample(self, roots: Mapping[str, Iterable[int]], keepers: Collection[int] = ()) -> Machine:
        """The machine now. `roots`: by run, processes which it consists of, with all their descendants.

        `keepers` among them only keep it: what they take is not the run's.
        """
        at, table = self.clock(), _processes(self.proc)
        loads = self._loads(roots, keepers, table, max(1e-3, at - self._at))
        used, total = self._memory()
        gpus, problem = self._gpus()
        free = free_bytes(self.place)
        found = Machine(
            self._busy(), used, total, gpus, problem, free // 10**8 * 10**8, self._full_in(at, free), loads
        )
        self._at, self._table = at, table
        return found

    def _loads(
        self,
        roots: Mapping[str, Iterable[int]],
        keepers: Collection[int],
        table: dict[int, _Seen],
        seconds: float,
    ) -> dict[str, Load]:
        children: dict[int, list[int]] = {}
        for pid, seen in table.items():
            children.setdefault(seen.parent, []).append(pid)
        loads = {}
        for name, given in roots.items():
            family = [pid for pid in given if pid in table]
            for pid in family:  # grows while it is walked
                family += children.get(pid, ())
            tree = {pid: table[pid] for pid in family if pid not in keepers}
            ticks = sum(self._since(pid, seen) for pid, seen in tree.items())
            memory = sum(seen.pages for seen in tree.values()) * _PAGE
            loads[name] = Load(step(ticks / _TICKS / seconds, 0.1), int(_rough(memory)), len(tree))
        return loads

    def _since(self, pid: int, seen: _Seen) -> int:
        before = self._table.get(pid)
        if before is None:
            return seen.ticks if self._table else 0
        return seen.ticks - before.ticks if before.start == seen.start else seen.ticks

    def _busy(self) -> float | None:
        try:
            first = (self.proc / "stat").read_text().partition("\n")[0].split()[1:9]
            fields = [int(field) for field in first]
        except (OSError, ValueError):
            return None
        if len(fields) < 5:
            return None
        before, self._cpu = (
            self._cpu,
            (sum(fields), fields[3] + fields[4]),
        )  # all, and idle or waiting for a disk
        if before is None or self._cpu[0] <= before[0]:
            return None
        return step(1 - (self._cpu[1] - before[1]) / (self._cpu[0] - before[0]), 0.05)

    def _memory(self) -> tuple[int, int]:
        try:
            lines = (self.proc / "meminfo").read_text().splitlines()
            found = {
                key: int(rest.split()[0]) << 10 for key, _, rest in (one.partition(":") for one in lines)
            }
            total = found["MemTotal"]
            return int(step((total - found["MemAvailable"]) / total, 0.02) * total), total
        except (OSError, ValueError, KeyError, IndexError, ZeroDivisionError):
            return 0, 0

    def _full_in(self, at: float, free: int) -> float | None:
        """By what the last minutes took; in steps of ten minutes, or hours."""
        if not self._disk or at - self._disk[-1][0] >= SPACING:
            self._disk.append((at, free))
        then, before = self._disk[0]
        if at - then < SHORTEST or free >= before:
            return None
        left = free * (at - then) / (before - free)
        return max(600.0, step(left, 600 if left < 7200 else 3600)) if left < HORIZON else None


class Gpus:
    """Asks nvidia-smi, where there is one; one that hangs is killed, and left alone until it is gone."""

    def __init__(
        self, program: str | None = shutil.which("nvidia-smi"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.program, self.clock = program, clock
        self._next = float("-inf")
        self._last: tuple[tuple[Gpu, ...], str] = ((), "")
        self._hanging: subprocess.Popen[bytes] | None = None

    def read(self) -> tuple[tuple[Gpu, ...], str]:
        """The GPUs, and what is wrong with asking for them; asked every GPU_EVERY seconds."""
        if self.program is None or self.clock() < self._next:
            return self._last
        if self._hanging is None or self._hanging.poll() is not None:
            self._last = self._ask(self.program)
        self._next = self.clock() + GPU_EVERY
        return self._last

    def _ask(self, program: str) -> tuple[tuple[Gpu, ...], str]:
        try:
            self._hanging = asked = subprocess.Popen(
                (program, *QUERY), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return (), f"nvidia-smi: {error.strerror}"
        try:
            said = asked.communicate(timeout=GPU_PATIENCE)[0]
        except subprocess.TimeoutExpired:
            asked.kill()  # and not waited for: in the driver even that may take forever
            if asked.stdout is not None:
                asked.stdout.close()
            return (), "nvidia-smi does not answer"
        return (
            (parse(said), "") if asked.returncode == 0 else ((), f"nvidia-smi: exit code {asked.returncode}")
        )


def parse(said: bytes) -> tuple[Gpu, ...]:
    """The lines of nvidia-smi; one that is none is left out, a value that is none is unknown."""
    found = []
    for line in said.decode(errors="replace").splitlines():
        index, *rest = (part.strip() for part in line.split(","))
        values = [int(part) if part.isascii() and part.isdigit() else None for part in rest]
        if index.isascii() and index.isdigit() and len(values) == 3:
            busy, used, total = values
            found.append(
                Gpu(
                    int(index),
                    None if busy is None else step(busy / 100, 0.05),
                    None if used is None else int(_rough(used << 20)),
                    None if total is None else total << 20,
                )
            )
    return tuple(found)


def step(value: float, size: float) -> float:
    """The nearest multiple of a size."""
    return round(round(value / size) * size, 6)


def _rough(value: float) -> float:
    """Two figures."""
    return float(f"{value:.1e}")


def _processes(proc: Path) -> dict[int, _Seen]:
    found = {}
    for name in os.listdir(proc):  # noqa: PTH208  of every process, every few seconds
        if name.isdigit():
            try:
                with open(f"{proc}/{name}/stat", "rb", buffering=0) as file:  # noqa: PTH123
                    rest = file.read(4096).rpartition(b")")[2].split()
                found[int(name)] = _Seen(
                    int(rest[1]), int(rest[11]) + int(rest[12]), int(rest[19]), int(rest[21])
                )
            except (OSError, IndexError, ValueError):
                continue  # it has just ended
    return found
