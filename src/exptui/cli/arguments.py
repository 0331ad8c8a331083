"""Every command with its options and help."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from exptui import __version__
from exptui.core.monitor.text import clean

if TYPE_CHECKING:
    from exptui.core.archive.check import Subset
    from exptui.core.tolerance import Bound

Add = Callable[[str, str], argparse.ArgumentParser]


class Formatter(argparse.HelpFormatter):
    """Asks for the width of the terminal itself: argparse imports shutil for that, also where nothing is printed."""

    def __init__(self, prog: str) -> None:
        try:
            width = int(os.environ.get("COLUMNS", "")) or os.get_terminal_size().columns
        except (ValueError, OSError):
            width = 80
        super().__init__(prog, width=max(20, width - 2))


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments without repeating their control sequences."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=Formatter, **options)

    def error(self, message: str) -> NoReturn:
        """Exit 2."""
        super().error(clean(message, 500))


def parser(first: str = "") -> argparse.ArgumentParser:
    """All commands with their help; `command` holds the name of the one that was given.

    `first`: the first word, where it is known; of a command no more is made than its own group.
    """
    top = Parser(prog="exptui", description="Run, watch and keep machine-learning experiments.")
    top.add_argument("--version", action="version", version=f"exptui {__version__}")
    top.add_argument("--workspace", metavar="DIR", help="the experiments/ folder (default: found upward)")
    top.set_defaults(command="cockpit")
    commands = top.add_subparsers(
        prog="exptui", metavar="COMMAND", title="commands", description="none: the cockpit"
    )

    def add(name: str, what: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=what)
        added.set_defaults(command=name)
        return added

    init = add(
        "init",
        "make a workspace (experiments/) in the current directory; behind -- for a command you use already",
    )
    init.usage = "exptui init [-h] [-- COMMAND …]"
    for group in (
        [_lists]
        if first in ("ls", "show", "diff", "report")
        else [_runs, _lists, _house, _archives, _verify, _verdict, _doctor]
    ):
        group(add)
    return top


def _json(command: argparse._ActionsContainer) -> None:
    command.add_argument("--json", action="store_true", help="machine-readable")


def _runs(add: Add) -> None:
    run = add("run", "start a run of each config; it goes on without this terminal")
    run.add_argument("configs", nargs="+", metavar="CONFIG")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="edits",
        help="first write a config of its own with this key changed, and run that",
    )
    grid = add(
        "grid", "write a config for every combination of values, and start a run of each that has none"
    )
    grid.add_argument("config", metavar="CONFIG")
    grid.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE,VALUE",
        dest="axes",
        help="the values of a key, as model.layers=2,5,8; may be given for several keys",
    )
    grid.add_argument("--dry", action="store_true", help="only show what would be written and started")
    grid.add_argument("--again", action="store_true", help="also start what has run already")
    for command in (run, grid):
        command.add_argument(
            "--seeds", type=_seeds, default=(), metavar="1,2,3", help="each with each of these seeds"
        )
        command.add_argument(
            "--launcher",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            dest="how",
            help="another [launcher] for these runs, as kind=slurm or time=2:00:00"
            if _is_cluster()
            else argparse.SUPPRESS,
        )
    resume = add("resume", "go on with a run that did not finish, from its last valid checkpoint")
    resume.add_argument("run", metavar="RUN")
    for command in (run, grid, resume):
        command.add_argument(
            "--wait", action="store_true", help="wait for the end; exit 3 unless it FINISHED"
        )
        command.add_argument("--follow", action="store_true", help="print the log meanwhile (implies --wait)")
    waiting = add("queue", "what waits for a slot, the next one first; or another place for one of them")
    waiting.add_argument("run", nargs="?", metavar="RUN")
    places = waiting.add_mutually_exclusive_group()
    for how, what in (
        ("first", "let RUN be the next one"),
        ("hold", "let all others go before RUN until it is released"),
        ("release", "let RUN start again when it is its turn"),
    ):
        places.add_argument(f"--{how}", action="store_const", const=how, dest="how", help=what)
    _json(waiting)
    stop = add("stop", "end a run and every process of it")
    stop.add_argument("run", metavar="RUN")


def _is_cluster() -> bool:
    """Whether Slurm is here: who has none reads nothing of it."""
    return any(os.access(f"{folder}/sbatch", os.X_OK) for folder in os.get_exec_path())


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"not whole numbers, as 1,2,3: {text!r}") from None


def _lists(add: Add) -> None:
    listing = add("ls", "list runs, configs or archives")
    listing.add_argument("what", nargs="?", choices=["runs", "configs", "archive"], default="runs")
    listing.add_argument(
        "--filter",
        default="",
        metavar="TERMS",
        help="words, or accuracy>0.9 state:failed model.layers=8 tag:keep; all must hold",
    )
    listing.add_argument(
        "--sort",
        default="",
        metavar="KEY",
        help="a metric (the best first) or a config key; -KEY: the largest first",
    )
    listing.add_argument(
        "--best",
        default="",
        metavar="METRIC",
        help="of runs whose configs differ only in the seed the best one, the best of all first (means: exptui diff)",
    )
    listing.add_argument("--reverse", action="store_true", help="the other way round")
    show = add("show", "everything known of one run")
    show.add_argument("run", metavar="RUN", help="a run id, or a config's name for its newest run")
    diff = add(
        "diff", "what differs between runs or archives: config, fingerprint, metrics; seeds as a group"
    )
    diff.add_argument("runs", nargs="+", metavar="RUN", help="the first is the baseline of the others")
    diff.add_argument("--at", type=float, metavar="STEP", help="the metrics at this step, too")
    form = diff.add_mutually_exclusive_group()
    form.add_argument("--log", action="store_true", help="instead: how the ends of their logs differ")
    form.add_argument("--csv", action="store_true", help="a line for each run, a column for what differs")
    _json(form)
    diff.add_argument("--markdown", action="store_true", help="also write results/comparisons/<…>.md")
    report = add("report", "one HTML file about runs or archives, for somebody without a terminal")
    report.add_argument("runs", nargs="+", metavar="RUN", help="the first is the baseline of the others")
    report.add_argument("--html", action="store_true", help="the one form there is, so it may be left out")
    report.add_argument(
        "-o", "--output", metavar="FILE", help="where to write it (default: results/comparisons/<…>.html)"
    )
    tag = add("tag", "tag runs or archives with a word; exptui ls --filter tag:WORD finds them")
    tag.add_argument("runs", nargs="+", metavar="RUN")
    tag.add_argument("name", metavar="TAG")
    tag.add_argument("--remove", action="store_true", help="take the tag from them")
    note = add("note", "note something of a run or an archive; without a text the note is removed")
    note.add_argument("run", metavar="RUN")
    note.add_argument("text", nargs="*", metavar="TEXT")
    for command in (listing, show):
        _json(command)
    logs = add("logs", "the end of a run's log")
    logs.add_argument("run", metavar="RUN")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the run ends")
    logs.add_argument("-n", type=int, default=50, metavar="LINES", help="how many lines (default 50)")


def _house(add: Add) -> None:
    usage = add("du", "what takes the space: results, archive, trash; and each run, the largest first")
    usage.add_argument("-n", type=int, default=20, metavar="RUNS", help="how many runs (default 20; 0: all)")
    remove = add("rm", "move runs into results/.trash; --undo takes the last one back")
    remove.add_argument("runs", nargs="*", metavar="RUN")
    remove.add_argument(
        "--undo", action="store_true", help="take back the run named, or the last one removed"
    )
    remove.add_argument("--list", action="store_true", help="what is in the trash")
    remove.add_argument(
        "--empty", type=_age, metavar="AGE", help="what was removed so long ago goes for good (with --yes)"
    )
    prune = add("prune", "what may go by these rules; never what is tagged, live, or best and not archived")
    prune.add_argument("--state", default="", help="only runs in this state, as failed")
    prune.add_argument(
        "--older-than", type=_age, metavar="AGE", help="only runs that ended so long ago, as 30d, 12h, 2w"
    )
    prune.add_argument("--filter", default="", metavar="TERMS", help="only those that match, as in ls")
    prune.add_argument(
        "--keep-best",
        type=int,
        metavar="N",
        help="not the N best of each experiment, or of all, by any metric (default 1)",
    )
    prune.add_argument(
        "--checkpoints-only", action="store_true", help="their checkpoints alone, for good; digests are kept"
    )
    for command in (remove, prune):
        command.add_argument(
            "--yes", action="store_true", help="do it; without it only what would be done is said"
        )
    for command in (usage, remove, prune):
        _json(command)


def _age(text: str) -> float:
    units = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
    if not (text[:-1].isascii() and text[:-1].isdecimal() and text[-1] in units):
        raise argparse.ArgumentTypeError(f"not an age, as 30d, 12h, 90m or 2w: {text!r}")
    return int(text[:-1]) * units[text[-1]]


def _archives(add: Add) -> None:
    archive = add("archive", "seal finished runs into archive/; the directory is removed after the commit")
    archive.add_argument("runs", nargs="+", metavar="RUN")
    archive.add_argument("--keep", action="store_true", help="keep the result directory")
    archive.add_argument("--incomplete", action="store_true", help="also a run that did not finish")
    archive.add_argument(
        "--sign",
        action=argparse.BooleanOptionalAction,
        help="with the SSH key of your own settings; default: where one is set",
    )
    check = add("check", "are the bytes of archives intact; exit 4 where one is not")
    check.add_argument("archives", nargs="*", metavar="ARCHIVE", help="default: all")
    check.add_argument("--read-data", action="store_true", help="hash everything, not only the structure")
    check.add_argument(
        "--subset", type=_subset, metavar="N/T", help="with --read-data: only the N-th of T parts of them"
    )
    check.add_argument(
        "--head", default="", metavar="DIGEST", help="a line of the ledger you noted: it must still be there"
    )
    _json(check)
    push = add("push", "keep archives elsewhere too, by the commands of [archive.remote]; they are read back")
    push.add_argument(
        "--drop", action="store_true", help="then only there: the file here goes, once it was read back"
    )
    fetch = add("fetch", "bring archives back that are only kept elsewhere")
    for command in (push, fetch):
        command.add_argument("archives", nargs="+", metavar="ARCHIVE")
        command.add_argument("--yes", action="store_true", help="you trust the commands of these settings")
    restore = add("restore", "unpack an archive into results/, whole or not at all")
    restore.add_argument("archive", metavar="ARCHIVE")


def _subset(text: str) -> Subset:
    from exptui.core.archive.check import Subset

    n, _, of = text.partition("/")
    if not (n.isdecimal() and of.isdecimal() and 1 <= int(n) <= int(of)):
        raise argparse.ArgumentTypeError(f"not N/T, as 2/7: {text!r}")
    return Subset(int(n), int(of))


def _named(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"not NAME=PATH, as train=/data/train: {text!r}")
    return name, path


def _tolerance(text: str) -> tuple[str, Bound]:
    from exptui.core.errors import UsageError
    from exptui.core.tolerance import parse

    try:
        return parse(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(f"{error.message}. {error.hint}") from error


def _verify(add: Add) -> None:
    verify = add(
        "verify", "run it again in a clean environment and compare every byte; exit 1 where it diverged"
    )
    verify.add_argument("what", nargs="+", metavar="RUN|ARCHIVE|FILE.tar.gz")
    for name, what in (
        ("--yes", "run what a file from elsewhere names, and its code"),
        ("--keep-going", "do not stop at the first cycle that differs: compare all files"),
        ("--network", "leave the network to the re-run"),
        ("--prepare-env", "first install the recorded package versions into an environment of its own"),
    ):
        verify.add_argument(name, action="store_true", help=what)
    where = "where the re-runs work (default: as [launcher] says)" if _is_cluster() else argparse.SUPPRESS
    for name, choices, default, what in (
        ("--isolation", ["auto", "required"], "auto", "refuse where the re-run cannot be kept from the original and the network (default: say so)"),
        ("--code", ["archived", "current"], "", "the code that was captured with the run (default, where there is any), or that of now"),
        ("--on", ["local", "slurm"], "", where),
    ):  # fmt: skip
        verify.add_argument(name, choices=choices, default=default, help=what)
    for name, metavar, what in (
        ("--segments", "N", "re-run N pieces between checkpoints, in parallel"),
        ("--sample", "K", "only K of the segments, the first and the last among them"),
        ("--workers", "W", "segments at work at once (default: the slots)"),
    ):
        verify.add_argument(name, type=int, default=0, metavar=metavar, help=what)
    verify.add_argument(
        "--timeout", type=float, default=0.0, metavar="SECONDS", help="of each re-run; one that takes longer FAILED"
    )  # fmt: skip
    verify.add_argument(
        "--cause",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="where it diverged, run it once more: is it deterministic? (default: where a re-run takes under a minute)",
    )
    _several(verify, "--input", _named, "NAME=PATH", "where an input of [inputs] is now", dest="inputs")
    within = "where it diverged, say which metrics and tensors are within it; the verdict stays DIVERGED"
    _several(verify, "--tolerance", _tolerance, "[NAME:]abs=X,rel=Y", within, dest="tolerance")
    _json(verify)


def _several(
    parser: argparse.ArgumentParser, name: str, kind: Callable[[str], Any], metavar: str, what: str, dest: str
) -> None:
    """An option that may be given again and again."""
    parser.add_argument(name, dest=dest, type=kind, action="append", default=[], metavar=metavar, help=what)


def _verdict(add: Add) -> None:
    verdict = add("verdict", "what came of running archives again, on which machines; send yours, add theirs")
    verdict.add_argument("run", nargs="?", metavar="ARCHIVE", help="all verdicts over it (default: a matrix)")
    how = verdict.add_mutually_exclusive_group()
    how.add_argument(
        "-o", "--output", metavar="FILE", help="write the last one made here, signed with your key"
    )
    how.add_argument(
        "--add", metavar="FILE", nargs="+", help="keep what others sent, if you allow their keys"
    )
    _json(verdict)


def _doctor(add: Add) -> None:
    doctor = add("doctor", "is everything here that a run needs; exit 3 where it is not")
    doctor.add_argument(
        "--trainer",
        metavar="CONFIG",
        help="run the trainer of this config again and again: is it deterministic, resumable, independent of its surroundings",
    )
    doctor.add_argument("--workers", type=int, default=1, metavar="N", help="how many of those runs at once")
    doctor.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="for each of them (default: five times the first, and 30 s)",
    )
    _json(doctor)
