"""`doctor --trainer CONFIG`: what was tried, what it changed, and what usually explains it."""

from __future__ import annotations

import argparse
import signal
import sys
import textwrap
from collections.abc import Iterator

import msgspec

from exptui.cli.exits import UNKNOWN
from exptui.cli.lists import print_json
from exptui.cli.progress import ProgressLine
from exptui.cli.recover import recovered
from exptui.core.audit.conformity import Conformity, Row
from exptui.core.monitor.text import clean
from exptui.core.workspace import Workspace

WIDTH = 80
MARKS = {"same": "✔", "differs": "✗", "failed": "✗", "not possible": "–", "not judged": "·"}


def conformance(arguments: argparse.Namespace) -> int:
    """Run the checks and print a table; the exit code says what was found."""
    workspace = recovered(Workspace.find(arguments.workspace))
    check, last = workspace.conformance(
        arguments.trainer, workers=arguments.workers, timeout=arguments.timeout
    )
    took = f"the last run of it took {_time(last)}" if last is not None else "how long one takes is not known"
    print(f"up to {check.most_runs} runs of {clean(check.config.stem)}; {took}", file=sys.stderr)
    ends = (signal.SIGTERM, signal.SIGHUP)  # as Ctrl-C: nothing is left behind
    before = {number: signal.signal(number, signal.default_int_handler) for number in ends}
    try:
        with ProgressLine(sys.stderr) as line:
            found = check.run(
                lambda run, name: line.show(f"run {run} of at most {check.most_runs}: {name}", 0, 0)
            )
    except KeyboardInterrupt:
        print("\nexptui: interrupted; every run of it was ended, and nothing is left.", file=sys.stderr)
        return UNKNOWN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if arguments.json:
        answers = {name: getattr(found, name) for name in ("deterministic", "resumable", "independent")}
        print_json({**msgspec.to_builtins(found), **answers})
    else:
        print("\n".join(clean(line) for line in lines(found)))
    return found.exit_code


def lines(found: Conformity) -> Iterator[str]:
    """The whole check in lines of at most 80 characters, the three answers last."""
    yield f"{found.config}  {found.runs} runs in {_time(found.seconds)}, the first in {_time(found.first_seconds)}"
    yield ""
    for row in found.rows:
        yield from _row(row)
    for note in found.notes:
        yield from _wrapped(f"· {note}", "  ")
    if found.remedies:
        yield ""
        yield from _wrapped(f"What could make it deterministic ({found.seen}):", "")
        for remedy in found.remedies:
            yield from _wrapped(f"→ {remedy}", "  ")
    if found.problem:
        yield from _wrapped(f"nothing was compared: {found.problem}", "  ")
        return
    yield ""
    yield f"deterministic            {found.deterministic}"
    yield f"resumable                {found.resumable}"
    yield from _wrapped(f"environment-independent  {found.independent}{_which(found)}", " " * 25)


def _row(row: Row) -> Iterator[str]:
    head = f"{MARKS[row.status]} {row.name:10} "
    match row.status:
        case "same":
            yield f"{head}same     {row.what}"
            yield from _wrapped(f"{' ' * 13}{row.detail}", " " * 13) if row.detail else ()
        case "differs":
            yield f"{head}DIFFERS  {row.what}"
            yield from (f"{' ' * 13}{part}" for part in _where(row))
        case "failed":
            yield f"{head}FAILED   {row.what}"
            yield from _wrapped(f"{' ' * 13}{row.detail}", " " * 13)
        case "not possible":
            yield from _wrapped(f"{head}not possible here: {row.detail}", " " * 13)
        case _:
            yield from _wrapped(f"{head}not judged: {row.detail}", " " * 13)
    if row.hint:
        yield from _wrapped(f"{' ' * 13}→ {row.hint}", " " * 15)
    for line in row.declare.splitlines():
        yield from _wrapped(f"{' ' * 13}→ by nature? {line}", " " * 15)


def _where(row: Row) -> Iterator[str]:
    """The first mismatching cycle, and the first three files."""
    if row.first_mismatch_cycle is not None:
        fields = ", ".join(f"{c.key} {c.baseline} → {c.candidate}" for c in row.mismatch_details[:2])
        yield from textwrap.wrap(
            f"cycle {row.first_mismatch_cycle} ({row.mismatch_phase}): {fields}", WIDTH - 13
        )
    for file in row.files[:3]:
        yield f"{file.path} " + (file.status if file.offset is None else f"from byte {file.offset:,}")
    if len(row.files) > 3:
        yield f"and {len(row.files) - 3} more of {row.compared} files"


def _which(found: Conformity) -> str:
    """Of which variations that was said."""
    bad = [row.name for row in found.varied if row.status in ("differs", "failed")]
    same = sum(row.status == "same" for row in found.varied)
    return f": {', '.join(bad)}" if bad else f" ({same} of {len(found.varied)} tried)" if same else ""


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
