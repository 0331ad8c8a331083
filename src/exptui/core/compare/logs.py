"""How the ends of two logs differ."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

from exptui.core.monitor.logs import WITHIN, LogTail
from exptui.core.monitor.text import clean_line

LINES, CONTEXT = 2000, 2


def difference(baseline: Path, candidate: Path) -> list[str]:
    """Lines as `diff -u` writes them, harmless to print; of a longer log only its end is looked at, and so said."""
    (ours, one_whole), (theirs, other_whole) = _end(baseline), _end(candidate)
    one, other = (f"{path.parent.name}/{path.name}" for path in (baseline, candidate))
    cut = [name for name, whole in ((one, one_whole), (other, other_whole)) if not whole]
    return [
        *unified_diff(ours, theirs, one, other, n=CONTEXT, lineterm=""),
        *(f"of {name} only the last {LINES:,} lines were compared" for name in cut),
    ]


def _end(path: Path) -> tuple[list[str], bool]:
    """The last lines, and whether there are no others."""
    tail = LogTail(path, LINES, WITHIN)
    whole = tail.offset == 0
    return [clean_line(line) for line in (*tail.read(), *tail.rest())], whole
