"""`{flags}`: the keys of a config as words of a command line, every number as it is written in the config."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any, Self

import tomli

from exptui.core.configs.config import Config
from exptui.core.configs.style import Flags
from exptui.core.errors import ConfigError

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_PLAIN = re.compile(r"[\w./:@+-]+")  # needs no quotes in [a,b]


class Written(float):
    """A number that says itself as it was written: `3e-4` is passed as `3e-4`."""

    text: str

    def __new__(cls, text: str) -> Self:
        """From its text."""
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __str__(self) -> str:
        return self.text


def words(config: Config, flags: Flags) -> tuple[str, ...]:
    """The words of `{flags}`, in the order of the file.

    Raises:
        ConfigError: a value that no command line can hold, with its key.
    """
    found: list[str] = []
    for path, value in _leaves(tomli.loads(config.data.decode(), parse_float=Written)):
        try:
            found += _flag(flags.nested.join(path), value, flags)
        except ValueError as error:
            raise ConfigError(
                f"{config.path.name}: {'.'.join(path)} {error}, and the trainer's command has {{flags}}",
                "Give it a plain value, or pass the file itself: {config} instead of {flags}.",
            ) from error
    return tuple(found)


def _leaves(values: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


def _flag(key: str, value: object, flags: Flags) -> list[str]:
    bare = flags.style == "key=value"
    if isinstance(value, bool) and not bare and flags.booleans != "value":
        return [dashed(key)] if value else [dashed(f"no-{key}")] * (flags.booleans == "no-flag")
    if not isinstance(value, list):
        return _pair(key, text(value), flags)
    if flags.lists == "repeat":
        return [word for item in value for word in _pair(key, text(item), flags)]
    if flags.lists == "comma":
        if any("," in text(item) for item in value):
            raise ValueError("holds a comma inside of a list that is joined with commas")
        return _pair(key, ",".join(map(text, value)), flags)
    if flags.lists == "brackets" or bare:
        return _pair(key, f"[{','.join(map(_in_brackets, value))}]", flags)
    return [dashed(key), *map(text, value)]


def _pair(key: str, word: str, flags: Flags) -> list[str]:
    if flags.style == "key=value":
        return [f"{key}={word}"]
    if len(key) == 1:
        return [f"-{key}", word]
    # A word with a dash of its own would be taken for the next flag, unless it is a number.
    if flags.style == "--key=value" or (word.startswith("-") and not NUMBER.fullmatch(word)):
        return [f"--{key}={word}"]
    return [f"--{key}", word]


def dashed(key: str) -> str:
    """`-k` for a key of one letter, else `--key`."""
    return f"-{key}" if len(key) == 1 else f"--{key}"


def text(value: object) -> str:
    """One value as a word.

    Raises:
        ValueError: it has none.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("holds a NUL character")
        return value
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    raise ValueError("holds a list or a table inside of a list")


def _in_brackets(value: object) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_in_brackets, value))}]"
    word = text(value)
    return word if not isinstance(value, str) or _PLAIN.fullmatch(word) else json.dumps(word)
