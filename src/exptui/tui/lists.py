"""The rows of the configs and of the archive: pure functions from a snapshot to rows. The runs are in `listing`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exptui.core.archive import tally
from exptui.core.archive.tally import Heard, Matrix
from exptui.core.monitor.catalog import ArchiveRow, Snapshot, facts
from exptui.core.monitor.filter import matches
from exptui.core.monitor.text import clean
from exptui.tui import present
from exptui.tui.listing import Choice
from exptui.tui.present import Span
from exptui.tui.widgets.rows import Row

if TYPE_CHECKING:
    from exptui.core.audit.session import State

NAME, MACHINE = 30, 12  # columns of the matrix: an archive has at least so many, a machine just so many


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


def no_runs(query: str, *, reading: bool) -> str:
    """What an empty list of runs says."""
    if query:
        return f"no run matches {clean(query, 200)!r}; Esc clears the filter"
    return "reading the runs…" if reading else "no runs yet\nr starts one of the config above"


def run_words(shown: int, read: int, unread: int, choice: Choice) -> list[str]:
    """The title over the runs: how many, how far reading them is, what is chosen."""
    count = f"{shown:,} of {read:,}" if shown != read else f"{read:,}"
    left = f"indexing {read:,} of {read + unread:,}" if unread else ""
    return [f"2 Runs {count}", left, choice.query, f"by {choice.sort}" if choice.sort != "newest" else ""]


def archive_rows(snapshot: Snapshot, query: str, now: float) -> list[Row]:
    """Verdict, name, and when it was found; one that is being verified says how far that is."""
    shown = [row for row in snapshot.archives if matches(query, facts(row, snapshot.said))]
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
    said = tally.short(row.archived.heard) or word
    return Row(row.run_id, left, ((clean(said, 20), tone), (f"{age:>6} ", "muted")))


def matrix_rows(found: Matrix, width: int) -> list[Row]:
    """Archives by machines, in as many columns as fit; the last one is all others together."""
    fit = max(1, (width - NAME) // MACHINE)
    names = list(found.machines)
    if len(names) > fit:
        names = [*names[: fit - 1], f"+{len(names) - fit + 1} more"]
    head: tuple[Span, ...] = tuple((_cut(clean(name, 60)), "accent") for name in names)
    rows = [Row("", (("archive", "muted"),), head)]
    for run_id, machines in found.rows:
        several = [
            *machines[: len(names) - 1],
            tuple(one for some in machines[len(names) - 1 :] for one in some),
        ]
        rows.append(Row(run_id, ((clean(run_id, 200), ""),), tuple(map(_cell, several))))
    marks = "  ".join(f"{mark} {word}" for word, mark in tally.MARKS.items())
    return [*rows, Row("", ()), Row("", ((marks, "muted"),))]


def _cell(verdicts: Sequence[Heard]) -> Span:
    first = tally.leading(verdicts)
    tone = present.VERDICTS.get(first.verdict, ("", "bad"))[1] if first else "muted"
    return _cut(tally.cell(verdicts) or "·"), tone


def _cut(text: str) -> str:
    return f"{text if len(text) < MACHINE else text[: MACHINE - 2] + '…':>{MACHINE}}"
