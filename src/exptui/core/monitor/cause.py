"""Why a run failed, the most telling first: what its supervisor recorded, then what its log says at the end."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from exptui.core import alerts
from exptui.core.errors import CorruptError
from exptui.core.files import free_bytes, read_json
from exptui.core.runs import resume, run
from exptui.core.runs.run import Attempt, Exit, RunState, RunView

FRAMES, WORDS = 4, 2  # lines of a traceback above its last, and of another log's end, that are shown
KNOWN = {
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "arithmetic error",
    signal.SIGILL: "illegal instruction",
    signal.SIGTERM: "asked to end, by somebody else than exptui",
    signal.SIGXCPU: "CPU time limit",
    signal.SIGXFSZ: "file size limit",
}
_START = re.compile(r"Traceback \(most recent call last\)|thread '.*' panicked|panicked at")
_NO_MEMORY = re.compile(
    r"out of memory|OutOfMemory|MemoryError|Cannot allocate memory|std::bad_alloc", re.IGNORECASE
)
_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|ENOSPC|EDQUOT")


def cause(view: RunView, log: Sequence[bytes]) -> tuple[str, ...]:
    """The lines for a run that failed or was lost, given the end of its log; none for any other."""
    if view.state not in (RunState.FAILED, RunState.LOST):
        return ()
    lines = [line.decode(errors="replace").rstrip() for line in log]
    end = (view.record.exit if view.record else None) or Exit()
    found = ["neither its supervisor nor its trainer is there any more; how it ended is unknown"]
    found = found if view.state is RunState.LOST else _end(end)
    return (*found, *_memory(view, end, lines), *_disk(view, lines), *_words(lines))


def last_checkpoint(view: RunView) -> str:
    """The file a resume would look at first; empty where there is none, or its trainer cannot resume."""
    recipe = view.record.recipe if view.record else None
    if recipe is None or not (recipe.resume and recipe.checkpoints):
        return ""
    there = resume.checkpoints(view.files, recipe.checkpoints)
    return str(there[-1][1].relative_to(view.files)) if there else ""


def _end(end: Exit) -> list[str]:
    found = []
    if end.signal or (end.code or 0) > 128:  # how a shell tells of a signal
        number = end.signal or (end.code or 0) - 128
        try:
            name = KNOWN.get(signal.Signals(number), signal.Signals(number).name)
        except ValueError:
            name = ""
        how = f"signal {number}" if end.signal else f"exit code {end.code}"
        found.append(f"{how}: {name}" if name else how)
    elif end.code:
        found.append(f"exit code {end.code}")
    return found + ([end.error] if end.error else [])


def _memory(view: RunView, end: Exit, lines: Sequence[str]) -> list[str]:
    try:
        kills = (
            read_json(run.attempt_file(view.path, view.record.attempts), Attempt).oom_kills
            if view.record
            else 0
        )
    except (OSError, CorruptError):
        kills = 0
    if kills > 0:
        of = "a process" if kills == 1 else f"{kills} processes"
        return [f"out of memory: the kernel killed {of} of its cgroup while it ran"]
    if any(_NO_MEMORY.search(line) for line in lines):
        return ["out of memory, by the end of its log"]
    if end.signal == signal.SIGKILL or end.code == 128 + signal.SIGKILL:
        return ["by the kernel for want of memory, or by somebody's kill -9"]
    return []


def _disk(view: RunView, lines: Sequence[str]) -> list[str]:
    attempt = view.record.attempts if view.record else 1
    told = any(one.event == "disk" for one in alerts.read(alerts.path(view.path, attempt)))
    if not told and not any(_NO_SPACE.search(line) for line in lines):
        return []
    try:
        full = free_bytes(view.path) < alerts.FULL_DISK
    except OSError:
        full = False
    return [
        "the disk was full, and is: free some space before it is resumed" if full else "the disk was full"
    ]


def _words(lines: Sequence[str]) -> list[str]:
    """The last traceback, what was raised first; else the last words."""
    start = next((at for at in reversed(range(len(lines))) if _START.search(lines[at])), None)
    if start is None:
        return [line for line in lines if line.strip()][-WORDS:]
    if not lines[start].lstrip().startswith("Traceback"):
        return [line for line in lines[start : start + FRAMES] if line.strip()]
    indent = len(lines[start]) - len(lines[start].lstrip())
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][indent : indent + 1].isspace()):
        end += 1
    raised = [lines[end].strip()] if end < len(lines) else []
    frames = [line for line in lines[start + 1 : end] if line.strip(" ^~")]  # without what underlines
    return [*raised, *frames[-FRAMES:]]
