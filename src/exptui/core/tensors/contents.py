"""What a file of tensors holds: names, types, shapes, and where their bytes are; nothing is loaded before it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from exptui.core.errors import ExptuiError

BLOCK = 1 << 20
MAX_DIMENSIONS = 64
MAX_SIZE = 1 << 60


class NotRead(ExptuiError):
    """A file whose tensors are not read: of another kind, damaged, or made to do harm. Its bytes count."""


@dataclass(frozen=True)
class Tensor:
    """One tensor. `layout`: how its elements lie in its bytes, where that is not in order.

    `floats`: the NumPy type of its elements, or of their parts, `bfloat16` besides; empty where none are floats.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int
    blocks: Callable[[], Iterator[bytes]] = field(compare=False)
    layout: str = ""
    floats: str = ""

    @property
    def kind(self) -> str:
        """Type and shape, as a person reads them."""
        return f"{self.dtype}{list(self.shape)}{self.layout}"


@dataclass(frozen=True)
class Contents:
    """A file. `other`: what it says besides, name → text; `metadata`: how many of its bytes are no tensor's."""

    format: str
    tensors: dict[str, Tensor]
    metadata: int
    other: dict[str, str] = field(default_factory=dict)


def elements(shape: Sequence[object]) -> int:
    """How many a shape has.

    Raises:
        NotRead: it is none.
    """
    whole = [one for one in shape if type(one) is int and 0 <= one < MAX_SIZE]
    if len(whole) < len(shape) or len(shape) > MAX_DIMENSIONS or prod(whole) >= MAX_SIZE:
        raise NotRead("a tensor has an impossible shape")
    return prod(whole)


def stretch(path: Path, offset: int, size: int) -> Callable[[], Iterator[bytes]]:
    """The bytes of a file from an offset on, a block at a time."""

    def blocks() -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(offset)
            left = size
            while left:
                block = file.read(min(left, BLOCK))
                if not block:
                    raise NotRead("it is shorter than it says")
                left -= len(block)
                yield block

    return blocks
