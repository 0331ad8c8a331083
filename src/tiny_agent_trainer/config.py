"""The trainer's configuration: a small TOML file, checked key by key."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import tomli

MODEL_TYPES = ("DeterministicCNN", "DeterministicMLP")
ACTIVATIONS = ("ReLU", "Tanh", "GELU")

_INTEGERS: dict[str, tuple[int, int, int]] = {
    "engine.base_seed": (42, 0, 2**63 - 1),
    "engine.batch_size": (32, 1, 1437),
    "engine.epochs": (10, 1, 9999),
    "model.layers": (5, 1, 64),
    "model.channels": (8, 1, 128),
    "model.hidden": (64, 1, 4096),
}
_CHOICES: dict[str, tuple[str, ...]] = {"model.model_type": MODEL_TYPES, "model.activation": ACTIVATIONS}
_RATE = "engine.learning_rate"
_KEYS = (*_INTEGERS, *_CHOICES, _RATE)


class TrainerError(Exception):
    """A problem the person can mend; its text is one line with a hint."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a run depends on; `digest` is the SHA-256 of the file's bytes (`source`)."""

    base_seed: int
    batch_size: int
    epochs: int
    learning_rate: float
    model_type: str
    layers: int
    activation: str
    channels: int
    hidden: int
    digest: str
    source: bytes


def _integer(key: str, value: object) -> int:
    default, low, high = _INTEGERS[key]
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise TrainerError(f"{key} must be an integer, not {value!r}; for example {key} = {default}")
    if not low <= value <= high:
        raise TrainerError(f"{key} is {value}; use a number from {low} to {high}")
    return value


def _choice(key: str, value: object) -> str:
    choices = _CHOICES[key]
    if value is None:
        return choices[0]
    if not isinstance(value, str) or value not in choices:
        raise TrainerError(f"{key} is {value!r}; use one of {', '.join(choices)}")
    return value


def _rate(value: object) -> float:
    if value is None:
        return 0.001
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TrainerError(f"{_RATE} must be a number, not {value!r}; for example {_RATE} = 0.001")
    if not math.isfinite(value) or not 0.0 < value <= 10.0:
        raise TrainerError(f"{_RATE} is {value}; use a number above 0 and at most 10")
    return float(value)


def _flatten(document: dict[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for table, content in document.items():
        if table not in ("engine", "model"):
            raise TrainerError(f"unknown key {table}; the tables are [engine] and [model]")
        if not isinstance(content, dict):
            raise TrainerError(f"{table} must be a table; write [{table}] on a line of its own")
        for name, value in content.items():
            key = f"{table}.{name}"
            if key not in _KEYS:
                known = ", ".join(sorted(k.partition(".")[2] for k in _KEYS if k.startswith(table + ".")))
                raise TrainerError(f"unknown key {key}; [{table}] knows {known}")
            found[key] = value
    return found


def parse_config(source: bytes) -> Config:
    """Check the bytes of a TOML file and return the configuration they state."""
    try:
        document: dict[str, object] = tomli.loads(source.decode("utf-8"))
    except (UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        raise TrainerError(f"the config is not valid TOML: {error}; mend that line") from error
    found = _flatten(document)
    return Config(
        base_seed=_integer("engine.base_seed", found.get("engine.base_seed")),
        batch_size=_integer("engine.batch_size", found.get("engine.batch_size")),
        epochs=_integer("engine.epochs", found.get("engine.epochs")),
        learning_rate=_rate(found.get(_RATE)),
        model_type=_choice("model.model_type", found.get("model.model_type")),
        layers=_integer("model.layers", found.get("model.layers")),
        activation=_choice("model.activation", found.get("model.activation")),
        channels=_integer("model.channels", found.get("model.channels")),
        hidden=_integer("model.hidden", found.get("model.hidden")),
        digest=hashlib.sha256(source).hexdigest(),
        source=source,
    )


def load_config(path: Path) -> Config:
    """Read and check the configuration at `path`."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise TrainerError(f"cannot read {path}: {error.strerror}; check --config") from error
    return parse_config(source)
