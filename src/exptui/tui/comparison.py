"""The lines of the comparison: pure functions from a Comparison to rows of spans."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from textwrap import wrap

from exptui.core.compare.comparison import Comparison, Measured, letter
from exptui.core.compare.statistics import Estimate
from exptui.core.compare.words import (
    Spread,
    called,
    count,
    letters,
    measure,
    percent,
    ranked,
    sections,
    told,
    word,
)
from exptui.core.monitor.text import clean
from exptui.tui.present import Span, Tone
from exptui.tui.widgets.rows import Row

KEY, VALUE, LETTERS = 30, 300, 24  # cells of a key, characters of a value, cells of letters in one line
PLOT, LEAST_PLOT = 36, 8
DECIMALS = 9
TONES: dict[str, Tone] = {"better": "good", "worse": "bad", "unclear": "muted", "": "muted"}


def rows(one: Comparison, width: int, baseline: str, reading: float = 1.0) -> list[Row]:
    """Everything that differs, for a list of some width; `baseline`: the pinned run; `reading`: the share of the metrics."""
    lines = [_line("unclean", (f"! not a clean A/B: {text}", "warn")) for text in one.unclean]
    lines += _legend(one, baseline)
    for head, found, nothing in sections(one):
        lines.append(_line(head, (head, "accent"), ("" if found else f"  {nothing}", "muted")))
        lines += [line for key, values in found for line in _differing(key, values, one)]
    if reading < 1:
        lines.append(_line("metrics", ("metrics", "accent"), (f"  reading {reading:.0%}", "muted")))
    else:
        none = "" if one.metrics else "  the same" if one.equal else "  none"
        lines.append(_line("metrics", ("metrics", "accent"), (none, "muted")))
        lines += [line for row in told(one) for line in _metric(row, one, width)]
    if one.equal and one.metrics:
        lines.append(_line("equal", ("  the same: ", "muted"), (", ".join(one.equal), "")))
    lines += [_line("note", (text, "muted")) for note in one.notes for text in wrap(note, max(20, width - 3))]
    lines += [_line("problem", (f"not read: {text}", "warn")) for text in one.problems]
    return [Row(f"{at} {line.key}", line.left, line.right) for at, line in enumerate([*lines, *_runs(one)])]


def _line(key: str, *left: Span, right: tuple[Span, ...] = ()) -> Row:
    return Row(key, tuple((clean(text, 2000), tone) for text, tone in left), right)


def _legend(one: Comparison, baseline: str) -> Iterator[Row]:
    """Each run or group with its letter; the first is the baseline of the others."""
    sizes = max(len(group.runs) for group in one.groups) > 1
    for at, group in enumerate(one.groups):
        star = "★" if any(one.runs[run] == baseline for run in group.runs) else " "
        n = f"  {len(group.runs)} seeds" if len(group.runs) > 1 else "  1 run" if sizes else ""
        of: Span = ("" if at else "   baseline", "muted")
        yield _line(
            "legend",
            (f"{letter(at):>2} ", "accent"),
            (f"{star} ", "warn"),
            (called(group, one), "bold"),
            (n, "muted"),
            of,
        )


def _runs(one: Comparison) -> Iterator[Row]:
    """Which runs the groups are, where they are not called by them."""
    if any(group.keys or len(group.runs) > 1 for group in one.groups):
        yield _line("runs", ("runs", "accent"))
        for at, group in enumerate(one.groups):
            for run in group.runs:
                yield _line("run", (f"{letter(at):>2} ", "accent"), (one.runs[run], ""))


def _differing(name: str, values: Spread, one: Comparison) -> Iterator[Row]:
    """Of two sides one line; of more a line for each value, with the letters of those that have it."""
    key = f"  {clean(name, 100):<{KEY}} "
    if one.pair:
        sides = [clean(values[side][0], VALUE) for side in (0, -1)]
        text = " → ".join(sides) if len(values) > 1 else f"{sides[0]}   in each"
        yield _line(name, (key, ""), (text, "warn"))
        return
    for text, numbers in values:
        for first, part in zip_longest((clean(text, VALUE),), wrap(letters(numbers), LETTERS)):
            right: tuple[Span, ...] = ((f" {part:<{LETTERS}}", "accent"),)
            yield _line(name, (key if first else "", ""), (first or "", "warn"), right=right)
            key = " " * len(key)


# Metrics


def _metric(row: Measured, one: Comparison, width: int) -> Iterator[Row]:
    """A head, then a line for each group, the best first, with its place among all on the right."""
    known = [found for found in row.estimates if found is not None]
    ends = [v for e in known for v in (e.mean, e.low, e.high) if v is not None and math.isfinite(v)]
    which = {1: "  higher is better", -1: "  lower is better", 0: ""}[row.direction]
    order, text, tested = ranked(row), decimals(ends), any(found.low is not None for found in known)
    spans = [_numbers(row, at, one, text, tested=tested) for at in order]
    yield _line(row.name, (f"  {row.name}", "bold"), (f"  {measure(row)}", ""), (which, "muted"))
    room = min(PLOT, width - 4 - max(sum(len(part) for part, _ in line) for line in spans))
    plotted = room >= LEAST_PLOT and (tested or len(order) > 2)
    for at, line in zip(order, spans, strict=True):
        found = row.estimates[at]
        drawn = forest(found, row.estimates[0], ends, room) if found and plotted else ""
        yield _line(row.name, *line, right=((drawn, line[-1][1]),))


def _numbers(
    row: Measured, at: int, one: Comparison, text: Callable[[float, str], str], *, tested: bool
) -> tuple[Span, ...]:
    """What is known of a group; with `tested` there are intervals, and room for them."""
    found, contrast = row.estimates[at], row.contrasts[at]
    mean = text(found.mean, "") if found else "–"
    cells = f"{mean:>9}"
    if tested:
        pair = _interval(found.low, found.high, text, "") if found else ""
        cells += f" {pair:<{2 * len(mean) + 4}} n {count(found, one.groups[at]):<3}"
    if contrast is not None:
        share = percent(row, contrast)
        cells += f"  Δ {text(contrast.delta, '+'):>8}"
        cells += (
            f" {_interval(contrast.low, contrast.high, text, '+'):<{2 * len(mean) + 6}}" if tested else ""
        )
        cells += f"{share:>+9.1f} %" if share is not None and not tested else ""
        cells += f" p {contrast.p:.2g}" if contrast.p is not None else ""
    said = word(row, contrast)
    return (f"{letter(at):>4}", "accent"), (cells, ""), (f"  {said}", TONES[said])


def _interval(low: float | None, high: float | None, text: Callable[[float, str], str], sign: str) -> str:
    return f"[{text(low, sign)}, {text(high, sign)}]" if low is not None and high is not None else ""


def decimals(values: Sequence[float]) -> Callable[[float, str], str]:
    """How to write numbers so that those values can be told apart: four digits of what lies between them."""
    span = max(values) - min(values) if values else 0.0
    largest = max(map(abs, values), default=0.0)
    if not 0 < span < math.inf or not 1e-4 <= largest < 1e7:
        return lambda value, sign: f"{value:{sign}.4g}"
    places = min(DECIMALS, max(0, 3 - math.floor(math.log10(span))))
    return lambda value, sign: f"{value:{sign}.{places}f}"


def forest(found: Estimate, base: Estimate | None, ends: Sequence[float], width: int) -> str:
    """A mean with its interval between the least and the greatest of all ends, and where the baseline is: `┊ ├──●─┤`."""
    low, high = min(ends, default=0.0), max(ends, default=0.0)

    def place(value: float) -> int:
        return round((value - low) / (high - low) * (width - 1)) if high > low else width // 2

    cells = [" "] * width
    if base is not None and math.isfinite(base.mean):
        cells[place(base.mean)] = "┊"
    if found.low is not None and found.high is not None:
        first, last = place(found.low), place(found.high)
        cells[first : last + 1] = "─" * (last - first + 1)
        cells[first], cells[last] = "├", "┤"
    if math.isfinite(found.mean):
        cells[place(found.mean)] = "●"
    return "".join(cells)
