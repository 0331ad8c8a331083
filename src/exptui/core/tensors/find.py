"""Which kind of file it is, from what is in it."""

from __future__ import annotations

from pathlib import Path

from exptui.core.tensors import npy, safetensors, torch
from exptui.core.tensors.contents import Contents, NotRead
from exptui.core.tensors.zipped import Zip

OTHER = "neither safetensors, npz, npy nor a zip file of PyTorch"


def read(path: Path) -> Contents:
    """What a file of tensors holds.

    Raises:
        NotRead: it is none that is known, damaged, holds anything else that is not plain data, or no tensor at all.
        OSError: it cannot be read.
    """
    found = _read(path)
    if not any(tensor.size for tensor in found.tensors.values()):
        raise NotRead("it holds no tensor that is not empty")
    return found


def _read(path: Path) -> Contents:
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(b"PK\3\4"):
        found = Zip.open(path)
        pickle = torch.pickle_of(found)
        return torch.read(found, pickle) if pickle else npy.read_zip(found)
    if head.startswith(npy.MAGIC):
        return npy.read(path)
    if head[8:] == b"{":
        return safetensors.read(path)
    raise NotRead(OTHER)
