"""Where exptui keeps its own files of a workspace: what can be made anew in the cache, what the user chose in the state."""

from __future__ import annotations

import os
from pathlib import Path
from zlib import adler32, crc32

from exptui.core import user


def cache(root: Path) -> Path:
    """The directory of a workspace below `$XDG_CACHE_HOME/exptui`; not made here."""
    return user.cache() / _name(root)


def state(root: Path) -> Path:
    """The directory of a workspace below `$XDG_STATE_HOME/exptui`; not made here."""
    return user.state() / _name(root)


def _name(root: Path) -> str:
    path = os.fsencode(
        root
    )  # told apart without hashlib, which takes as long to load as all the rest of a list
    return f"{root.parent.name}-{crc32(path):08x}{adler32(path):08x}"
