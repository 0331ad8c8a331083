"""`doctor`: what is there and what is missing, with the way to mend it."""

from __future__ import annotations

import argparse

import msgspec

from exptui.cli.exits import FAILED, OK
from exptui.cli.lists import print_json
from exptui.core.monitor.text import clean
from exptui.core.workspace import Workspace


def doctor(arguments: argparse.Namespace) -> int:
    """Is everything here that a run needs; with --trainer, what one config's trainer promises."""
    if arguments.trainer is not None:
        from exptui.cli.conformance import conformance

        return conformance(arguments)
    findings = list(Workspace.find(arguments.workspace).examine())
    if arguments.json:
        print_json(msgspec.to_builtins(findings))
    marks = {"ok": "✔", "bad": "✗", "note": "·"}
    for found in () if arguments.json else findings:
        print(f"{marks[found.mark]} {clean(found.what):18} {clean(found.detail)}")
        if found.hint:
            print(f"  → {clean(found.hint)}")
    return FAILED if any(found.mark == "bad" for found in findings) else OK
