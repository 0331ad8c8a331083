"""The page: what the runs are, whether it is a clean A/B, what differs, how they did, and whether it reproduces."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

from exptui.core.audit.report import Verdict
from exptui.core.audit.statement import Seen, Statement
from exptui.core.compare.comparison import Comparison, best, letter
from exptui.core.compare.deltas import number_text
from exptui.core.compare.report import differing_table, metrics_table
from exptui.core.compare.words import called, exact_text, ranked, sections, told
from exptui.core.curves.phases import HELD_OUT, grouped, leading
from exptui.core.directions import Directions
from exptui.core.page import plot
from exptui.core.page.markup import bullets, table, tag, text
from exptui.core.page.plot import COLOURS, Line
from exptui.core.page.subject import Subject
from exptui.core.runs.run import stem_of

CHARTS = 60  # of so many metrics at most
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
TONES = {
    "better": "good",
    "worse": "bad",
    Verdict.REPRODUCED: "good",
    Verdict.DIVERGED: "bad",
    Verdict.FAILED: "bad",
    Verdict.CORRUPT: "bad",
}
MARKS = {"good": "✔ ", "bad": "✗ "}
NOT_SAID = (
    "Side by side are configs, what exptui recorded when each trainer started, and metrics. Checkpoints, logs and other "
    "files were not compared with each other."
)


def document(subjects: Sequence[Subject], comparison: Comparison, directions: Directions) -> str:
    """The whole file. The same subjects give the same bytes."""
    alone = len(subjects) == 1
    name = _title(comparison)
    body = [
        _head(name, comparison, alone=alone),
        _section("Run" if alone else "Runs", _runs(subjects, comparison)),
        *(_differing(comparison) if not alone else ()),
        _section("Metrics", "".join(_metrics(subjects, comparison, directions))),
        _section("Curves", _curves(subjects, comparison, directions)),
        _section("Verdicts", "".join(_verdicts(subjects))),
        _section("Where they come from" if not alone else "Where it comes from", _provenance(subjects)),
        _section("Configs" if not alone else "Config", "".join(_configs(subjects))),
        _section("Not compared, not read", _left_out(comparison, alone=alone)),
    ]
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(name, 200)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, body))
        + "\n</main>\n<footer>Made by exptui from the files of these runs. It holds no script and loads nothing."
        "</footer>\n</body>\n</html>\n"
    )


def _title(comparison: Comparison) -> str:
    """The experiments, where they tell the runs apart; else the runs themselves."""
    runs, groups = comparison.runs, len(comparison.groups)
    stems = list(dict.fromkeys(map(stem_of, runs)))
    if len(runs) > 2:
        return f"{len(runs)} runs" + (f" in {groups} groups" if groups < len(runs) else "")
    return " vs ".join(stems if len(stems) == len(runs) else runs)


def _head(name: str, comparison: Comparison, *, alone: bool) -> str:
    if alone:
        banner = ""
    elif comparison.unclean:
        banner = f'<div class="banner warn"><b>Not a clean A/B</b>{bullets(comparison.unclean)}</div>'
    else:
        banner = '<div class="banner good"><b>✔ A clean A/B</b> Only the config differs.</div>'
    return f'<header><p class="kind">exptui report</p><h1>{text(name, 300)}</h1>{banner}</header>'


def _section(head: str, inside: str) -> str:
    return f"<section>\n<h2>{head}</h2>\n{inside}\n</section>" if inside else ""


def _chip(group: int) -> str:
    return tag("b", letter(group), f"chip g{group % COLOURS}")


# Runs


def _runs(subjects: Sequence[Subject], comparison: Comparison) -> str:
    rows = []
    for at, group in enumerate(comparison.groups):
        for run in group.runs:
            subject = subjects[run]
            facts = dict(subject.facts)
            what = text(called(group, comparison)) if group.keys else ""
            seed = text(exact_text(subject.side.seed)) if len(group.runs) > 1 else ""
            first = " ".join(map(_badge, _latest(subject.seen))) or tag("span", "not verified", "muted")
            state = text(facts.get("state", ""), 100)
            rows.append(
                (
                    _chip(at) if len(subjects) > 1 else "",
                    tag("span", text(subject.side.run_id), "run"),
                    what,
                    seed,
                    state,
                    text(facts.get("took", "")),
                    first,
                )
            )
    return table(("", "run", "called", "seed", "state", "took", "verdict"), rows)


def _latest(seen: Sequence[Seen]) -> list[Verdict]:
    """The newest verdict, and DIVERGED where any said so: that is never hidden by another."""
    known = [one.statement.verdict for one in seen]
    return list(dict.fromkeys([v for v in known if v is Verdict.DIVERGED][:1] + known[:1]))


def _badge(verdict: Verdict) -> str:
    tone = TONES.get(verdict, "warn")
    return tag("span", f"{MARKS.get(tone, '')}{verdict}", f"badge {tone}")


# What differs


def _differing(comparison: Comparison) -> Iterator[str]:
    heads = {"config": "Config: what differs", "fingerprint": "Circumstances: what differs"}
    for part in sections(comparison):
        if not part.rows:
            yield _section(heads[part.head], tag("p", f"{part.nothing.capitalize()}.", "muted"))
        elif comparison.pair:
            head, rows = differing_table(part.rows, comparison)
            yield _section(heads[part.head], table(head, [[_code(cell) for cell in row] for row in rows]))
        else:
            cells = [
                (_code(key) if not at else "", _code(value), " ".join(map(_chip, groups)))
                for key, some in part.rows
                for at, (value, groups) in enumerate(some)
            ]
            yield _section(heads[part.head], table(("key", "value", ""), cells))


def _code(value: str) -> str:
    return tag("code", text(value)) if value else ""


# Metrics


def _metrics(subjects: Sequence[Subject], comparison: Comparison, directions: Directions) -> Iterator[str]:
    if len(subjects) == 1:
        yield from _alone(subjects[0], directions)
        return
    (_, _, *head), rows = metrics_table(comparison)
    cells = [
        [
            _named(name, measure),
            *(text(cell) for cell in more),
            _word(said),
        ]
        for name, measure, *more, said in rows
    ]
    if not comparison.pair:  # letter, value, interval, …
        head.insert(3, "")
        for row, (chip, forest) in zip(cells, _places(comparison), strict=True):
            row[1] = chip
            row.insert(4, forest)
    same = "The same everywhere." if comparison.equal else "None."
    yield table(("metric", *head), cells, "numbers") if rows else tag("p", same, "muted")
    if rows and comparison.equal:
        yield tag("p", f"The same everywhere: {text(', '.join(comparison.equal), 2000)}", "muted")
    yield bullets(comparison.notes)


def _named(name: str, measure: str) -> str:
    return f"{text(name)} {tag('span', text(measure), 'muted')}" if measure else text(name)


def _alone(subject: Subject, directions: Directions) -> Iterator[str]:
    """The numbers of one run."""
    numbers = subject.side.metrics
    rows = []
    for name in dict.fromkeys((*numbers.final, *numbers.series)):
        series, direction = numbers.series.get(name), directions.of(name)
        top = best(series, direction) if series and direction else None
        last = f"{series[-1][0]:g}" if series else ""
        final = number_text(numbers.final.get(name))
        rows.append((text(name), final, "" if top is None else number_text(top), last))
    yield (
        table(("metric", "final", "best", "last step"), rows, "numbers")
        if rows
        else tag("p", "None.", "muted")
    )


def _places(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """In the order of the table's lines: the group, and where its mean is among all."""
    for row in told(comparison):
        known = [found for found in row.estimates if found]
        ends = [v for e in known for v in (e.mean, e.low, e.high) if v is not None and math.isfinite(v)]
        between = min(ends, default=0.0), max(ends, default=1.0)
        for at in ranked(row):
            yield _chip(at), plot.interval(row.estimates[at], row.estimates[0], between)


