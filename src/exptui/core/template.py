"""What `exptui init` writes: a plain workspace with one config, or one for a command that is used already."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import tomli
import tomli_w

from exptui.core.arrive import Arrived, seed_key
from exptui.core.arrive import arrive as take_apart
from exptui.core.configs import config
from exptui.core.configs.derive import toml
from exptui.core.errors import ConfigError, UsageError
from exptui.core.files import storage_errors, write_atomic
from exptui.core.runs import launch
from exptui.core.settings import SECRET_WORDS, EnvironmentPolicy, Settings, TrainerSettings

SETTINGS = """# Settings of this workspace; every key is optional.
# [trainer]
# command = ["tiny-agent-trainer", "--config", "{config}", "--output", "{output}"]
# [queue]
# slots = 1
"""
PRESETS = {"cargo": "cargo", "conda": "conda", "mamba": "conda"}
FIRST_WORDS = "# Passed as flags, in this order: copy this file, change one thing, compare.\n"
FOR_A_COMMAND = """# How the trainer is started: docs/trainers/README.md has all keys.
[trainer]
{lines}
# progress = 'epoch (?P<done>\\d+)/(?P<total>\\d+)'   # where its log says how far it is
# cwd = "{{output}}"   # where it writes into the directory it is started in; its script is then {{project}}/…

[queue]
slots = 1
"""
NO_SEED = (
    '# seed_key = "seed"   # which key of its configs is the seed: for --seeds, and for groups in comparisons'
)
FIRST_CONFIG = """# The first experiment: copy this file, change one thing, compare.
[engine]
base_seed = 42
batch_size = 32
epochs = 2
learning_rate = 0.001

[model]
model_type = "DeterministicMLP"
layers = 2
activation = "ReLU"
"""


def write(parent: Path) -> Path:
    """Make `experiments/` with one config; what is there already is left alone.

    Raises:
        UsageError: there is a workspace already.
    """
    return _make(parent, SETTINGS, "first", FIRST_CONFIG.encode())


def arrive(parent: Path, words: list[str]) -> tuple[Path, Arrived, tuple[str, ...]]:
    """Make `experiments/` for a command that is used already; returns it, what came of the command, and what a run executes.

    Raises:
        UsageError: there is a workspace already, or the command cannot be driven as it is; nothing was written.
        RunError: its program is not there; nothing was written.
    """
    made = take_apart(words)
    text = (FIRST_WORDS + tomli_w.dumps(made.values)).encode()
    if made.config:
        own = config.load(parent / made.config)
        text, made.name, made.values = own.data, own.stem, own.values
    trainer = TrainerSettings(
        command=tuple(made.command),
        flags=made.flags,
        code=_code(made, parent),
        environment=_environment(made),
    )
    if seed := seed_key(made.values):
        trainer = msgspec.structs.replace(trainer, seed_key=seed)
    made.name = made.name if made.name != "first" else _crate(parent)
    argv = _dry(parent, made, trainer, text)
    return _make(parent, _settings(trainer, seed), made.name, text), made, argv


def _crate(parent: Path) -> str:
    """The name of the package here, as `cargo run` says none."""
    try:
        return config.check_stem(tomli.loads((parent / "Cargo.toml").read_text())["package"]["name"])
    except (OSError, ValueError, LookupError, TypeError, ConfigError):
        return "first"


def _dry(parent: Path, made: Arrived, trainer: TrainerSettings, text: bytes) -> tuple[str, ...]:
    """What a run would execute: the words that were given, but for what was replaced, and their order."""
    results = parent / "experiments/results"
    directory = results / f"{made.name}_TIME"
    first = config.parse(Path(f"{made.name}.toml"), text)
    argv = launch.freeze(first, trainer, Settings(), launch.Places(parent, results), directory).argv
    lost, gained = _count(made.words[1:]), _count(argv[1:])
    if max((lost - gained).total(), (gained - lost).total()) > made.replaced:
        raise UsageError(
            f"cannot drive this command as it is: it would become {shlex.join(argv)}",
            "Write exptui.toml yourself: docs/trainers/README.md",
        )
    return argv


def _count(words: Sequence[str]) -> Counter[str]:
    """The words, where `--key=value` is two of them."""
    return Counter(
        part for word in words for part in (word.split("=", 1) if word.startswith("--") else (word,))
    )


def _code(made: Arrived, parent: Path) -> tuple[str, ...]:
    """What counts as the code: the scripts that are named; of a crate all there is."""
    named = [word for word in made.command if Path(word).suffix and (parent / word).is_file()]
    crate = ("Cargo.toml", "src") if Path(made.command[0]).name == "cargo" else ()
    return (*named, *(name for name in crate if (parent / name).exists()))


def _environment(made: Arrived) -> EnvironmentPolicy:
    """Variables in front of the command; a secret by its name only."""
    secret = tuple(name for name in made.variables if any(word in name for word in SECRET_WORDS))
    return EnvironmentPolicy(
        set={name: value for name, value in made.variables.items() if name not in secret},
        secret=secret,
        preset=PRESETS.get(Path(made.command[0]).name, ""),
    )


def _settings(trainer: TrainerSettings, seed: str) -> str:
    """The settings file of one trainer; without a key for its seed that is left to be said."""
    values: dict[str, Any] = {"command": list(trainer.command)}
    if "{flags}" in trainer.command:
        values["flags"] = msgspec.to_builtins(trainer.flags)
    if trainer.code:
        values["code"] = list(trainer.code)
    values |= {"seed_key": seed} if seed else {}
    own = trainer.environment
    policy = {"set": own.set, "secret": list(own.secret), "preset": own.preset}
    if any(policy.values()):
        values["environment"] = {name: value for name, value in policy.items() if value}
    lines = (f"{name} = {toml(value)}" for name, value in values.items())
    return FOR_A_COMMAND.format(lines="\n".join((*lines, *([] if seed else [NO_SEED]))))


def _make(parent: Path, settings: str, stem: str, text: bytes) -> Path:
    root = parent / "experiments"
    for there in (root / "configs", root / "exptui.toml"):
        if there.exists():
            raise UsageError(
                f"{there} exists: there is a workspace already", "See what it holds with: exptui ls configs"
            )
    with storage_errors("make the workspace"):
        for name in ("configs", "results", "archive"):
            (root / name).mkdir(parents=True, exist_ok=True)
        write_atomic(root / "exptui.toml", settings.encode(), mode=0o644)
        write_atomic(root / f"configs/{stem}.toml", text, mode=0o644)
    return root
