"""Files of `torch.save`: a zip file with one pickle, and a member for the bytes of each storage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from exptui.core.tensors.contents import Contents, NotRead, Tensor
from exptui.core.tensors.pickled import FLAT, SIZES, Machine, Name, Table, View
from exptui.core.tensors.zipped import Zip

MAX_PICKLE = 32 << 20
MAX_LEAVES = 1_000_000
MAX_DEPTH, MAX_NAME, MAX_TEXT = 64, 2000, 200
SHARED = 4  # times the file's size, and some more, that all tensors together may come to
FLOATS = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "bfloat16",
    "complex64": "<f4",
    "complex128": "<f8",
}


def pickle_of(found: Zip) -> str:
    """The member that makes a zip file one of PyTorch's; empty where there is none."""
    names = [name for name in found.members if name.endswith("/data.pkl") and name.count("/") == 1]
    return names[0] if len(names) == 1 else ""


def read(found: Zip, pickle: str) -> Contents:
    """All tensors in it by the keys that lead there, and the other values as text.

    Raises:
        NotRead: it holds something else besides, or is damaged.
    """
    folder = pickle.removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in found.members and found.read(order, 16) != b"little":
        raise NotRead("its bytes are in another order")
    value = Machine().run(found.read(pickle, MAX_PICKLE))
    tensors: dict[str, Tensor] = {}
    other: dict[str, str] = {}
    covered: dict[str, list[tuple[int, int]]] = {}
    for name, leaf in _leaves(value):
        if isinstance(leaf, View):
            if name in tensors:
                raise NotRead(f"two tensors in it are named {name}")
            tensors[name] = _placed(found, folder, leaf)
            begin = leaf.offset * SIZES[leaf.dtype]
            covered.setdefault(leaf.storage.key, []).append((begin, begin + tensors[name].size))
        else:
            other[name] = str(leaf)[:MAX_TEXT]
    if sum(tensor.size for tensor in tensors.values()) > SHARED * found.size + (1 << 20):
        raise NotRead("its tensors share their bytes too often")
    return Contents("PyTorch", tensors, found.size - sum(map(_covered, covered.values())), other)


def _covered(parts: list[tuple[int, int]]) -> int:
    """How many bytes of a storage lie in any of its tensors."""
    total = upto = 0
    for begin, end in sorted(parts):
        total += max(0, end - max(begin, upto))
        upto = max(upto, end)
    return total


def _placed(found: Zip, folder: str, view: View) -> Tensor:
    """A tensor with its bytes: all from its first element to its last."""
    storage, each = view.storage, SIZES[view.dtype]
    member = found.members.get(f"{folder}data/{storage.key}")
    size = storage.count * (SIZES[storage.dtype] if storage.dtype else 1)
    if member is None or member.packed or member.size != size:
        raise NotRead("a storage in it is missing, packed, or not as long as it says")
    ordered, step = True, 1
    for length, stride in zip(reversed(view.shape), reversed(view.stride), strict=True):
        ordered, step = ordered and (length <= 1 or stride == step), step * max(length, 1)
    return Tensor(
        view.dtype,
        view.shape,
        view.span * each,
        found.blocks(member, view.offset * each, view.span * each),
        "" if ordered or not view.span else f" in steps of {list(view.stride)}",
        FLOATS.get(view.dtype, ""),
    )


def _leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """Every tensor and every plain value, by the keys that lead there."""
    open_: list[tuple[str, Any, tuple[int, ...]]] = [("", value, ())]
    seen = 0
    while open_:
        name, one, above = open_.pop()
        seen += 1
        if (
            seen + len(open_) > MAX_LEAVES
            or len(name) > MAX_NAME
            or len(above) > MAX_DEPTH
            or id(one) in above
        ):
            raise NotRead("it is nested too deeply, or in itself")
        inside: list[tuple[str, Any]] = []
        match one:
            case dict():
                inside = [(_key(name, key), item) for key, item in one.items()]
                state = one.state if isinstance(one, Table) else None
                if isinstance(state, dict):
                    inside += [(_key(name, key), item) for key, item in state.items()]
            case list() | tuple():
                inside = [(f"{name}[{at}]", item) for at, item in enumerate(one)]
            case View():
                yield name or "tensor", one
            case Name():
                yield name, one.text.replace(" ", ".")
            case _ if isinstance(one, FLAT):
                yield name, one
            case _:
                raise NotRead("it holds a storage, or a part of a pickle, by itself")
        open_ += [(below, item, (*above, id(one))) for below, item in reversed(inside)]


def _key(name: str, key: object) -> str:
    if isinstance(key, str):
        return f"{name}.{key}" if name else key
    return f"{name}[{key}]"
