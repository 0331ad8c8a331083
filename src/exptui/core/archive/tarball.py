"""The tar.gz: written so that equal runs give equal bytes, read so that nothing is trusted.

The uncompressed tar is a function of its manifest and the files: the reader therefore *computes* each header
it expects and compares bytes. Whatever else is there (links, devices, duplicates, another order) differs.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from exptui.core.archive.manifest import (
    NAME,
    FileEntry,
    Manifest,
    OnBytes,
    open_source,
)
from exptui.core.errors import ArchiveError
from exptui.core.files import BLOCK, Cancel, storage_errors

RECORD = 512
LEVEL = 6
_OCTAL_LIMIT = 1 << 33


@dataclass(frozen=True, slots=True)
class Packed:
    """What was written: identity is the SHA-256 of the uncompressed tar."""

    identity: str
    gz_sha256: str
    gz_size: int


def header(name: str, size: int) -> bytes:
    """The one header of a regular file; a pax record before it where the plain one cannot say it."""
    raw = name.encode()
    records: list[bytes] = []
    if len(raw) > 100 or not name.isascii():
        records.append(_pax(b"path", raw))
    if size >= _OCTAL_LIMIT:
        records.append(_pax(b"size", str(size).encode()))
    out = b""
    if records:
        body = b"".join(records)
        out = _block(b"././@PaxHeader", len(body), b"x") + body + bytes(-len(body) % RECORD)
    plain = name.encode("ascii", "replace")[:100]
    return out + _block(plain, size if size < _OCTAL_LIMIT else 0, b"0")


def _pax(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _block(name: bytes, size: int, kind: bytes) -> bytes:
    block = bytearray(
        name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"%011o\0" % 0
        + b" " * 8 + kind + bytes(100) + b"ustar\x0000" + bytes(247)
    )  # fmt: skip
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def end(length: int) -> int:
    """How many zero bytes close a tar of this length: two blocks, then up to a full record of 20."""
    return 2 * RECORD + -(length + 2 * RECORD) % (20 * RECORD)


class _Writer:
    """Compress into a file; hash both sides."""

    def __init__(self, out: BinaryIO) -> None:
        self.out = out
        self.tar, self.gz = hashlib.sha256(), hashlib.sha256()
        self.length = self.size = self._crc = 0
        self._deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -15)
        self._emit(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")

    def _emit(self, data: bytes) -> None:
        self.out.write(data)
        self.gz.update(data)
        self.size += len(data)

    def write(self, data: bytes) -> None:
        self.tar.update(data)
        self._crc = zlib.crc32(data, self._crc)
        self.length += len(data)
        self._emit(self._deflate.compress(data))

    def close(self) -> None:
        self.write(bytes(end(self.length)))
        tail = self._crc.to_bytes(4, "little") + (self.length & 0xFFFFFFFF).to_bytes(4, "little")
        self._emit(self._deflate.flush() + tail)


def pack(
    run_dir: Path,
    manifest_bytes: bytes,
    manifest: Manifest,
    out_path: Path,
    on_bytes: OnBytes | None = None,
    cancel: Cancel | None = None,
) -> Packed:
    """Write the archive of a run to `out_path`, fsynced.

    Raises:
        ArchiveError: a file is not what the manifest says any more; it is named.
        StorageError, Cancelled: `out_path` is then unfinished and for the caller to remove.
    """
    with storage_errors("write the archive"):
        root = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with out_path.open("wb") as out:
                writer = _Writer(out)
                writer.write(header(f"{manifest.run_id}/{NAME}", len(manifest_bytes)))
                writer.write(manifest_bytes + bytes(-len(manifest_bytes) % RECORD))
                for entry in manifest.files:
                    writer.write(header(f"{manifest.run_id}/{entry.path}", entry.size))
                    _copy(root, entry, writer, on_bytes, cancel)
                writer.close()
                out.flush()
                os.fsync(out.fileno())
        finally:
            os.close(root)
    return Packed(writer.tar.hexdigest(), writer.gz.hexdigest(), writer.size)


def _copy(
    root: int, entry: FileEntry, writer: _Writer, on_bytes: OnBytes | None, cancel: Cancel | None
) -> None:
    digest, left = hashlib.sha256(), entry.size
    with open(open_source(root, entry.path), "rb", buffering=0) as file:  # noqa: PTH123
        while block := file.read(BLOCK):
            if cancel is not None:
                cancel.check()
            left -= len(block)
            if left < 0:
                break
            digest.update(block)
            writer.write(block)
            if on_bytes is not None:
                on_bytes(len(block))
    if left or digest.hexdigest() != entry.sha256:
        raise ArchiveError(
            f"{entry.path} changed while it was being archived",
            "Wait until nothing writes to it, then retry.",
        )
    writer.write(bytes(-entry.size % RECORD))
