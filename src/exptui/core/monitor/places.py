"""Where exptui keeps its own files of a workspace: what can be made anew in the cache, what the user chose in the state."""

from __future__ import annotations

import os
from pathlib import Path
from zlib import adler32, crc32


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
    path = os.fsencode(
        root
    )  # told apart without hashlib, which takes as long to load as all the rest of a list
    return Path(base) / "exptui" / f"{root.parent.name}-{crc32(path):08x}{adler32(path):08x}"
