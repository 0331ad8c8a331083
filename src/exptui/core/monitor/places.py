"""Where exptui keeps its own files of a workspace: what can be made anew in the cache, what the user chose in the state."""

from __future__ import annotations

import os
from pathlib import Path

from exptui.core.files import sha256_bytes


def cache(root: Path) -> Path:
    """The directory of a workspace below `$XDG_CACHE_HOME/exptui`; not made here."""
    return _below("XDG_CACHE_HOME", "~/.cache", root)


def state(root: Path) -> Path:
    """The directory of a workspace below `$XDG_STATE_HOME/exptui`; not made here."""
    return _below("XDG_STATE_HOME", "~/.local/state", root)


def _below(variable: str, otherwise: str, root: Path) -> Path:
    base = os.environ.get(variable, "")
    if not Path(base).is_absolute():  # a relative one could be somebody else's directory
        base = os.path.expanduser(otherwise)  # noqa: PTH111  never raises
    return Path(base) / "exptui" / f"{root.parent.name}-{sha256_bytes(os.fsencode(root))[:16]}"
