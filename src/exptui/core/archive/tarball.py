"""The tar.gz: written so that equal runs give equal bytes, read so that nothing is trusted.

The uncompressed tar is a function of its manifest and the files: the reader therefore *computes* each header
it expects and compares bytes. Whatever else is there (links, devices, duplicates, another order) differs.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
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
    """An archive as it was read back: identity is the SHA-256 of the uncompressed tar."""

    identity: str
    gz_sha256: str
    gz_crc32: int
    gz_size: int


def header(name: str, size: int, *, mode: int = 0o644, link: str = "") -> bytes:
    """The one header of a regular file, or of a symbolic link; a pax record before it where the plain one cannot say it."""
    records: list[bytes] = []
    for key, text in ((b"path", name), (b"linkpath", link)):
        if len(raw := text.encode()) > 100 or not text.isascii():
            records.append(_pax(key, raw))
    if size >= _OCTAL_LIMIT:
        records.append(_pax(b"size", str(size).encode()))
    out = b""
    if records:
        body = b"".join(records)
        out = _block(b"././@PaxHeader", len(body), b"x") + body + bytes(-len(body) % RECORD)
    plain, target = (text.encode("ascii", "replace")[:100] for text in (name, link))
    kind = b"2" if link else b"0"
    return out + _block(plain, size if size < _OCTAL_LIMIT else 0, kind, mode, target)


def header_size(name: str, size: int) -> int:
    """The length of `header(name, size)`."""
    plain = len(name) <= 100 and name.isascii() and size < _OCTAL_LIMIT
    return RECORD if plain else len(header(name, size))


def _pax(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _block(name: bytes, size: int, kind: bytes, mode: int = 0o644, link: bytes = b"") -> bytes:
    block = bytearray(
        name.ljust(100, b"\0") + b"%07o\0" % mode + b"0000000\0" * 2 + b"%011o\0" % size + b"%011o\0" % 0
        + b" " * 8 + kind + link.ljust(100, b"\0") + b"ustar\x0000" + bytes(247)
    )  # fmt: skip
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def end(length: int) -> int:
    """How many zero bytes close a tar of this length: two blocks, then up to a full record of 20."""
    return 2 * RECORD + -(length + 2 * RECORD) % (20 * RECORD)


class _Writer:
    """Cut a tar into pieces: threads compress them, this one alone reads and writes.

    Nothing is hashed here. The read-back compares what came to the disk with the digests of the hash pass, which
    covers this pass too: a file that changed meanwhile, or was compressed wrongly, differs there.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.crc32 = self.size = self._length = self._tar_crc32 = 0
        self._pool = ThreadPoolExecutor(workers())
        self._sent: deque[tuple[bytearray, Future[bytes]]] = deque()
        self._spare = [bytearray(CUT) for _ in range(2 * workers() + 1)]
        self._start()
        self._emit(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

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

    def took(self, count: int) -> None:
        """So many bytes were put into `room()`."""
        self._filled += count
        if self._filled == CUT:
            self._send()

    def close(self) -> None:
        """End the tar and the gzip stream."""
        self.write(bytes(end(self._length + self._filled)))
        self._send()
        while self._sent:
            self._collect()
        tail = self._tar_crc32.to_bytes(4, "little") + (self._length & 0xFFFFFFFF).to_bytes(4, "little")
        self._emit(b"\1\0\0\xff\xff" + tail)  # an empty last block

    def _start(self) -> None:
        self._block, self._filled = self._spare.pop(), 0
        self._view = memoryview(self._block)

    def _send(self) -> None:
        data = self._view[: self._filled]
        self._sent.append((self._block, self._pool.submit(codec.deflate, data)))
        self._tar_crc32 = codec.crc32(data, self._tar_crc32)
        self._length += len(data)
        while not self._spare:
            self._collect()
        self._start()

    def _collect(self) -> None:
        """Write the oldest piece that was sent."""
        block, deflated = self._sent.popleft()
        self._emit(deflated.result())
        self._spare.append(block)

    def _emit(self, data: bytes) -> None:
        self._out.write(data)
        self.crc32 = codec.crc32(data, self.crc32)
        self.size += len(data)


def pack(
    run_dir: Path,
    manifest_bytes: bytes,
    manifest: Manifest,
    out_path: Path,
    on_bytes: OnBytes | None = None,
    cancel: Cancel | None = None,
) -> tuple[int, int]:
    """Write the archive of a run to `out_path`, fsynced; returns the CRC-32 and the size of the .gz.

    Raises:
        ArchiveError: a file has not the size that the manifest says; it is named.
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
                writer.close()
                out.flush()
                os.fsync(out.fileno())
        finally:
            os.close(root)
    return writer.crc32, writer.size


def _copy(
    root: int, entry: FileEntry, writer: _Writer, on_bytes: OnBytes | None, cancel: Cancel | None
) -> None:
    left = entry.size
    with open(open_source(root, entry.path), "rb", buffering=0) as file:  # noqa: PTH123
        while left and (count := file.readinto(writer.room()[:left])):
            if cancel is not None:
                cancel.check()
            left -= count
            writer.took(count)
            if on_bytes is not None:
                on_bytes(count)
        if left or file.read(1):
            raise changed(entry.path)
    writer.write(bytes(-entry.size % RECORD))


def changed(path: str) -> ArchiveError:
    """The error for a file that is not what the hash pass saw."""
    return ArchiveError(
        f"{path} changed while it was being archived", "Wait until nothing writes to it, then retry."
    )
