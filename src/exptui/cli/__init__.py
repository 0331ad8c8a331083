"""The command line: arguments, and the one place where an error becomes stderr and an exit code."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import msgspec

from exptui.cli import archives, conformance, lists
from exptui.cli.arguments import parser
from exptui.cli.exits import CORRUPT, FAILED, INTERNAL, OK, PIPE, UNKNOWN, USAGE, nobody_reads
from exptui.cli.lists import outcome, print_json
from exptui.core.compare import report
from exptui.core.configs.derive import parse_edits
from exptui.core.errors import CorruptError, ExptuiError, UsageError
from exptui.core.monitor.logs import LogTail
from exptui.core.monitor.text import clean, clean_line
from exptui.core.runs.run import RunState, RunView
from exptui.core.workspace import Workspace


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (contract §7). Never raises for an expected failure."""
    arguments = parser().parse_args(argv)
    try:
        return _flushed(COMMANDS[arguments.command](arguments))
    except ExptuiError as error:
        print(f"exptui: {clean(error.message)}", file=sys.stderr)
        if error.hint:
            print(f"  → {clean(error.hint)}", file=sys.stderr)
        return (
            USAGE if isinstance(error, UsageError) else CORRUPT if isinstance(error, CorruptError) else FAILED
        )
    except KeyboardInterrupt:
        print("\nexptui: interrupted; runs go on (exptui ls).", file=sys.stderr)
        return UNKNOWN
    except BrokenPipeError:
        nobody_reads()
        return PIPE
    except Exception:  # noqa: BLE001  the boundary: an internal error is 70, never a verdict
        print("exptui: internal error, please report:", file=sys.stderr)
        print("\n".join(clean(line) for line in traceback.format_exc().splitlines()), file=sys.stderr)
        return INTERNAL


def _flushed(code: int) -> int:
    """The code, once everything printed has been taken: a reader that is gone is noticed here."""
    sys.stdout.flush()
    return code


def _workspace(arguments: argparse.Namespace) -> Workspace:
    return Workspace.find(arguments.workspace)


def _cockpit(arguments: argparse.Namespace) -> int:
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError(
            "the cockpit needs a terminal on stdin and stdout",
            "Without one: exptui ls, run, show, logs, diff, archive, verify (exptui --help)",
        )
    workspace = _workspace(arguments)
    messages = workspace.recover()
    from exptui.tui.app import run

    return run(workspace, messages)


def _init(_: argparse.Namespace) -> int:
    made = Workspace.init(Path.cwd())
    print(f"{clean(str(made.root))} is ready.")
    print("Next: exptui run first --follow")
    return OK


def _run(arguments: argparse.Namespace) -> int:
    workspace = _workspace(arguments)
    names = arguments.configs
    if edits := parse_edits(arguments.edits):
        names = [workspace.derive(name, edits) for name in names]
    return _started(workspace, arguments, [workspace.run(name).name for name in names])


def _resume(arguments: argparse.Namespace) -> int:
    workspace = _workspace(arguments)
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


def _ls(arguments: argparse.Namespace) -> int:
    lists.ls(_workspace(arguments), arguments)
    return OK


def _show(arguments: argparse.Namespace) -> int:
    lists.show(_workspace(arguments), arguments)
    return OK


def _stop(arguments: argparse.Namespace) -> int:
    view = _workspace(arguments).stop(arguments.run)
    print(f"{clean(view.run_id)}  {outcome(view)}")
    return OK


def _logs(arguments: argparse.Namespace) -> int:
    workspace = _workspace(arguments)
    view = workspace.show(arguments.run)
    if arguments.follow:
        _follow(workspace, view.run_id, arguments.n)
        return OK
    tail = LogTail(view.path / "trainer.log", arguments.n)
    for line in (*tail.read(), *tail.rest()):
        print(clean_line(line))
    return OK


def _diff(arguments: argparse.Namespace) -> int:
    workspace = _workspace(arguments)
    found = [workspace.compare(arguments.baseline, name) for name in arguments.candidates]
    if arguments.json:
        made = [msgspec.to_builtins(one, enc_hook=repr) for one in found]
        print_json(made if len(made) > 1 else made[0])
    else:
        print("\n".join(report.markdown(one) for one in found), end="")
    if arguments.markdown:
        for one in found:
            print(f"wrote {clean(str(workspace.write_comparison(one)))}", file=sys.stderr)
    return OK


def _rm(arguments: argparse.Namespace) -> int:
    workspace = _workspace(arguments)
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


def _doctor(arguments: argparse.Namespace) -> int:
    if arguments.trainer is not None:
        return conformance.doctor(arguments)
    findings = list(_workspace(arguments).examine())
    if arguments.json:
        print_json(msgspec.to_builtins(findings))
    marks = {"ok": "✔", "bad": "✗", "note": "·"}
    for found in () if arguments.json else findings:
        print(f"{marks[found.mark]} {clean(found.what):18} {clean(found.detail)}")
        if found.hint:
            print(f"  → {clean(found.hint)}")
    return FAILED if any(found.mark == "bad" for found in findings) else OK


COMMANDS = {
    "cockpit": _cockpit,
    "init": _init,
    "run": _run,
    "resume": _resume,
    "stop": _stop,
    "ls": _ls,
    "show": _show,
    "diff": _diff,
    "archive": archives.archive,
    "check": archives.check,
    "verify": archives.verify,
    "restore": archives.restore,
    "rm": _rm,
    "doctor": _doctor,
    "logs": _logs,
}
