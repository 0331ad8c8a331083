"""The end of a run that is asked for: through its supervisor, or process by process where that is gone."""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path

from msgspec import structs

from exptui.core.errors import CorruptError, RunError
from exptui.core.launchers import protocol
from exptui.core.runs import process, run
from exptui.core.runs.alone import alone
from exptui.core.runs.launch import now
from exptui.core.runs.run import Exit, Phase, RunRecord, RunState, RunView

POLL, PATIENCE = 0.1, 5.0


def stop(view: RunView, archives: Path) -> None:
    """End a run and every process of it; returns when nothing of it works any more.

    Raises:
        RunError: it is not running, runs elsewhere, or belongs to somebody else.
    """
    if view.record is None or not (view.state.live or view.leftovers):
        raise RunError(f"{view.run_id} is not running: {view.state}", "exptui ls shows what is.")
    if view.state is RunState.REMOTE:
        host = view.record.host
        raise RunError(
            f"{view.run_id} runs on {host}", f"Stop it there: ssh {host} exptui stop {view.run_id}"
        )
    if view.record.launcher is not None:
        protocol.of(view.record).cancel(view)
        return
    end(view.path)
    if run.observe(view.path)[1] is RunState.LOST:
        with alone(archives, view.run_id):
            _say_stopped(view.path)


def _say_stopped(directory: Path) -> None:
    """Of an orphan that was ended: nobody else writes how."""
    record, state = run.observe(directory)
    if record is not None and record.phase is Phase.RUNNING and state is RunState.LOST:
        how = Exit(stop_requested=True, error="stopped after its supervisor was gone")
        run.write(
            directory, structs.replace(record, phase=Phase.EXITED, ended_at=now(), exit=how, run_lock=None)
        )


def end(directory: Path) -> None:
    """Stop a run and wait until nothing of it works any more; returns at once where nothing does.

    Where the trainer wrote something else over run.json, what carries its name is ended: then its supervisor mends that.

    Raises:
        RunError: it belongs to somebody else, or what holds its lock cannot be found.
    """
    record = _cluster(directory)
    if record is not None:
        protocol.of(record).cancel(
            RunView(directory.name, directory, run.state_of(directory, record), record)
        )
        return
    patience = time.monotonic() + PATIENCE
    while True:
        try:
            record, state = run.observe(directory)
        except CorruptError:
            process.end_all(partial(run.named, directory.name, directory), 0.0)
            if time.monotonic() > patience:
                return
            time.sleep(POLL)
            continue
        if (
            record is None
            or state is RunState.REMOTE
            or not (state.live or run.is_working(directory, record))
        ):
            return
        try:
            if run.is_supervised(record):
                if record.supervisor:  # one that was just started says who it is a moment later
                    process.send(record.supervisor, signal.SIGTERM)
            elif run.processes(directory, record):
                process.end_all(partial(run.processes, directory, record), record.recipe.stop_grace)
                patience = time.monotonic() + PATIENCE
            elif time.monotonic() > patience:
                raise RunError(
                    f"something holds the lock of {record.run_id} and cannot be found",
                    f"See which process it is: fuser {record.run_lock.path if record.run_lock else ''}",
                )
        except PermissionError as error:
            raise RunError(
                f"{record.run_id} belongs to {record.user}", f"Ask {record.user} to stop it."
            ) from error
        time.sleep(POLL)


def _cluster(directory: Path) -> RunRecord | None:
    """The record of a run that a cluster was given."""
    try:
        record = run.read(directory)
    except CorruptError:
        return None
    return record if record is not None and record.launcher is not None else None
