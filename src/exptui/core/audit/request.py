"""What is to be verified, how, and what that will cost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from exptui.core.archive import restore
from exptui.core.archive.listing import card_of
from exptui.core.archive.manifest import listing
from exptui.core.archive.remote import is_stored
from exptui.core.errors import ExptuiError, RunError, UsageError
from exptui.core.files import free_bytes, one_name
from exptui.core.runs import run
from exptui.core.runs.run import Recipe, RunView
from exptui.core.settings import BUNDLED, TrainerSettings, bundled_code
from exptui.core.tolerance import Bound


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to verify. `cause` None: examined where the re-run was short. Times in seconds, 0 for none."""

    keep_going: bool = False
    timeout: float = 0.0
    cause: bool | None = None
    segments: int = 0
    sample: int = 0
    workers: int = 0  # 0: as many as there are slots
    on: Literal["", "local", "slurm"] = ""  # where the re-runs work; empty: as the settings say
    isolation: Literal["auto", "required"] = "auto"
    network: bool = False
    inputs: dict[str, str] = {}  # where an input is now: name → path
    code: Literal["", "archived", "current"] = ""  # '': as archived, where the original has its code
    prepare_env: bool = False  # the packages that were recorded, in an environment of its own
    tolerance: dict[str, Bound] = {}  # only said: the verdict knows those that were declared before the run

    @property
    def to_the_end(self) -> bool:
        """Whether a mismatch does not stop the re-run."""
        return self.keep_going or bool(self.tolerance)

    def __post_init__(self) -> None:
        """Raises UsageError for numbers that make no sense."""
        if self.sample and not self.segments:
            raise UsageError("--sample needs --segments", "For example: --segments 16 --sample 4")
        if min(self.timeout, self.segments, self.sample, self.workers) < 0:
            raise UsageError("a number below zero makes no sense here", "exptui verify --help")
        if self.tolerance and self.segments:
            raise UsageError("--tolerance is of whole runs", "Leave --segments out.")
        if self.sample == 1 and self.segments > 1:
            raise UsageError(
                "--sample 1 cannot hold the first and the last segment", "Two are always checked."
            )


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be verified.

    `recorded`: the recipe in the archive is run, the user having said yes, or allowing its `signer`.
    `seen`: the SHA-256 of the manifest that the user was shown.
    """

    run_id: str
    source: str
    archived: bool
    recorded: bool = False
    signer: str = ""
    seen: str = ""
    options: Options = Options()


@dataclass(frozen=True)
class Cost:
    """What a verification takes: seconds of the original (None: unknown), bytes to be written and bytes free.

    `problem`: why the original cannot be read; its verdict will say so.
    """

    seconds: float | None
    size: int
    free: int
    problem: str = ""


def cost(request: Request, directory: Path) -> Cost:
    """An estimate: a private copy and a re-run of the same size, in the time the original took.

    Raises:
        OSError: nothing is known of the disk.
    """
    here = next(path for path in (directory, *directory.parents) if path.is_dir())
    try:
        seconds, size = _measure(request)
    except ExptuiError as error:
        return Cost(None, 0, free_bytes(here), error.message)
    return Cost(seconds, 2 * size, free_bytes(here))


def _measure(request: Request) -> tuple[float | None, int]:
    source = Path(request.source)
    if not request.archived:
        record = run.read(source)
        return record.seconds if record else None, sum(size for _, size in listing(source))
    took = (card_of(source) or {}).get("seconds")
    seconds = float(took) if isinstance(took, int | float) and took >= 0 else None
    return seconds, restore.load_manifest(source).total_bytes


def recorded_trainer(recipe: Mapping[str, Any] | None) -> TrainerSettings:
    """The trainer an archive says it was made with; environment variables of its own included.

    Raises:
        RunError: it records none.
        UsageError: it cannot be read.
    """
    if recipe is None:
        raise RunError("the archive does not say how it was run", "Set [trainer] in exptui.toml instead.")
    try:
        known = msgspec.convert(dict(recipe), Recipe)
    except msgspec.ValidationError as error:
        raise UsageError(f"the archive's recipe cannot be read: {error}") from error
    policy = {"pass": known.passed, "set": known.set, "secret": known.secret, "preset": known.preset}
    # What comes with exptui lies somewhere else on another machine.
    own = known.command[:1] == (BUNDLED,)
    names = (
        "command",
        "resume",
        "checkpoints",
        *(() if own else ("code",)),
        "stop_grace",
        "observational",
        "volatile",
        "tensors",
        "tolerance",
        "compare",
        "metrics",
        "flags",
        "prepare",
    )
    found = msgspec.convert(
        {
            **{name: getattr(known, name) for name in names},
            "name": known.trainer,
            "cwd": known.cwd_setting,
            "environment": policy,
        },
        TrainerSettings,
    )
    return msgspec.structs.replace(found, code=bundled_code()) if own else found


class Finder(Protocol):
    """Finds runs and archives by name, as a workspace does."""

    def show(self, name: str) -> RunView:
        """A run; UsageError where there is none."""

    def archived(self, name: str) -> Path:
        """An archive's file; UsageError where there is none."""


def request_for(name: str, archives: Path, find: Finder, options: Options) -> Request:
    """What a name given to `verify` means: an archive here, a FILE.tar.gz, a run, or the newest archive of a stem.

    Raises:
        UsageError: there is no such thing.
        RunError: the run is still at work.
    """
    stem = name.removesuffix(".tar.gz")
    here = archives / f"{stem}.tar.gz"
    if one_name(name) and (os.path.isfile(here) or is_stored(archives, stem)):  # noqa: PTH113  False where it cannot be read
        return Request(run_id=stem, source=str(here), archived=True, options=options)
    if name.endswith(".tar.gz"):
        path = Path(name).absolute()
        if not path.is_file():
            raise UsageError(f"no file {path}", "List the archives here with: exptui ls archive")
        run_id = path.name.removesuffix(".tar.gz")
        return Request(run_id=run_id, source=str(path), archived=True, options=options)
    try:
        view = find.show(name)
    except UsageError:
        path = find.archived(name)
        run_id = path.name.removesuffix(".tar.gz")
        return Request(run_id=run_id, source=str(path), archived=True, options=options)
    if view.state.live or view.leftovers:
        raise RunError(f"{view.run_id} is still at work", "Verify it when it has finished.")
    return Request(run_id=view.run_id, source=str(view.path), archived=False, options=options)
