"""Spans of text with a tone → Textual content. Nothing untrusted ever becomes markup."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content
from textual.widgets import Static

from exptui.tui.present import Span

STYLES = {
    "": "",
    "good": "$text-success",
    "bad": "$text-error",
    "warn": "$text-warning",
    "accent": "$text-accent",
    "muted": "$secondary",
    "bold": "bold",
}


def content(spans: Iterable[Span]) -> Content:
    """One line."""
    return Content.assemble(*((text, STYLES[tone]) for text, tone in spans))


def block(lines: Iterable[Iterable[Span]]) -> Content:
    """Several lines."""
    return Content("\n").join([content(line) for line in lines])


class Lines(Static):
    """Lines of spans; equal ones are not painted again."""

    def __init__(self, *, id: str = "", classes: str = "") -> None:  # noqa: A002  textual's own name
        super().__init__("", id=id or None, classes=classes or None, markup=False)
        self._shown: tuple[tuple[Span, ...], ...] = ()

    def show(self, lines: Iterable[Iterable[Span]]) -> None:
        """Take over new lines."""
        new = tuple(tuple(line) for line in lines)
        if new != self._shown:
            self._shown = new
            self.update(block(new))
