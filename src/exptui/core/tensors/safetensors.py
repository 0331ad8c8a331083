"""Files of safetensors: a header in JSON, then the bytes of all tensors, each once and without a gap."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exptui.core.tensors.contents import Contents, NotRead, Tensor, elements, stretch

MAX_HEADER = 32 << 20
SIZES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 1),
}
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bfloat16", "C64": "<f4"}


def read(path: Path) -> Contents:
    """All tensors of a file.

    Raises:
        NotRead: it is none, or is damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(size - 8, MAX_HEADER):
            raise NotRead(f"its header of {length:,} bytes is too large, or it is cut off")
        header = _header(file.read(length))
    about = header.pop("__metadata__", {})
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise NotRead("its metadata are no texts")
    data = 8 + length
    tensors, places = {}, [(size - data, 0)]  # of a tensor behind the last one
    for name, one in header.items():
        tensors[name], begin = _tensor(path, data, one)
        places.append((begin, tensors[name].size))
    end = 0
    for begin, length in sorted(places):
        if begin != end:
            raise NotRead("its tensors overlap, have gaps, or are cut off")
        end += length
    return Contents("safetensors", tensors, data, {f"__metadata__.{key}": about[key] for key in about})


def _header(text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise NotRead("its header has a name twice")
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise NotRead(f"its header is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise NotRead("its header is no object")
    return found


def _tensor(path: Path, data: int, one: object) -> tuple[Tensor, int]:
    match one:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)], **more}:
            size = elements(shape) * SIZES.get(dtype, 0)
            if dtype in SIZES and not more and begin >= 0 and end - begin == size:
                blocks = stretch(path, data + begin, size)
                return Tensor(dtype, tuple(shape), size, blocks, floats=FLOATS.get(dtype, "")), begin
    raise NotRead("a tensor in its header is not described as it should be")
