"""Pieces of HTML. Whatever comes from a run goes through `text`: it cannot become markup, nor turn the text around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from exptui.core.monitor.text import clean

CAP = 400  # characters of one value


def text(value: str, cap: int = CAP) -> str:
    """Untrusted text, harmless in an element and in a quoted attribute."""
    return escape(clean(value, cap))


def tag(name: str, inside: str, style: str = "") -> str:
    """An element around markup; `style`: its class."""
    of = f' class="{style}"' if style else ""
    return f"<{name}{of}>{inside}</{name}>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], style: str = "") -> str:
    """A table of markup, which scrolls by itself where the page is narrower, without the columns that are empty.

    A row whose first cell is empty goes on with the one above.
    """
    found = list(rows)
    used = [at for at in range(len(head)) if any(row[at] for row in found)]
    top = "".join(f'<th scope="col">{head[at]}</th>' for at in used)
    body = "\n".join(
        tag("tr", "".join(tag("td", row[at]) for at in used), "" if row[0] else "more") for row in found
    )
    lines = f"\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return tag("div", tag("table", lines, style), "wide")


def bullets(items: Iterable[str]) -> str:
    """Untrusted texts as a list; nothing where there is none."""
    found = "\n".join(tag("li", text(item, 2000)) for item in items)
    return tag("ul", found) if found else ""
