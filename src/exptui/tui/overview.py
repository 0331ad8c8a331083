"""The lines of the Overview and of the other text tabs: pure functions from a Detail to rows of spans."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from exptui.core.archive import attested, tally
from exptui.core.archive.tally import Heard
from exptui.core.audit import report as audit
from exptui.core.audit.report import AuditReport
from exptui.core.audit.session import State
from exptui.core.curves.phases import grouped, held_out
from exptui.core.curves.series import Series
from exptui.core.monitor.catalog import ArchiveRow, ConfigRow, RunRow, Snapshot
from exptui.core.monitor.detail import Detail, FileFact
from exptui.core.monitor.progress import total
from exptui.core.monitor.text import clean, clean_line
from exptui.core.runs.run import RunState
from exptui.tui import present
from exptui.tui.braille import Curve
from exptui.tui.present import Span
from exptui.tui.widgets.rows import Row

if TYPE_CHECKING:
    from exptui.core.monitor.machine import Machine

Line = list[Span]

BAR = 30
ALERTS = 3


def title(detail: Detail) -> tuple[str, str, Span]:
    """Name, what stands beside it, and the state, for the border of the detail pane."""
    match detail.subject:
        case ConfigRow() as row:
            return row.stem, "config", ("✗ invalid", "bad") if row.problem else ("", "")
        case ArchiveRow() as row:
            mark, tone = present.VERDICTS.get(row.archived.verdict or "", ("·", "muted"))
            word = tally.short(row.archived.heard) or "not verified"
            return row.run_id, "archived", (f"{mark} {clean(word, 40)}", tone)
        case RunRow() as row:
            mark, tone = present.STATES[row.view.state]
            return (
                row.view.stem,
                row.run_id.removeprefix(row.view.stem).removeprefix("_"),
                (f"{mark} {present.outcome(row)}", tone),
            )


def facts(
    detail: Detail,
    snapshot: Snapshot,
    width: int,
    now: float,
    machine: Machine | None = None,
    words: str = "",
) -> list[Line]:
    """The upper part of the Overview."""
    match detail.subject:
        case ConfigRow() as row:
            lines = _config(row, snapshot)
        case ArchiveRow() as row:
            lines = _archive(row, now)
        case RunRow() as row:
            lines = _run(row, detail, snapshot, width, now)
            load = machine.loads.get(row.run_id) if machine else None
            lines[1:1] = [[(present.load(load), "muted")]] if load and load.processes else []
            doubt = words.startswith(("unknown", "will not"))
            lines[1:1] = [[(f"Slurm: {clean(words, 200)}", "warn" if doubt else "muted")]] if words else []
    for problem in detail.problems:
        lines.append([("! ", "warn"), (clean(problem, 300), "warn")])
    return lines


def _config(row: ConfigRow, snapshot: Snapshot) -> list[Line]:
    runs = snapshot.runs.of(row.stem, 8)
    names = present.metric_names(runs, snapshot.directions)
    lines: list[Line] = [
        [
            (f"{present.plural(row.runs, 'run')} of this config" if runs else "never run", "bold"),
            ("   r runs it", "muted"),
        ],
        [],
    ]
    for run in runs:
        mark, tone = present.state_of(run)
        numbers = "  ".join(
            f"{clean(n, 30)} {present.number(v)}"
            for n in names
            if (v := present.value_of(run.final, n)) is not None
        )
        lines.append([(f"{mark} ", tone), (clean(run.run_id, 100), ""), (f"  {numbers}", "muted")])
    width = max((len(key) for key in row.flat), default=0)
    lines += [[]] if runs else []
    lines += [
        [(f"{clean(key, 60):<{min(width, 60)}}  ", "muted"), (clean(present.short_value(value), 100), "")]
        for key, value in row.flat.items()
    ]
    return lines


def _archive(row: ArchiveRow, now: float) -> list[Line]:
    one = row.archived
    word = tally.summary(one.heard) or "not verified"
    _, tone = present.VERDICTS.get(one.verdict or "", ("·", "muted"))
    when = (
        f"  {present.age(present.seconds(one.verified_at or ''), now)} ago"
        if one.verified_at
        else "  V verifies it"
    )
    lines: list[Line] = [
        [(clean(word, 100), tone), (when, "muted")],
        [
            (f"{present.size(one.gz_size)}   ", ""),
            ("tar sha256 ", "muted"),
            (clean(one.identity or "unknown", 64), ""),
        ],
    ]
    if one.place:
        lines.append(
            [("at ", "muted"), (clean(one.place, 200), ""), ("  fetched when it is needed", "muted")]
        )
    if one.attested:
        lines.append([(attested.words(one.attested), "muted")])
    lines.append([])
    lines += [
        [(f"{clean(name, 40):<24}", "muted"), (present.number(value), "")]
        for name, value in list(row.final.items())[:12]
    ]
    return lines


def _run(row: RunRow, detail: Detail, snapshot: Snapshot, width: int, now: float) -> list[Line]:
    lines: list[Line] = [_progress(row, width, now)]
    lines += [
        [("✗ " if at == 0 else "  ", "bad"), (clean(text, 300), "bad")]
        for at, text in enumerate(detail.cause)
    ]
    if detail.cause and row.view.record:
        lines.append(_again(row, detail))
    lines += _alerts(detail, now)
    lines += _said(row, snapshot)
    lines += _against(row, detail, snapshot)
    if record := row.view.record:
        seen = record.fingerprint or {}
        git = seen.get("git")
        commit = (
            f"git {str(git['commit'])[:10]}{' + changes' if git.get('dirty') else ''}"
            if isinstance(git, dict) and git.get("commit")
            else ""
        )
        code = seen.get("code")
        words = [
            commit,
            present.plural(len(code), "code file")
            if isinstance(code, dict) and code
            else "code not declared",
        ]
        lines.append([("   ".join(clean(word, 60) for word in words if word), "muted")])
        if record.code_changed:
            lines.append([("! the code changed while it was running", "warn")])
        if record.resumed_from:
            lines.append(
                [(f"attempt {record.attempts}, resumed from {clean(record.resumed_from, 100)}", "muted")]
            )
    else:
        lines.append([("not started by exptui: how it ran is unknown", "muted")])
    return lines


def _said(row: RunRow, snapshot: Snapshot) -> list[Line]:
    """Tags and note."""
    texts = (
        f"#{text}" if key.endswith(".tag") else text
        for key, text in snapshot.said.get(row.run_id, {}).items()
    )
    return [[(line, "accent")]] if (line := "  ".join(clean(text, 300) for text in texts)) else []


def _again(row: RunRow, detail: Detail) -> Line:
    """How far a run came, and what to press."""
    where = f"last step {row.step}" if row.step is not None else "no step was finished"
    if detail.checkpoint:
        return [
            (f"{where}   ", "muted"),
            ("u", "accent"),
            (f" resumes from {clean(detail.checkpoint, 100)}   ", ""),
            ("r", "accent"),
            (" starts anew", ""),
        ]
    can = row.view.record is not None and row.view.record.recipe.resume
    return [
        (f"{where}{', no checkpoint' if can else ''}   ", "muted"),
        ("r", "accent"),
        (" runs its config again", ""),
    ]


def _alerts(detail: Detail, now: float) -> list[Line]:
    """The last ones, the newest first."""
    return [
        [
            (f"! {clean(one.text, 200)}", "warn"),
            (f"   {present.age(present.seconds(one.at), now)} ago", "muted"),
        ]
        for one in reversed(detail.alerts[-ALERTS:])
    ]


def _progress(row: RunRow, width: int, now: float) -> Line:
    share, took = present.progress(row), present.duration(row.view.record, now)
    counted = (row.view.record.recipe.progress if row.view.record else "") or total(row.flat)[0]
    unit = "epoch" if row.steps and "epoch" in counted.lower() else "step"
    step = f"{unit} {row.step or 0}/{row.steps}" if row.steps else ""
    if row.step is not None and not row.steps:
        step = f"step {row.step}"
    if row.view.state is RunState.QUEUED:
        if row.view.record is not None and row.view.record.launcher is not None:
            return [("waiting for Slurm", "warn")]
        preparing = row.view.record is not None and row.view.record.run_lock is not None
        return [("preparing: see prepare.log" if preparing else "waiting for a slot", "warn")]
    if not row.view.state.live:
        after = f" after {present.span(took)}" if took is not None else ""
        return [(f"{row.view.state.capitalize()}{after}", present.state_of(row)[1]), (f"   {step}", "muted")]
    line: Line = [(f"{step}  ", "bold")]
    if share is not None:
        done, left = present.bar(share, max(8, min(50, width - 62)))
        line += [(done, "accent"), (left, "muted"), (f"  {share:.0%}", "bold")]
    if (rest := present.eta(row, now)) is not None:
        line.append((f"  eta {present.span(rest)}", "muted"))
    if row.written:
        line.append((f"  last output {present.age(row.written, now)} ago", "muted"))
    return line


def _against(row: RunRow, detail: Detail, snapshot: Snapshot) -> list[Line]:
    """The two leading metrics, against the pinned baseline at the same step."""
    lines: list[Line] = []
    for name in present.metric_names([row], snapshot.directions):
        if not name:
            continue
        value = present.value_of(row.final, name)
        line: Line = [(f"{clean(name, 40)} ", "muted"), (present.number(value), "bold")]
        if (there := _at_step(detail.baseline, name, row.step)) is not None and value is not None:
            delta = value - there
            better = delta * snapshot.directions.of(name) > 0
            word, tone = ("better", "good") if better else ("worse", "bad") if delta else ("equal", "muted")
            line += [("   ★ baseline here ", "muted"), (present.number(there), "")]
            line.append((f"   {delta:+.3f} {word}", tone))  # type: ignore[arg-type]
        elif row.run_id == snapshot.baseline:
            line.append(("   ★ this is the baseline", "warn"))
        lines.append(line)
    return lines


def _at_step(series: Mapping[str, Series], name: str, step: int | None) -> float | None:
    """The value of a metric at a step, or the last one before it."""
    known = {key: one.before(math.inf if step is None else step) for key, one in series.items()}
    return present.value_of({key: value for key, value in known.items() if value is not None}, name)


def curves(base: str, detail: Detail, others: Sequence[tuple[str, Mapping[str, Series]]] = ()) -> list[Curve]:
    """The curves of one chart: the run's phases, then the same of the baseline or of marked runs."""
    own = grouped(detail.series).get(base, {})
    found = [
        Curve(re.sub("^valid(ate|ation)?", "val", name), one, at)
        for at, (name, one) in enumerate(own.items())
    ]
    for label, series in others:
        if held := held_out(grouped(series).get(base, {}), base):
            found.append(Curve(label, held, len(found)))
    return found


