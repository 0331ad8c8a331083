"""No test reads the settings of whoever runs them."""

from __future__ import annotations

import os

os.environ["XDG_CONFIG_HOME"] = "/nonexistent"
