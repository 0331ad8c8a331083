"""The tar.gz: written so that equal runs give equal bytes, read so that nothing is trusted.

The uncompressed tar is a function of its manifest and the files: the reader therefore *computes* each header
it expects and compares bytes. Whatever else is there (links, devices, duplicates, another order) differs.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from exptui.core.archive.manifest import (
    MAX_MANIFEST,
    NAME,
    FileEntry,
    Manifest,
    OnBytes,
    decode,
    open_source,
)
from exptui.core.errors import ArchiveError, CorruptError
from exptui.core.files import BLOCK, Cancel, storage_errors

RECORD = 512
LEVEL = 6
_MAX_PAX = 16 << 10
_OCTAL_LIMIT = 1 << 33
_DAMAGED = "Restore it from another copy; `check --read-data` says the same of the rest."


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
        + b" " * 8 + kind + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
    )  # fmt: skip
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _end(length: int) -> int:
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
        self.write(bytes(_end(self.length)))
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


class Reader:
    """Read an archive front to back, verifying every byte. `manifest` is there from the start.

    Raises CorruptError from every method for anything that `pack` would not have written.
    `identity`, `gz_sha256` and `gz_size` are valid once `members()` is exhausted.
    """

    def __init__(self, path: Path, on_bytes: OnBytes | None = None, cancel: Cancel | None = None) -> None:
        self.path = path
        self._on_bytes, self._cancel = on_bytes, cancel
        self._tar, self._gz = hashlib.sha256(), hashlib.sha256()
        self._length = self.gz_size = 0
        self._inflate = zlib.decompressobj(31)
        with storage_errors("open the archive"):
            self._file = path.open("rb")
        try:
            self.manifest_bytes = self._first()
            self.manifest = decode(self.manifest_bytes)
            self._check_first()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def identity(self) -> str:
        """SHA-256 of the uncompressed tar."""
        return self._tar.hexdigest()

    @property
    def gz_sha256(self) -> str:
        """SHA-256 of the file as it is on disk."""
        return self._gz.hexdigest()

    def meter(self, on_bytes: OnBytes | None, cancel: Cancel | None) -> None:
        """Who is told of each block of `members()`, once the manifest has said how many there are."""
        self._on_bytes, self._cancel = on_bytes, cancel

    def corrupt(self, what: str) -> CorruptError:
        """The error to raise for this archive."""
        return CorruptError(f"{self.path.name}: {what}", _DAMAGED)

    def members(self) -> Iterator[tuple[FileEntry, Iterator[bytes]]]:
        """Each file with its blocks; the digest is checked when the blocks are exhausted."""
        for entry in self.manifest.files:
            expected = header(f"{self.manifest.run_id}/{entry.path}", entry.size)
            self._expect(expected, f"expected {entry.path} with {entry.size} bytes")
            blocks = self._blocks(entry)
            yield entry, blocks
            for _ in blocks:
                pass
            self._expect(bytes(-entry.size % RECORD), f"bad padding after {entry.path}")
        self._expect(bytes(_end(self._length)), "more members than the manifest lists, or a bad end")
        if self._some(1):
            raise self.corrupt("data after the end of the tar")
        if not self._inflate.eof:
            raise self.corrupt("the compressed data is cut off")

    def verify(self) -> None:
        """Read everything and keep nothing."""
        for _ in self.members():
            pass

    def _blocks(self, entry: FileEntry) -> Iterator[bytes]:
        digest, left = hashlib.sha256(), entry.size
        while left:
            if self._cancel is not None:
                self._cancel.check()
            block = self._some(min(left, BLOCK))
            if not block:
                raise self.corrupt(f"cut off inside {entry.path}")
            digest.update(block)
            left -= len(block)
            if self._on_bytes is not None:
                self._on_bytes(len(block))
            yield block
        if digest.hexdigest() != entry.sha256:
            raise self.corrupt(f"{entry.path} is not the file that was sealed")

    def _first(self) -> bytes:
        """Member 1, whose name and size only the archive itself can say; checked once it is decoded."""
        self._head = self._exactly(RECORD)
        size = self._octal(self._head)
        if self._head[156:157] == b"x":
            if size > _MAX_PAX:
                raise self.corrupt("an oversized pax header")
            self._head += self._exactly(size + -size % RECORD) + self._exactly(RECORD)
            size = self._octal(self._head[-RECORD:])
        if size > MAX_MANIFEST or self._head[-RECORD:][156:157] != b"0":
            raise self.corrupt("its first member is not a manifest")
        data = self._exactly(size)
        self._expect(bytes(-size % RECORD), "bad padding after the manifest")
        return data

    def _check_first(self) -> None:
        if self._head != header(f"{self.manifest.run_id}/{NAME}", len(self.manifest_bytes)):
            raise self.corrupt("its first member is not the manifest of that run")

    def _octal(self, block: bytes) -> int:
        try:
            return int(block[124:135].decode("ascii"), 8)
        except ValueError as error:
            raise self.corrupt("not a tar that exptui wrote") from error

    def _expect(self, expected: bytes, what: str) -> None:
        if self._exactly(len(expected)) != expected:
            raise self.corrupt(what)

    def _exactly(self, size: int) -> bytes:
        out = bytearray()
        while len(out) < size:
            block = self._some(min(size - len(out), BLOCK))
            if not block:
                raise self.corrupt("it is cut off")
            out += block
        return bytes(out)

    def _some(self, limit: int) -> bytes:
        """Up to `limit` bytes of the tar; empty only at its end."""
        with storage_errors("read the archive"):
            while True:
                try:
                    feed = self._inflate.unconsumed_tail or (b"" if self._inflate.eof else self._raw())
                    ended = not feed
                    data = b"" if self._inflate.eof else self._inflate.decompress(feed, limit)
                except zlib.error as error:
                    raise self.corrupt(f"the compressed data is damaged ({error})") from error
                if data:
                    self._tar.update(data)
                    self._length += len(data)
                    return data
                if self._inflate.eof:
                    if self._inflate.unused_data or self._raw():
                        raise self.corrupt("data after the end of the gzip stream")
                    return b""
                if ended:
                    raise self.corrupt("the compressed data is cut off")

    def _raw(self) -> bytes:
        block = self._file.read(1 << 16)
        self._gz.update(block)
        self.gz_size += len(block)
        return block
