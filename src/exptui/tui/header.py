"""The line at the top: where, what runs, what the machine does. What does not fit is left out, the least telling first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from exptui.core.files import LOW_DISK
from exptui.core.monitor.catalog import Snapshot
from exptui.core.monitor.text import clean
from exptui.core.runs.run import RunState
from exptui.tui import present
from exptui.tui.present import Span

if TYPE_CHECKING:
    from exptui.core.monitor.machine import Gpu, Machine

Part = tuple[int, list[Span]]  # what goes first where there is no room has the highest number; 0 stays


def line(
    snapshot: Snapshot,
    machine: Machine | None,
    polling: str,
    root: Path,
    host: str,
    width: int,
    *,
    disk: bool = True,
) -> list[Span]:
    """The parts that fit; a dot at the end says that some did not. Without `disk` for a first frame: it takes long."""
    parts: list[Part] = [(0, [(" exptui ", "bold")]), (6, [(f" {clean(present.tidy(root), 60)}", "muted")])]
    parts += _runs(snapshot)
    parts += _machine(machine) if machine else []
    parts += _disk(snapshot, machine) if disk else []
    parts += [(2, [(f"   polling: {clean(polling, 40)}", "warn")])] if polling else []
    parts += [(8, [(f"   {clean(host, 40)}", "muted")])]
    parts += [(0, [(f"   ! {clean(problem, 100)}", "warn")]) for problem in snapshot.problems]
    short = False
    while _length(parts) + 2 * short > width and (worst := max(order for order, _ in parts)):
        parts, short = [part for part in parts if part[0] != worst], True
    spans = [span for _, spans in parts for span in spans]
    return [*spans, (" …", "muted")] if short and not snapshot.problems else spans


def _length(parts: list[Part]) -> int:
    return sum(len(text) for _, spans in parts for text, _ in spans)


def _runs(snapshot: Snapshot) -> list[Part]:
    states = [row.view.state for row in snapshot.runs.live]
    live, queued = len(states), states.count(RunState.QUEUED)
    spans: list[Span] = [(f"   ▶ {live - queued} running", "accent" if live > queued else "muted")]
    spans += [(f" · {queued} queued", "warn")] if queued else []
    spans += [(f" · {len(snapshot.verifying)} verifying", "accent")] if snapshot.verifying else []
    return [(0, spans), (7, [(f" · {present.plural(snapshot.slots, 'slot')}", "muted")])]


def _machine(machine: Machine) -> list[Part]:
    parts: list[Part] = []
    if machine.cpu is not None:
        parts.append((4, [(f"   cpu {machine.cpu:.0%}", "accent" if machine.cpu > 0.9 else "muted")]))
    if machine.memory_total:
        full = machine.memory > 0.9 * machine.memory_total
        words = f"   mem {_of(machine.memory, machine.memory_total)}"
        parts.append((1 if full else 5, [(words, "warn" if full else "muted")]))
    parts += [(3, [(f"   {_gpu(gpu)}", "muted")]) for gpu in machine.gpus]
    parts += [(3, [(f"   gpu ? {clean(machine.gpu_problem, 60)}", "warn")])] if machine.gpu_problem else []
    return parts


def _gpu(gpu: Gpu) -> str:
    busy = f" {gpu.busy:.0%}" if gpu.busy is not None else " –"
    return f"gpu{gpu.index}{busy}" + (f" {_of(gpu.used or 0, gpu.total)}" if gpu.total else "")


def _disk(snapshot: Snapshot, machine: Machine | None) -> list[Part]:
    free = machine.free if machine else snapshot.free
    if machine and machine.full_in is not None:
        words = f"   disk {present.size(free)}, full in ~{present.span(machine.full_in)}"
        return [(0, [(words, "bad" if machine.full_in < 3600 else "warn")])]
    low = free < LOW_DISK
    return [(0 if low else 2, [(f"   disk {present.size(free)}{' left' * low}", "warn" if low else "muted")])]


def _of(used: int, total: int) -> str:
    """`41/80G`, the whole by its nearest unit."""
    size, unit = (1 << 30, "G") if total >= 1 << 30 else (1 << 20, "M")
    return f"{used / size:.0f}/{total / size:.0f}{unit}"
