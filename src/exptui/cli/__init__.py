"""The command line: arguments, and the one place where an error becomes stderr and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn, Self, TextIO

import msgspec

from exptui import __version__
from exptui.cli import lists
from exptui.cli.lists import outcome, print_json
from exptui.core.audit import report as audit
from exptui.core.compare import report
from exptui.core.configs.derive import parse_edits
from exptui.core.errors import CorruptError, ExptuiError, UsageError
from exptui.core.monitor.logs import LogTail
from exptui.core.monitor.text import clean, clean_line
from exptui.core.runs.run import RunState, RunView
from exptui.core.workspace import Workspace

OK, USAGE, FAILED, CORRUPT, UNKNOWN, INTERNAL = 0, 2, 3, 4, 5, 70
PIPE = 141  # what a shell says of a program that SIGPIPE ended: never a pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (contract §7). Never raises for an expected failure."""
    arguments = parser().parse_args(argv)
    try:
        return _flushed(int(arguments.command(arguments) or OK))
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
        _nobody_reads()
        return PIPE
    except Exception:  # noqa: BLE001  the boundary: an internal error is 70, never a verdict
        print("exptui: internal error, please report:", file=sys.stderr)
        print("\n".join(clean(line) for line in traceback.format_exc().splitlines()), file=sys.stderr)
        return INTERNAL


def _flushed(code: int) -> int:
    """The code, once everything printed has been taken: a reader that is gone is noticed here."""
    sys.stdout.flush()
    return code


def _nobody_reads() -> None:
    """Nothing more is written to stdout, so that the interpreter's last flush does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments without repeating their control sequences."""

    def error(self, message: str) -> NoReturn:
        """Exit 2."""
        super().error(clean(message, 500))


def parser() -> argparse.ArgumentParser:
    """All commands with their help."""
    top = Parser(prog="exptui", description="Run, watch and keep machine-learning experiments.")
    top.add_argument("--version", action="version", version=f"exptui {__version__}")
    top.add_argument("--workspace", metavar="DIR", help="the experiments/ folder (default: found upward)")
    top.set_defaults(command=_cockpit)
    commands = top.add_subparsers(metavar="COMMAND", title="commands", description="none: the cockpit")

    def command(name: str, what: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=what)
        added.set_defaults(command=globals()[f"_{name}"])
        return added

    command("init", "make a workspace (experiments/) in the current directory")
    run = command("run", "start a run of each config; it goes on without this terminal")
    run.add_argument("configs", nargs="+", metavar="CONFIG")
    run.add_argument("--wait", action="store_true", help="wait for the end; exit 3 unless every run FINISHED")
    run.add_argument("--follow", action="store_true", help="print the logs meanwhile (implies --wait)")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="edits",
        help="first write a config of its own with this key changed, and run that",
    )
    resume = command("resume", "go on with a run that did not finish, from its last valid checkpoint")
    resume.add_argument("run", metavar="RUN")
    resume.add_argument("--wait", action="store_true", help="wait for the end; exit 3 unless it FINISHED")
    resume.add_argument("--follow", action="store_true", help="print the log meanwhile (implies --wait)")
    stop = command("stop", "end a run and every process of it")
    stop.add_argument("run", metavar="RUN")
    listing = command("ls", "list runs, configs or archives")
    listing.add_argument("what", nargs="?", choices=["runs", "configs", "archive"], default="runs")
    listing.add_argument(
        "--filter",
        default="",
        metavar="TERMS",
        help="words, or accuracy>0.9 state:failed model.layers=8; all must hold",
    )
    listing.add_argument(
        "--sort", default="", metavar="KEY", help="a metric (the best first) or a config key"
    )
    listing.add_argument("--reverse", action="store_true", help="the other way round")
    show = command("show", "everything known of one run")
    show.add_argument("run", metavar="RUN", help="a run id, or a config's name for its newest run")
    diff = command("diff", "what differs between a run and others: config, fingerprint, metrics")
    diff.add_argument("baseline", metavar="RUN")
    diff.add_argument("candidates", nargs="+", metavar="RUN")
    diff.add_argument("--markdown", action="store_true", help="also write results/comparisons/<…>.md")
    archive = command(
        "archive", "seal finished runs into archive/; the directory is removed after the commit"
    )
    archive.add_argument("runs", nargs="+", metavar="RUN")
    archive.add_argument("--keep", action="store_true", help="keep the result directory")
    archive.add_argument("--incomplete", action="store_true", help="also a run that did not finish")
    check = command("check", "are the bytes of archives intact; exit 4 where one is not")
    check.add_argument("archives", nargs="*", metavar="ARCHIVE", help="default: all")
    check.add_argument("--read-data", action="store_true", help="hash everything, not only the structure")
    verify = command(
        "verify", "run it again in a clean environment and compare every byte; exit 1 where it diverged"
    )
    verify.add_argument("what", nargs="+", metavar="RUN|ARCHIVE|FILE.tar.gz")
    verify.add_argument("--yes", action="store_true", help="run the command a file from elsewhere names")
    remove = command("rm", "move runs into results/.trash; --undo takes the last one back")
    remove.add_argument("runs", nargs="*", metavar="RUN")
    remove.add_argument(
        "--undo", action="store_true", help="take back the run named, or the last one removed"
    )
    doctor = command("doctor", "is everything here that a run needs; exit 3 where it is not")
    for added in (listing, show, diff, check, verify, doctor):
        added.add_argument("--json", action="store_true", help="machine-readable")
    restore = command("restore", "unpack an archive into results/, whole or not at all")
    restore.add_argument("archive", metavar="ARCHIVE")
    logs = command("logs", "the end of a run's log")
    logs.add_argument("run", metavar="RUN")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the run ends")
    logs.add_argument("-n", type=int, default=50, metavar="LINES", help="how many lines (default 50)")
    return top


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


