"""What there is, as lines or as JSON: `ls` and `show`, and the words they share with other commands."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import compress, islice
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from exptui.cli.exits import OK
from exptui.core.errors import ExptuiError
from exptui.core.monitor.text import clean
from exptui.core.notes import Notes
from exptui.core.runs.run import RunState, RunView, config_problem, directory_of, stem_of
from exptui.core.workspace import Workspace

if TYPE_CHECKING:
    from argparse import Namespace
    from types import SimpleNamespace
    from typing import TypeAlias

    from exptui.core.monitor.catalog import ArchiveRow, Snapshot
    from exptui.core.monitor.run_rows import Runs

    Arguments: TypeAlias = Namespace | SimpleNamespace

R = TypeVar("R")
TOLD = (RunState.FAILED, RunState.STOPPED)
"""How these ended is in their records."""
TOGETHER = 10  # runs whose JSON is made at once


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
    more = {"problem": view.problem, "leftovers": view.leftovers, "record": view.record}
    return _facts(view.run_id, str(view.path), view.state, **more)


def _facts(run_id: str, path: str, state: RunState, **more: object) -> dict[str, object]:
    known = {"run_id": run_id, "path": path, "state": state.value}
    return {**known, "problem": "", "leftovers": False, "record": None, **more}


def ls(arguments: Arguments) -> int:
    """Print the configs, runs or archives."""
    workspace = Workspace.find(arguments.workspace)
    if arguments.what == "runs":
        _ls_runs(workspace, arguments)
        return OK
    from exptui.core.monitor.catalog import Catalog

    if arguments.what == "archive":
        workspace.has_archives()  # where they cannot be read, that is the answer
    else:
        workspace.run_directories()
    seen = Catalog(workspace).without_runs()
    for problem in seen.problems:
        _say(problem)
    if arguments.what == "archive":
        notes = _notes(workspace)
        _ls_archive(_chosen_archives(seen.archives, workspace, notes, arguments), notes, arguments)
    else:
        _ls_configs(workspace, seen, arguments)
    return OK


def _say(problem: str) -> None:
    print(f"exptui: {clean(problem)}", file=sys.stderr)


def _ls_configs(workspace: Workspace, seen: Snapshot, arguments: Arguments) -> None:
    if arguments.json:
        print_json([row.stem for row in seen.configs])
        return
    from collections import Counter

    from exptui.core.monitor.once import all_runs

    runs = all_runs(workspace, _say)
    count = Counter(map(runs.table.stem, runs.order))
    width = max((len(row.stem) for row in seen.configs), default=0)
    for row in seen.configs:
        print(f"{clean(row.stem):{width}}  {clean(row.problem) or f'{count[row.stem]} runs'}")


def _notes(workspace: Workspace) -> Notes:
    """What was noted; said where it cannot be read."""
    try:
        return workspace.notes
    except ExptuiError as error:
        _say(error.message)
        return Notes()


def _tags(notes: Notes, run_id: str) -> str:
    return "".join(f"  #{clean(tag)}" for tag in notes.tags.get(run_id, ()))


def _chosen_archives(
    rows: Sequence[ArchiveRow], workspace: Workspace, notes: Notes, arguments: Arguments
) -> Sequence[ArchiveRow]:
    from exptui.core.monitor.catalog import facts, ordered
    from exptui.core.monitor.filter import matches

    if query := arguments.filter:
        rows = [row for row in rows if matches(query, facts(row, notes.said))]
    if not (arguments.sort or arguments.best):
        return rows
    directions = workspace.settings.metrics
    if arguments.best:
        best = ordered(rows, arguments.best, directions=directions)
        rows = _first_of_each(best, lambda row: (row.run_id, stem_of(row.run_id), row.flat), workspace)
    if arguments.sort:
        rows = ordered(rows, arguments.sort, reverse=arguments.reverse, directions=directions)
    return rows


def _chosen_runs(runs: Runs, workspace: Workspace, notes: Notes, arguments: Arguments) -> Sequence[int]:
    """The rows of those that are asked for, in order."""
    order: Sequence[int] = runs.order
    if not (arguments.filter or arguments.sort or arguments.best):
        return order
    from exptui.core.monitor.filter import arranged, passing

    table = runs.table
    if query := arguments.filter:
        order = list(compress(order, passing(query, table, order, notes.said)))
    if not (arguments.sort or arguments.best):
        return order
    directions = workspace.settings.metrics
    if arguments.best:
        best = arranged(table, order, arguments.best, directions=directions)
        order = _first_of_each(best, lambda at: (table.ids[at], table.stem(at), table.flat(at)), workspace)
    if arguments.sort:
        order = arranged(table, order, arguments.sort, reverse=arguments.reverse, directions=directions)
    return order


def _first_of_each(
    rows: Sequence[R], what: Callable[[R], tuple[str, str, dict[str, Any]]], workspace: Workspace
) -> list[R]:
    """Of those whose configs differ only in the seed the first; `what` gives id, stem and config."""
    from exptui.core.compare.deltas import token

    groups: dict[Hashable, R] = {}
    for row in rows:
        run_id, stem, flat = what(row)
        seed_key = workspace.settings.trainer_for(f"{stem}.toml").seed_key if flat else ""
        but_seed = {key: value for key, value in flat.items() if key != seed_key}
        groups.setdefault(token(but_seed) if flat else run_id, row)
    return list(groups.values())


def _ls_archive(rows: Sequence[ArchiveRow], notes: Notes, arguments: Arguments) -> None:
    if arguments.json:
        names = ("run_id", "identity", "verdict", "verified_at", "attested", "place")
        print_json(
            [
                {
                    **{n: getattr(r.archived, n) for n in names},
                    "verdicts": r.archived.heard,
                    "metrics": r.final,
                    **_noted(notes, r.run_id),
                }
                for r in rows
            ]
        )
        return
    from exptui.core.archive import attested
    from exptui.core.archive.tally import summary

    for row in rows:
        one = row.archived
        words = [clean(one.run_id), f"{one.gz_size:,} bytes", clean(summary(one.heard) or "not verified")]
        words += [f"at {clean(one.place)}"] if one.place else []
        words += [attested.words(one.attested)] if one.attested else []
        print("  ".join(words) + _tags(notes, one.run_id))
    if not rows:
        print("no archives; seal a finished run with: exptui archive RUN")


def _ls_runs(workspace: Workspace, arguments: Arguments) -> None:
    from exptui.core.monitor.once import all_runs

    runs, notes = all_runs(workspace, _say), _notes(workspace)
    order = _chosen_runs(runs, workspace, notes, arguments)
    if arguments.json:
        _json_of_runs(workspace, runs, order, notes)
    elif not order and runs:
        print("no run matches the filter")
    elif not order:
        print("no runs yet; start one with: exptui run CONFIG   (exptui ls configs shows which there are)")
    else:
        _lines_of_runs(workspace, runs, order, notes)


def _json_of_runs(workspace: Workspace, runs: Runs, order: Sequence[int], notes: Notes) -> None:
    """What the list knows, and of each run its record; all of it read anew where the list knows less than the files."""
    from exptui.core.monitor.run_rows import read_ended
    from exptui.core.monitor.stamps import opened
    from exptui.core.runs.verbatim import verbatim

    table, above = runs.table, str(workspace.results)

    def told(at: int) -> dict[str, object]:
        run_id, state = table.ids[at], table.state(at)
        external = state is RunState.EXTERNAL
        if run_id not in runs.whole and not table.shortened[at]:
            path = str(directory_of(workspace.results, run_id)) if "/" in run_id else f"{above}/{run_id}"
            record = None if external else verbatim(results, path if "/" in run_id else run_id)
            if record or external:
                facts = _facts(run_id, path, state, record=record)
                known = {"config": table.flat(at), "metrics": table.final(at)}
                return {**facts, **known, **_noted(notes, run_id)}
        row = runs.whole.get(run_id) or read_ended(workspace.view(directory_of(workspace.results, run_id)))
        known = {"config": row.flat, "metrics": row.final}
        return {**facts_of(row.view), **known, **_noted(notes, run_id)}

    with opened(workspace.results) as results:
        print_each(told(at) for at in order)


def _lines_of_runs(workspace: Workspace, runs: Runs, order: Sequence[int], notes: Notes) -> None:
    width = max(len(runs.table.ids[at]) for at in order)
    said = workspace.cluster_says(row.view for row in runs.live)
    for at in order:
        row = runs.row(at)
        view, star = row.view, "★" if row.run_id == notes.baseline else " "
        if row.run_id not in runs.whole and (runs.table.shortened[at] or view.state in TOLD):
            view = workspace.view(view.path)
        line = f"{star} {clean(row.run_id):{width}}  {outcome(view):9}  {_numbers(row.final)}"
        line += f"  Slurm: {clean(words)}" if (words := said.get(row.run_id)) else ""
        print(f"{line}{_tags(notes, row.run_id)}".rstrip())


def _numbers(final: dict[str, float]) -> str:
    """Six of the metrics, those of training only where there are no others, what tells better from worse first."""
    from exptui.core.compare.deltas import number_text
    from exptui.core.directions import direction

    plain = {name: value for name, value in final.items() if not name.startswith(("train", "validate"))}
    names = sorted(plain or final, key=lambda name: not direction(name))[:6]
    return "  ".join(f"{clean(name)} {number_text(final[name])}" for name in names)


def _noted(notes: Notes, run_id: str) -> dict[str, object]:
    return {"tags": notes.tags.get(run_id, ()), "note": notes.notes.get(run_id, "")}


def show(arguments: Arguments) -> int:
    """Print everything known of one run."""
    workspace = Workspace.find(arguments.workspace)
    view, notes = workspace.show(arguments.run), _notes(workspace)
    from exptui.core.monitor import metrics

    if arguments.json:
        numbers = metrics.read(view.files, metrics.SAMPLES)
        series = {name: metrics.sampled(one) for name, one in numbers.series.items()}
        known = {
            "metrics": numbers.final,
            "step": numbers.step,
            "series": series,
            "problems": numbers.problems,
        }
        print_json({**facts_of(view), **known, **_noted(notes, view.run_id)})
        return OK
    print(f"{clean(view.run_id)}  {outcome(view)}{_tags(notes, view.run_id)}")
    if words := workspace.cluster_says([view]).get(view.run_id):
        print(f"  {'Slurm':14} {clean(words)}")
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
        if code := record.recipe.snapshot:
            print(f"  {'code':14} {code.files:,} files captured, sha256 {clean(code.digest)}")
            for what in code.left:
                print(f"  {'':14} not captured: {clean(what)}")
        if record.code_changed:
            print("  the code changed while it was running")
        if problem := config_problem(view.path, record):
            print(f"  {problem}")
    else:
        print("  not started by exptui: how it ran is unknown")
    if text := _numbers(metrics.last(view.files).final):
        print(f"  {'metrics':14} {text}")
    for path in sorted(p for p in view.path.rglob("*") if p.is_file()):
        print(f"  {path.stat().st_size:>14,} {clean(str(path.relative_to(view.path)))}")
    return OK


def print_json(value: object) -> None:
    """Indented JSON in ASCII: whatever a name holds, it is an escape here. NaN and the infinities are null."""
    print(_json(value).decode())


def print_each(items: Iterator[object]) -> None:
    """The same of a list that need not be in memory: it may be that of 100,000 runs."""
    out, between = sys.stdout.buffer, b"\n"
    out.write(b"[")
    while some := list(islice(items, TOGETHER)):
        out.write(between)
        out.write(memoryview(_json(some))[2:-2])  # its own brackets
        between = b",\n"
    out.write(b"]\n" if between == b"\n" else b"\n]\n")


def _json(value: object) -> bytes:
    try:
        if (data := msgspec.json.encode(value)).isascii():
            return msgspec.json.format(data, indent=2)
    except (UnicodeError, OverflowError):  # not even UTF-8, or a number beyond 64 bits
        pass
    import json  # the slow way

    plain = _plain(msgspec.to_builtins(value, enc_hook=msgspec.json.decode))
    return json.dumps(plain, indent=2, ensure_ascii=True, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
