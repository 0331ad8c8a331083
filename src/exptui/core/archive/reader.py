"""Read an archive front to back; nothing in it is trusted."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from exptui.core.archive.codec import DeflateError, crc32, inflater
from exptui.core.archive.manifest import MAX_MANIFEST, NAME, FileEntry, OnBytes, decode
from exptui.core.archive.tarball import RECORD, end, header, header_size
from exptui.core.errors import CorruptError
from exptui.core.files import BLOCK, Cancel, open_regular, storage_errors

_MAX_PAX = 16 << 10
_MAX_RATIO = 1032  # deflate says at most 258 bytes in two bits
_RAW, _STEP, _BATCH, _AHEAD = 1 << 17, 1 << 17, 8, 3
_FORGET = 1 << 23
_FLAGS = 0xE2  # of the gzip header: reserved, or a checksum that nothing writes
_DAMAGED = "Restore it from another copy; `check --read-data` says the same of the rest."


class Damage(str):
    """Why what was read cannot be inflated; said when the reading comes to that place, not ahead of it."""

    __slots__ = ()


Piece = tuple[list[bytes], bytes | Damage]
"""What was read from the file, and what it inflated to."""


class Reader:
    """Read an archive front to back, verifying every byte. `manifest` is there from the start.

    Raises CorruptError from every method for anything that `pack` would not have written.
    One thread reads and inflates ahead, by a few blocks and never past the size that the manifest gives;
    the caller's hashes. With `cold` the bytes come from the disk rather than from the kernel's copy of what was just
    written, where the machine can do that.
    `identity` and everything of the .gz are valid once `members()` is exhausted.
    """

    def __init__(
        self, path: Path, on_bytes: OnBytes | None = None, cancel: Cancel | None = None, *, cold: bool = False
    ) -> None:
        self.path = path
        self._on_bytes, self._cancel = on_bytes, cancel
        self._tar, self._gz = hashlib.sha256(), hashlib.sha256()
        self._length = self.gz_size = self.gz_crc32 = 0
        self._chunk, self._at = b"", 0
        self._member = NAME
        self._pieces: deque[Piece] = deque()
        self._ahead: deque[Future[list[Piece]]] = deque()
        self._left = self._read = 0
        self._cold = cold and hasattr(os, "posix_fadvise")
        self._thread: ThreadPoolExecutor | None = None
        self._inflate = inflater()
        with storage_errors("open the archive"):
            self._file = open_regular(path)
        self._forget()
        try:
            self._check_flags()
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
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
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
        self._read_ahead()
        for entry in self.manifest.files:
            self._member = entry.path
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
        with storage_errors("read the archive"):
            size = os.fstat(self._file.fileno()).st_size
        if self.manifest.total_bytes > _MAX_RATIO * size:
            raise self.corrupt("its manifest claims more bytes than a file of its size can hold")

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
        if self._at == len(self._chunk):
            self._chunk, self._at = self._next(limit), 0
        data = self._chunk[self._at : self._at + limit]
        self._at += len(data)
        self._length += len(data)
        return data

    def _next(self, limit: int) -> bytes:
        """The next bytes of the tar; they and the bytes of the file that they come from are hashed here."""
        while self._ahead and not self._pieces:
            self._pieces.extend(self._ahead.popleft().result())
            self._prefetch()
        raws, data = self._pieces.popleft() if self._pieces else self._inflated(limit)
        if isinstance(data, Damage):
            raise self.corrupt(f"the compressed data is damaged at {self._member} ({data})")
        for raw in raws:
            self._gz.update(raw)
            self.gz_crc32 = crc32(raw, self.gz_crc32)
            self.gz_size += len(raw)
        self._tar.update(data)
        return data

    def _read_ahead(self) -> None:
        """From here on the length of the tar is known: it is inflated in a thread, before it is asked for."""
        names = ((f"{self.manifest.run_id}/{entry.path}", entry.size) for entry in self.manifest.files)
        rest = sum(header_size(name, size) + size + -size % RECORD for name, size in names)
        self._left = rest + end(self._length + rest)
        self._thread = ThreadPoolExecutor(1)
        self._prefetch()

    def _prefetch(self) -> None:
        while self._thread is not None and self._left and len(self._ahead) < _AHEAD:
            self._ahead.append(self._thread.submit(self._batch))

    def _batch(self) -> list[Piece]:
        pieces: list[Piece] = []
        while self._left and len(pieces) < _BATCH:
            pieces.append(self._inflated(min(self._left, _STEP)))
            if isinstance(data := pieces[-1][1], Damage):
                self._left = 0
            else:
                self._left -= len(data)
        return pieces

    def _inflated(self, limit: int) -> Piece:
        """Up to `limit` bytes of the tar; none only at its end."""
        raws: list[bytes] = []
        with storage_errors("read the archive"):
            while not self._inflate.eof:
                feed = self._inflate.unconsumed_tail
                if not feed:
                    raws.append(feed := self._raw())
                try:
                    data = self._inflate.decompress(feed, limit)
                except DeflateError as error:
                    return raws, Damage(str(error))
                if data:
                    return raws, data
                if not feed and not self._inflate.eof:
                    raise self.corrupt("the compressed data is cut off")
            raws.append(self._raw())
        if self._inflate.unused_data or raws[-1]:
            raise self.corrupt("data after the end of the gzip stream")
        return raws, b""

    def _raw(self) -> bytes:
        raw = self._file.read(_RAW)
        self._read += len(raw)
        if self._read % _FORGET == 0:  # at once, so that the kernel uses those pages again
            self._forget()
        return raw

    def _forget(self) -> None:
        if self._cold:
            with contextlib.suppress(OSError):  # a file system that cannot
                os.posix_fadvise(self._file.fileno(), 0, self._read, os.POSIX_FADV_DONTNEED)

    def _check_flags(self) -> None:
        with storage_errors("read the archive"):
            flags = self._file.peek(4)[3:4]
        if any(flag & _FLAGS for flag in flags):
            raise self.corrupt("its gzip header is damaged")
