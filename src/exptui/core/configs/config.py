"""A TOML file under `configs/` → a frozen Config with its two digests."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import tomli

from exptui.core.errors import ConfigError
from exptui.core.files import canonical_json, open_regular, sha256_bytes

STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
STEM_BYTES = 180


class Config(msgspec.Struct, frozen=True, dict=True):
    """One named experiment: the bytes of its file, and what they say."""

    path: Path
    data: bytes
    values: dict[str, Any]

    @property
    def stem(self) -> str:
        """The experiment's name: the file name without `.toml`."""
        return self.path.stem

    @cached_property
    def sha256(self) -> str:
        """Digest of the bytes: the identity of the config."""
        return sha256_bytes(self.data)

    @cached_property
    def settings_digest(self) -> str:
        """Digest of the parsed values: equal for files that differ in comments, order or spacing only."""
        return sha256_bytes(canonical_json(_tagged(self.values)))

    @cached_property
    def flat(self) -> dict[str, Any]:
        """Dotted key → value, in the order of the file."""
        return flatten(self.values)


def _tagged(value: object) -> object:
    """1, 1.0, true and "1" are different settings: say the type of each leaf."""
    if isinstance(value, dict):
        return {str(key): _tagged(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    return f"{type(value).__name__}:{value}"


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys; lists stay values."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def check_stem(stem: str) -> str:
    """The stem itself, when it may name an experiment.

    Raises:
        ConfigError: it could not be a directory name on every file system, or could escape one.
    """
    if not STEM.fullmatch(stem) or len(stem.encode()) > STEM_BYTES:
        raise ConfigError(
            f"{stem!r} cannot name an experiment",
            f"Use letters, digits, '.', '_' and '-', beginning with a letter or digit, at most {STEM_BYTES} bytes.",
        )
    return stem


def parse(path: Path, data: bytes) -> Config:
    """Parse the bytes of a config.

    Raises:
        ConfigError: not UTF-8 or not TOML, with file, line and column.
    """
    check_stem(path.stem)
    try:
        return Config(path, data, tomli.loads(data.decode()))
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: byte {error.start} is not UTF-8", "Save the file as UTF-8 text."
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError
        raise ConfigError(f"{path}: {error}", "Mend the TOML at that place; nothing was started.") from error


def load(path: Path) -> Config:
    """Read and parse a config file.

    Raises:
        ConfigError: missing, unreadable, or not TOML.
    """
    return parse(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """The bytes of a config file.

    Raises:
        ConfigError: missing or unreadable.
    """
    try:
        with open_regular(path) as file:
            return file.read()
    except FileNotFoundError as error:
        raise ConfigError(f"no config {path}", "List what there is with: exptui ls configs") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", "Check its permissions.") from error
