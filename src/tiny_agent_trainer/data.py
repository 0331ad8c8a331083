"""The bundled digits: 1797 images of 8 × 8 pixels, split by position."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from tiny_agent_trainer.exact import Floats, Integers

TRAIN_ROWS = 1437
ROWS = 1797
PIXELS = 64
CLASSES = 10


@dataclass(frozen=True, slots=True)
class Split:
    """Images (rows, 64) in [0, 1] as float32, and their labels (rows,) as int64."""

    images: Floats
    labels: Integers


def load_digits() -> tuple[Split, Split]:
    """Return the training split (first 1437 rows) and the validation split (last 360)."""
    packed = files("tiny_agent_trainer").joinpath("data/digits.csv.gz").read_bytes()
    lines = gzip.decompress(packed).decode("ascii").split()
    table = np.array([[int(cell) for cell in line.split(",")] for line in lines], dtype=np.int64)
    if table.shape != (ROWS, PIXELS + 1):
        raise ValueError(f"digits.csv.gz has shape {table.shape}; reinstall the package")
    images = table[:, :PIXELS].astype(np.float32) / np.float32(16.0)
    labels = np.ascontiguousarray(table[:, PIXELS])
    return Split(images[:TRAIN_ROWS], labels[:TRAIN_ROWS]), Split(images[TRAIN_ROWS:], labels[TRAIN_ROWS:])