def tail(log: Sequence[bytes], height: int) -> list[Line]:
    """The last lines of the log that fit."""
    shown = log[-height:] if height > 0 else ()
    return [[(clean_line(line, 400), "")] for line in shown]


def config_rows(detail: Detail, differing: Mapping[str, Any]) -> list[Row]:
    """The config as it is written; a key that differs from the baseline's is marked with its value there."""
    rows, table = [], ""
    for at, raw in enumerate(detail.config.splitlines()):
        text = clean(raw, 400)
        stripped = text.strip()
        key, _, _ = stripped.partition("=")
        dotted = f"{table}.{key.strip()}" if table else key.strip()
        if stripped.startswith("[") and "=" not in stripped:
            table = stripped.strip("[] ")
            rows.append(Row(str(at), ((text, "accent"),)))
        elif stripped.startswith("#"):
            rows.append(Row(str(at), ((text, "muted"),)))
        elif dotted in differing:
            there = clean(present.short_value(differing[dotted]), 60)
            rows.append(Row(str(at), ((text, "warn"), (f"   ★ {there}", "muted"))))
        else:
            rows.append(Row(str(at), ((text, ""),)))
    return rows


def file_rows(files: Sequence[FileFact]) -> list[Row]:
    """Path, class and size."""
    return [
        Row(
            file.path,
            ((clean(file.path, 300), "" if file.file_class == "identity" else "muted"),),
            ((f"{file.file_class:>14}", "muted"), (f"{present.size(file.size):>10} ", "")),
        )
        for file in files
    ]


