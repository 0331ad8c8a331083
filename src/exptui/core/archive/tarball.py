"""The tar.gz: written so that equal runs give equal bytes, read so that nothing is trusted.

The uncompressed tar is a function of its manifest and the files: the reader therefore *computes* each header
it expects and compares bytes. Whatever else is there (links, devices, duplicates, another order) differs.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from exptui.core.archive import codec
from exptui.core.archive.manifest import (
    NAME,
    FileEntry,
    Manifest,
    OnBytes,
    open_source,
    workers,
)
from exptui.core.errors import ArchiveError
from exptui.core.files import Cancel, storage_errors

RECORD = 512
CUT = 1 << 19  # the tar is compressed in independent pieces of this size: the .gz is a function of the tar
_OCTAL_LIMIT = 1 << 33


@dataclass(frozen=True, slots=True)
class Packed:
    """What was written. Its identity is the SHA-256 of the uncompressed tar, which the read-back computes."""

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


def header_size(name: str, size: int) -> int:
    """The length of `header(name, size)`."""
    plain = len(name) <= 100 and name.isascii() and size < _OCTAL_LIMIT
    return RECORD if plain else len(header(name, size))


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


class _File:
    """A file on its way into the tar, hashed once more."""

    def __init__(self, entry: FileEntry) -> None:
        self._digest, self._entry = hashlib.sha256(), entry
        self.update = self._digest.update

    def compare(self) -> None:
        if self._digest.hexdigest() != self._entry.sha256:
            raise self.changed()

    def changed(self) -> ArchiveError:
        return ArchiveError(
            f"{self._entry.path} changed while it was being archived",
            "Wait until nothing writes to it, then retry.",
        )


class _Writer:
    """Cut a tar into pieces; some threads compress them and one hashes, this one alone reads and writes.

    The hashing thread compares each file with the manifest. It leaves the tar itself to the read-back, which has
    a core to spare and has to hash what the disk gives anyway.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._size = out, 0
        self._length = self._crc = 0
        self._gz = hashlib.sha256()
        self._pool, self._hashing = ThreadPoolExecutor(workers()), ThreadPoolExecutor(1)
        self._sent: deque[tuple[bytearray, Future[None], Future[bytes]]] = deque()
        self._spare = [bytearray(CUT) for _ in range(2 * workers() + 2)]
        self._start()
        self._emit(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in (self._pool, self._hashing):
            pool.shutdown(cancel_futures=True)

    def write(self, data: bytes) -> None:
        """Append to the tar."""
        view = memoryview(data)
        while view:
            part = view[: len(self.room())]
            self.room()[: len(part)] = part
            self.took(len(part))
            view = view[len(part) :]

    def room(self) -> memoryview:
        """Where the next bytes of the tar may be put, never empty; `took` says how many were."""
        return self._view[self._filled :]

    def took(self, count: int, file: _File | None = None) -> None:
        """So many bytes were put into `room()`, of that file if any."""
        if file is not None:
            self._checks.append(partial(file.update, self._view[self._filled : self._filled + count]))
        self._filled += count
        self._length += count
        if self._filled == CUT:
            self._send()

    def end(self, file: _File) -> None:
        """All of that file was put."""
        self._checks.append(file.compare)

    def close(self) -> Packed:
        """End the tar and the gzip stream.

        Raises:
            ArchiveError: a file was not what the manifest says.
        """
        self.write(bytes(end(self._length)))
        self._send()
        while self._sent:
            self._collect()
        tail = self._crc.to_bytes(4, "little") + (self._length & 0xFFFFFFFF).to_bytes(4, "little")
        self._emit(b"\1\0\0\xff\xff" + tail)  # an empty last block
        return Packed(self._hashing.submit(self._gz.hexdigest).result(), self._size)

    def _start(self) -> None:
        self._block, self._filled = self._spare.pop(), 0
        self._view = memoryview(self._block)
        self._checks: list[Callable[[], None]] = []

    def _send(self) -> None:
        data = self._view[: self._filled]
        hashed = self._hashing.submit(self._hash, data, self._checks)
        self._sent.append((self._block, hashed, self._pool.submit(codec.deflate, data)))
        while not self._spare:
            self._collect()
        self._start()

    def _hash(self, data: memoryview, checks: list[Callable[[], None]]) -> None:
        self._crc = codec.crc32(data, self._crc)
        for check in checks:
            check()

    def _collect(self) -> None:
        """Write the oldest piece that was sent."""
        block, hashed, deflated = self._sent.popleft()
        hashed.result()
        self._emit(deflated.result())
        self._spare.append(block)

    def _emit(self, data: bytes) -> None:
        self._out.write(data)
        self._size += len(data)
        self._hashing.submit(self._gz.update, data)


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
            with out_path.open("wb") as out, _Writer(out) as writer:
                writer.write(header(f"{manifest.run_id}/{NAME}", len(manifest_bytes)))
                writer.write(manifest_bytes + bytes(-len(manifest_bytes) % RECORD))
                for entry in manifest.files:
                    writer.write(header(f"{manifest.run_id}/{entry.path}", entry.size))
                    _copy(root, entry, writer, on_bytes, cancel)
                packed = writer.close()
                out.flush()
                os.fsync(out.fileno())
        finally:
            os.close(root)
    return packed


def _copy(
    root: int, entry: FileEntry, writer: _Writer, on_bytes: OnBytes | None, cancel: Cancel | None
) -> None:
    packing, left = _File(entry), entry.size
    with open(open_source(root, entry.path), "rb", buffering=0) as file:  # noqa: PTH123
        while left and (count := file.readinto(writer.room()[:left])):
            if cancel is not None:
                cancel.check()
            left -= count
            writer.took(count, packing)
            if on_bytes is not None:
                on_bytes(count)
        if file.read(1):
            raise packing.changed()
    writer.end(packing)
    writer.write(bytes(-entry.size % RECORD))
