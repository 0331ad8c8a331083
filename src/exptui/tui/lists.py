"""The rows of the three lists on the left: pure functions from a snapshot to rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from exptui.core.monitor.catalog import ArchiveRow, RunRow, Snapshot, facts
from exptui.core.monitor.filter import matches
from exptui.core.monitor.text import clean
from exptui.tui import present
from exptui.tui.present import Span
from exptui.tui.widgets.rows import Row

if TYPE_CHECKING:
    from exptui.core.audit.session import State

SORTS = ("newest", "best", "least", "name")


def config_rows(snapshot: Snapshot) -> list[Row]:
    """Name and number of runs; the baseline's config has a star."""
    pinned = snapshot.run(snapshot.baseline)
    rows = []
    for config in snapshot.configs:
        star: Span = ("★ ", "warn") if pinned and pinned.view.stem == config.stem else ("  ", "")
        end: Span = (
            ("✗ invalid ", "bad") if config.problem else (f"{present.config_summary(config)} ", "muted")
        )
        rows.append(Row(config.stem, (star, (clean(config.stem, 200), "")), (end,)))
    return rows


def chosen_runs(snapshot: Snapshot, query: str, sort: str) -> list[RunRow]:
    """The runs a filter lets through, in order; the newest first among equals."""
    rows = [row for row in snapshot.runs if matches(query, facts(row))]
    best, least = present.metric_names(rows)
    if sort == "best":
        rows.sort(key=lambda row: -_known(present.value_of(row.final, best), float("-inf")))
    elif sort == "least":
        rows.sort(key=lambda row: _known(present.value_of(row.final, least), float("inf")))
    elif sort == "name":
        rows.sort(key=lambda row: row.run_id)
    return rows


def _known(value: float | None, default: float) -> float:
    return default if value is None or math.isnan(value) else value


def run_rows(rows: Sequence[RunRow], baseline: str, now: float) -> tuple[list[Row], Row]:
    """State, name, the two leading metrics (or how far it is), age; and the header over them."""
    names = present.metric_names(rows)
    heads = ["acc" if name == "accuracy" else clean(name, 6)[:5] for name in names]
    header = Row("", (("run", ""),), ((f"{heads[0]:>6}{heads[1]:>7}{'age':>6} ", ""),))
    return [_run_row(row, names, baseline, now) for row in rows], header


def _run_row(row: RunRow, names: tuple[str, str], baseline: str, now: float) -> Row:
    best, least = (present.value_of(row.final, name) for name in names)
    share = present.progress(row) if row.view.state.live else None
    middle = f"{share:.0%}" if share is not None else present.number(least)
    record = row.view.record
    when = present.seconds(record.ended_at or record.queued_at) if record else None
    star: Span = ("★ ", "warn") if row.run_id == baseline else ("", "")
    mark, tone = present.state_of(row)
    return Row(
        row.run_id,
        ((f"{mark} ", tone), star, (clean(row.view.stem, 200), "")),
        (
            (f"{present.number(best):>6}", "" if best is not None else "muted"),
            (f"{middle:>7}", "accent" if share is not None else "muted"),
            (f"{present.age(when, now):>6} ", "muted"),
        ),
    )


def archive_rows(snapshot: Snapshot, query: str, now: float) -> list[Row]:
    """Verdict, name, and when it was found; one that is being verified says how far that is."""
    shown = [row for row in snapshot.archives if matches(query, facts(row))]
    return [_archive_row(row, snapshot.verification(row.run_id), now) for row in reversed(shown)]


def _archive_row(row: ArchiveRow, state: State | None, now: float) -> Row:
    word = row.archived.verdict or "not verified"
    mark, tone = present.VERDICTS.get(word, ("·", "muted"))
    stem, _, stamp = row.run_id.rpartition("_")
    left: tuple[Span, ...] = ((f"{mark} ", tone), (clean(stem or row.run_id, 200), ""))
    if state is not None:
        share = f" {state.done / state.total:.0%}" if state.total else ""
        return Row(row.run_id, (("▶ ", "accent"), left[1]), ((f"verifying{share} ", "accent"),))
    age = present.age(present.seconds(stamp[:16]), now)
    return Row(row.run_id, left, ((clean(word, 20), tone), (f"{age:>6} ", "muted")))
