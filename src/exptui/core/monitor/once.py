"""All runs of a workspace at one moment, for a command that prints them."""

from __future__ import annotations

import os
from collections.abc import Callable

from exptui.core.files import storage_errors
from exptui.core.monitor.catalog_index import Index
from exptui.core.monitor.places import cache
from exptui.core.monitor.roster import Roster
from exptui.core.monitor.run_rows import Runs
from exptui.core.workspace import Workspace


def all_runs(workspace: Workspace, say: Callable[[str], None]) -> Runs:
    """Every run as it is now, each file compared; problems are said. What was read is in the index for the next time.

    Raises:
        StorageError: `results/` cannot be read.
    """
    with storage_errors("read the runs"):
        if os.path.lexists(workspace.results):
            os.scandir(workspace.results).close()
    roster = Roster(workspace, Index(cache(workspace.root) / "runs.sqlite3"))
    runs = roster.look(every=True)
    while roster.busy:
        runs = roster.look()
    for problem in roster.problems:
        say(problem)
    roster.index.close()
    return runs
