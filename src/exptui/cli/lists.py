"""What there is, as lines or as JSON: `ls` and `show`, and the words they share with other commands."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from exptui.cli.exits import OK
from exptui.core.compare.deltas import number_text
from exptui.core.contents import in_order
from exptui.core.errors import ExptuiError
from exptui.core.monitor.catalog import ArchiveRow, Catalog, RunRow, Snapshot, facts, ordered
from exptui.core.monitor.filter import matches
from exptui.core.monitor.run_rows import Memory, ended, read_ended, read_run, view_of
from exptui.core.monitor.text import clean
from exptui.core.runs.run import RunView, config_problem
from exptui.core.workspace import Workspace

R = TypeVar("R", RunRow, ArchiveRow)


def outcome(view: RunView) -> str:
    """State, and what is known of the end: exit code, signal, error, left-over processes."""
    words = [str(view.state)]
    if view.problem:
        words.append(clean(view.problem))
    if view.record and (end := view.record.exit):
        words += [f"exit code {end.code}"] if end.code else []
        words += [f"signal {end.signal}"] if end.signal else []
        words += [clean(end.error)] if end.error else []
    if view.leftovers:
        words.append("left-over processes")
    return "  ".join(words)


def facts_of(view: RunView) -> dict[str, object]:
    """A run as JSON tells it."""
    return {
        "run_id": view.run_id,
        "path": str(view.path),
        "state": view.state.value,
        "problem": view.problem,
        "leftovers": view.leftovers,
        "record": view.record,
    }


def ls(arguments: argparse.Namespace) -> int:
    """Print the configs, runs or archives."""
    workspace = Workspace.find(arguments.workspace)
    if arguments.what == "runs":
        _ls_runs(workspace, arguments)
        return OK
    if arguments.what == "archive":
        workspace.has_archives()  # where they cannot be read, that is the answer
    else:
        workspace.run_directories()
    seen = Catalog(workspace).snapshot()
    for problem in seen.problems:
        _say(problem)
    {"configs": _ls_configs, "archive": _ls_archive}[arguments.what](seen, arguments)
    return OK


def _say(problem: str) -> None:
    print(f"exptui: {clean(problem)}", file=sys.stderr)


def _chosen(rows: Sequence[R], arguments: argparse.Namespace) -> list[R]:
    found = [row for row in rows if matches(arguments.filter, facts(row))] if arguments.filter else list(rows)
    return ordered(found, arguments.sort, reverse=arguments.reverse) if arguments.sort else found


def _ls_configs(seen: Snapshot, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json([row.stem for row in seen.configs])
        return
    width = max((len(row.stem) for row in seen.configs), default=0)
    for row in seen.configs:
        print(f"{clean(row.stem):{width}}  {clean(row.problem) or f'{row.runs} runs'}")


def _ls_archive(seen: Snapshot, arguments: argparse.Namespace) -> None:
    rows = _chosen(seen.archives, arguments)
    if arguments.json:
        names = ("run_id", "identity", "verdict", "verified_at")
        print_json([{**{n: getattr(r.archived, n) for n in names}, "metrics": r.final} for r in rows])
        return
    for row in rows:
        one = row.archived
        print(f"{clean(one.run_id)}  {one.gz_size:,} bytes  {clean(one.verdict or 'not verified')}")
    if not rows:
        print("no archives; seal a finished run with: exptui archive RUN")


def _runs(workspace: Workspace) -> list[RunRow]:
    """Every run, oldest first; of one that has ended only what is printed is read."""
    views = in_order(view_of(workspace, path) for path in workspace.run_directories())
    return [read_ended(view) if _settled(view) else read_run(view, Memory()) for view in views]


def _settled(view: RunView) -> bool:
    return ended(view) and view.record is not None and not view.record.adopted


def _ls_runs(workspace: Workspace, arguments: argparse.Namespace) -> None:
    there, baseline = _runs(workspace), ""
    try:
        baseline = workspace.notes.baseline
    except ExptuiError as error:
        _say(error.message)
    rows = _chosen(there, arguments)
    if arguments.json:
        print_json([{**facts_of(row.view), "config": row.flat, "metrics": row.final} for row in rows])
    elif not rows and there:
        print("no run matches the filter")
    elif not rows:
        print("no runs yet; start one with: exptui run CONFIG   (exptui ls configs shows which there are)")
    width = max((len(row.run_id) for row in rows), default=0)
    for row in () if arguments.json else rows:
        star = "★" if row.run_id == baseline else " "
        print(f"{star} {clean(row.run_id):{width}}  {outcome(row.view):9}  {_numbers(row.final)}".rstrip())


def _numbers(final: dict[str, float]) -> str:
    """The metrics a trainer reported at the end, else the last ones of its series; six of them."""
    plain = {name: value for name, value in final.items() if not name.startswith(("train", "validate"))}
    return "  ".join(
        f"{clean(name)} {number_text(value)}" for name, value in list((plain or final).items())[:6]
    )


def show(arguments: argparse.Namespace) -> int:
    """Print everything known of one run."""
    view = Workspace.find(arguments.workspace).show(arguments.run)
    if arguments.json:
        print_json(facts_of(view))
        return OK
    print(f"{clean(view.run_id)}  {outcome(view)}")
    if record := view.record:
        for name in (
            "config_name",
            "config_sha256",
            "queued_at",
            "started_at",
            "ended_at",
            "user",
            "host",
            "attempts",
        ):
            print(f"  {name:14} {clean(str(getattr(record, name)))}")
        print(f"  {'command':14} {clean(' '.join(record.recipe.argv))}")
        if record.code_changed:
            print("  the code changed while it was running")
        if problem := config_problem(view.path, record):
            print(f"  {problem}")
    else:
        print("  not started by exptui: how it ran is unknown")
    for path in sorted(p for p in view.path.rglob("*") if p.is_file()):
        print(f"  {path.stat().st_size:>14,} {clean(str(path.relative_to(view.path)))}")
    return OK


def diff(arguments: argparse.Namespace) -> int:
    """Print what differs between runs."""
    from exptui.core.compare import export, report

    workspace = Workspace.find(arguments.workspace)
    found = workspace.compare(arguments.runs, at=arguments.at)
    if arguments.json:
        print_json(export.as_json(found))
    else:
        print(export.as_csv(found) if arguments.csv else report.markdown(found, plain=True), end="")
    if arguments.markdown:
        print(f"wrote {clean(str(workspace.write_comparison(found)))}", file=sys.stderr)
    return OK


def print_json(value: object) -> None:
    """Indented JSON in ASCII: whatever a name holds, it is an escape here. NaN and the infinities are null."""
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode("ascii")
    except (
        UnicodeError,
        OverflowError,
    ):  # not ASCII, not even UTF-8, or a number beyond 64 bits: the slow way
        import json

        text = json.dumps(_plain(msgspec.to_builtins(value)), indent=2, ensure_ascii=True, allow_nan=False)
    print(text)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
