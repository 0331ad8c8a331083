"""The user's own settings, `$XDG_CONFIG_HOME/exptui/config.toml`: what is trusted comes from here, never from a workspace."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import tomli

from exptui.core.errors import ConfigError


class Signing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Paths; `~` is the home directory, a relative one starts beside the settings file."""

    key: str = ""  # signs archives; the public half will do where ssh-agent has the other
    allowed_signers: str = ""  # whose signatures are accepted (ALLOWED SIGNERS in `man ssh-keygen`)


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file; every part has a default."""

    signing: Signing = Signing()


def path() -> Path:
    """Where the settings are. A relative XDG_CONFIG_HOME does not count: it could be somebody else's directory."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not Path(base).is_absolute():
        base = os.path.expanduser("~/.config")  # noqa: PTH111  never raises
    return Path(base) / "exptui/config.toml"


def load() -> User:
    """Read the settings, with absolute paths; a missing file means the defaults.

    Raises:
        ConfigError: not TOML, an unknown key, or a wrong type.
    """
    file = path()
    try:
        found = msgspec.convert(tomli.loads(file.read_bytes().decode()), User, strict=True)
    except FileNotFoundError:
        return User()
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{file}: {error}", "Mend your own settings file at that place.") from error
    places = {
        name: str(file.parent / os.path.expanduser(value)) if value else ""  # noqa: PTH111
        for name, value in msgspec.structs.asdict(found.signing).items()
    }
    return User(signing=Signing(**places))
