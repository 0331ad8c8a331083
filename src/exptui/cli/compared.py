"""Runs side by side, and what is said of them: `diff`, `report`, `tag`, `note`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from exptui.cli.exits import OK
from exptui.cli.lists import print_json
from exptui.core.monitor.text import clean
from exptui.core.workspace import Workspace


def tag(arguments: argparse.Namespace) -> int:
    """Tag runs, or take a tag from them."""
    for run_id in Workspace.find(arguments.workspace).tag(
        arguments.runs, arguments.name, remove=arguments.remove
    ):
        print(f"{clean(run_id)}  {'no longer ' if arguments.remove else ''}#{clean(arguments.name)}")
    return OK


def note(arguments: argparse.Namespace) -> int:
    """Note something of a run."""
    run_id = Workspace.find(arguments.workspace).note(arguments.run, " ".join(arguments.text))
    print(f"{clean(run_id)}  {clean(' '.join(arguments.text)) or 'no note any more'}")
    return OK


def diff(arguments: argparse.Namespace) -> int:
    """Print what differs between runs."""
    from exptui.core.compare import export, report

    workspace = Workspace.find(arguments.workspace)
    if arguments.log:
        for name in arguments.runs[1:]:
            for line in workspace.compare_logs(arguments.runs[0], name):
                print(clean(line))
        return OK
    found = workspace.compare(arguments.runs, at=arguments.at)
    if arguments.json:
        print_json(export.as_json(found))
    else:
        print(export.as_csv(found) if arguments.csv else report.markdown(found, plain=True), end="")
    if arguments.markdown:
        print(f"wrote {clean(str(workspace.write_comparison(found)))}", file=sys.stderr)
    return OK


def report(arguments: argparse.Namespace) -> int:
    """Write a page for somebody without a terminal."""
    path = Path(arguments.output) if arguments.output else None
    print(clean(str(Workspace.find(arguments.workspace).write_report(arguments.runs, path))))
    return OK