def _archive(arguments: argparse.Namespace) -> int:
    workspace = _workspace(arguments)
    _recover(workspace)
    for name in arguments.runs:
        with ProgressLine(sys.stderr) as line:
            progress = partial(line.show, f"archiving {name}")
            sealed = workspace.archive(
                name, keep=arguments.keep, incomplete=arguments.incomplete, progress=progress
            )
        how = "already archived" if sealed.already else f"{sealed.size:,} → {sealed.gz_size:,} bytes"
        print(f"{clean(sealed.run_id)}  {how}  tar sha256 {sealed.identity}")
        for path in sealed.skipped:
            print(f"  not archived: the empty directory {clean(path)}", file=sys.stderr)
    return OK


def _check(arguments: argparse.Namespace) -> int:
    workspace = _workspace(arguments)
    names = arguments.archives or [archived.run_id for archived in workspace.list_archives()]
    with ProgressLine(sys.stderr) as line:
        results = [
            workspace.check(
                name, read_data=arguments.read_data, progress=partial(line.show, f"checking {name}")
            )
            for name in names
        ]
    if arguments.json:
        print_json(msgspec.to_builtins(results))
        return CORRUPT if any(result.problems for result in results) else OK
    for result in results:
        print(f"{clean(result.run_id)}  {'CORRUPT' if result.problems else 'intact'}")
        for problem in result.problems:
            print(f"  {clean(problem)}")
    if not results:
        print("no archives yet; seal a finished run with: exptui archive RUN")
    elif not arguments.read_data:
        print("names, sizes and sidecars only; hash every byte with: --read-data", file=sys.stderr)
    return CORRUPT if any(result.problems for result in results) else OK


def _verify(arguments: argparse.Namespace) -> int:
    workspace = _workspace(arguments)
    _recover(workspace)
    reports = []
    for name in arguments.what:
        report = _follow_audit(workspace, workspace.verify(name, trust=arguments.yes))
        reports.append(report)
    try:
        if arguments.json:
            print_json(msgspec.to_builtins(reports))
        for report in () if arguments.json else reports:
            print("\n".join(clean(line) for line in audit.lines(report)))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` takes what it wants; the verdict is the exit code all the same
        _nobody_reads()
    return audit.worst(report.verdict for report in reports).exit_code


def _follow_audit(workspace: Workspace, directory: Path) -> audit.AuditReport:
    """Show how far a verification is until its report is there; Ctrl-C ends it, with UNKNOWN."""
    line = ProgressLine(sys.stderr)
    while True:
        try:
            for now in workspace.follow(directory):
                if isinstance(now, audit.AuditReport):
                    line.clear()
                    return now
                line.show(now.phase, now.done, now.total)
        except KeyboardInterrupt:
            line.show("stopping", 0, 0)
            workspace.cancel(directory)


class ProgressLine:
    """One line on a terminal, redrawn in place; nothing at all where it is not a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.shown = stream, ""

    def show(self, what: str, done: int, total: int) -> None:
        """Redraw if there is something new to say."""
        share = f" {100 * done // total:3} %  {done / 1e6:,.1f} of {total / 1e6:,.1f} MB" if total else ""
        if self.stream.isatty() and (text := f"{clean(what)}{share}") != self.shown:
            self.shown = text
            print(f"\r\x1b[K{text}", end="", file=self.stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Leave an empty line behind."""
        if self.shown:
            print("\r\x1b[K", end="", file=self.stream, flush=True)


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
    findings = list(_workspace(arguments).examine())
    if arguments.json:
        print_json(msgspec.to_builtins(findings))
    marks = {"ok": "✔", "bad": "✗", "note": "·"}
    for found in () if arguments.json else findings:
        print(f"{marks[found.mark]} {clean(found.what):18} {clean(found.detail)}")
        if found.hint:
            print(f"  → {clean(found.hint)}")
    return FAILED if any(found.mark == "bad" for found in findings) else OK


def _restore(arguments: argparse.Namespace) -> int:
    workspace = _workspace(arguments)
    _recover(workspace)
    with ProgressLine(sys.stderr) as line:
        place = workspace.restore(
            arguments.archive, progress=partial(line.show, f"restoring {arguments.archive}")
        )
    print(clean(str(place)))
    return OK


def _recover(workspace: Workspace) -> None:
    """Before a command that writes: what an earlier crash left, and what became of it."""
    for message in workspace.recover():
        print(f"recovered: {clean(message)}", file=sys.stderr)
