"""Read an archive front to back; nothing in it is trusted."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from exptui.core.archive.manifest import MAX_MANIFEST, NAME, FileEntry, OnBytes, decode
from exptui.core.archive.tarball import RECORD, end, header
from exptui.core.errors import CorruptError
from exptui.core.files import BLOCK, Cancel, storage_errors

_MAX_PAX = 16 << 10
_DAMAGED = "Restore it from another copy; `check --read-data` says the same of the rest."


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
        with storage_errors("read the archive"):
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
        self._expect(bytes(end(self._length)), "more members than the manifest lists, or a bad end")
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