def _at_work(state: State) -> list[Row]:
    """How far a verification is."""
    spans: list[Span] = [("▶ ", "accent"), (clean(state.phase, 200), "accent")]
    amount = present.size if state.unit == "bytes" else "{:,}".format
    rows = [Row("now", tuple(spans))]
    if state.total:
        share = min(1.0, state.done / state.total)
        done = f"  {amount(state.done)} of {amount(state.total)}"
        bar: tuple[Span, ...] = (
            ("━" * round(share * BAR), "accent"),
            ("━" * (BAR - round(share * BAR)), "muted"),
        )
        unit = "" if state.unit == "bytes" else f" {state.unit} compared"
        rows.append(Row("bar", (*bar, (f" {share:4.0%}{done}{unit}", ""))))
    return [*rows, Row("how", (("x cancels it and leaves nothing of it", "muted"),)), Row("gap", ())]


def _heard(verdicts: Sequence[Heard], width: int) -> Iterator[Row]:
    """What all machines say, where there are several verdicts or one that somebody sent."""
    if len(verdicts) < 2 and not any(one.signer for one in verdicts):
        return
    yield Row("heard", ((tally.summary(verdicts), "bold"),))
    for number, one in enumerate(reversed(verdicts)):
        mark, tone = present.VERDICTS.get(one.verdict, ("?", "bad"))
        who = f"signed by {clean(one.signer, 200)}" if one.signer else "made here"
        text = f"{one.at}  on {clean(one.host, 60)}, {who}"
        for part, piece in enumerate(_wrapped(f"{mark} {one.verdict:<11} {clean(text, 400)}", width)):
            yield Row(f"heard {number}.{part}", ((piece, tone if not part else ""),))
    yield Row("heard.", ())


