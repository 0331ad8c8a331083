"""Everything a screen shows of one config, run or archive, read in one go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from exptui.core import alerts
from exptui.core.alerts import Alert
from exptui.core.curves.series import Series
from exptui.core.curves.store import Curves, Store
from exptui.core.errors import ExptuiError
from exptui.core.files import sha256_file
from exptui.core.monitor import metrics
from exptui.core.monitor.catalog import ArchiveRow, ConfigRow, RunRow
from exptui.core.monitor.logs import WITHIN, LogTail
from exptui.core.monitor.progress import unused
from exptui.core.monitor.run_rows import Glimpse, Memory, read_run
from exptui.core.runs.run import RunState, RunView, config_problem, directory_of, log_of

if TYPE_CHECKING:
    from exptui.core.audit.report import AuditReport
    from exptui.core.workspace import Workspace

LOG_LINES = 200
MAX_FILES = 2000
CONFIG_BYTES = 1 << 18
PEEK_BYTES = 1 << 18

T = TypeVar("T")
Subject = ConfigRow | RunRow | ArchiveRow


class FileFact(msgspec.Struct, frozen=True):
    """One file of a run: its path, size in bytes, and whether it is part of the run's identity."""

    path: str
    size: int
    file_class: str


class Detail(msgspec.Struct, frozen=True):
    """One subject. `baseline` holds the pinned run's series; `cause` says why a run failed.

    `checkpoint` is its last, where it can be resumed. While `share` is below 1 that much of the series was read, and
    they are only a sketch.
    """

    subject: Subject
    series: dict[str, Series]
    baseline: dict[str, Series]
    config: str
    log: tuple[bytes, ...]
    files: tuple[FileFact, ...]
    audits: tuple[AuditReport, ...]
    problems: tuple[str, ...]
    cause: tuple[str, ...] = ()
    checkpoint: str = ""
    alerts: tuple[Alert, ...] = ()
    share: float = 1.0


def read(space: Workspace, subject: Subject, baseline: str, store: Store) -> Detail:
    """Read a subject's files; whatever cannot be read is a problem, never an error."""
    problems: list[str] = []
    match subject:
        case ConfigRow():
            found = Detail(subject, {}, {}, _text(subject.path), (), (), (), ())
            return found if not subject.problem else _with(found, (subject.problem,))
        case ArchiveRow():
            return _archive(space, subject, problems)
        case RunRow():
            return _run(space, whole(space, subject), baseline, store, problems)


def whole(space: Workspace, row: RunRow) -> RunRow:
    """A run with all that is known of it, where the list knows only a part."""
    return read_run(space.view(row.view.path), Memory()) if isinstance(row.view, Glimpse) else row


def more(space: Workspace, detail: Detail, baseline: str, store: Store) -> Detail:
    """The same subject with more of its series read."""
    if not isinstance(detail.subject, RunRow):
        return detail
    own, pinned = _curves(space, detail.subject.view, baseline, store)
    return msgspec.structs.replace(
        detail, series=own.series, baseline=pinned.series, share=min(own.share, pinned.share)
    )


def peek(path: Path) -> tuple[str, tuple[str, ...]]:
    """The SHA-256 of a file, and its beginning as lines; of a binary one only that it is.

    Raises:
        OSError: it cannot be read.
    """
    digest, size = sha256_file(path)
    with path.open("rb") as file:
        data = file.read(PEEK_BYTES)
    if b"\0" in data:
        return digest, (f"binary, {size:,} bytes",)
    lines = data.decode(errors="replace").splitlines()
    return digest, (*lines, *([f"… {size - len(data):,} bytes more"] if size > len(data) else []))


def _with(detail: Detail, problems: tuple[str, ...]) -> Detail:
    return msgspec.structs.replace(detail, problems=problems)


def _curves(space: Workspace, view: RunView, baseline: str, store: Store) -> tuple[Curves, Curves]:
    """The curves of a run, and those of the pinned one where it is another."""
    pinned = (
        store.read(directory_of(space.results, baseline)) if baseline not in ("", view.run_id) else Curves()
    )
    return store.read(view.files), pinned


def _run(space: Workspace, row: RunRow, baseline: str, store: Store, problems: list[str]) -> Detail:
    view = row.view
    own, pinned = _curves(space, view, baseline, store)
    slow = unused(view.record.recipe.progress) if view.record else ""
    said = (*own.problems, view.problem, config_problem(view.path, view.record), slow)
    problems += [problem for problem in said if problem]
    metrics.report(view.files, problems)
    tail = LogTail(log_of(view), LOG_LINES, WITHIN)
    log = (*tail.read(), *tail.rest())[-LOG_LINES:]
    audits = _quietly(lambda: tuple(space.audits(view.run_id)), problems)
    return Detail(
        row,
        own.series,
        pinned.series,
        _config(view.path),
        log,
        _quietly(lambda: _files(view), problems),
        audits,
        tuple(problems),
        *_why(view, log),
        alerts.read(alerts.path(view.path, view.record.attempts)) if view.record else (),
        min(own.share, pinned.share),
    )


def _why(view: RunView, log: tuple[bytes, ...]) -> tuple[tuple[str, ...], str]:
    """The cause of a failure, and the last checkpoint; imported only where one is looked at."""
    if view.state not in (RunState.FAILED, RunState.LOST):
        return (), ""
    from exptui.core.monitor.cause import cause, last_checkpoint

    return cause(view, log), last_checkpoint(view)


def _archive(space: Workspace, row: ArchiveRow, problems: list[str]) -> Detail:
    card = row.archived.card or {}
    if row.archived.card is None:
        problems.append("its card cannot be read: nothing is known of its metrics and log")
    series: dict[str, Series] = {}
    for name, points in dict(card.get("series") or {}).items():
        series[str(name)] = Series.of(
            (metrics.as_float(x), float("nan") if y is None else metrics.as_float(y))
            for x, y in points
            if isinstance(x, int | float)
        )
    log = tuple(str(line).encode() for line in card.get("log") or ())
    audits = _quietly(lambda: tuple(space.audits(row.run_id)), problems)
    return Detail(row, series, {}, str(card.get("config", "")), log, (), audits, tuple(problems))


def _quietly(read: Callable[[], tuple[T, ...]], problems: list[str]) -> tuple[T, ...]:
    try:
        return read()
    except ExptuiError as error:
        problems.append(error.message)
    except OSError as error:
        problems.append(str(error))
    return ()


def _text(path: Path) -> str:
    try:
        return path.read_bytes()[:CONFIG_BYTES].decode(errors="replace")
    except OSError as error:
        return f"# {error.strerror}"


def _config(directory: Path) -> str:
    """A run's config; without one, what it wrote down of itself."""
    path = directory / "config.toml"
    if not path.exists():
        from exptui.core.monitor.readers import hparams

        if beside := hparams.source(directory):
            return f"# {beside.relative_to(directory)}\n{_text(beside)}"
    return _text(path)


def _files(view: RunView) -> tuple[FileFact, ...]:
    from exptui.core.archive.manifest import classify

    patterns = view.record.recipe.observational if view.record else ()
    found: list[FileFact] = []
    for path in view.files.rglob("*"):
        if path.is_file() and len(found) < MAX_FILES:
            name = str(path.relative_to(view.files))
            found.append(FileFact(name, path.stat().st_size, classify(name, patterns)))
    return tuple(sorted(found, key=lambda file: file.path))
