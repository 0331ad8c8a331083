"""What `exptui init` writes: a plain workspace with one config."""

from __future__ import annotations

from pathlib import Path

from exptui.core.errors import UsageError

SETTINGS = """# Settings of this workspace; every key is optional.
# [trainer]
# command = ["tiny-agent-trainer", "--config", "{config}", "--output", "{output}"]
# [queue]
# slots = 1
"""
FIRST_CONFIG = """# The first experiment: copy this file, change one thing, compare.
[engine]
base_seed = 42
batch_size = 32
epochs = 2
learning_rate = 0.001

[model]
model_type = "DeterministicMLP"
layers = 2
activation = "ReLU"
"""


def write(parent: Path) -> Path:
    """Make `experiments/` with one config; what is there already is left alone.

    Raises:
        UsageError: there is a workspace already.
    """
    root = parent / "experiments"
    if (root / "configs").exists():
        raise UsageError(f"{root} is a workspace already", "See what it holds with: exptui ls configs")
    for name in ("configs", "results", "archive"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "exptui.toml").write_text(SETTINGS)
    (root / "configs/first.toml").write_text(FIRST_CONFIG)
    return root
