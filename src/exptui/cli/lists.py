"""What there is, as lines or as JSON: `ls` and `show`, and the words they share with other commands."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import msgspec

from exptui.cli.exits import OK
from exptui.core.compare.deltas import number_text, token
from exptui.core.contents import in_order
from exptui.core.errors import ExptuiError
from exptui.core.monitor.catalog import ArchiveRow, Catalog, RunRow, Snapshot, facts, ordered
from exptui.core.monitor.filter import matches
from exptui.core.monitor.run_rows import Memory, ended, read_ended, read_run, view_of
from exptui.core.monitor.text import clean
from exptui.core.notes import Notes
from exptui.core.runs.run import RunView, config_problem, stem_of
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
    if arguments.what == "configs":
        _ls_configs(seen, arguments)
    else:
        notes = _notes(workspace)
        _ls_archive(_chosen(seen.archives, workspace, notes, arguments), notes, arguments)
    return OK


def _say(problem: str) -> None:
    print(f"exptui: {clean(problem)}", file=sys.stderr)


def _chosen(rows: Sequence[R], workspace: Workspace, notes: Notes, arguments: argparse.Namespace) -> list[R]:
    query, said = arguments.filter, notes.said
    found = [row for row in rows if matches(query, facts(row, said))] if query else list(rows)
    if not (arguments.sort or arguments.best):
        return found
    directions = workspace.settings.metrics
    if arguments.best:  # of each group the first of them in order
        groups: dict[Hashable, R] = {}
        for row in ordered(found, arguments.best, directions=directions):
            groups.setdefault(token(_but_seed(row, workspace)) if row.flat else row.run_id, row)
        found = list(groups.values())
    return (
        ordered(found, arguments.sort, reverse=arguments.reverse, directions=directions)
        if arguments.sort
        else found
    )


def _but_seed(row: RunRow | ArchiveRow, workspace: Workspace) -> dict[str, object]:
    stem = row.view.stem if isinstance(row, RunRow) else stem_of(row.run_id)
    seed_key = workspace.settings.trainer_for(f"{stem}.toml").seed_key
    return {key: value for key, value in row.flat.items() if key != seed_key}


def _notes(workspace: Workspace) -> Notes:
    """What was noted; said where it cannot be read."""
    try:
        return workspace.notes
    except ExptuiError as error:
        _say(error.message)
        return Notes()


def _tags(notes: Notes, run_id: str) -> str:
    return "".join(f"  #{clean(tag)}" for tag in notes.tags.get(run_id, ()))


def _ls_configs(seen: Snapshot, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json([row.stem for row in seen.configs])
        return
    width = max((len(row.stem) for row in seen.configs), default=0)
    for row in seen.configs:
        print(f"{clean(row.stem):{width}}  {clean(row.problem) or f'{row.runs} runs'}")


def _ls_archive(rows: Sequence[ArchiveRow], notes: Notes, arguments: argparse.Namespace) -> None:
    if arguments.json:
        names = ("run_id", "identity", "verdict", "verified_at")
        print_json(
            [
                {**{n: getattr(r.archived, n) for n in names}, "metrics": r.final, **_noted(notes, r.run_id)}
                for r in rows
            ]
        )
        return
    for row in rows:
        one = row.archived
        print(
            f"{clean(one.run_id)}  {one.gz_size:,} bytes  {clean(one.verdict or 'not verified')}{_tags(notes, one.run_id)}"
        )
    if not rows:
        print("no archives; seal a finished run with: exptui archive RUN")


def _runs(workspace: Workspace) -> list[RunRow]:
    """Every run, oldest first; of one that has ended only what is printed is read."""
    views = in_order(view_of(workspace, path) for path in workspace.run_directories())
    return [read_ended(view) if _settled(view) else read_run(view, Memory()) for view in views]


def _settled(view: RunView) -> bool:
    return ended(view) and view.record is not None and not view.record.adopted


def _ls_runs(workspace: Workspace, arguments: argparse.Namespace) -> None:
    there, notes = _runs(workspace), _notes(workspace)
    rows = _chosen(there, workspace, notes, arguments)
    if arguments.json:
        print_json(
            [
                {**facts_of(r.view), "config": r.flat, "metrics": r.final, **_noted(notes, r.run_id)}
                for r in rows
            ]
        )
    elif not rows and there:
        print("no run matches the filter")
    elif not rows:
        print("no runs yet; start one with: exptui run CONFIG   (exptui ls configs shows which there are)")
    width = max((len(row.run_id) for row in rows), default=0)
    for row in () if arguments.json else rows:
        star = "★" if row.run_id == notes.baseline else " "
        line = f"{star} {clean(row.run_id):{width}}  {outcome(row.view):9}  {_numbers(row.final)}"
        print(f"{line}{_tags(notes, row.run_id)}".rstrip())


def _numbers(final: dict[str, float]) -> str:
    """The metrics a trainer reported at the end, else the last ones of its series; six of them."""
    plain = {name: value for name, value in final.items() if not name.startswith(("train", "validate"))}
    return "  ".join(
        f"{clean(name)} {number_text(value)}" for name, value in list((plain or final).items())[:6]
    )


def _noted(notes: Notes, run_id: str) -> dict[str, object]:
    return {"tags": notes.tags.get(run_id, ()), "note": notes.notes.get(run_id, "")}


def show(arguments: argparse.Namespace) -> int:
    """Print everything known of one run."""
    workspace = Workspace.find(arguments.workspace)
    view, notes = workspace.show(arguments.run), _notes(workspace)
    if arguments.json:
        print_json({**facts_of(view), **_noted(notes, view.run_id)})
        return OK
    print(f"{clean(view.run_id)}  {outcome(view)}{_tags(notes, view.run_id)}")
    if note := notes.notes.get(view.run_id):
        print(f"  {'note':14} {clean(note)}")
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