def audit_rows(
    audits: Sequence[AuditReport], at_work: State | None = None, width: int = 80, heard: Sequence[Heard] = ()
) -> list[Row]:
    """The verification at work, what other machines say, then every report, each beginning with its verdict.

    What is wider than `width` columns goes on in the next row: of a verdict nothing is left out.
    """
    rows: list[Row] = [*(_at_work(at_work) if at_work else []), *_heard(heard, width)]
    for number, one in enumerate(audits):
        mark, tone = present.VERDICTS[one.verdict]
        for at, line in enumerate(audit.lines(one)):
            text = clean(line, 2000)
            tint = _tone(text) if at else tone
            for part, piece in enumerate(_wrapped(text if at else f"{mark} {text}", width)):
                rows.append(Row(f"{number}.{at}.{part}", ((piece, tint),)))
        rows.append(Row(f"{number}.", ()))
    return rows


def _wrapped(line: str, width: int) -> list[str]:
    """What it says in rows, each beside what names it and not below."""
    named = re.match(r" *(\S+ ?\S* {2,})?", line)
    head = named[0] if named and len(named[0]) <= width // 2 else ""
    rows = textwrap.wrap(line[len(head) :], width - len(head), break_on_hyphens=False)
    return [(head if at == 0 else " " * len(head)) + row for at, row in enumerate(rows or [""])]


def _tone(line: str) -> present.Tone:
    word = line.strip().split(" ")[0]
    if word in ("differs", "missing", "extra"):
        return "bad"
    if word == "agrees":
        return "warn"
    if word in ("equal", "not") or not line.startswith(" "):
        return "muted" if word == "not" else ""
    return ""
