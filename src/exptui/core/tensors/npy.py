"""NumPy's files: `.npy`, one array, and `.npz`, a zip file of them. Arrays of Python objects are not read."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from exptui.core.tensors.contents import BLOCK, Contents, NotRead, Tensor, elements, stretch
from exptui.core.tensors.zipped import Zip

MAGIC = b"\x93NUMPY"
MAX_HEADER = 10_000
_HEADER = re.compile(
    r"\{'descr': '([<>|=])([biufcSUmM?])(\d{1,9})(\[[^\]']{0,20}\])?', 'fortran_order': (True|False), "
    r"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18},?)?)\), \} *\n"
)


def read(path: Path) -> Contents:
    """An array of its own; it has no name."""
    size = path.stat().st_size
    tensor, skip = _array(size, next(stretch(path, 0, min(size, BLOCK))(), b""))
    return Contents("npy", {"array": replace(tensor, blocks=stretch(path, skip, tensor.size))}, skip)


def read_zip(found: Zip) -> Contents:
    """Arrays by name."""
    tensors, stored = {}, 0
    for name, member in found.members.items():
        if not name.endswith(".npy"):
            raise NotRead(f"{name} in it is no array")
        tensor, skip = _array(member.size, next(found.blocks(member)(), b""))
        blocks = found.blocks(member, skip, tensor.size)
        tensors[name.removesuffix(".npy")] = replace(tensor, blocks=blocks)
        stored += member.stored if member.packed else tensor.size
    return Contents("npz", tensors, found.size - stored)


def _array(size: int, start: bytes) -> tuple[Tensor, int]:
    """What the header of an array of `size` bytes says, without its bytes, and how long it is."""
    wide = 4 if start[6:7] in (b"\2", b"\3") else 2
    length = int.from_bytes(start[8 : 8 + wide], "little")
    if not start.startswith(MAGIC) or start[6:8] not in (b"\1\0", b"\2\0", b"\3\0") or length > MAX_HEADER:
        raise NotRead("an array has no header that is read")
    text = start[8 + wide : 8 + wide + length].decode(errors="replace")
    if not (match := _HEADER.fullmatch(text)):
        kind = "Python objects" if "'|O'" in text else "records, or something else that is not read"
        raise NotRead(f"an array is of {kind}")
    order, kind, width, unit, fortran, dimensions = match.groups()
    shape = tuple(int(one) for one in re.findall(r"\d+", dimensions))
    each = int(width) * (4 if kind == "U" else 1)
    if elements(shape) * each != size - 8 - wide - length:
        raise NotRead("an array is not as long as it says")
    floats = {"f": f"{order}f{each}", "c": f"{order}f{each // 2}"}.get(kind, "")
    return (
        Tensor(
            f"{order}{kind}{width}{unit or ''}",
            shape,
            elements(shape) * each,
            lambda: iter(()),
            " by columns" if fortran == "True" and len(shape) > 1 else "",
            floats if floats[1:] in ("f2", "f4", "f8") else "",
        ),
        8 + wide + length,
    )
