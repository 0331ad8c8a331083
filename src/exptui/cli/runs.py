"""Runs: `init`, `run`, `resume`, `stop`, `logs`, and `rm` with its undo."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from exptui.cli.exits import FAILED, OK
from exptui.cli.lists import outcome
from exptui.cli.recover import recovered
from exptui.core.configs.derive import parse_edits
from exptui.core.errors import UsageError
from exptui.core.monitor.logs import LogTail
from exptui.core.monitor.text import clean, clean_line
from exptui.core.runs.run import RunState, RunView
from exptui.core.workspace import Workspace


def init(_: argparse.Namespace) -> int:
    """Make a workspace here."""
    made = Workspace.init(Path.cwd())
    print(f"{clean(str(made.root))} is ready.")
    print("Next: exptui run first --follow")
    return OK


def run(arguments: argparse.Namespace) -> int:
    """Start a run of each config."""
    workspace = recovered(Workspace.find(arguments.workspace))
    names = arguments.configs
    if edits := parse_edits(arguments.edits):
        names = [workspace.derive(name, edits) for name in names]
    return _started(workspace, arguments, [workspace.run(name).name for name in names])


def resume(arguments: argparse.Namespace) -> int:
    """Go on with a run."""
    workspace = recovered(Workspace.find(arguments.workspace))
    view, checkpoint = workspace.resume(arguments.run)
    attempt = view.record.attempts if view.record else 0
    print(f"attempt {attempt}, from {clean(checkpoint) or 'the start'}", file=sys.stderr)
    return _started(workspace, arguments, [view.run_id])


def _started(workspace: Workspace, arguments: argparse.Namespace, run_ids: list[str]) -> int:
    """Print the ids; with --wait or --follow go on until the runs have ended."""
    for run_id in run_ids:
        print(clean(run_id), flush=True)
    if not (arguments.wait or arguments.follow):
        return OK
    ends = [_follow(workspace, run_id, 10**9 if arguments.follow else 0) for run_id in run_ids]
    return OK if all(view.state is RunState.FINISHED for view in ends) else FAILED


def _follow(workspace: Workspace, run_id: str, lines: int) -> RunView:
    """Print the last lines of a log and what is appended until the run ends; with 0 lines only wait."""
    tail = LogTail(workspace.results / run_id / "trainer.log", lines)
    for view in workspace.wait(run_id):  # noqa: B007  the last one is what counts
        for line in tail.read() if lines else ():
            print(clean_line(line), flush=True)
    for line in tail.rest() if lines else ():
        print(clean_line(line))
    print(f"{clean(run_id)}  {outcome(view)}", file=sys.stderr)
    return view


def stop(arguments: argparse.Namespace) -> int:
    """End a run."""
    view = Workspace.find(arguments.workspace).stop(arguments.run)  # a full disk must not be in the way
    print(f"{clean(view.run_id)}  {outcome(view)}")
    return OK


def logs(arguments: argparse.Namespace) -> int:
    """Print the end of a log."""
    workspace = Workspace.find(arguments.workspace)
    view = workspace.show(arguments.run)
    if arguments.follow:
        _follow(workspace, view.run_id, arguments.n)
        return OK
    tail = LogTail(view.path / "trainer.log", arguments.n)
    for line in (*tail.read(), *tail.rest()):
        print(clean_line(line))
    return OK


def rm(arguments: argparse.Namespace) -> int:
    """Into the trash, or back out of it."""
    workspace = recovered(Workspace.find(arguments.workspace))
    if arguments.undo:
        for name in arguments.runs or [""]:
            print(f"{clean(str(workspace.undo_remove(name)))} is back")
        return OK
    if not arguments.runs:
        raise UsageError("which run?", "exptui rm RUN…")
    for name in arguments.runs:
        place = workspace.remove(name)
        print(f"{clean(place.name)} is in {clean(str(place.parent))}; take it back with: exptui rm --undo")
    return OK
