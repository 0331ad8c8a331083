"""Checkpoints: one file that depends on the run's state alone.

Layout: the magic (8 bytes), the header's length (8 bytes, little-endian), the header (canonical JSON:
epoch, config digest, generator state, optimizer powers, curves, array table), each array's raw
little-endian float32 in table order, and the SHA-256 of all that came before (32 bytes).
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiny_agent_trainer.config import TrainerError
from tiny_agent_trainer.exact import Floats

MAGIC = b"TATCKPT1"
_DIGEST = 32
_HINT = "take an earlier checkpoint"


@dataclass(slots=True)
class Checkpoint:
    """A run's whole state after `epoch`; `arrays` is keyed by name, each (rows, columns) float32."""

    epoch: int
    config_digest: str
    generator: tuple[int, int]
    powers: tuple[float, float]
    curves: dict[str, list[float]]
    arrays: dict[str, Floats]


def encode(state: Checkpoint) -> bytes:
    """The file's bytes; equal states give equal bytes."""
    header = {
        "epoch": state.epoch,
        "config_sha256": state.config_digest,
        "generator": {"name": "PCG64", "state": str(state.generator[0]), "inc": str(state.generator[1])},
        "powers": [value.hex() for value in state.powers],
        "curves": state.curves,
        "arrays": [[name, list(array.shape)] for name, array in state.arrays.items()],
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=True).encode("ascii")
    parts = [MAGIC, len(text).to_bytes(8, "little"), text]
    parts += [array.astype("<f4").tobytes() for array in state.arrays.values()]
    body = b"".join(parts)
    return body + hashlib.sha256(body).digest()


def _decode_body(body: bytes) -> Checkpoint:
    start = len(MAGIC) + 8
    length = int.from_bytes(body[len(MAGIC) : start], "little")
    header = json.loads(body[start : start + length])
    offset = start + length
    arrays: dict[str, Floats] = {}
    for name, shape in header["arrays"]:
        rows, cols = (int(size) for size in shape)
        size = rows * cols
        flat = np.frombuffer(body, dtype="<f4", count=size, offset=offset)
        arrays[str(name)] = flat.astype(np.float32).reshape(rows, cols)
        offset += 4 * size
    if offset != len(body):
        raise ValueError("the arrays do not fill the file")
    generator = header["generator"]
    first, second = (float.fromhex(value) for value in header["powers"])
    return Checkpoint(
        epoch=int(header["epoch"]),
        config_digest=str(header["config_sha256"]),
        generator=(int(generator["state"]), int(generator["inc"])),
        powers=(first, second),
        curves={str(name): [float(v) for v in values] for name, values in header["curves"].items()},
        arrays=arrays,
    )


def decode(content: bytes, label: str) -> Checkpoint:
    """Check and read a file's bytes; `label` names it in errors."""
    if not content.startswith(MAGIC):
        raise TrainerError(f"{label} is not a checkpoint of this trainer; {_HINT}")
    body, digest = content[:-_DIGEST], content[-_DIGEST:]
    if len(content) < len(MAGIC) + 8 + _DIGEST or hashlib.sha256(body).digest() != digest:
        raise TrainerError(f"{label} is damaged: its SHA-256 does not match; {_HINT}")
    try:
        return _decode_body(body)
    except (ValueError, KeyError, TypeError) as error:
        raise TrainerError(f"{label} is damaged: {error}; {_HINT}") from error


def load(path: Path) -> tuple[Checkpoint, str]:
    """Read the checkpoint at `path`; returns it and the SHA-256 of the file, in hex."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TrainerError(f"cannot read {path}: {error.strerror}; check --resume") from error
    return decode(content, path.name), hashlib.sha256(content).hexdigest()


def write_atomic(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a crash leaves the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
