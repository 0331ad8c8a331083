"""A new config out of another one: a clone with some keys changed, comments and order kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli
import tomli_w
import tomlkit
from tomlkit.exceptions import TOMLKitError

from exptui.core.configs import config
from exptui.core.configs.config import Config
from exptui.core.errors import ConfigError
from exptui.core.files import storage_errors, write_atomic
from exptui.core.monitor.text import clean


def parse_edits(words: Iterable[str]) -> dict[str, Any]:
    """`key.path=value` words → dotted key → value; a value that is not TOML is taken as text.

    Raises:
        ConfigError: a word without `=` or without a key.
    """
    edits: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not all(key.strip().split(".")):
            raise ConfigError(f"{word!r} is not KEY=VALUE", "For example: --set model.layers=8")
        try:
            edits[key.strip()] = tomli.loads(f"v = {text}")["v"]
        except tomli.TOMLDecodeError:
            edits[key.strip()] = text
    return edits


def edited(source: Config, edits: Mapping[str, Any]) -> bytes:
    """The bytes of the config with these keys set, and where they are from; everything else stays as it is.

    Raises:
        ConfigError: a key goes through something that is not a table.
    """
    document = tomlkit.parse(source.data.decode())
    for dotted, value in edits.items():
        *tables, key = [dotted] if dotted in document else dotted.split(".")
        table: Any = document
        for name in tables:
            if name not in table:
                table[name] = tomlkit.table()
            table = table[name]
            if not isinstance(table, dict):
                raise ConfigError(
                    f"{dotted}: {name} is a value, not a table", "Name a key that is in the file."
                )
        try:
            table[key] = value
        except (TOMLKitError, ValueError) as error:
            raise ConfigError(f"{dotted}: {error}", "Give a TOML value.") from error
    changes = ", ".join(f"{key} = {toml(value)}" for key, value in edits.items())
    return f"# {clean(f'{source.stem} with {changes}', 500)}\n{document.as_string()}".encode()


def toml(value: object) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")


def name_for(source: Config, edits: Mapping[str, Any]) -> str:
    """A stem that says what was changed: `exp_001-layers-8`."""
    parts = [f"{key.rpartition('.')[2]}-{value}" for key, value in edits.items()]
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join([source.stem, *parts]))
    return safe[: config.STEM_BYTES]


def planned(source: Config, edits: Mapping[str, Any]) -> Config:
    """The clone as it would be written.

    Raises:
        ConfigError: a bad key or name.
    """
    stem = config.check_stem(name_for(source, edits))
    return config.parse(source.path.with_name(f"{stem}.toml"), edited(source, edits))


def clone(source: Config, edits: Mapping[str, Any], stem: str = "") -> Path:
    """Write the edited config beside its source, as `<stem>.toml`; one that says the same already is taken.

    Raises:
        ConfigError: a bad key or name, or a different config of that name exists.
    """
    stem = config.check_stem(stem or name_for(source, edits))
    return save(source.path.with_name(f"{stem}.toml"), edited(source, edits))


def save(path: Path, data: bytes) -> Path:
    """Write a new config after checking that it parses.

    Raises:
        ConfigError: not TOML, or a config of that name exists with other settings.
    """
    wanted = config.parse(path, data)
    if path.exists():
        if config.load(path).settings_digest == wanted.settings_digest:
            return path
        raise ConfigError(f"{path} exists and says something else", "Choose another name.")
    with storage_errors("write the config"):
        write_atomic(path, data, mode=0o644)
    return path
