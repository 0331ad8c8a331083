"""Archives and verdicts: `archive`, `check`, `verify` and `restore`."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import msgspec

from exptui.cli.exits import CORRUPT, FAILED, OK, nobody_reads
from exptui.cli.lists import print_json
from exptui.cli.progress import ProgressLine
from exptui.cli.recover import recovered
from exptui.core.archive.check import Subset
from exptui.core.audit import report as audit
from exptui.core.audit.request import Options, Request
from exptui.core.errors import UsageError
from exptui.core.monitor.text import clean
from exptui.core.workspace import Workspace


def archive(arguments: argparse.Namespace) -> int:
    """Seal runs."""
    workspace = recovered(Workspace.find(arguments.workspace))
    for name in arguments.runs:
        with ProgressLine(sys.stderr) as line:
            progress = partial(line.show, f"archiving {name}")
            sealed = workspace.archive(
                name,
                keep=arguments.keep,
                incomplete=arguments.incomplete,
                sign=arguments.sign,
                progress=progress,
            )
        how = "already archived" if sealed.already else f"{sealed.size:,} → {sealed.gz_size:,} bytes"
        print(f"{clean(sealed.run_id)}  {how}  tar sha256 {sealed.identity}")
        if sealed.compressor == "zlib":
            print("  compressed with zlib, several times slower: install isal", file=sys.stderr)
        for path in sealed.skipped:
            print(f"  not archived: the empty directory {clean(path)}", file=sys.stderr)
    return OK


def check(arguments: argparse.Namespace) -> int:
    """Are the bytes of archives intact, and the ledger."""
    workspace = Workspace.find(arguments.workspace)
    if arguments.subset and not arguments.read_data:
        raise UsageError("--subset chooses whose bytes are read", "Add --read-data.")
    subset = arguments.subset or Subset(1, 1)
    with ProgressLine(sys.stderr) as line:
        *results, book = workspace.check_all(
            arguments.archives,
            read_data=arguments.read_data,
            subset=subset,
            head=arguments.head,
            progress=lambda name: partial(line.show, f"checking {name}"),
        )
    code = FAILED if any(result.unread for result in results) else OK
    code = CORRUPT if any(result.problems for result in (*results, book)) else code
    if arguments.json:
        print_json(msgspec.to_builtins([*results, book]))
        return code
    for result in (*results, book) if results or book.identity or book.problems else ():
        signer = f"  signed by {clean(result.signer)}" if result.signer else ""
        head = f"  head {result.identity}" if result is book and book.identity else ""
        word = "CORRUPT" if result.problems else "NOT CHECKED" if result.unread else "intact"
        print(f"{clean(result.run_id)}  {word}{signer}{head}")
        for problem in (*result.problems, *filter(None, [result.unread])):
            print(f"  {clean(problem)}")
    if not results:
        print("no archives yet; seal a finished run with: exptui archive RUN")
    elif not arguments.read_data:
        print("names, sizes and sidecars only; hash every byte with: --read-data", file=sys.stderr)
    elif arguments.subset:
        read = sum(result.run_id in subset for result in results)
        print(f"read every byte of {read} of {len(results)} archives, of the others the structure")
    return code


def verify(arguments: argparse.Namespace) -> int:
    """Run again and compare; the exit code is the worst verdict's."""
    workspace = recovered(Workspace.find(arguments.workspace))
    names = ("keep_going", "timeout", "cause", "segments", "sample", "workers", "isolation", "network", "on")
    moved = {name: str(Path(path).absolute()) for name, path in arguments.inputs}
    options = Options(**{name: getattr(arguments, name) for name in names}, inputs=moved)
    reports = []
    for name in arguments.what:
        request = workspace.request(name, options, trust=arguments.yes)
        _say_cost(workspace, request)
        reports.append(_follow_audit(workspace, workspace.verify(request)))
    try:
        if arguments.json:
            print_json(msgspec.to_builtins(reports))
        for report in () if arguments.json else reports:
            print("\n".join(clean(line) for line in audit.lines(report)))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` takes what it wants; the verdict is the exit code all the same
        nobody_reads()
    return audit.worst(report.verdict for report in reports).exit_code


def _say_cost(workspace: Workspace, request: Request) -> None:
    """What it will take, before it starts; of a damaged archive nothing is known, and its verdict says why."""
    cost = workspace.cost(request)
    if cost.problem:
        return
    took = (
        "in unknown time" if cost.seconds is None else f"in about {cost.seconds:,.0f} s, as the original took"
    )
    print(
        f"verifying {clean(request.run_id)} {took}; {cost.size / 1e6:,.1f} MB of {cost.free / 1e6:,.0f} MB free",
        file=sys.stderr,
    )


def _follow_audit(workspace: Workspace, directory: Path) -> audit.AuditReport:
    """Show how far a verification is until its report is there; Ctrl-C ends it, with UNKNOWN."""
    line = ProgressLine(sys.stderr)
    while True:
        try:
            for now in workspace.follow(directory):
                if isinstance(now, audit.AuditReport):
                    line.clear()
                    return now
                line.show(now.phase, now.done, now.total, now.unit)
        except KeyboardInterrupt:
            line.show("stopping", 0, 0)
            workspace.cancel(directory)


def restore(arguments: argparse.Namespace) -> int:
    """Unpack an archive into `results/`."""
    workspace = recovered(Workspace.find(arguments.workspace))
    with ProgressLine(sys.stderr) as line:
        place = workspace.restore(
            arguments.archive, progress=partial(line.show, f"restoring {arguments.archive}")
        )
    print(clean(str(place)))
    return OK
