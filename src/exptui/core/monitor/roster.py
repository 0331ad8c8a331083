"""Which runs there are, however many: what the index remembers is compared with the disk, and only what changed is read.

A run that has ended is valid while its directory and the files it was read from have the stamps they had. Its directory
tells of every file that was made, removed or replaced (exptui and most editors replace), so one stat a run is enough to
show the list. What is written into a file in place does not touch the directory: the files are compared right after the
list is there, and from then on in turn: the runs that changed last at every look, a few of the others each time, all when
it is asked for. Live runs are read at every look.
"""

from __future__ import annotations

import bisect
import math
import os
import stat
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING

from exptui.core.monitor.catalog_index import HEAD, Index
from exptui.core.monitor.columns import Entry, Table, group_of
from exptui.core.monitor.elsewhere import Elsewhere, Place
from exptui.core.monitor.pages import Page, add
from exptui.core.monitor.run_rows import (
    Memory,
    RunRow,
    Runs,
    ended,
    entry_of,
    read_ended,
    read_run,
    same,
    view_of,
)
from exptui.core.monitor.stamps import changes, folder_stamp, opened, stamps, unchanged
from exptui.core.runs.run import RunState, directory_of

if TYPE_CHECKING:
    from exptui.core.workspace import Workspace

SLICE = 0.2  # seconds of reading between two looks
SWEEP = 16  # runs whose files are compared at each look, in turn; and the same of those that changed last
FIRST_SWEEP = 500  # the same, until all were compared once
TICK = 2.0  # seconds: a file changed so short before it was read may change again and keep its stamp
KEPT = 200  # runs that ended while we looked, kept whole
FEW = 64  # changes that are worked into the order one by one
NOT_RUNS = ("comparisons",)


