"""A comparison as a Markdown page."""

from __future__ import annotations

import re
from collections.abc import Sequence

from exptui.core.compare.comparison import Comparison, Group, letter
from exptui.core.compare.deltas import number_text
from exptui.core.compare.statistics import Contrast, Estimate
from exptui.core.compare.words import (
    Spread,
    called,
    chance,
    count,
    interval,
    letters,
    measure,
    percent,
    ranked,
    sections,
    signed,
    title,
    told,
    word,
)
from exptui.core.monitor.text import CAP, clean

CELL = 200  # characters
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def markdown(comparison: Comparison, *, plain: bool = False) -> str:
    """The comparison as a Markdown page; `plain`: to be read as it is, nothing is escaped."""
    page = _Page(plain)
    page.line(f"# {page.text(title(comparison))}")
    if comparison.unclean:
        page.line("**Not a clean A/B:** " + page.text("; ".join(comparison.unclean)))
    if len(comparison.runs) > 2:
        groups = enumerate(comparison.groups)
        legend = [(letter(at), called(one, comparison), str(len(one.runs))) for at, one in groups]
        page.table(("", "runs", "n"), legend, "")
    for section in sections(comparison):
        page.line(f"## {section.head.capitalize()}")
        page.table(*differing_table(section.rows, comparison), section.nothing)
    page.line("## Metrics")
    page.table(*metrics_table(comparison), "the same" if comparison.equal else "none")
    if comparison.equal:
        page.line("The same everywhere: " + page.text(", ".join(comparison.equal)))
    page.bullets("Notes", comparison.notes)
    page.bullets("Not read", comparison.problems)
    if any(group.keys or len(group.runs) > 1 for group in comparison.groups) and len(comparison.runs) > 2:
        page.bullets(
            "Runs",
            [
                f"{letter(at)} {comparison.runs[run]}"
                for at, group in enumerate(comparison.groups)
                for run in group.runs
            ],
        )
    return "\n\n".join(page.parts) + "\n"


def differing_table(rows: Sequence[tuple[str, Spread]], comparison: Comparison) -> Table:
    """Of two sides a column for each, of more a line for each value."""
    if comparison.pair:
        return ("key", *_sides(comparison)), [(key, some[0][0], some[-1][0]) for key, some in rows]
    return ("key", "value", ""), [
        (key if not at else "", text, letters(numbers))
        for key, some in rows
        for at, (text, numbers) in enumerate(some)
    ]


def metrics_table(comparison: Comparison) -> Table:
    """Of two sides a line for each metric; of more one for each metric and group, as `ranked` has them."""
    return (_paired if comparison.pair else _listed)(comparison)


def _sides(comparison: Comparison) -> tuple[str, str]:
    return ("A", "B") if len(comparison.runs) > 2 else ("baseline", "candidate")


def _paired(comparison: Comparison) -> Table:
    grouped = len(comparison.runs) > 2
    head = ("metric", "", *_sides(comparison), "Δ", *(("95 % of Δ", "p") if grouped else ()), "%", "")
    rows = []
    for row in told(comparison):
        contrast = row.contrasts[1]
        means = (
            _estimate(found, group) for found, group in zip(row.estimates, comparison.groups, strict=True)
        )
        tested = (_interval(contrast), _p(contrast)) if grouped else ()
        delta = signed(contrast.delta if contrast else None, ".4g")
        rows.append(
            (
                row.name,
                measure(row),
                *means,
                delta,
                *tested,
                signed(percent(row, contrast), ".1f"),
                word(row, contrast),
            )
        )
    return head, rows


def _estimate(found: Estimate | None, group: Group) -> str:
    if found is None:
        return "–"
    lacking = f"({count(found, group)})" if found.n < len(group.runs) else ""
    return " ".join(filter(None, (number_text(found.mean), interval(found.low, found.high), lacking)))


def _interval(contrast: Contrast | None) -> str:
    return interval(contrast.low, contrast.high, "+") if contrast else ""


def _p(contrast: Contrast | None) -> str:
    return f"{contrast.p:.2g}" if contrast and contrast.p is not None else ""


def _listed(comparison: Comparison) -> Table:
    head = ("metric", "", "", "value", "95 %", "n", "Δ", "95 % of Δ", "%", "p", "P(better)", "")
    rows = list[tuple[str, ...]]()
    for row in told(comparison):
        for place, at in enumerate(ranked(row)):
            found, contrast, group = row.estimates[at], row.contrasts[at], comparison.groups[at]
            likely = chance(row, contrast)
            rows.append(
                (
                    *((row.name, measure(row)) if not place else ("", "")),
                    letter(at),
                    number_text(found.mean if found else None),
                    interval(found.low, found.high) if found else "",
                    count(found, group),
                    "baseline" if not at else signed(contrast.delta if contrast else None, ".4g"),
                    _interval(contrast),
                    signed(percent(row, contrast), ".1f") if at else "",
                    _p(contrast),
                    "" if likely is None else f"{likely:.2f}",
                    word(row, contrast),
                )
            )
    return head, rows


class _Page:
    """Blocks of Markdown, and what becomes of untrusted text in them."""

    def __init__(self, plain: bool) -> None:
        self.plain, self.parts = plain, list[str]()

    def line(self, text: str) -> None:
        self.parts.append(text)

    def bullets(self, head: str, texts: Sequence[str]) -> None:
        if texts:
            self.line(f"## {head}")
            self.line("\n".join(f"* {self.text(text)}" for text in texts))

    def text(self, text: str, cap: int = CAP) -> str:
        """No controls, and none of the characters that mean something in Markdown."""
        shown = clean(text, cap)
        return shown if self.plain else re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", shown)

    def table(self, head: tuple[str, ...], rows: Sequence[tuple[str, ...]], nothing: str) -> None:
        """Aligned, so that it can be read as it is; without the columns that are empty."""
        used = [at for at in range(len(head)) if any(row[at] for row in rows)]
        cells = [[self.text(row[at], CELL) for at in used] for row in (head, *rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        self.line("\n".join(lines) if rows else f"{nothing.capitalize()}.")
