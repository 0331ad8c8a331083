"""Runs: `init`, `run`, `resume`, `stop` and `logs`."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from exptui.cli.exits import FAILED, OK
from exptui.cli.lists import outcome
from exptui.cli.recover import recovered
from exptui.core.configs.config import flatten
from exptui.core.configs.derive import parse_edits
from exptui.core.configs.grid import parse_axes
from exptui.core.errors import UsageError
from exptui.core.monitor.logs import LogTail
from exptui.core.monitor.text import clean, clean_line
from exptui.core.runs.run import RunState, RunView, directory_of, log_of
from exptui.core.workspace import Workspace


def init(arguments: argparse.Namespace) -> int:
    """Make a workspace here, for a command where one is given."""
    if arguments.words:
        return _arrive(list(arguments.words))
    made = Workspace.init(Path.cwd())
    print(f"{clean(str(made.root))} is ready.")
    print("Next: exptui run first --follow")
    return OK


def _arrive(words: list[str]) -> int:
    """Make a workspace for a command, and say what came of it."""
    root, made, argv = Workspace.arrive(Path.cwd(), words)
    name, keys = clean(made.name), list(flatten(made.values))
    print(f"{clean(str(root))} is ready.")
    print(f"  exptui.toml          {clean(shlex.join(made.command))}")
    print(f"  configs/{name}.toml  ".ljust(23) + clean(", ".join(keys) or "no keys yet", 300))
    print(f"A run executes your words: {clean(shlex.join(argv))}")
    for words_kept in made.kept:
        print(f"  {clean(words_kept)} stays in the command: as a key it might not be passed as it is.")
    for words_taken in made.doubtful:
        flag, _, value = words_taken.partition(" ")
        print(
            f"  {clean(value)} is taken for the value of {clean(flag)}: if it is none, put it before the flags."
        )
    if not made.outputs:
        print(
            "  It is told no output directory: its curves come from what it prints, and from what it writes"
        )
        print(
            '  into $EXPTUI_OUTPUT. Where it writes into the current directory: cwd = "{output}" in exptui.toml.'
        )
    print(f"Next: exptui run {name}   and to watch it: exptui")
    return OK


def run(arguments: argparse.Namespace) -> int:
    """Start a run of each config."""
    workspace = recovered(Workspace.find(arguments.workspace))
    names, edits, how = arguments.configs, parse_edits(arguments.edits), _how(arguments)
    if arguments.seeds:
        axes = {key: [value] for key, value in edits.items()}
        grids = [workspace.grid(name, axes, arguments.seeds) for name in names]
        started = (run.name for one in grids for run in workspace.run_all(one, again=True, how=how))
        return _started(workspace, arguments, started)
    if edits:
        names = [workspace.derive(name, edits) for name in names]
    return _started(workspace, arguments, (workspace.run(name, None, how).name for name in names))


def _how(arguments: argparse.Namespace) -> dict[str, str]:
    """What differs from `[launcher]`."""
    if not arguments.how:
        return {}
    from exptui.core.settings import HOW, parse_how

    rest, how = parse_how(f"{HOW}{word}" for word in arguments.how)
    if rest:
        raise UsageError(
            f"--launcher {rest[0].removeprefix(HOW)}: no KEY=VALUE", "As in: --launcher time=2:00:00"
        )
    return how


def grid(arguments: argparse.Namespace) -> int:
    """Every combination of some values, as configs of their own and a run of each."""
    workspace = recovered(Workspace.find(arguments.workspace))
    chosen = workspace.grid(arguments.config, parse_axes(arguments.axes), arguments.seeds)
    out = sys.stdout if arguments.dry else sys.stderr
    for key in chosen.new_keys:
        print(f"  a new key: {clean(key)}  (is it spelled right?)", file=out)
    width = max(len(point.stem) for point in chosen.points)
    for point in chosen.points:
        there = "configs/ has it" if point.data is None else "new config"
        what = f"ran already: {point.ran}" if point.ran and not arguments.again else there
        print(clean(f"  {point.stem:{width}}  {what}"), file=out)
    count, starting = len(chosen.points), len(chosen.to_run(again=arguments.again))
    skipped = " (--again runs the others too)" if starting < count else ""
    print(f"{count} combination{'s' * (count > 1)}, {starting} to run{skipped}", file=out)
    if arguments.dry:
        return OK
    started = (run.name for run in workspace.run_all(chosen, again=arguments.again, how=_how(arguments)))
    return _started(workspace, arguments, started)


def queue(arguments: argparse.Namespace) -> int:
    """What waits for a slot, or another place for one of them."""
    workspace = Workspace.find(arguments.workspace)
    if bool(arguments.run) != bool(arguments.how):
        raise UsageError("which run, and what with it?", "exptui queue RUN --first, --hold or --release")
    if arguments.run:
        workspace.move(arguments.run, arguments.how)
    line = workspace.waiting()
    if arguments.json:
        print(json.dumps([{"run_id": run_id, "hold": hold} for run_id, hold in line]))
    for run_id, hold in line if not arguments.json else ():
        print(f"{clean(run_id)}{'  on hold' if hold else ''}")
    if not line and not arguments.json:
        print("nothing waits for a slot")
    return OK


def resume(arguments: argparse.Namespace) -> int:
    """Go on with a run."""
    workspace = recovered(Workspace.find(arguments.workspace))
    view, checkpoint = workspace.resume(arguments.run)
    attempt = view.record.attempts if view.record else 0
    print(f"attempt {attempt}, from {clean(checkpoint) or 'the start'}", file=sys.stderr)
    return _started(workspace, arguments, [view.run_id])


def _started(workspace: Workspace, arguments: argparse.Namespace, starting: Iterable[str]) -> int:
    """Print the ids as they start; with --wait or --follow go on until the runs have ended."""
    run_ids, codes = [], set[str]()
    for run_id in starting:
        print(clean(run_id), flush=True)
        run_ids.append(run_id)
        record = workspace.view(workspace.results / run_id).record
        if record and (code := record.recipe.snapshot) and code.digest not in codes:
            codes.add(code.digest)
            print(f"  code captured: {code.files:,} files, {code.size:,} bytes", file=sys.stderr)
            for what in code.left:
                print(f"  not captured: {clean(what)}", file=sys.stderr)
    if not (arguments.wait or arguments.follow):
        return OK
    ends = [_follow(workspace, run_id, 10**9 if arguments.follow else 0) for run_id in run_ids]
    return OK if all(view.state is RunState.FINISHED for view in ends) else FAILED


def _follow(workspace: Workspace, run_id: str, lines: int) -> RunView:
    """Print the last lines of a log and what is appended until the run ends; with 0 lines only wait."""
    tail = LogTail(directory_of(workspace.results, run_id) / "trainer.log", lines)
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
    tail = LogTail(log_of(view), arguments.n)
    for line in (*tail.read(), *tail.rest()):
        print(clean_line(line))
    return OK
