"""Keeping house: `du`, `rm` with its trash, and `prune`."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TextIO

from humanize import naturaldelta, naturalsize

from exptui.cli.exits import FAILED, OK
from exptui.cli.lists import print_json
from exptui.cli.recover import recovered
from exptui.core.errors import UsageError
from exptui.core.house.prune import Plan, Rules
from exptui.core.house.usage import Usage
from exptui.core.monitor.text import clean
from exptui.core.workspace import Workspace

WHAT = {
    "verifications": "archive/restoration/",
    "trash": "exptui rm --list",
    "cache": "can be made anew",
    "other": "configs, comparisons, notes",
}


def size(count: int) -> str:
    """Bytes as people write them."""
    return naturalsize(count, format="%.0f" if count < 10**6 else "%.1f")


def du(arguments: argparse.Namespace) -> int:
    """What takes the space."""
    found = Workspace.find(arguments.workspace).usage()
    for problem in found.unread:
        print(f"exptui: not read: {clean(problem)}", file=sys.stderr)
    if arguments.json:
        print_json(found)
        return FAILED if found.unread else OK
    counts = {"results": len(found.runs), "archive": len(found.archives), "trash": len(found.trash)}
    for name, usage in found.places.items():
        count = f"{counts[name]:,}" if name in counts else ""
        parts = _parts(usage) if name == "results" else WHAT.get(name, "")
        print(f"{size(usage.bytes):>10}  {name:13} {count:>7}  {parts}".rstrip())
    shown = found.runs[: arguments.n or None]
    print("" if shown else "no runs")
    width = max((len(clean(one.name)) for one in shown), default=0)
    for one in shown:
        print(f"{size(one.bytes):>10}  {clean(one.name):{width}}  {_parts(one)}")
    if left := found.runs[len(shown) :]:
        print(
            f"{size(sum(one.bytes for one in left)):>10}  {len(left):,} more: exptui du -n 0 lists them all"
        )
    return FAILED if found.unread else OK


def _parts(usage: Usage) -> str:
    parts = (("checkpoints", usage.checkpoints), ("logs", usage.logs), ("rest", usage.rest))
    return "  ".join(f"{name} {size(count)}" for name, count in parts if count)


def rm(arguments: argparse.Namespace) -> int:
    """Into the trash, out of it, or out of the world."""
    workspace = recovered(Workspace.find(arguments.workspace))
    if arguments.list or arguments.empty is not None:
        return _trash(workspace, arguments)
    if arguments.undo:
        for name in arguments.runs or [""]:
            print(f"{clean(str(workspace.undo_remove(name)))} is back")
        return OK
    if not arguments.runs:
        raise UsageError("which run?", "exptui rm RUN…; what is in the trash: exptui rm --list")
    for name in arguments.runs:
        place = workspace.remove(name)
        print(f"{clean(place.name)} is in {clean(str(place.parent))}; take it back with: exptui rm --undo")
    return OK


def _trash(workspace: Workspace, arguments: argparse.Namespace) -> int:
    """List the trash, or what of it is old enough to go; with --yes that goes."""
    emptying = arguments.empty is not None
    if arguments.runs or arguments.undo:
        raise UsageError("the trash is emptied by age, not by name", "exptui rm --empty 30d")
    chosen = workspace.trashed(arguments.empty or 0.0)
    sizes = workspace.trash_sizes(chosen)
    if arguments.json:
        keys = ("run_id", "path", "removed", "bytes")
        rows = zip(chosen, sizes, strict=True)
        print_json(
            [dict(zip(keys, (one.run_id, str(one.path), one.removed, n), strict=True)) for one, n in rows]
        )
    for one, count in () if arguments.json else zip(chosen, sizes, strict=True):
        ago = naturaldelta(max(0.0, time.time() - one.removed))
        print(f"{size(count):>10}  {clean(one.run_id)}  removed {ago} ago")
    told = sys.stderr if arguments.json else sys.stdout
    if not chosen:
        print("nothing in the trash is that old" if emptying else "the trash is empty", file=told)
        return OK
    if not emptying:
        print(
            f"{size(sum(sizes)):>10}  in all; back with: exptui rm --undo RUN; for good with: exptui rm --empty 30d",
            file=told,
        )
        return OK
    if not arguments.yes:
        print(f"{size(sum(sizes)):>10}  would go for good; nothing was changed: --yes does it", file=told)
        return OK
    sys.stdout.flush()  # said before it is done
    gone = sum(1 for _ in workspace.empty_trash(chosen))
    print(f"{gone} removed for good", file=told)
    return OK


def prune(arguments: argparse.Namespace) -> int:
    """What may go by these rules; with --yes it goes."""
    workspace = recovered(Workspace.find(arguments.workspace))
    names = ("state", "older_than", "filter", "keep_best", "checkpoints_only")
    plan = workspace.prunable(Rules(**{name: getattr(arguments, name) for name in names}))
    for problem in plan.problems:
        print(f"exptui: {clean(problem)}", file=sys.stderr)
    if arguments.yes or not arguments.json:
        _say_plan(plan, sys.stderr if arguments.json else sys.stdout)
    if not (arguments.yes and plan.going):
        if arguments.json:
            print_json({"dry": not arguments.yes, "plan": plan, "done": []})
        elif plan.going:
            print("nothing was changed: --yes does it")
        return OK
    done = []
    for one in workspace.prune(plan):
        done.append(one)
        if one.why and not arguments.json:
            print(f"  stays after all: {clean(one.run_id)}: {clean(one.why)}", flush=True)
    left = sum(bool(one.why) for one in done)
    if arguments.json:
        print_json({"dry": False, "plan": plan, "done": done})
    elif plan.checkpoints_only:
        count = sum(one.checkpoints for one in done)
        print(f"{count} checkpoints of {len(done) - left} runs removed; their digests stay in the runs")
    else:
        print(
            f"{len(done) - left} in the trash; back with: exptui rm --undo RUN; the space with: exptui rm --empty 0d"
        )
    return FAILED if left else OK


def _say_plan(plan: Plan, file: TextIO) -> None:
    """Every run that would go with what that gives back, and those that stay with the reason; out before it is done."""
    said = []
    for one in plan.going:
        how = f"{len(one.checkpoints)} checkpoints" if one.checkpoints else f"{one.files} files"
        said.append(f"{size(one.bytes):>10}  {clean(one.run_id)}  {one.state}  {how}")
        said += [f"{'':>10}    {clean(path)}" for path in one.checkpoints]
    said += [f"{'stays':>10}  {clean(kept.run_id)}: {clean(kept.why)}" for kept in plan.stays]
    what = "checkpoints for good" if plan.checkpoints_only else "to the trash"
    said.append(
        f"{size(plan.bytes):>10}  of {len(plan.going)} runs {what}" if plan.going else "nothing to prune"
    )
    print("\n".join(said), file=file, flush=True)