def _word(cell: str) -> str:
    tone = TONES.get(cell, "muted")
    return (
        tag("span", f"{'▲ ' if tone == 'good' else '▼ ' if tone == 'bad' else ''}{text(cell)}", tone)
        if cell
        else ""
    )


# Curves


def _curves(subjects: Sequence[Subject], comparison: Comparison, directions: Directions) -> str:
    of = {run: at for at, group in enumerate(comparison.groups) for run in group.runs}
    charts: dict[str, list[Line]] = {}
    for run, subject in enumerate(subjects):
        for base, phases in grouped(subject.side.metrics.series).items():
            held = any(phase.startswith(HELD_OUT) for phase in phases)
            charts.setdefault(base, []).extend(
                Line(of[run], one, train=held and phase.startswith("train")) for phase, one in phases.items()
            )
    drawn = [svg for name in leading(charts, directions) if (svg := plot.chart(name, charts[name]))]
    if not drawn:
        return ""
    trained = any(line.train for lines in charts.values() for line in lines)
    legend = [
        f"<li>{_chip(at)} {text(called(group, comparison), 100)}</li>"
        for at, group in enumerate(comparison.groups)
        if len(subjects) > 1
    ]
    legend += ['<li><i class="dash"></i> dashed: training, solid: held out</li>'] if trained else []
    more = (
        f'<p class="muted">{len(drawn) - CHARTS:,} more metrics have curves.</p>'
        if len(drawn) > CHARTS
        else ""
    )
    keys = tag("ul", "".join(legend), "legend") if legend else ""
    return keys + tag("div", "\n".join(drawn[:CHARTS]), "charts") + more


