"""One more thread once a run of a cluster is listed: what the cluster says of those at work. Without one nothing is imported."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual.message import Message

from exptui.tui.messages import ClusterSaid

if TYPE_CHECKING:
    from exptui.core.monitor.catalog import RunRow
    from exptui.core.runs.run import RunView
    from exptui.core.workspace import Workspace


class Clusters:
    """It is told of the runs at work, and posts what is said of those that a cluster was given."""

    def __init__(
        self,
        workspace: Workspace,
        post: Callable[[Message], Any],
        moved: Callable[[], None],
        stopping: threading.Event,
    ) -> None:
        """`moved`: what is told when runs may have started or ended."""
        self.workspace, self.post, self.moved, self.stopping = workspace, post, moved, stopping
        self._views: tuple[RunView, ...] = ()
        self._wake = threading.Event()

    def see(self, at_work: tuple[RunRow, ...]) -> bool:
        """Whether there is any for which `work` is needed; another one than before is asked for at once."""
        views = tuple(row.view for row in at_work if row.view.record and row.view.record.launcher)
        if {view.run_id for view in views} != {view.run_id for view in self._views}:
            self._wake.set()
        self._views = views
        return bool(views)

    def stop(self) -> None:
        """Ask no more."""
        self._wake.set()

    def work(self) -> None:
        """The thread: one query for all, again and again, and none while none of them is at work."""
        watch, last = self.workspace.cluster(), dict[str, str]()
        pause: float | None = None
        while not self.stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            views = self._views
            said = dict(watch.look(views)) if views and not self.stopping.is_set() else {}
            if said != last:
                self.post(ClusterSaid(said))
                if _at_work(said) != _at_work(last):
                    self.moved()
            last, pause = said, watch.pause if views else None


def _at_work(said: dict[str, str]) -> set[str]:
    return {run_id for run_id, text in said.items() if not text.startswith(("wait", "unknown"))}
