"""Patterns that the settings of a workspace declare for what a trainer prints."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec

from exptui.core.errors import ConfigError
from exptui.core.settings import Settings, load


class _Name(msgspec.Struct):
    config_name: str


def patterns(directory: Path) -> tuple[str, ...]:
    """Those for a run by its directory: of the trainer its config belongs to, as the settings are now."""
    path = directory.parent.parent / "exptui.toml"
    try:
        found = path.stat()
    except OSError:
        return ()
    settings = _settings(path, found.st_mtime_ns, found.st_size, found.st_ino)
    if not any(one.metrics for one in (settings.trainer, *settings.trainers)):
        return ()
    return settings.trainer_for(_config_name(directory)).metrics


@lru_cache(maxsize=8)
def _settings(path: Path, *_stamp: int) -> Settings:
    try:
        return load(path)
    except ConfigError:  # which is said where they are used for more
        return Settings()


def _config_name(directory: Path) -> str:
    from exptui.core.runs.run import stem_of

    try:
        return msgspec.json.decode((directory / "run.json").read_bytes(), type=_Name).config_name
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return f"{stem_of(directory.name)}.toml"
