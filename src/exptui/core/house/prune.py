"""What may go: the runs that rules choose, without those that nobody would want to lose.

A plan is made without changing anything, and carried out run by run: each is looked at again, alone, before it goes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING

import msgspec

from exptui.core.archive import attested, ledger
from exptui.core.archive import manifest as mf
from exptui.core.archive.listing import MANIFEST, TARBALL, beside
from exptui.core.archive.remote import is_stored
from exptui.core.directions import Directions
from exptui.core.errors import ArchiveError, ExptuiError, RunError, UsageError
from exptui.core.files import storage_errors
from exptui.core.house.usage import BLOCK, Links, files
from exptui.core.monitor import once
from exptui.core.monitor.filter import passing
from exptui.core.notes import Notes
from exptui.core.runs import checkpoints, trash
from exptui.core.runs.alone import alone
from exptui.core.runs.run import RunState, RunView

if TYPE_CHECKING:
    from exptui.core.monitor.columns import Table
    from exptui.core.workspace import Workspace

QUIET = 86_400.0
"""Seconds: whether somebody is at work on a run that exptui did not start, only the age of its files tells."""
BROKE = (RunState.FAILED, RunState.LOST)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs; all that is given must hold. `older_than` in seconds since a run's end; `keep_best`: see `best`."""

    state: str = ""
    older_than: float | None = None
    filter: str = ""
    keep_best: int | None = None  # one, where it is not said
    checkpoints_only: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for rules that choose nothing, or a state there is not."""
        if not (self.state or self.filter) and self.older_than is None and self.keep_best is None:
            raise UsageError(
                "which runs?",
                "Say at least one of: --state failed, --older-than 30d, --filter …, --keep-best N",
            )
        if self.state and self.state.upper() not in set(RunState):
            raise UsageError(f"there is no state {self.state}", f"There are: {', '.join(RunState).lower()}")
        if self.keep_best is not None and self.keep_best < 1:
            raise UsageError("the best one always stays", "--keep-best N with N of 1 or more")


class Ended(msgspec.Struct, frozen=True):
    """A run that is not at work, as far as its place among the others goes."""

    run_id: str
    stem: str
    state: RunState
    final: Mapping[str, float]


class Going(msgspec.Struct, frozen=True, kw_only=True):
    """What would go of one run: all of it, or these `checkpoints`. `bytes`: what that gives back in the end."""

    run_id: str
    state: RunState
    bytes: int
    files: int
    checkpoints: tuple[str, ...] = ()


class Stays(msgspec.Struct, frozen=True):
    """A run that the rules choose, and why it stays all the same."""

    run_id: str
    why: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would go, and what stays though the rules choose it. `problems`: what could not be read."""

    checkpoints_only: bool
    going: list[Going]
    stays: list[Stays]
    problems: list[str]

    @property
    def bytes(self) -> int:
        """All that would go."""
        return sum(one.bytes for one in self.going)


class Went(msgspec.Struct, frozen=True):
    """What became of a run: where it is in the trash, or how many checkpoints went; `why` it stayed in the end."""

    run_id: str
    path: str = ""
    checkpoints: int = 0
    why: str = ""


def best(runs: Sequence[Ended], directions: Directions, keep: int = 1) -> dict[str, str]:
    """Run id → why it is among the best: the first `keep` of its experiment that did not break, or of all runs.

    By each metric that has a direction. Runs with the same value are all as good.
    """
    groups: dict[tuple[str, str], list[tuple[float, str]]] = {}
    signs = {name: directions.of(name) for name in dict.fromkeys(name for one in runs for name in one.final)}
    for one in runs:
        for metric, value in one.final.items():
            if not signs[metric] or value != value:
                continue
            for group in ("all", *([] if one.state in BROKE else [f"its experiment {one.stem}"])):
                groups.setdefault((group, metric), []).append((signs[metric] * value, one.run_id))
    found: dict[str, str] = {}
    for (group, metric), values in groups.items():
        values.sort(reverse=True)
        last = values[min(keep, len(values)) - 1][0]
        for value, run_id in values:
            if value < last:
                break
            found.setdefault(run_id, f"among the best of {group} by {metric}")
    return found


