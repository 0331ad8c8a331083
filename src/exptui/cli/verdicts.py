"""What came of running archives again, here and on the machines of others: `verdict`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from exptui.cli.exits import OK
from exptui.cli.lists import print_json
from exptui.core.archive.tally import MARKS, Heard, cell, matrix, summary
from exptui.core.audit.statement import Seen
from exptui.core.errors import UsageError
from exptui.core.monitor.text import clean
from exptui.core.workspace import Workspace


def verdict(arguments: argparse.Namespace) -> int:
    """Show, send or add verdicts."""
    workspace = Workspace.find(arguments.workspace)
    if arguments.add:
        for name in arguments.add:
            seen, new = workspace.add_verdict(Path(name))
            known = "added" if new else "is already here"
            print(f"{clean(seen.statement.run_id)}  {seen.statement.verdict}  {_who(seen)}  {known}")
    elif arguments.output:
        if not arguments.run:
            raise UsageError("of which archive?", "exptui verdict ARCHIVE -o FILE")
        stated = workspace.write_verdict(arguments.run, Path(arguments.output))
        print(f"{clean(stated.run_id)}  {stated.verdict}  in {clean(arguments.output)}")
    elif arguments.run:
        _one(workspace, arguments)
    else:
        _all(workspace, arguments)
    return OK


def _one(workspace: Workspace, arguments: argparse.Namespace) -> None:
    run_id = workspace.known(arguments.run)
    found, problems = workspace.verdicts(run_id)
    for problem in problems:
        print(f"exptui: {clean(problem)}", file=sys.stderr)
    if arguments.json:
        print_json([{**msgspec.to_builtins(one.statement), "signer": one.signer} for one in found])
        return
    known = [_heard(one) for one in reversed(found)]
    print(f"{clean(run_id)}  {summary(known) or 'not verified'}")
    for one in found:
        print("\n" + "\n".join(map(clean, _lines(one))))


def _heard(one: Seen) -> Heard:
    said = one.statement
    host = said.machine.host if said.machine else "?"
    return Heard(said.verdict.value, said.place or f"host {host}", host, said.at, one.signer)


def _who(one: Seen) -> str:
    """Machine and signer."""
    host = one.statement.machine.host if one.statement.machine else "a machine that was not recorded"
    return clean(f"on {host}, {f'signed by {one.signer}' if one.signer else 'made here'}")


def _lines(one: Seen) -> Iterator[str]:
    """What was found, where, and what was and was not compared."""
    said, machine = one.statement, one.statement.machine
    yield f"{said.verdict}  {said.at}  {_who(one)}"
    around = said.environment
    facts = {
        "found": [said.headline],
        "mismatch": []
        if said.first_mismatch_cycle is None
        else [f"first at cycle {said.first_mismatch_cycle}"],
        "cause": [said.cause],
        "machine": [f"{machine.user}, {machine.cpu}, {machine.system}, {machine.libc}"] if machine else [],
        "scope": [said.scope],
        "isolation": [said.isolation],
        "code": [said.code],
        "prepared": [said.prepared],
        "compared": [f"{said.compared:,} files"],
        "differing": said.differing,
        "declared": said.declared,
        "not compared": said.not_compared,
        "environment": ["unknown on one side"] if around is None else around or ["the same"],
        "notes": said.notes,
    }
    for name, texts in facts.items():
        for at, text in enumerate(filter(None, texts)):
            yield f"  {name if not at else '':13} {text}"


def _all(workspace: Workspace, arguments: argparse.Namespace) -> None:
    """Archives by machines."""
    archives = workspace.list_archives()
    found = matrix((one.run_id, one.heard) for one in archives)
    if arguments.json:
        print_json(
            {
                "machines": found.machines,
                "archives": [{"run_id": run, "verdicts": row} for run, row in found.rows],
            }
        )
        return
    if not found.rows:
        print("no archive was verified yet: exptui verify ARCHIVE" if archives else "no archives")
        return
    width = max(len(run_id) for run_id, _ in found.rows)
    columns = [max(5, len(clean(name, 30))) for name in found.machines]
    print(
        " ".join(
            [" " * width, *(f"{clean(n, 30):<{w}}" for n, w in zip(found.machines, columns, strict=True))]
        )
    )
    whole = {one.run_id: one.heard for one in archives}
    for run_id, row in found.rows:
        cells = (f"{cell(some) or '·':<{w}}" for some, w in zip(row, columns, strict=True))
        print(" ".join([f"{clean(run_id):<{width}}", *cells, f" {clean(summary(whole[run_id]))}"]))
    if left := len(archives) - len(found.rows):
        print(f"{left:,} more archives were not verified")
    print("  ".join(f"{mark} {word}" for word, mark in MARKS.items()) + "  · not run there", file=sys.stderr)
