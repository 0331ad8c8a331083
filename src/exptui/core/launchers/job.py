"""What connects a run with a job: `attempts/job.json`, written before the job is submitted, and a file that asks for its end."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from exptui.core.errors import CorruptError
from exptui.core.files import pretty_json, read_json, write_atomic
from exptui.core.runs.process import Process

PREFIX = "exptui-"
LINKS = ".slurm"  # in results/: a directory a submission, whose links lead what Slurm writes to its runs


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One submission of a run. Its name is of this submission alone: a number may be given again, the name is not."""

    name: str
    ticket: str = ""  # its name among the locks of its node
    task: int | None = None  # its place in an array
    host: str = ""
    by: Process | None = None  # who submits
    job_id: str = ""  # empty while it is not known whether there is one
    submitted_at: str = ""  # by Slurm's clock

    @property
    def output(self) -> str:
        """What Slurm itself writes, relative to the run's directory."""
        return f"attempts/slurm-{self.name.removeprefix(PREFIX)}.out"


def new_name() -> str:
    """A name no other job has."""
    return f"{PREFIX}{secrets.token_hex(8)}"


def path(directory: Path) -> Path:
    """Where it is kept."""
    return directory / "attempts/job.json"


def read(directory: Path) -> Job | None:
    """The last submission of a run; None where there is none that can be read."""
    try:
        return read_json(path(directory), Job)
    except (OSError, CorruptError):
        return None


def write(directory: Path, job: Job) -> None:
    """Replace it, durably.

    Raises:
        OSError: it is as it was.
    """
    path(directory).parent.mkdir(exist_ok=True)
    write_atomic(path(directory), pretty_json(job))


def end_file(directory: Path, name: str) -> Path:
    """There as soon as somebody asked for the end of the run: a job that starts after that does nothing."""
    return directory / "attempts" / f"{name}.end"
