"""The errors a person gets to see: what happened, where, and what to do next."""

from __future__ import annotations


class ExptuiError(Exception):
    """An expected failure. `message` says what and where, `hint` what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ExptuiError):
    """Bad input: an unknown name, a wrong flag, a file that does not parse. Exit code 2."""


class ConfigError(UsageError):
    """A config or settings file that cannot be used, with the file and the place in it."""


class RunError(ExptuiError):
    """A run that cannot be started, stopped, resumed or read."""


class StorageError(ExptuiError):
    """The disk said no: full, read-only, no permission, or an unexpected file in the way."""


class ArchiveError(ExptuiError):
    """An archive operation that was refused; nothing was changed."""


class CorruptError(ArchiveError):
    """Bytes that are not what was sealed: a damaged archive, manifest, ledger or chronicle."""


class Cancelled(ExptuiError):
    """The user asked for it to stop; what was begun has been undone."""
