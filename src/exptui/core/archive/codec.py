"""Deflate: isal (igzip) where it is installed, zlib where not. Each reads what the other wrote."""

from __future__ import annotations

import zlib
from contextlib import suppress
from types import ModuleType
from typing import Protocol

COMPRESSOR, _LEVEL = "zlib", 6
_codec: ModuleType = zlib
with suppress(ImportError):
    from isal import isal_zlib

    COMPRESSOR, _LEVEL = "isal", 1  # levels 0 to 2 give the same bytes on every CPU, level 3 does not
    _codec = isal_zlib

DeflateError: type[Exception] = _codec.error
"""Raised by `Inflater.decompress` for damaged data."""


class Inflater(Protocol):
    """A zlib decompression object."""

    unused_data: bytes
    unconsumed_tail: bytes
    eof: bool

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most so many bytes of output."""


def deflate(data: memoryview) -> bytes:
    """Raw deflate of a piece on its own: it refers to nothing before it and ends on a whole byte."""
    one = _codec.compressobj(_LEVEL, _codec.DEFLATED, -15)
    return b"".join((one.compress(data), one.flush(_codec.Z_SYNC_FLUSH)))


def crc32(data: bytes | memoryview, value: int) -> int:
    """The checksum of gzip, continued."""
    return int(_codec.crc32(data, value))


def inflater() -> Inflater:
    """For one gzip member."""
    made: Inflater = _codec.decompressobj(31)
    return made