# Does it reproduce


def _verdicts(subjects: Sequence[Subject]) -> Iterator[str]:
    unverified = []
    for subject in subjects:
        if not subject.seen:
            unverified.append(subject.side.run_id)
            continue
        yield f'<h3 class="run">{text(subject.side.run_id)}</h3>'
        yield "".join(map(_verdict, subject.seen))
    if unverified:
        yield tag("p", f"Not verified, nobody ran it again: {text(', '.join(unverified), 2000)}", "muted")


def _verdict(seen: Seen) -> str:
    one = seen.statement
    who = f"signed by {text(seen.signer)}" if seen.signer else "made in the workspace of this page"
    facts = [(name, value) for name, value in _stated(one) if value]
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    about = tag("span", f"{text(one.at)}, {who}", "muted")
    return f'<article class="verdict">{_badge(one.verdict)} {about}<dl>{rows}</dl></article>'


def _stated(one: Statement) -> Iterator[tuple[str, str]]:
    yield "found", text(one.headline, 1000)
    if one.first_mismatch_cycle is not None:
        yield "first mismatch", f"cycle {one.first_mismatch_cycle}"
    yield "cause", text(one.cause)
    yield "machine", _machine(one)
    yield "scope", text(one.scope)
    yield "isolation", text(one.isolation)
    yield "code", text(one.code)
    yield "prepared", text(one.prepared)
    yield "compared", f"{one.compared:,} files"
    yield "differing", _codes(one.differing)
    yield "except declared", _codes(one.declared)
    yield "not compared", _codes(one.not_compared)
    around = one.environment
    yield "environment", "unknown on one side" if around is None else _codes(around) or "the same"
    yield "notes", "<br>".join(map(text, one.notes))
    yield "archive", _code(one.identity) or "none: a run in results/ was run again"


def _machine(one: Statement) -> str:
    if one.machine is None:
        return "not recorded"
    words = (
        f"{one.machine.user} on {one.machine.host}",
        one.machine.cpu,
        one.machine.system,
        one.machine.libc,
    )
    return text(", ".join(filter(None, words)))


def _codes(items: Iterable[str]) -> str:
    return "<br>".join(map(_code, items))


# Provenance, and what is not said


def _provenance(subjects: Sequence[Subject]) -> str:
    cards = []
    for subject in subjects:
        rows = "".join(f"<dt>{name}</dt><dd>{text(value, 1000)}</dd>" for name, value in subject.facts)
        cards.append(f'<article><h3 class="run">{text(subject.side.run_id)}</h3><dl>{rows}</dl></article>')
    return tag("div", "\n".join(cards), "cards")


def _configs(subjects: Sequence[Subject]) -> Iterator[str]:
    """Each whole; folded away where they are several."""
    for subject in subjects:
        rows = [(_code(key), _code(exact_text(value))) for key, value in (subject.side.config or {}).items()]
        inside = table(("key", "value"), rows) if rows else tag("p", "Unknown.", "muted")
        if len(subjects) == 1:
            yield inside
        else:
            yield f'<details><summary class="run">{text(subject.side.run_id)}</summary>{inside}</details>'


def _left_out(comparison: Comparison, *, alone: bool) -> str:
    said = "" if alone else tag("p", NOT_SAID)
    return said + bullets(comparison.problems)