class Roster:
    """The runs of one workspace, look by look."""

    def __init__(self, workspace: Workspace, index: Index, now: Callable[[], float] = time.time) -> None:
        self.workspace, self.index, self._now = workspace, index, now
        self.elsewhere = Elsewhere(workspace)
        self.table = Table()
        self._memory = Memory()
        self._order = array("I")
        self._changes: list[tuple[int, bool]] = []  # (row, is new) since the order was made
        self._open: dict[str, tuple[Hashable, ...]] = {}  # live, lost or left-over: read at every look
        self._lost: dict[
            str, tuple[int, int]
        ] = {}  # of those the ones that stay so until a file of them changes
        self._waiting: dict[str, int] = {}  # and those for a cluster: its first act is to replace run.json
        self._whole: dict[str, RunRow] = {}
        self._unread: dict[str, float] = {}  # by the time of the last change
        self._queue: list[str] = []  # the same in that order
        self._found_more = False
        self._young: dict[str, float] = {}  # read within a tick of a change: when to read again
        self._recent: dict[str, float] = {}
        self._unsaved: set[str] = set()
        self._swept, self._first_sweep = 0, True
        self._loaded = sys.maxsize  # pages of the index before that one are still to be loaded
        self._stage, self._results, self._young_results = 0, (0, 0, 0), False
        self._hidden: frozenset[str] = frozenset()
        self._counts: tuple[frozenset[str], Counter[str]] = frozenset(), Counter()
        self._problem, self._arrange_at = "", 0.0
        self.unread = 0  # runs of which the last look said nothing, as they are still to be read
        self._runs = Runs(self.table, self._order, {}, workspace.results)

    @property
    def busy(self) -> bool:
        """Whether there is more to do than to wait for a change."""
        return self._stage < 2 or bool(self._unread) or self._first_sweep

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not as it should be."""
        return (*filter(None, (self.index.problem, self._problem)), *self.elsewhere.problems)

    def look(self, baseline: str = "", *, every: bool = False) -> Runs:
        """The runs as they are now, as far as that can be told in a slice of time; the same object when nothing changed."""
        if self._stage == 0:
            self._stage = 1
            count = 0 if every else self.index.count()
            for number, page in self.index.newest(HEAD) if count else ():
                self._take(page)
                self._loaded = number
            if count:
                self._compare(list(self.table.rows))
                return self._publish(baseline, max(0, count - len(self.table.rows)))
        if begin := self._stage == 1:
            for _, page in self.index.load(before=self._loaded):
                self._take(page)
            self._stage, self._first_sweep = 2, len(self.table) > 0
        if begin and not every:
            self._list(compare=True)
        elif every:
            self._list(compare=False)
            self._compare(list(self.table.rows))
            self._swept, self._first_sweep = 0, False
        elif (
            self._young_results or self._results != changes(self.workspace.results) or self.elsewhere.moved()
        ):
            self._list(compare=False)
        self._read(self._may_have_moved())
        self._read_some()
        self._sweep()
        self._save()
        return self._publish(baseline, len(self._unread))

    def counts(self, stems: frozenset[str]) -> Counter[str]:
        """How many runs each of these configs has."""
        if self._counts[0] != stems:
            ids, named, stem = self.table.ids, self.table.stems, self.table.stem
            likely = (  # a stem is an id, or what is before its stamp: most need no closer look
                row
                for row in self._order
                if ids[row].rpartition("_")[0] in stems or row in named or ids[row] in stems
            )
            self._counts = stems, Counter(s for row in likely if (s := stem(row)) in stems)
        return self._counts[1]

    # What is there

    def _take(self, page: Page) -> None:
        """Rows of the index; the disk has still to confirm them."""
        first = len(self.table)
        add(self.table, page)
        self._added(first)

    def _added(self, first: int) -> None:
        """Rows from that one on are new; of very many it is enough to know that there are many."""
        new, table = range(first, len(self.table)), self.table
        few = (row for row in new if table.rows.get(table.ids[row]) == row)
        self._changes += [(row, True) for row in (few if len(new) <= FEW else new[: FEW + 1])]

    def _list(self, *, compare: bool) -> None:
        """Find what came and went; with `compare` also which directories changed."""
        rows, folders = self.table.rows, self.table.folders
        seen = bytearray(len(self.table))
        self._results, self._problem = changes(self.workspace.results), ""
        self._young_results = 0 <= self._now() - self._results[1] / 1e9 < TICK
        try:
            with self.elsewhere.and_results() as entries:
                for entry in entries:
                    row = rows.get(entry.name)
                    if row is None:
                        self._found(entry)
                        continue
                    seen[row] = 1
                    if compare and folders[row] != folder_stamp(entry.stat()):
                        self._found(entry)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._problem = (
                f"cannot read the runs: {error.filename or self.workspace.results} {error.strerror}"
            )
            return
        for name in [name for name, row in rows.items() if not seen[row]]:
            self._drop(name)

    def _found(self, entry: os.DirEntry[str] | Place) -> None:
        """Something that may be a run and is not known as it is now."""
        name = entry.name
        if (name[0] == "." and "/" not in name) or name in NOT_RUNS or name in self._open:
            return
        try:
            found = entry.stat()
        except OSError:
            return
        if stat.S_ISDIR(found.st_mode):
            self._forget(name)
            self._unread[name] = found.st_mtime
            self._found_more = True

    def _forget(self, name: str) -> None:
        """Take it out of the list until it is read."""
        if (row := self.table.rows.pop(name, None)) is not None:
            self._changes.append((row, False))

    def _drop(self, name: str) -> None:
        """It is not there any more."""
        self._forget(name)
        for known in (self._lost, self._waiting, self._whole, self._unread, self._young, self._recent):
            known.pop(name, None)
        self._unsaved.discard(name)
        self._memory.forget(self._open.pop(name, ()))

    # Reading

    def _read_some(self) -> None:
        """The young ones whose time has come, then what was never read, the newest first, for a slice of time."""
        now = self._now()
        self._read([name for name, due in self._young.items() if due <= now or due > now + TICK])
        if self._found_more:
            self._queue = sorted(self._unread, key=self._unread.__getitem__)
            self._found_more = False
        self._read(self._next(), SLICE)

    def _next(self) -> Iterator[str]:
        while self._queue:
            if (name := self._queue.pop()) in self._unread:
                yield name

    def _read(self, names: Iterable[str], seconds: float = math.inf) -> None:
        """Runs, from their files, for as long as that; at least one."""
        until, entries = time.monotonic() + seconds, list[Entry]()
        for name in names:
            self._unread.pop(name, None)
            self._young.pop(name, None)
            try:
                entries.append(self._entry(name))
            except OSError:
                self._drop(name)
            if time.monotonic() > until:
                break
        self._put(entries)

    def _entry(self, name: str) -> Entry:
        """One run as it is now.

        Raises:
            OSError: it is not there, or no directory.
        """
        path = directory_of(self.workspace.results, name)
        folder, files, changed = stamps(
            path
        )  # before anything is read: a change meanwhile is seen the next time
        view = view_of(self.workspace, path)
        settled = view.record is None or (ended(view) and not view.record.adopted)
        if settled and name not in self._open and name not in self._whole:
            row = read_ended(view)
        else:
            row = self._whole[name] = read_run(view, self._memory)
            keys = view.files / "config.toml", ("metrics", view.files), ("reader", view.files)
            if settled:
                self._memory.forget((*keys, *self._open.pop(name, ())))
                self._keep_few(name)
            else:
                self._open[name] = keys
        entry, age = entry_of(row, folder, files), self._now() - changed
        self._lost.pop(name, None)
        self._waiting.pop(name, None)
        if view.record and view.record.waits_elsewhere and age >= TICK:
            self._waiting[name] = folder
        if view.state is RunState.LOST and age >= TICK and not (view.record and view.record.adopted):
            self._lost[name] = folder, files
        if settled and 0 <= age < TICK:
            self._young[name] = self._now() + TICK - age
        elif settled:
            self._unsaved.add(name)
            self._note_recent(name, changed)
        return entry

    def _may_have_moved(self) -> list[str]:
        """The open runs, but not those that were lost before, or waited elsewhere, and whose files are as they were."""
        with opened(self.workspace.results) as results:

            def is_as_it_was(name: str) -> bool:
                try:
                    if name in self._waiting:
                        return folder_stamp(os.stat(name, dir_fd=results)) == self._waiting[name]
                    return name in self._lost and unchanged(
                        results, self.workspace.results, name, *self._lost[name]
                    )
                except OSError:
                    return False

            return [name for name in self._open if not is_as_it_was(name)]

    def _put(self, entries: Iterable[Entry]) -> None:
        """Into the table, those of the same keys together."""
        shapes: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Entry]] = {}
        for entry in entries:
            row = self.table.rows.get(entry.run_id)
            if row is None or not same(self.table.entry(row), entry):
                self._changes += [(row, False)] if row is not None else []
                shapes.setdefault((tuple(entry.flat), tuple(entry.final)), []).append(entry)
        for keys, some in shapes.items():
            first = len(self.table)
            self.table.extend(group_of(*keys, some))
            self._added(first)

    def _keep_few(self, name: str) -> None:
        """Of the runs that ended while we looked, only the last are kept whole."""
        self._whole[name] = self._whole.pop(name)
        ended_whole = [name for name in self._whole if name not in self._open]
        for old in ended_whole[:-KEPT]:
            del self._whole[old]

    def _note_recent(self, name: str, changed: float) -> None:
        self._recent[name] = changed
        if len(self._recent) > 2 * SWEEP:
            newest = sorted(self._recent, key=self._recent.__getitem__)[-SWEEP:]
            self._recent = {name: self._recent[name] for name in newest}

    # Comparing

    def _sweep(self) -> None:
        """Compare the files of some runs with what they were."""
        names = self.table.ids
        count = FIRST_SWEEP if self._first_sweep else SWEEP
        upto = min(len(names), self._swept + count)
        known = self.table.rows
        turn = [names[row] for row in range(self._swept, upto) if known.get(names[row]) == row]
        self._swept = upto if upto < len(names) else 0
        self._first_sweep = self._first_sweep and self._swept > 0
        self._compare({*turn, *sorted(self._recent, key=self._recent.__getitem__)[-SWEEP:]})

    def _compare(self, names: Iterable[str]) -> None:
        """Read those again whose directory or files are not as they were."""
        table, changed = self.table, list[str]()
        with opened(self.workspace.results) as results:
            for name in names:
                row = table.rows.get(name)
                if row is None or name in self._open:
                    continue
                try:
                    if not unchanged(
                        results, self.workspace.results, name, table.folders[row], table.files[row]
                    ):
                        changed.append(name)
                except OSError:
                    self._drop(name)
        self._read(changed)

    # Giving out

    def _save(self) -> None:
        """Give the index what is settled; once there is no more to read, it is tidied."""
        rows, table = self.table.rows, self.table
        if self._unsaved:
            new = [rows[name] for name in self._unsaved if name in rows]
            self.index.save(table, new, None if self._unread else self._settled)
            self._unsaved.clear()

    def _settled(self) -> list[int]:
        out = self._open.keys() | self._young.keys()
        return [row for name, row in self.table.rows.items() if name not in out]

    def _publish(self, baseline: str, unread: int) -> Runs:
        if baseline and baseline not in self._whole and baseline in self.table.rows:
            pinned = directory_of(self.workspace.results, baseline)
            self._whole[baseline] = read_run(self.workspace.view(pinned), Memory())
        if not self._changes and self._runs.whole == self._whole:
            self.unread = unread
            return self._runs
        if self._unread and time.monotonic() < self._arrange_at:
            return self._runs
        self.unread = unread
        began = time.monotonic()
        self._arrange()
        self._arrange_at = time.monotonic() + max(SLICE, 10 * (time.monotonic() - began))
        self._runs = Runs(self.table, self._order, dict(self._whole), self.workspace.results)
        return self._runs

    def _arrange(self) -> None:
        """Bring the order up to date. What was given out is never changed."""
        hidden = frozenset(
            row.view.record.adopted
            for row in self._whole.values()
            if row.view.record and row.view.record.adopted
        )
        changes, self._changes = self._changes, []
        table = self.table
        if len(table) > 1000 and len(table) > 2 * len(table.rows):
            self.table, changes, self._swept = Table(), [], 0
            for row in table.rows.values():
                self.table.add(table.entry(row))
            self._order = array("I")
        if hidden != self._hidden or len(changes) > FEW or self.table is not table:
            shown = (row for name, row in self.table.rows.items() if name not in hidden)
            self._order = array("I", self.table.in_order(shown))
            self._hidden, self._counts = hidden, (frozenset(), Counter())
            return
        order = array("I", self._order)
        ids, queued, counts = table.ids, table.queued, self._counts[1]
        for row, is_new in changes:
            if ids[row] in hidden:
                continue
            at = bisect.bisect_left(order, (queued[row], ids[row]), key=lambda r: (queued[r], ids[r]))
            order.insert(at, row) if is_new else order.pop(at)
            if (stem := table.stem(row)) in self._counts[0]:
                counts[stem] += 1 if is_new else -1
        self._order = order
