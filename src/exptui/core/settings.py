"""`experiments/exptui.toml`: which trainer runs, in which environment, how many at once."""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import tomli

from exptui.core import alerts
from exptui.core.configs.style import Flags
from exptui.core.directions import Directions
from exptui.core.errors import ConfigError, UsageError
from exptui.core.launchers.options import Options
from exptui.core.tolerance import Tolerances

SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "KEY")
PATTERN = r"Name each number, as in: metrics = ['step (?P<step>\d+) loss (?P<loss>\S+)']"
HOW = "launcher."
BUNDLED = "tiny-agent-trainer"
Checkpoints = Literal["all", "last", "none"]


class EnvironmentPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run gets beyond the clean environment."""

    passed: tuple[str, ...] = msgspec.field(default=(), name="pass")
    set: dict[str, str] = {}
    secret: tuple[str, ...] = ()
    preset: str = ""


class TrainerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a trainer is started; `configs` are file-name patterns it is chosen by."""

    name: str = "default"
    configs: tuple[str, ...] = ("*",)
    command: tuple[str, ...] = (BUNDLED, "--config", "{config}", "--output", "{output}")
    flags: Flags = Flags()  # how {flags} is written
    prepare: tuple[str, ...] = ()  # a build before each run, which does not count as the run
    progress: str = ""  # a pattern in the log with groups `done` and `total`
    resume: tuple[str, ...] = ()
    checkpoints: str = ""
    code: tuple[str, ...] = ()
    snapshot: bool | tuple[str, ...] = (
        False  # work from a copy of the code of when it was queued (docs/code.md)
    )
    cwd: str = "."
    seed_key: str = "engine.base_seed"
    stop_grace: float = 10.0
    metrics: tuple[str, ...] = ()  # patterns for numbers in what it prints (docs/readers.md)
    observational: tuple[str, ...] = ()
    volatile: dict[str, tuple[str, ...]] = {}
    tensors: tuple[str, ...] = ()  # files compared by the tensors they hold, where their bytes differ
    tolerance: Tolerances = Tolerances()
    compare: Literal["files", "metrics"] = "files"
    environment: EnvironmentPolicy = EnvironmentPolicy()
    launcher: Options | None = None  # what differs from [launcher]; complete once the settings are loaded
    checkpoint_request: str = ""  # a signal, as USR1, on which it writes a checkpoint as soon as it can


class Queue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many runs work at once."""

    slots: int = 1
    threads: int = 1
    gpus: tuple[int | str, ...] = ()  # each run gets one of them; as many slots, if no number is given


class Remote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Commands that put the file of an archive elsewhere and get it back: `{file}` is here, `{name}` there."""

    put: tuple[str, ...] = ()
    get: tuple[str, ...] = ()


