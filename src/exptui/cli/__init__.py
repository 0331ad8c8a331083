"""The command line: the one place where an error becomes stderr and an exit code."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import SimpleNamespace

from exptui import __version__
from exptui.cli.exits import CORRUPT, FAILED, INTERNAL, OK, PIPE, UNKNOWN, USAGE, nobody_reads
from exptui.core.errors import CorruptError, ExptuiError, UsageError
from exptui.core.monitor.text import clean

# Each command is a function of its name; only the module here that has it is imported.
MODULES = {
    "archives": ("archive", "check", "verify", "restore", "push", "fetch"),
    "compared": ("diff", "report", "tag", "note"),
    "doctor": ("doctor",),
    "house": ("du", "rm", "prune"),
    "lists": ("ls", "show"),
    "runs": ("init", "run", "grid", "queue", "resume", "stop", "logs"),
    "verdicts": ("verdict",),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (contract §7). Never raises for an expected failure."""
    gc.disable()  # imports and lists make many objects, and hardly one is garbage
    try:
        return _flushed(_command(sys.argv[1:] if argv is None else argv))
    except ExptuiError as error:
        print(f"exptui: {clean(error.message)}", file=sys.stderr)
        if error.hint:
            print(f"  → {clean(error.hint)}", file=sys.stderr)
        return (
            USAGE if isinstance(error, UsageError) else CORRUPT if isinstance(error, CorruptError) else FAILED
        )
    except KeyboardInterrupt:
        print("\nexptui: interrupted; runs go on (exptui ls).", file=sys.stderr)
        return UNKNOWN
    except BrokenPipeError:
        nobody_reads()
        return PIPE
    except Exception:  # noqa: BLE001  the boundary: an internal error is 70, never a verdict
        import traceback

        print("exptui: internal error, please report:", file=sys.stderr)
        print("\n".join(clean(line) for line in traceback.format_exc().splitlines()), file=sys.stderr)
        return INTERNAL
    finally:
        gc.enable()


def _command(words: Sequence[str]) -> int:
    """What is asked for most often is answered before there is a parser."""
    if list(words) == ["--version"]:
        print(f"exptui {__version__}")
        return OK
    if list(words) in (["ls"], ["ls", "--json"]):
        _import_msgspec()
        from exptui.cli.lists import ls

        return ls(plain_ls(json=len(words) == 2))
    workspace = None
    if words:
        from exptui.cli.arguments import parser

        # What stands behind `init --` is somebody else's command line.
        mine = words.index("--") if words[0] == "init" and "--" in words else len(words)
        arguments = parser(words[0]).parse_args(_joined(words[:mine]))
        arguments.words = words[mine + 1 :]
        if arguments.command != "cockpit":
            module = next(name for name, commands in MODULES.items() if arguments.command in commands)
            _import_msgspec()
            command: Callable[..., int] = getattr(import_module(f"exptui.cli.{module}"), arguments.command)
            if module != "lists":
                gc.enable()
            return command(arguments)
        workspace = arguments.workspace
    return _cockpit(workspace)


def _joined(words: Sequence[str]) -> list[str]:
    """With `--sort -accuracy` as one word: argparse would take the second for an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--sort" and word[:1] == "-" != word[1:2]:
            joined[-1] = f"--sort={word}"
        else:
            joined.append(word)
    return joined


def plain_ls(*, json: bool) -> SimpleNamespace:
    """What the parser makes of `ls` without a filter, an order or another workspace."""
    return SimpleNamespace(what="runs", filter="", sort="", reverse=False, best="", json=json, workspace=None)


def _import_msgspec() -> None:
    """It asks typing_extensions first for what typing has: a third of its time."""
    _import_without("msgspec", "typing_extensions")


def _import_without(name: str, missing: str) -> None:
    """Import a module that does without another one where there is none, and starts sooner."""
    if name in sys.modules or missing in sys.modules:
        return
    sys.modules[missing] = None  # type: ignore[assignment]  # not there, for this import
    try:
        import_module(name)
    finally:
        del sys.modules[missing]


def _cockpit(given: str | None) -> int:
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError(
            "the cockpit needs a terminal on stdin and stdout",
            "Without one: exptui ls, run, show, logs, diff, archive, verify (exptui --help)",
        )
    from exptui.core.workspace import Workspace

    workspace = Workspace.find(given)
    _import_without("asyncio", "ssl")  # the cockpit talks to nobody
    from exptui.tui.app import run

    return run(workspace)


def _flushed(code: int) -> int:
    """The code, once everything printed has been taken: a reader that is gone is noticed here."""
    sys.stdout.flush()
    return code
