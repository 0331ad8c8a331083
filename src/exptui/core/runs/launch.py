"""Claim a result directory, freeze the recipe, and hand the run to a supervisor of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from exptui.core.configs import flags
from exptui.core.configs.config import Config
from exptui.core.errors import CorruptError, ExptuiError, RunError, StorageError, UsageError
from exptui.core.files import Lock, fsync_dir, pretty_json, read_json, storage_errors, write_atomic
from exptui.core.launchers import protocol
from exptui.core.launchers.options import Launching
from exptui.core.launchers.protocol import Start
from exptui.core.runs import environment, inputs, process, queue
from exptui.core.runs.adopt import CLAIM
from exptui.core.runs.process import Process
from exptui.core.runs.run import Recipe, RunRecord
from exptui.core.settings import Settings, TrainerSettings

if TYPE_CHECKING:
    from exptui.core.source.snapshot import Captured

PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_]\w*)\}")  # not the ${X} of a shell, not a JSON object

TOGETHER = 1000  # runs in one submission: an array of Slurm has no more where nobody set it otherwise


@dataclass(frozen=True)
class Places:
    """Where a run happens: `project` is the workspace's parent, which relative paths start from."""

    project: Path
    results: Path


def now() -> str:
    """The current time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fill(
    words: tuple[str, ...], values: dict[str, str], several: Mapping[str, tuple[str, ...]] | None = None
) -> tuple[str, ...]:
    """Replace the placeholders of a command; a word that is one of `several` becomes that many words.

    Raises:
        UsageError: an unknown placeholder, or one this config has no value for.
    """

    def one(match: re.Match[str]) -> str:
        if several and match[1] in several:
            raise UsageError(
                f"{match[0]} stands for several words, and is a part of one in the trainer's command",
                f'Let it be a word of its own: ["python", "train.py", "{match[0]}"]',
            )
        if match[1] not in values:
            raise UsageError(
                f"unknown placeholder {match[0]} in the trainer's command",
                "There are: " + ", ".join(f"{{{name}}}" for name in (*values, *(several or ()))),
            )
        return values[match[1]]

    known = {f"{{{name}}}": found for name, found in (several or {}).items()}
    filled: list[str] = []
    for word in words:
        filled += known[word] if word in known else (PLACEHOLDER.sub(one, word),)
    return tuple(filled)


def freeze(
    config: Config,
    trainer: TrainerSettings,
    settings: Settings,
    places: Places,
    directory: Path,
    code: Captured | None = None,
) -> Recipe:
    """Everything that decides how this run is started, with the program resolved now; from its own `code`, where there is.

    Raises:
        RunError, UsageError: no such program, code or placeholder; nothing was started.
    """
    given, both = inputs.located(settings.inputs, places.project), (settings.environment, trainer.environment)
    home = code.tree if code else places.project
    values = _values(config, trainer, given, directory, home)
    if not trainer.command:
        raise UsageError("the trainer's command is empty", "Set [trainer] command in exptui.toml.")
    driven = "{flags}" in trainer.command
    argv = fill(trainer.command, values, {"flags": flags.words(config, trainer.flags) if driven else ()})
    cwd = (home / fill((trainer.cwd,), values)[0]).resolve()
    if code:
        from exptui.core.source import working

        program, snapshot = working.start(code, trainer, argv[0], cwd, places.project, both)
    else:
        program, snapshot = _in_place(trainer, argv[0], cwd, places.project), None
    return Recipe(
        trainer=trainer.name,
        command=trainer.command,
        argv=(str(program), *argv[1:]),
        cwd=str(cwd),
        cwd_setting=trainer.cwd,
        resume=trainer.resume,
        checkpoints=trainer.checkpoints,
        code=code.code if code else trainer.code,
        passed=tuple(name for policy in both for name in policy.passed),
        set={key: value for policy in both for key, value in policy.set.items()},
        secret=tuple(name for policy in both for name in policy.secret),
        preset=trainer.environment.preset or settings.environment.preset,
        threads=settings.queue.threads,
        stop_grace=trainer.stop_grace,
        observational=(*trainer.observational, *(("code.tar",) if code else ())),
        slots=settings.queue.slots,
        gpus=tuple(map(str, settings.queue.gpus)),
        volatile=trainer.volatile,
        tensors=trainer.tensors,
        tolerance=trainer.tolerance,
        compare=trainer.compare,
        metrics=trainer.metrics,
        inputs=given,
        snapshot=snapshot,
        flags=trainer.flags,
        prepare=trainer.prepare,
        progress=trainer.progress,
        # One that gets only flags knows no config whose bytes it could put into a directory of its own.
        adopts=not driven and not any("{output}" in word for word in (*trainer.command, trainer.cwd)),
    )


def _values(
    config: Config, trainer: TrainerSettings, given: Mapping[str, str], directory: Path, home: Path
) -> dict[str, str]:
    """What the placeholders of its command stand for."""
    values = {
        **{f"input_{name}": path for name, path in given.items()},
        "config": str(directory / "config.toml"),
        "output": str(directory),
        "name": config.stem,
        "run_id": directory.name,
        "project": str(home),
    }
    if trainer.seed_key in config.flat:
        values["seed"] = str(config.flat[trainer.seed_key])
    return values


def _in_place(trainer: TrainerSettings, word: str, cwd: Path, project: Path) -> Path:
    """The program of a command that works in the project itself; all it needs is there.

    Raises:
        RunError: it is not.
    """
    program = environment.resolve(word, project, os.environ, built=bool(trainer.prepare))
    if trainer.prepare:
        environment.resolve(trainer.prepare[0], project, os.environ)
    elif "{output}" not in trainer.cwd and not cwd.is_dir():
        raise RunError(f"the trainer's directory {cwd} is not there", "Mend [trainer] cwd in exptui.toml.")
    environment.code_digest(trainer.code, project)
    return program


def claim(results: Path, stem: str, locks: Path | None = None) -> Path:
    """Make the run's directory; `mkdir` decides between two launchers of the same second.

    An id that an archive beside `results` has is not given again. What is noted among the `locks` first tells a
    recovery where to look, if this process is killed.
    """
    base = f"{stem}_{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for number in range(1, 10_000):
        directory = results / (base if number == 1 else f"{base}-{number}")
        if directory.exists() or (results.parent / "archive" / f"{directory.name}.tar.gz").exists():
            continue
        note = locks / f"{directory.name}{queue.CLAIMED}" if locks else None
        if note:
            note.touch()
        try:
            directory.mkdir()
        except FileExistsError:
            if note:
                note.unlink()
            continue
        share(directory)
        return directory
    raise RunError(f"{results} already has 9,999 runs named {base}", "Wait a second and try again.")


def share(path: Path) -> None:
    """What is made in a setgid directory is the group's as much as that directory is, whatever the user's umask."""
    above, mode = path.parent.stat().st_mode, path.stat().st_mode
    group = above & (stat.S_IRWXG if stat.S_ISDIR(mode) else stat.S_IRGRP | stat.S_IWGRP)
    if above & stat.S_ISGID and mode | group != mode:
        path.chmod(stat.S_IMODE(mode | group))


def launch(config: Config, settings: Settings, places: Places) -> Path:
    """Queue a run of a config and return its directory; it starts as soon as there is room for it.

    Raises:
        RunError, UsageError, StorageError: nothing was started, and no directory is left.
    """
    (directory,) = launch_all([config], settings, places)
    return directory


def launch_all(configs: Sequence[Config], settings: Settings, places: Places) -> Iterator[Path]:
    """Queue a run of each config; those that a cluster starts are handed over together. Yields their directories.

    Raises:
        RunError, UsageError, StorageError: those that were not yielded were not started, and have no directory.
    """
    together: list[Start] = []
    try:
        for config in configs:
            directory = _claimed(config, places)
            try:
                start = _prepared(directory, config, settings, places)
                if start.record.launcher is None:
                    protocol.of(start.record).submit([start], places)
            except BaseException:
                _discarded(directory)
                raise
            if start.record.launcher is None:
                _unclaim(directory)
                yield directory
            else:
                together.append(start)
    except BaseException:
        for start in together:
            _discarded(start.directory)
        raise
    for at in range(0, len(together), TOGETHER):
        part = together[at : at + TOGETHER]
        try:
            protocol.of(part[0].record).submit(part, places)
        except ExptuiError:  # whatever else comes between, the cluster may have them: they are found again
            for start in together[at:]:
                _discarded(start.directory)
            raise
        for start in part:
            _unclaim(start.directory)
            yield start.directory


def _claimed(config: Config, places: Places) -> Path:
    with storage_errors("create the run's directory"):
        places.results.mkdir(exist_ok=True)
        with queue.decide(locks := queue.lock_directory(places.results)):
            directory = claim(places.results, config.stem, locks)
            try:
                write_atomic(directory / CLAIM, pretty_json(Claim(socket.gethostname(), process.me())))
            except BaseException:
                directory.rmdir()
                raise
    return directory


def _prepared(directory: Path, config: Config, settings: Settings, places: Places) -> Start:
    trainer = settings.trainer_for(config.path.name)
    with storage_errors("see what the run needs"):
        code = _captured(trainer, places, directory)
        recipe = freeze(config, trainer, settings, places, directory, code)
    return queued(directory, config, recipe, launching(trainer, settings))


def launching(trainer: TrainerSettings, settings: Settings) -> Launching | None:
    """What run.json says of a launcher other than this machine."""
    options = settings.launcher_for(trainer)
    if options.kind == "local":
        return None
    resumable = bool(trainer.resume and trainer.checkpoints)
    return Launching(options=options, requeue=resumable, request=trainer.checkpoint_request)


def _unclaim(directory: Path) -> None:
    with contextlib.suppress(OSError):  # then a recovery removes it
        (directory / CLAIM).unlink()
        (queue.lock_directory(directory.parent) / f"{directory.name}{queue.CLAIMED}").unlink()


def _discarded(directory: Path) -> None:
    with contextlib.suppress(OSError, StorageError):  # then a recovery does it
        discard(directory)


def _captured(trainer: TrainerSettings, places: Places, directory: Path) -> Captured | None:
    """The code as it is now, in the run's directory, where the run is to work from that."""
    if not trainer.snapshot:
        return None
    from exptui.core.source import snapshot

    tree = snapshot.tree(places.results, directory.name)
    found = snapshot.capture(places.project, places.results, trainer.snapshot, trainer.code, directory, tree)
    if found.patch:
        write_atomic(directory / "code.patch", found.patch)
    return found


