"""What every command that writes does first."""

from __future__ import annotations

import sys

from exptui.core.monitor.text import clean
from exptui.core.workspace import Workspace


def recovered(workspace: Workspace) -> Workspace:
    """The workspace, with what an earlier crash left finished or undone, and said."""
    for message in workspace.recover():
        print(f"recovered: {clean(message)}", file=sys.stderr)
    return workspace
