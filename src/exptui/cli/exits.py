"""Exit codes, the same for every command (contract: files, states, verdicts)."""

from __future__ import annotations

import os
import sys

OK, USAGE, FAILED, CORRUPT, UNKNOWN, INTERNAL = 0, 2, 3, 4, 5, 70
PIPE = 141  # what a shell says of a program that SIGPIPE ended: never a pass


def nobody_reads() -> None:
    """Nothing more is written to stdout, so that the interpreter's last flush does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
