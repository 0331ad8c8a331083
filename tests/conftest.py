"""No test reads the settings of whoever runs them, or leaves anything in their home."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

os.environ["XDG_CONFIG_HOME"] = "/nonexistent"
_OWN = tempfile.mkdtemp(prefix="exptui-tests-")
atexit.register(shutil.rmtree, _OWN, ignore_errors=True)
os.environ["XDG_CACHE_HOME"], os.environ["XDG_STATE_HOME"] = f"{_OWN}/cache", f"{_OWN}/state"
