"""Slurm by its command line: sbatch, squeue, sacct, scancel. What it is told of a run, the run's directory says first."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from exptui.core.errors import RunError
from exptui.core.files import storage_errors
from exptui.core.launchers import job as jobs
from exptui.core.launchers.job import Job
from exptui.core.launchers.options import Options
from exptui.core.launchers.protocol import Start
from exptui.core.runs import process, run
from exptui.core.runs.run import Phase, RunView

if TYPE_CHECKING:
    from exptui.core.runs.launch import Places

FORMAT = "%i|%T|%V|%N|%r|%j"  # the name last: those of others may hold anything
TIMEOUT = 30.0  # seconds for an answer
SUBMIT_TIMEOUT = 120.0
MARGIN = 15.0  # seconds beyond the trainer's grace before a job is ended whatever it does
POLL, ASK = 0.2, 2.0  # seconds between two looks at the run, and two at the queue
NOT_SENT = (
    "Unable to contact slurm controller (connect failure)",
    "Could not establish a configuration source",
)
UNDECIDED = ("timed out", "Unable to contact", "Zero Bytes were transmitted", "Unexpected message")


class Seen(NamedTuple):
    """A job as squeue or sacct knows it."""

    job_id: str
    state: str
    submitted_at: str
    node: str
    reason: str


Listing = Mapping[tuple[str, int | None], Seen]
"""By name and place in the array."""


def call(words: Sequence[str], given: str = "", timeout: float = TIMEOUT) -> subprocess.CompletedProcess[str]:
    """Run a command of Slurm; what the user set for printing does not reach it.

    Raises:
        RunError: it is not there, or gives no answer.
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SQUEUE_", "SACCT_", "SCANCEL_"))}
    try:
        return subprocess.run(
            words,
            input=given,
            env={**env, "SLURM_TIME_FORMAT": "standard", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            start_new_session=True,  # whoever hangs up on us does not cut a submission in two
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(f"{words[0]} gave no answer in {timeout:g} s", "Ask: scontrol ping") from error
    except OSError as error:
        raise RunError(
            f"{words[0]} cannot be started: {error.strerror}",
            'Work on a login node of the cluster, or set [launcher] kind = "local".',
        ) from error


def _answer(words: Sequence[str]) -> str:
    done = call(words)
    if done.returncode:
        raise RunError(f"{words[0]}: {said(done)}", "Ask: scontrol ping")
    return done.stdout


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a command complained about, without the names of its parts."""
    lines = [re.sub(r"^\w+: (error: |fatal: )?", "", line) for line in done.stderr.strip().splitlines()]
    return lines[-1] if lines else f"exit code {done.returncode}"


def listing(users: Iterable[str]) -> Listing:
    """Every job of ours that Slurm remembers, by one query.

    Raises:
        RunError: it gave no answer.
    """
    names = ",".join(sorted(users))
    out = _answer(
        ["squeue", "--noheader", "--array", "--states=all", f"--user={names}", f"--format={FORMAT}"]
    )
    found: dict[tuple[str, int | None], Seen] = {}
    for line in out.splitlines():
        fields = line.split("|", 5)
        if len(fields) == 6 and fields[5].startswith(jobs.PREFIX):
            job_id, state, at, node, reason, name = fields
            task = job_id.partition("_")[2]
            found[name, int(task) if task.isdigit() else None] = Seen(job_id, state, at, node, reason)
    return found


def accounted(wanted: Iterable[Job]) -> Listing:
    """What the accounting knows of jobs; nothing where there is none.

    Raises:
        RunError: it gave no answer.
    """
    names = sorted({job.name for job in wanted})
    fields = "JobID,State,Submit,NodeList,JobName%60"
    how = ("--noheader", "--parsable2", "--allocations", "--duplicates", "--starttime=now-30days")
    done = call(["sacct", *how, f"--format={fields}", f"--name={','.join(names)}"])
    if done.returncode:
        if "disabled" in done.stderr:
            return {}
        raise RunError(f"sacct: {said(done)}", "Ask: sacctmgr ping")
    found: dict[tuple[str, int | None], Seen] = {}
    for line in done.stdout.splitlines():
        fields_of = line.split("|", 4)
        if len(fields_of) == 5:
            job_id, state, at, node, name = fields_of
            task = job_id.partition("_")[2]
            state = state.split()[0] if state else ""  # "CANCELLED by 1000"
            found[name, int(task) if task.isdigit() else None] = Seen(job_id, state, at, node, "")
    return found


class Slurm:
    """The launcher of a run whose record names it."""

    def probe(self) -> str:
        """Its version, and whether it answers."""
        version = _answer(["sbatch", "--version"]).strip()
        _answer(["squeue", "--noheader", "--states=running", "--format=%i", f"--user={process.user()}"])
        return version

    def submit(self, starts: Sequence[Start], places: Places) -> None:
        """An intent into every directory, then one sbatch for all; their numbers are written down after it."""
        launcher = starts[0].record.launcher
        assert launcher is not None  # whoever else has another launcher
        name, several = jobs.new_name(), len(starts) > 1
        before = [run.read(start.directory) for start in starts]
        with storage_errors("write what is to be submitted"):
            for number, start in enumerate(starts):
                task = number if several else None
                host = socket.gethostname()
                mine = Job(name=name, ticket=start.ticket, task=task, host=host, by=process.me())
                jobs.write(start.directory, mine)
                record = structs.replace(
                    start.record,
                    phase=Phase.QUEUED,
                    user=process.user(),
                    host=socket.gethostname(),
                    supervisor=None,
                    supervisor_lock=None,
                    run_lock=None,
                    exit=None,
                    ended_at="",
                )
                run.write(start.directory, record)
            output = _output(name, starts, places.results)
        directories = [start.directory for start in starts]
        command = command_of(
            name, output, launcher.options, places, requeue=launcher.requeue, runs=len(starts)
        )
        done = call(command, script(name, directories, places), SUBMIT_TIMEOUT)
        if done.returncode == 0:
            _write_ids(starts, done.stdout.strip().partition(";")[0], several=several)
        elif not any(word in done.stderr for word in UNDECIDED) or any(w in done.stderr for w in NOT_SENT):
            shutil.rmtree(places.results / jobs.LINKS / name, ignore_errors=True)
            for start, earlier in zip(starts, before, strict=True):
                if earlier is not None:  # one that was to go on is what it was
                    run.write(start.directory, earlier)
            raise RunError(f"Slurm refused: {said(done)}", "Look at [launcher] in exptui.toml, and: sinfo")

    def poll(self, views: Sequence[RunView]) -> Mapping[str, str]:
        """What Slurm says of each, from one query; whoever looks again and again keeps a `Watch`."""
        from exptui.core.launchers.watch import Watch

        return Watch().look(views)

    def cancel(self, view: RunView) -> None:
        """Ask by a file, which a job that starts later finds too; then Slurm, first gently."""
        from exptui.core.launchers.watch import Watch

        mine = jobs.read(view.path)
        if mine is None or view.record is None:
            raise RunError(f"{view.run_id} has no job that could be ended", "Look at its attempts/job.json.")
        with storage_errors("ask the run to end"):
            jobs.end_file(view.path, mine.name).touch()
        deadline = time.monotonic() + view.record.recipe.stop_grace + MARGIN
        _cancel(mine, "--state=PENDING")
        _cancel(mine, "--batch", "--signal=TERM")
        forced, watch, ask = False, Watch(), 0.0
        while (now := run.observe(view.path))[1].live:
            if time.monotonic() > deadline:
                if forced:
                    raise RunError(
                        f"{view.run_id} was asked to end, and has not ended yet",
                        "A job that starts later does nothing. Ask: scontrol ping",
                    )
                forced, deadline = True, time.monotonic() + MARGIN
                _cancel(mine)
            if time.monotonic() >= ask:
                watch.look([RunView(view.run_id, view.path, now[1], now[0])])
                ask = time.monotonic() + ASK
            time.sleep(POLL)

    def find(self, directory: Path) -> bool:
        """By its name: in the queue, or in the accounts."""
        mine, record = jobs.read(directory), run.read(directory)
        if mine is None or record is None:
            return False
        key = mine.name, mine.task
        found = listing({record.user}).get(key) or accounted([mine]).get(key)
        if found is not None and not mine.job_id:
            with storage_errors("write down the job"):
                jobs.write(
                    directory, structs.replace(mine, job_id=found.job_id, submitted_at=found.submitted_at)
                )
        return found is not None


def _cancel(mine: Job, *how: str) -> None:
    """Only a job that has this name, whoever was given its number since; what is gone needs no more."""
    name = f"--name={mine.name}"
    call(["scancel", "--quiet", name, *how, *([mine.job_id] if mine.job_id else [])])


def _write_ids(starts: Sequence[Start], number: str, *, several: bool) -> None:
    """Not to be able to is no failure: they are submitted, and found by name."""
    for start in starts:
        mine = jobs.read(start.directory)
        if mine is not None:
            job_id = f"{number}_{mine.task}" if several else number
            with contextlib.suppress(OSError):
                jobs.write(start.directory, structs.replace(mine, job_id=job_id))


def _output(name: str, starts: Sequence[Start], results: Path) -> Path:
    """What Slurm writes goes into the run's directory; that of an array by a link each, as its pattern knows no names."""
    output = Job(name=name).output
    if len(starts) == 1:
        return starts[0].directory / output
    links = results / jobs.LINKS / name
    tidy(links.parent)
    links.mkdir(parents=True)
    for number, start in enumerate(starts):
        (links / str(number)).symlink_to(os.path.relpath(start.directory / output, links))
    return links / "%a"


def tidy(links: Path) -> None:
    """Remove the links of submissions of which every run has ended, or is gone."""
    for folder in links.glob("*"):
        runs = {Path(os.path.realpath(link)).parent.parent for link in folder.iterdir()}
        if not any(path.is_dir() and run.observe(path)[1].live for path in runs):
            shutil.rmtree(folder, ignore_errors=True)


def command_of(
    name: str, output: Path, options: Options, places: Places, *, requeue: bool, runs: int
) -> list[str]:
    """The words for sbatch; the script is its input."""
    pattern = str(output.parent).replace("%", "%%") + f"/{output.name}"
    words = ["sbatch", "--parsable", f"--job-name={name}", f"--output={pattern}", "--open-mode=append"]
    words += [f"--chdir={places.project}", "--requeue" if requeue else "--no-requeue"]
    if runs > 1:
        words.append(f"--array=0-{runs - 1}{f'%{options.at_once}' if options.at_once else ''}")
    words += [f"--partition={options.partition}"] if options.partition else []
    words += [f"--time={options.time}"] if options.time else []
    words += [f"--gres={options.gres}"] if options.gres else []
    words += [f"--signal=B:USR1@{options.warn}"] if options.warn and requeue else []
    return [*words, *options.extra]


def script(name: str, directories: Sequence[Path], places: Places) -> str:
    """Nothing but the supervisor, which is told all the runs: it finds its own by its place among them."""
    argv = [sys.executable, "-P", "-m", "exptui.core.launchers.node", name]
    paths = map(str, (places.project, places.results, *directories))
    return f"#!/bin/sh\nexec {shlex.join([*argv, *paths])}\n"
