"""Several configs out of one: every combination of the values that are given, each a file of its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import tomli

from exptui.core.configs import config, derive
from exptui.core.configs.config import Config
from exptui.core.errors import ConfigError

MOST = 500  # combinations: each is a run with a supervisor of its own


class Point(msgspec.Struct, frozen=True):
    """One combination. `data`: what is written as `<stem>.toml`, None where a config says the same; `ran`: a run of it."""

    stem: str
    edits: dict[str, Any]
    data: bytes | None
    ran: str = ""


class Grid(msgspec.Struct, frozen=True):
    """All combinations; `new_keys` are in none of the source's tables: spelled right?"""

    source: str
    points: tuple[Point, ...]
    new_keys: tuple[str, ...] = ()

    def to_run(self, *, again: bool = False) -> list[Point]:
        """Those that have no run yet, or all."""
        return [point for point in self.points if again or not point.ran]


def parse_axes(words: Iterable[str]) -> dict[str, list[Any]]:
    """`key.path=1,2,3` words → dotted key → its values. Values are TOML, as in `size=[64, 32],[128]`, or else texts.

    Raises:
        ConfigError: a word without `=`, without a value, or a key that is given twice.
    """
    axes: dict[str, list[Any]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not all(key.strip().split(".")) or not text.strip():
            raise ConfigError(f"{word!r} is not KEY=VALUE,VALUE", "For example: --set model.layers=2,5,8")
        if key.strip() in axes:
            raise ConfigError(f"{key.strip()} is given twice", "Give all its values at once: KEY=1,2,3")
        axes[key.strip()] = _values(text)
    return axes


def _values(text: str) -> list[Any]:
    try:
        found: list[Any] = tomli.loads(f"v = [{text}]")["v"]
    except tomli.TOMLDecodeError:
        found = list(derive.parse_edits(f"{at}={part}" for at, part in enumerate(text.split(","))).values())
    return found


def plan(
    source: Config,
    axes: Mapping[str, Sequence[Any]],
    known: Iterable[Config],
    ran: Mapping[str, str],
) -> Grid:
    """Every combination, the last key changing first. Nothing is written.

    `known`: the configs there are, `ran`: settings digest → a run with those settings.

    Raises:
        ConfigError: too many, or a key that cannot be set.
    """
    count = math.prod(map(len, axes.values()))
    if count > MOST:
        raise ConfigError(f"that makes {count:,} runs; at most {MOST} at once", "Give fewer values.")
    there = {one.settings_digest: one.stem for one in known}
    there[source.settings_digest] = source.stem
    taken = set(there.values())
    points: dict[str, Point] = {}
    for values in itertools.product(*axes.values()):
        edits = dict(zip(axes, values, strict=True))
        data = derive.edited(source, edits)
        digest = config.parse(Path("grid.toml"), data).settings_digest
        if digest in points:  # a value that was given twice
            continue
        stem = there.get(digest) or _free(derive.name_for(source, edits), digest, taken)
        taken.add(stem)
        points[digest] = Point(stem, edits, None if digest in there else data, ran.get(digest, ""))
    new = tuple(key for key in axes if key not in source.flat)
    return Grid(source.stem, tuple(points.values()), new)


def _free(stem: str, digest: str, taken: set[str]) -> str:
    """The name itself, or with a piece of the digest where another config has it or it was cut."""
    if stem not in taken and len(stem) < config.STEM_BYTES:
        return config.check_stem(stem)
    return config.check_stem(f"{stem[: config.STEM_BYTES - 9]}-{digest[:8]}")
