"""The user's own settings, `$XDG_CONFIG_HOME/exptui/config.toml`: what is trusted comes from here, never from a workspace."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from exptui.core import alerts
from exptui.core.alerts import Rules
from exptui.core.errors import ConfigError


class Signing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Paths; `~` is the home directory, a relative one starts beside the settings file."""

    key: str = ""  # signs archives; the public half will do where ssh-agent has the other
    allowed_signers: str = ""  # whose signatures are accepted (ALLOWED SIGNERS in `man ssh-keygen`)


class User(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file; every part has a default."""

    signing: Signing = Signing()
    alerts: Rules = Rules()


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    signing: Signing = Signing()
    alerts: dict[str, str | float | tuple[str, ...]] = {}


def path() -> Path:
    """Where the settings are."""
    return _base("XDG_CONFIG_HOME", "~/.config") / "config.toml"


def state() -> Path:
    """The directory for what the cockpit remembers; it may not be there."""
    return _base("XDG_STATE_HOME", "~/.local/state")


def cache() -> Path:
    """The directory for what can be made anew; it may not be there."""
    return _base("XDG_CACHE_HOME", "~/.cache")


def _base(variable: str, default: str) -> Path:
    """A relative path in the variable does not count: it could be somebody else's directory."""
    base = os.environ.get(variable, "")
    if not Path(base).is_absolute():
        base = os.path.expanduser(default)  # noqa: PTH111  never raises
    return Path(base) / "exptui"


def load() -> User:
    """Read the settings, with absolute paths; a missing file means the defaults.

    Raises:
        ConfigError: not TOML, an unknown key, or a wrong type.
    """
    file = path()
    hint = "Mend your own settings file at that place."
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return User()
    except OSError as error:
        raise ConfigError(f"{file}: {error}", hint) from error
    import tomli  # a run's supervisor reads this when it starts, and most people have no such file

    try:
        found = msgspec.convert(tomli.loads(data.decode()), _File, strict=True)
    except (UnicodeDecodeError, tomli.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{file}: {error}", hint) from error
    places = {
        name: _place(file, value) if value else ""
        for name, value in msgspec.structs.asdict(found.signing).items()
    }
    rules = alerts.rules(found.alerts, file, own=True)
    if rules.command and "/" in (program := rules.command[0]):
        command = (_place(file, program), *rules.command[1:])
        rules = msgspec.structs.replace(rules, command=command)
    return User(signing=Signing(**places), alerts=rules)


def _place(file: Path, value: str) -> str:
    return str(file.parent / os.path.expanduser(value))  # noqa: PTH111  never raises
