"""One thread beside the bridge's: what the machine does and what runs alert of, while something runs; the morning."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual.message import Message

from exptui.core.errors import ExptuiError
from exptui.core.runs import process, run
from exptui.core.runs.run import RunState
from exptui.tui.messages import Alerted, Failed, MachineSeen, MorningCame

if TYPE_CHECKING:
    from exptui.core.monitor.catalog import RunRow
    from exptui.core.monitor.machine import Machine, Sampler
    from exptui.core.workspace import Workspace

EVERY = 5.0  # seconds between two looks while something runs
FIRST = 0.3  # seconds that the first frame is left alone
SHARE = 0.005  # of a core that looking may take


class Sentry:
    """It is told of the runs there are, and posts what it notices."""

    def __init__(
        self, workspace: Workspace, post: Callable[[Message], Any], stopping: threading.Event
    ) -> None:
        self.workspace, self.post, self.stopping = workspace, post, stopping
        self._wake = threading.Event()
        self._at_work: dict[str, RunRow] | None = None
        self._seen: dict[str, RunRow] = {}  # at work at the last look
        self._counts: dict[str, int] = {}  # alerts that were there by then
        self._machine: Machine | None = None

    def see(self, at_work: tuple[RunRow, ...]) -> None:
        """The runs that are at work now."""
        before, self._at_work = self._at_work, {row.run_id: row for row in at_work}
        if before is None or before.keys() != self._at_work.keys():
            self._wake.set()

    def stop(self) -> None:
        """Look no more."""
        self._wake.set()

    def work(self) -> None:
        """The thread: greet once, then look again and again; rarely while nothing runs."""
        self._wake.wait()
        if self.stopping.wait(FIRST):
            return
        from exptui.core.monitor import machine, morning
        from exptui.core.runs.messenger import log_file

        root, sampler = self.workspace.root, machine.Sampler(self.workspace.root)
        left, marked, pause = morning.left(root), 0.0, 0.0
        self._settings()
        while not self.stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            at_work = self._at_work or {}
            if left is not None and (news := morning.since(self.workspace, left, at_work)):
                self.post(MorningCame(left.at, news))
            if (now := time.time()) - marked >= morning.EVERY:
                for text in morning.troubles(left.at if left else marked or now)[-1:]:
                    self.post(Failed(f"alert command: {text}", str(log_file())))
                morning.mark(root, now, at_work)
                marked, left = now, None
            began = time.thread_time()
            self._look(at_work, sampler)
            pause = max(EVERY, (time.thread_time() - began) / SHARE) if at_work else morning.EVERY

    def _settings(self) -> None:
        """Say what is wrong with the user's own, which whoever starts a run reads quietly."""
        from exptui.core import user

        try:
            user.load()
        except ExptuiError as error:
            self.post(Failed(error.message, error.hint))

    def _look(self, at_work: dict[str, RunRow], sampler: Sampler) -> None:
        """At the runs that are at work, and for what those told at last that just were."""
        for row in ({**self._seen, **at_work}).values():
            self._alerts(row)
        self._seen = at_work
        self._counts = {name: count for name, count in self._counts.items() if name in at_work}
        keepers = {name: pid for name, row in at_work.items() if (pid := _keeper(row))}
        roots = {name: _roots(row, keepers.get(name, 0)) for name, row in at_work.items()}
        machine = sampler.sample(roots, keepers.values()) if roots else None
        if machine != self._machine:
            self._machine = machine
            self.post(MachineSeen(machine))

    def _alerts(self, row: RunRow) -> None:
        """What is new in its file; what was there when it was first looked at is the morning's."""
        from exptui.core import alerts

        if row.view.record is None:
            return
        found = alerts.read(alerts.path(row.view.path, row.view.record.attempts))
        known = self._counts.get(row.run_id, len(found))
        self._counts[row.run_id] = len(found)
        for one in found[known:]:
            self.post(Alerted(row.run_id, one))


def _keeper(row: RunRow) -> int:
    """The supervisor at work; 0 where there is none, or none here."""
    record = row.view.record
    if record is None or record.supervisor is None or row.view.state is RunState.REMOTE:
        return 0
    return record.supervisor.pid if process.alive(record.supervisor) else 0


def _roots(row: RunRow, keeper: int) -> tuple[int, ...]:
    """Where the run's processes are found: below its supervisor, or those that one had noted."""
    if keeper or row.view.record is None or row.view.state is RunState.REMOTE:
        return (keeper,)
    return tuple(one.pid for one in run.processes(row.view.path, row.view.record))
