"""The only place with threads: what blocks happens here, and what came of it is posted to the screen."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace
from textual.message import Message

from exptui.core.errors import Cancelled, ExptuiError
from exptui.core.files import Cancel, Progress
from exptui.core.monitor import places, stamps
from exptui.core.monitor.catalog import Catalog, RunRow, Snapshot
from exptui.core.monitor.run_rows import Runs
from exptui.core.monitor.watch import Pace, Watcher
from exptui.core.runs import queue, run
from exptui.core.workspace import Workspace
from exptui.tui.clusters import Clusters
from exptui.tui.listing import EMPTY, Choice, Lister, Listing
from exptui.tui.messages import (
    Answered,
    Failed,
    OperationEnded,
    OperationMoved,
    SnapshotTaken,
    WatchingChanged,
)
from exptui.tui.sentry import Sentry

T = TypeVar("T")
Post = Callable[[Message], Any]
MOVE_EVERY = 0.1
FRAME = 1.0  # seconds at most until the first frame is painted
LOGS = (
    2.0  # seconds between two looks when only logs grow: how long ago the last output was is all that changes
)
REST = 0.03  # seconds between two looks while runs are read: the screen has keys to answer


def _at_work(snapshot: Snapshot) -> tuple[RunRow, ...]:
    """The runs of which something works."""
    rows = snapshot.runs.whole.values() if isinstance(snapshot.runs, Runs) else snapshot.runs
    return tuple(row for row in rows if row.view.state.live or row.view.leftovers)


def _here(at_work: tuple[RunRow, ...]) -> tuple[RunRow, ...]:
    """Those in whose directories something may happen: not while a cluster has yet to start them."""
    return tuple(row for row in at_work if not (row.view.record and row.view.record.waits_elsewhere))


def _moved(row: RunRow) -> bool:
    """Whether a run at work is in another state by its locks alone, of which no file tells."""
    view = row.view
    if view.leftovers:
        return view.record is not None and not run.is_working(view.path, view.record)
    return run.state_of(view.path, view.record) is not view.state


class Bridge:
    """One thread watches, one reads what is asked for, and each long operation has its own.

    All are daemons that look at `stopping`: leaving never waits for a disk.
    """

    def __init__(self, workspace: Workspace, post: Post) -> None:
        self.workspace, self.post = workspace, post
        self.stopping = threading.Event()
        self._wake = threading.Condition()
        self._asked: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {}
        self._operations: dict[str, Cancel] = {}
        self._look, self._nudged = threading.Event(), threading.Event()
        self.shown, self.recovered = threading.Event(), threading.Event()
        self._choice, self._runs, self._lister = Choice(), EMPTY.runs, Lister()
        self._seen = Snapshot()
        self.sentry = Sentry(workspace, post, self.stopping)
        self.clusters, self._asking = Clusters(workspace, post, self._nudged.set, self.stopping), False

    def start(self) -> None:
        """Begin to watch and to answer."""
        for work in (self._watch, self._read, self.sentry.work):
            self._thread(work)

    def recover(self, say: Callable[[list[str]], None]) -> None:
        """Finish or undo what a crash left; what was done is said. Whatever changes the workspace waits for it."""

        def work() -> list[str]:
            try:
                return self.workspace.recover()
            finally:
                self.recovered.set()

        self.ask("recover", work, say, apart=True)

    def read_only(self) -> None:
        """Only answer: for a screen that does not show what changes."""
        self._thread(self._read)

    def repeat(self, look: Callable[[], float]) -> None:
        """Do something again and again on a thread of its own; it returns the seconds until the next time."""

        def work() -> None:
            while not self.stopping.wait(look()):
                pass

        self._thread(work)

    def stop(self) -> None:
        """Ask every thread to end; nothing is waited for."""
        self.stopping.set()
        self.sentry.stop()
        self.clusters.stop()
        for cancel in list(self._operations.values()):
            cancel.ask()
        with self._wake:
            self._wake.notify_all()

    def refresh(self) -> None:
        """Look at everything at the next beat, whether or not something changed."""
        self._look.set()

    def list_runs(self, choice: Choice, reply: Callable[[Listing], None]) -> None:
        """From now on the runs are listed like that; the reply is the list of those that are known."""
        self._choice = choice
        self.ask("list", lambda: self._listing(choice), reply)

    def _listing(self, choice: Choice) -> Listing:
        return self._lister.make(self._runs, choice, self._seen.said, self._seen.directions)

    def ask(
        self, key: str, read: Callable[[], T], reply: Callable[[T], None], *, apart: bool = False
    ) -> None:
        """Have something read; of several questions with one key that wait, only the last is answered.

        `apart`: on a thread of its own, for what may take long.
        """
        if apart:
            self._thread(lambda: self._answer(read, reply))
            return
        with self._wake:
            self._asked.pop(key, None)
            self._asked[key] = (read, reply)
            self._wake.notify()

    def operate(self, name: str, title: str, work: Callable[[Progress, Cancel], tuple[str, bool]]) -> bool:
        """Start a long operation; False when one of that name is at work already."""
        if name in self._operations:
            return False
        cancel = self._operations[name] = Cancel()
        self._thread(lambda: self._operation(name, title, work, cancel))
        return True

    def cancel(self) -> bool:
        """Ask every long operation to stop; False when there is none."""
        for cancel in list(self._operations.values()):
            cancel.ask()
        return bool(self._operations)

    @property
    def busy(self) -> bool:
        """Whether a long operation is at work."""
        return bool(self._operations)

    def _thread(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception:  # noqa: BLE001  a thread's boundary: say it, never vanish
                if not self.stopping.is_set():
                    last = traceback.format_exc().strip().splitlines()[-1]
                    self.post(Failed(f"internal error: {last}", "Please report it."))

        threading.Thread(target=guarded, daemon=True, name="exptui").start()

    def _watch(self) -> None:
        from exptui.core.monitor.catalog_index import Index
        from exptui.core.monitor.roster import Roster

        index = Index(places.cache(self.workspace.root) / "runs.sqlite3")
        roster = Roster(self.workspace, index)
        catalog, last, first = Catalog(self.workspace, roster), Snapshot(), True
        watcher, pace, said, at_work, looked = Watcher(), Pace(), "", tuple[RunRow, ...](), 0.0
        while not self.stopping.is_set():
            live = self._live(last, at_work)
            changes: Iterable[frozenset[Path]] = (
                (frozenset(),)
                if first
                else watcher.changes(
                    self._places() | set(roster.elsewhere.places), live, self.stopping, self._locks()
                )
            )
            for found in changes:
                if watcher.polling != said:
                    said = watcher.polling
                    self.post(WatchingChanged(said))
                # A log that grows is followed without all this; what else it tells can wait.
                logs_only = bool(found) and all(path.name == "trainer.log" for path in found)
                if logs_only and time.monotonic() - looked < LOGS:
                    continue
                due = found or self._look.is_set() or self._nudged.is_set() or pace.due(time.monotonic())
                if not (due or any(map(_moved, at_work))):
                    continue
                looked = time.monotonic()
                self._nudged.clear()
                now = self._look_again(catalog, last, first=first)
                if first:  # nothing competes with the first frame
                    self.shown.wait(FRAME)
                while catalog.busy and not self.stopping.wait(REST):
                    now = self._look_again(catalog, now)
                pace.looked(time.monotonic(), changed=first or bool(found) or now != last)
                last, first, at_work = now, False, _at_work(now)
                self.sentry.see(_here(at_work))
                if self.clusters.see(at_work) and not self._asking:
                    self._asking = True
                    self._thread(self.clusters.work)
                if self._live(last, at_work) != live:
                    break
        index.close()

    def _look_again(self, catalog: Catalog, last: Snapshot, *, first: bool = False) -> Snapshot:
        """Look, and post what is new."""
        asked = self._look.is_set()
        self._look.clear()
        now = self._snapshot(catalog, last, every=asked)
        if isinstance(now.runs, Runs) and (now != last or first or asked):
            self._runs, self._seen = now.runs, now
            self.post(SnapshotTaken(now, self._listing(self._choice)))
        return now

    def _snapshot(self, catalog: Catalog, last: Snapshot, *, every: bool) -> Snapshot:
        """The workspace now; a defect of ours in reading it is said once, and the last look stays."""
        try:
            return catalog.snapshot(every=every)
        except Exception as error:  # noqa: BLE001  one bad file must not blind the cockpit
            text = f"internal error: {type(error).__name__}: {error}"
            return last if text in last.problems else replace(last, problems=(*last.problems, text))

    def _places(self) -> set[Path]:
        """What may come and go in the workspace is seen in these; a resume elsewhere among the locks."""
        space = self.workspace
        places = {space.root, space.configs, space.results, space.archives, space.archives / "restoration"}
        return places | ({locks} if (locks := self._locks()) else set())

    def _locks(self) -> Path | None:
        try:
            return queue.lock_directory(self.workspace.results)
        except (ExptuiError, OSError):
            return None

    def _live(self, snapshot: Snapshot, at_work: tuple[RunRow, ...]) -> set[Path]:
        """The directories in which something is at work."""
        runs = {row.view.files for row in _here(at_work)}
        runs |= {folder for path in runs for folder in stamps.folders(path)}
        return runs | {self.workspace.archives / "restoration" / name for name in snapshot.verifying}

    def _read(self) -> None:
        while not self.stopping.is_set():
            with self._wake:
                while not self._asked and not self.stopping.is_set():
                    self._wake.wait()
                if self.stopping.is_set():
                    return
                key = next(iter(self._asked))
                read, reply = self._asked.pop(key)
            self._answer(read, reply)

    def _answer(self, read: Callable[[], Any], reply: Callable[[Any], None]) -> None:
        try:
            self.post(Answered(reply, read()))
        except ExptuiError as error:
            self.post(Failed(error.message, error.hint))
        except OSError as error:
            self.post(Failed(str(error)))
        except Exception as error:  # noqa: BLE001  the thread's boundary: the next question is answered all the same
            self.post(Failed(f"internal error: {type(error).__name__}: {error}", "Please report it."))

    def _operation(
        self, name: str, title: str, work: Callable[[Progress, Cancel], tuple[str, bool]], cancel: Cancel
    ) -> None:
        last = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= MOVE_EVERY:
                last = time.monotonic()
                self.post(OperationMoved(name, title, done, total))

        progress(0, 0)
        text, good = f"{title}: an internal error", False
        self.recovered.wait()
        try:
            text, good = work(progress, cancel)
        except Cancelled:
            text = f"{title}: cancelled, nothing was changed"
        except ExptuiError as error:
            text = f"{error.message} {error.hint}".strip()
        except OSError as error:
            text = str(error)
        finally:
            del self._operations[name]
            self.post(OperationEnded(name, text, good))
