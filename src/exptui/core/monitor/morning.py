"""What came of the runs since the user's last cockpit on this workspace was open."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from exptui.core import alerts, user
from exptui.core.alerts import Alert
from exptui.core.files import one_name, sha256_bytes, write_atomic
from exptui.core.runs import messenger
from exptui.core.runs.run import RunState, RunView

if TYPE_CHECKING:
    from exptui.core.workspace import Workspace

KINDS = ("failed", "lost", "stalled", "nan", "disk", "threshold", "finished", "stopped")  # the worst first
ENDS = {RunState.FAILED, RunState.FINISHED, RunState.STOPPED, RunState.LOST}
EVERY = 60.0  # seconds between two notes that the cockpit is open
TAIL = 1 << 16


@dataclass(frozen=True)
class News:
    """What is to be said of one run: its worst."""

    run_id: str
    kind: str
    text: str = ""


@dataclass(frozen=True)
class Left:
    """When a cockpit was open last, in seconds since the epoch, and what was at work then."""

    at: float
    working: frozenset[str]


def left_file(root: Path) -> Path:
    """Its time is when a cockpit was open, its lines are what was at work then."""
    return user.state() / "left" / sha256_bytes(os.fsencode(root))[:16]


def left(root: Path) -> Left | None:
    """When this user's cockpit on that workspace was open last; None for never."""
    file = left_file(root)
    try:
        return Left(file.stat().st_mtime, frozenset(os.fsdecode(file.read_bytes()).split("\n")))
    except OSError:
        return None


def mark(root: Path, at: float, working: Collection[str] | None = None) -> None:
    """It is open now. Where nothing can be remembered, the next morning says nothing."""
    file = left_file(root)
    with contextlib.suppress(OSError):
        if working is not None:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomic(file, os.fsencode("\n".join(sorted(working))))
        os.utime(file, (at, at))


def since(space: Workspace, then: Left, working: Collection[str]) -> tuple[News, ...]:
    """A word for each run that ended or drew attention, the worst first. `working`: what is at work now."""
    names = {name for name in (*then.working, *working) if one_name(name)}
    with contextlib.suppress(OSError), os.scandir(space.results) as entries:
        names |= {entry.name for entry in entries if _touched(entry, then.at - EVERY)}
    views = [space.view(path) for path in (space.results / name for name in names) if path.is_dir()]
    found = [news for view in views if (news := _of(view, then)) is not None]
    return tuple(sorted(found, key=lambda news: (KINDS.index(news.kind), news.run_id)))


def _touched(entry: os.DirEntry[str], then: float) -> bool:
    """The end of a run is a new run.json, and so a change of its directory."""
    try:
        return entry.name[0] != "." and entry.stat(follow_symlinks=False).st_mtime >= then
    except OSError:
        return False


def _of(view: RunView, then: Left) -> News | None:
    record, state = view.record, view.state
    if record is None or (state not in ENDS and not state.live):
        return None
    if state is RunState.LOST:
        new = view.run_id in then.working or (_seconds(record.started_at or record.queued_at) or 0) >= then.at
        return News(view.run_id, "lost") if new else None
    if state in ENDS and (_seconds(record.ended_at) or 0) < int(then.at):
        return None
    worst = min(_alerts(view, then), key=lambda one: KINDS.index(one.event), default=None)
    if state is RunState.FAILED or worst is None:
        return News(view.run_id, state.lower()) if state in ENDS else None
    return News(view.run_id, worst.event, worst.text)


def _alerts(view: RunView, then: Left) -> Iterator[Alert]:
    """What is new, and still so: a silence that ended is none any more."""
    assert view.record is not None  # looked at by `_of`
    try:
        written = (view.path / "trainer.log").stat().st_mtime
    except OSError:
        written = 0.0
    for one in alerts.read(alerts.path(view.path, view.record.attempts)):
        at = _seconds(one.at) or 0.0
        over = one.event in ("stalled", "disk") and (view.state in ENDS or written > at)
        if one.event in KINDS and at >= int(then.at) and not over:
            yield one


def troubles(then: float) -> tuple[str, ...]:
    """What the user's alert command could not tell since then, oldest first."""
    try:
        with messenger.log_file().open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ()
    parted = (line.partition(" ") for line in lines)
    return tuple(text for at, _, text in parted if (_seconds(at) or 0.0) >= then)


def _seconds(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None
