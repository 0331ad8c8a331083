"""Archives and verdicts: `archive`, `check`, `verify` and `restore`."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

import msgspec

from exptui.cli.exits import CORRUPT, FAILED, OK, nobody_reads
from exptui.cli.lists import print_json
from exptui.cli.progress import ProgressLine
from exptui.cli.recover import recovered
from exptui.core.archive import attested
from exptui.core.archive.check import Subset
from exptui.core.audit import report as audit
from exptui.core.audit import trust
from exptui.core.audit.request import Options, Request
from exptui.core.audit.trust import UntrustedError
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
        if gone := sealed.attested:
            total = sum(one.size for one in gone)
            print(f"  {attested.words(len(gone))}: {total:,} bytes", file=sys.stderr)
        elif workspace.settings.archive.checkpoints != "all":
            print(
                "  everything is kept: no file is one of [trainer] checkpoints that could go", file=sys.stderr
            )
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
        fine = f"remote: {clean(result.place)}" if result.place else "intact"
        if result.place and result.identity:
            fine = f"intact, {fine}"
        word = "CORRUPT" if result.problems else "NOT CHECKED" if result.unread else fine
        gone = f"  {attested.words(result.attested)}" if result.attested else ""
        print(f"{clean(result.run_id)}  {word}{signer}{gone}{head}")
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
    workspace = recovered(_where_to_verify(arguments))
    names = (
        *("keep_going", "timeout", "cause", "segments", "sample", "workers"),
        *("isolation", "network", "code", "prepare_env", "on"),
    )
    moved = {name: str(Path(path).absolute()) for name, path in arguments.inputs}
    given = {name: getattr(arguments, name) for name in names}
    options = Options(**given, inputs=moved, tolerance=dict(arguments.tolerance))
    reports = []
    for name in arguments.what:
        request = _request(workspace, name, options, yes=arguments.yes)
        _say_cost(workspace, request)
        if request.archived and not Path(request.source).exists():
            print(f"first it is fetched from where it is kept: {clean(request.run_id)}", file=sys.stderr)
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


def _where_to_verify(arguments: argparse.Namespace) -> Workspace:
    """The workspace; where there is none and files are named, one of the user's own, and that is said."""
    try:
        return Workspace.find(arguments.workspace)
    except UsageError:
        named = arguments.workspace or os.environ.get("EXPTUI_WORKSPACE")
        if named or not all(name.endswith(".tar.gz") and Path(name).is_file() for name in arguments.what):
            raise
    workspace = Workspace.elsewhere()
    print(f"no workspace here: verified in {clean(str(workspace.root))}", file=sys.stderr)
    return workspace


def _request(workspace: Workspace, name: str, options: Options, *, yes: bool) -> Request:
    """What is to be verified; of what is from elsewhere it is shown what it executes, and asked where somebody can answer."""
    try:
        request = workspace.request(name, options, trust=yes)
    except UntrustedError as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        _show(error.request)
        print("Run this? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError("not verified: you did not say yes") from None
        return error.request
    _show(request)
    return request


def _show(request: Request) -> None:
    """What is executed that is not this workspace's own."""
    if request.seen:
        print(f"{clean(Path(request.source).name)} is from elsewhere and will run:", file=sys.stderr)
        for line in trust.words(request):
            print(f"  {clean(line)}", file=sys.stderr)


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


def push(arguments: argparse.Namespace) -> int:
    """Keep archives elsewhere too, or with --drop only there."""
    workspace = recovered(Workspace.find(arguments.workspace))
    if arguments.yes:
        workspace.store.allow()
    for name in arguments.archives:
        found = workspace.push(name, drop=arguments.drop)
        where = "only there now" if arguments.drop else "here and there"
        print(f"{clean(found.place)}  read back, sha256 {found.gz_sha256}; {where}")
    return OK


def fetch(arguments: argparse.Namespace) -> int:
    """Bring archives back."""
    workspace = recovered(Workspace.find(arguments.workspace))
    if arguments.yes:
        workspace.store.allow()
    for name in arguments.archives:
        print(clean(str(workspace.fetch(name))))
    return OK


def restore(arguments: argparse.Namespace) -> int:
    """Unpack an archive into `results/`."""
    workspace = recovered(Workspace.find(arguments.workspace))
    with ProgressLine(sys.stderr) as line:
        place = workspace.restore(
            arguments.archive, progress=partial(line.show, f"restoring {arguments.archive}")
        )
    print(clean(str(place)))
    for one in attested.read(place):
        print(f"  not restored, as it was not kept: {clean(one.path)}", file=sys.stderr)
    return OK