class Claim(NamedTuple):
    """Who is about to queue a run in a directory."""

    host: str
    launcher: Process


def is_abandoned(directory: Path) -> bool:
    """Whether the launcher that claimed a directory is gone; of another host's, or a damaged claim's, nothing is known."""
    try:
        host, launcher = read_json(directory / CLAIM, Claim)
    except CorruptError:
        return False
    return host == socket.gethostname() and not process.alive(launcher)


def discard(directory: Path) -> None:
    """Remove a claimed directory whose run was not started; the claim goes last, so that it can be done again."""
    locks = queue.lock_directory(directory.parent)
    (locks / f"{directory.name}{queue.SUPERVISOR}").unlink(missing_ok=True)
    for path in sorted(directory.iterdir(), key=lambda path: path.name == CLAIM):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    directory.rmdir()
    fsync_dir(directory.parent)
    (locks / f"{directory.name}{queue.CLAIMED}").unlink(missing_ok=True)


def queued(
    directory: Path,
    config: Config,
    recipe: Recipe,
    launcher: Launching | None = None,
    *,
    ticket: str = "",
    argv: tuple[str, ...] = (),
) -> Start:
    """Put the config into a directory; what is to be submitted for it."""
    with storage_errors("write the run's files"):
        write_atomic(directory / "config.toml", config.data, mode=0o644)
        share(directory / "config.toml")
    record = RunRecord(
        run_id=directory.name,
        config_name=config.path.name,
        config_sha256=config.sha256,
        settings_digest=config.settings_digest,
        user=process.user(),
        host=socket.gethostname(),
        queued_at=now(),
        recipe=recipe,
        argv=argv,
        launcher=launcher,
    )
    return Start(directory, record, ticket or directory.name)


def detach(module: str, paths: Sequence[Path], lock: Lock) -> None:
    """Start a module of ours as a process of its own session, which inherits the lock and outlives the caller."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # a hang-up before it can ignore one
    try:
        subprocess.Popen(
            [sys.executable, "-P", "-m", module, *map(str, paths)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            pass_fds=[lock.fd],
            start_new_session=True,
            env={**os.environ, "EXPTUI_LOCK_FD": str(lock.fd)},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