class Archives(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an archive holds, and where it is kept besides (docs/archive.md)."""

    checkpoints: Checkpoints = "all"  # of the others only the digest is kept
    remote: Remote = Remote()


class Results(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Runs that exptui did not start."""

    also: tuple[str, ...] = ()  # patterns of their directories, relative to the workspace; only listed


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file; every part has a default."""

    trainer: TrainerSettings = TrainerSettings()
    trainers: tuple[TrainerSettings, ...] = ()
    queue: Queue = Queue()
    archive: Archives = Archives()
    results: Results = Results()
    launcher: Options = Options()
    environment: EnvironmentPolicy = EnvironmentPolicy()
    inputs: dict[str, str] = {}  # the data the trainers read: name → path, relative to the project
    metrics: Directions = Directions()  # which are better lower or higher, where their names do not tell
    keys: dict[str, str] = {}  # the cockpit's: command → keys, as `stop = "X"`
    alerts: dict[
        str, str | float | tuple[str, ...]
    ] = {}  # metric → condition, as `loss = ">10"` (docs/alerts.md)

    def trainer_for(self, config_name: str) -> TrainerSettings:
        """The first of `[[trainers]]` whose patterns match the config's file name, else `[trainer]`."""
        for trainer in self.trainers:
            if any(fnmatch.fnmatchcase(config_name, pattern) for pattern in trainer.configs):
                return trainer
        return self.trainer

    def launcher_for(self, trainer: TrainerSettings) -> Options:
        """Where its runs are started."""
        return trainer.launcher or self.launcher


def parse_how(words: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Words as `launcher.time=2:00:00` apart from the others."""
    others, how = [], dict[str, str]()
    for word in words:
        if word.startswith(HOW) and "=" in word:
            name, _, value = word.removeprefix(HOW).partition("=")
            how[name] = value
        else:
            others.append(word)
    return others, how


def launched_by(settings: Settings, how: Mapping[str, str]) -> Settings:
    """The settings with other values of `[launcher]`, for every trainer.

    Raises:
        UsageError: there is no such key, or the value is none for it.
    """
    if not how:
        return settings
    values: dict[str, object] = {**how, **({"extra": shlex.split(how["extra"])} if "extra" in how else {})}

    def changed(options: Options) -> Options:
        try:
            return msgspec.convert({**msgspec.to_builtins(options), **values}, Options, strict=False)
        except msgspec.ValidationError as error:
            keys = ", ".join(Options.__struct_fields__)
            raise UsageError(f"the launcher: {error}", f"It has: {keys}, as in time=2:00:00") from error

    def of(trainer: TrainerSettings) -> TrainerSettings:
        own = trainer.launcher and changed(trainer.launcher)
        return msgspec.structs.replace(trainer, launcher=own)

    return msgspec.structs.replace(
        settings,
        launcher=changed(settings.launcher),
        trainer=of(settings.trainer),
        trainers=tuple(map(of, settings.trainers)),
    )


def load(path: Path) -> Settings:
    """Read the settings; a missing file means the defaults.

    Raises:
        ConfigError: not TOML, an unknown key, a wrong type, or a secret under `pass`.
    """
    values: dict[str, Any] = {}
    try:
        values = tomli.loads(path.read_bytes().decode())
        _merge_launchers(values)
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "Mend the settings file at that place.") from error
    try:
        settings = msgspec.convert(values, Settings, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{path}: {error}", "See docs/trainers/README.md for the settings there are."
        ) from error
    alerts.rules(settings.alerts, path)
    _check_remote(path, settings.archive.remote)
    if deep := next((one for one in settings.results.also if "**" in one), ""):
        raise ConfigError(
            f"{path}: results.also: {deep!r} has a **", "Write a * for each level of directories."
        )
    for trainer in (settings.trainer, *settings.trainers):
        _check_progress(path, trainer.progress)
        _check_request(path, trainer.checkpoint_request)
        _refuse_patterns(path, trainer.metrics)
        if trainer.tolerance.tensors and not trainer.tensors:
            raise ConfigError(
                f"{path}: tolerance.tensors is of no file", 'Say which: tensors = ["checkpoints/*.pt"]'
            )
    for policy in (settings.environment, *(t.environment for t in (settings.trainer, *settings.trainers))):
        _refuse_secrets(path, policy)
    default = _completed(settings.trainer, values.get("trainer", {}))
    others = map(_completed, settings.trainers, values.get("trainers", ()))
    queue = settings.queue
    if queue.gpus and "slots" not in values["queue"]:
        queue = msgspec.structs.replace(queue, slots=len(queue.gpus))
    return msgspec.structs.replace(settings, trainer=default, trainers=tuple(others), queue=queue)


def _merge_launchers(values: dict[str, Any]) -> None:
    """What a trainer says of its launcher counts before what all say."""
    for trainer in (
        values.get("trainer"),
        *(found if isinstance(found := values.get("trainers"), list) else ()),
    ):
        if isinstance(trainer, dict) and isinstance(own := trainer.get("launcher"), dict):
            shared = values.get("launcher")
            trainer["launcher"] = {**(shared if isinstance(shared, dict) else {}), **own}


def _check_request(path: Path, name: str) -> None:
    import signal

    if name and f"SIG{name}" not in signal.Signals.__members__:
        raise ConfigError(
            f"{path}: checkpoint_request = {name!r} is no signal", 'As in: checkpoint_request = "USR1"'
        )


def _completed(trainer: TrainerSettings, given: Mapping[str, Any]) -> TrainerSettings:
    """What exptui knows of its own trainer, where the settings do not say otherwise."""
    if trainer.command[:1] != (BUNDLED,):
        return trainer
    known = {
        "resume": ("--resume", "{checkpoint}", "--until-epoch", "{epoch}"),
        "checkpoints": "checkpoints/epoch_{epoch:04d}.ckpt",
        "code": bundled_code(),
    }
    return msgspec.structs.replace(trainer, **{name: known[name] for name in known if name not in given})


def _check_progress(path: Path, pattern: str) -> None:
    try:
        groups = re.compile(pattern).groupindex if pattern else {"done": 0}
    except re.error as error:
        raise ConfigError(f"{path}: progress = {pattern!r}: {error}", "Mend the pattern.") from error
    if "done" not in groups:
        raise ConfigError(
            f"{path}: progress = {pattern!r} has no group named done",
            r"For example: progress = 'epoch (?P<done>\d+)/(?P<total>\d+)'",
        )


def _check_remote(path: Path, remote: Remote) -> None:
    for name, words, needed in (("put", remote.put, {"file"}), ("get", remote.get, {"file", "name"})):
        found = {match[1] for word in words for match in re.finditer(r"\{(\w*)\}", word)}
        if (remote.put or remote.get) and not needed <= found <= {"file", "name"}:
            raise ConfigError(
                f"{path}: archive.remote.{name} = {list(words)}: the words must hold {{file}}{' and {name}' if name == 'get' else ''}, and no other placeholder",
                'For example: put = ["rclone", "copyto", "{file}", "lab:runs/{name}"], and get the other way round',
            )


def _refuse_secrets(path: Path, policy: EnvironmentPolicy) -> None:
    for name in policy.passed:
        if any(word in name.upper() for word in SECRET_WORDS):
            raise ConfigError(
                f"{path}: environment.pass names {name}, whose value would be recorded",
                'Put it under environment.secret = ["…"]: passed, and recorded by name only.',
            )


def _refuse_patterns(path: Path, patterns: tuple[str, ...]) -> None:
    """Patterns that are none, or that name no number."""
    import re

    for text in patterns:
        try:
            named = re.compile(text).groupindex
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"{path}: the pattern {text!r} is none: {error}", PATTERN) from error
        if not named:
            raise ConfigError(f"{path}: the pattern {text!r} names no number", PATTERN)


def bundled_code() -> tuple[str, ...]:
    """Where the bundled trainer's source lies, found without importing it."""
    from importlib.util import find_spec

    spec = find_spec("tiny_agent_trainer")
    return tuple(spec.submodule_search_locations or ()) if spec else ()