def plan(space: Workspace, rules: Rules) -> Plan:
    """See `Workspace.prunable`."""
    notes = space.notes
    problems: list[str] = []
    runs = once.all_runs(space, problems.append)
    table = runs.table
    order = [at for at in runs.order if "/" not in table.ids[at]]  # the others are only listed
    resting = [
        Ended(table.ids[at], table.stem(at), table.state(at), table.final(at))
        for at in order
        if not table.state(at).live
    ]
    good = best(resting, space.settings.metrics, rules.keep_best or 1)
    archived = ledger.identities(ledger.read(space.archives)[0]) if space.has_archives() else {}
    verified = {name.rpartition("_")[0] for name in space.verification_states()}
    going, stays, links = list[Going](), list[Stays](), Links()
    for at in _chosen(table, order, rules, notes):
        view = space.view(space.results / table.ids[at])
        usage = _Measured(view)
        if rules.older_than is not None and time.time() - _ended(table.when[at], usage) < rules.older_than:
            continue
        why = protected(view, notes, usage.newest)
        if not why and usage.unread:
            why = f"it cannot be read: {usage.unread[0]}"
        if not why and view.run_id in verified:
            why = "it is being verified"
        if not why and view.run_id in good and not (view.run_id in archived and _whole(space, view)):
            why = f"{good[view.run_id]}, and not in the archive as it is"
        if why:
            stays.append(Stays(view.run_id, why))
            continue
        wanted = _checkpoints(space, view, usage.paths) if rules.checkpoints_only else ()
        if not rules.checkpoints_only or wanted:
            going.append(usage.going(wanted, links))
    return Plan(checkpoints_only=rules.checkpoints_only, going=going, stays=stays, problems=problems)


def _chosen(table: Table, order: list[int], rules: Rules, notes: Notes) -> Iterable[int]:
    """The rows that state and filter choose, oldest first."""
    if rules.state:
        order = [at for at in order if table.state(at) == rules.state.upper()]
    return compress(order, passing(rules.filter, table, order, notes.said)) if rules.filter else order


def _ended(when: float, usage: _Measured) -> float:
    """When a run ended: as it says, else when the last of its files was written."""
    return when if when > 0 else usage.newest


def protected(view: RunView, notes: Notes, newest: float) -> str:
    """Why nothing of a run may go, whatever the rules say; empty where it may."""
    if view.state.live or view.leftovers:
        return "it is still at work"
    if view.state is RunState.EXTERNAL and time.time() - newest < QUIET:
        return "it was written to within a day, and nothing tells whether somebody is at work on it"
    if tags := notes.tags.get(view.run_id):
        return f"it is tagged {' '.join(tags)}"
    if view.run_id == notes.baseline:
        return "it is the baseline"
    return "it is a link to elsewhere" if view.path.is_symlink() else ""


class _Measured:
    """The files of a run, looked at once."""

    def __init__(self, view: RunView) -> None:
        self.view, self.unread = view, list[str]()
        self._stats = dict(files(view.path, self.unread))
        self.newest = max((found.st_mtime for found in self._stats.values()), default=0.0)

    @property
    def paths(self) -> list[str]:
        """Its regular files, by path."""
        return [path for path, found in self._stats.items() if _regular(found)]

    def going(self, only: Sequence[str], links: Links) -> Going:
        """All of it, or only these; a file gives its space back when its last name goes."""
        names = only or list(self._stats)
        size = 0
        for name in names:
            found = self._stats[name]
            if not _regular(found) or links.met(found) == found.st_nlink:
                size += found.st_blocks * BLOCK
        view, count = self.view, sum(_regular(self._stats[name]) for name in names)
        return Going(
            run_id=view.run_id,
            state=view.state,
            bytes=size,
            files=count,
            checkpoints=tuple(only),
        )


def _regular(found: os.stat_result) -> bool:
    import stat

    return stat.S_ISREG(found.st_mode)


def _checkpoints(space: Workspace, view: RunView, paths: Iterable[str]) -> tuple[str, ...]:
    """What is named as a checkpoint by the recipe, or by the settings as they are now."""
    template = space.settings.trainer_for(f"{view.stem}.toml").checkpoints
    return tuple(sorted(checkpoints.of_run(view.record, paths, template)))


def _whole(space: Workspace, view: RunView) -> bool:
    """Whether the archive holds every file of a run, as long as it is now: nothing is read for this."""
    folder = space.archives
    if not (beside(folder, view.run_id, TARBALL).is_file() or is_stored(folder, view.run_id)):
        return False
    try:
        sealed = mf.decode(beside(folder, view.run_id, MANIFEST).read_bytes())
        return [(one.path, one.size) for one in sealed.files] == mf.listing(view.path)
    except (OSError, ArchiveError):
        return False


def carry_out(space: Workspace, chosen: Plan) -> Iterator[Went]:
    """See `Workspace.prune`."""
    for one in chosen.going:
        try:
            yield _carry_out(space, one)
        except ExptuiError as error:
            yield Went(one.run_id, why=error.message)


def _carry_out(space: Workspace, one: Going) -> Went:
    path = space.results / one.run_id
    with alone(space.archives, one.run_id), storage_errors("prune the run"):
        view = space.view(path)
        now = _Measured(view)
        if now.unread:
            raise RunError(f"it cannot be read: {now.unread[0]}")
        if view.state is not one.state or not now.paths:
            raise RunError(f"it is {view.state} now" if now.paths else "it is not there any more")
        if why := protected(view, space.notes, now.newest):
            raise RunError(why)
        if not one.checkpoints:
            return Went(one.run_id, str(trash.put(path)))
        observational = view.record.recipe.observational if view.record else ()
        return Went(one.run_id, checkpoints=attested.remove(path, one.checkpoints, observational))
