"""`code.tar`: written so that equal code gives equal bytes, read so that nothing in it is trusted.

An ordinary tar with nothing but files (0644 or 0755) and symbolic links that stay inside, in the order of their
bytes. The reader computes the header it expects from what a header says and compares bytes: whatever else there can
be in a tar (devices, hard links, owners, times, another order) differs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO, NamedTuple

from exptui.core.archive.manifest import collisions, open_below, path_problem
from exptui.core.archive.tarball import RECORD, end, header
from exptui.core.errors import CorruptError
from exptui.core.files import BLOCK, write_all

MOST_ENTRIES = 100_000
_MAX_PAX = 16 << 10
_HINT = "It is damaged or was made by something else; nothing of it was executed."


class Entry(NamedTuple):
    """One file, or one link where there is a target."""

    path: str
    size: int
    executable: bool
    link: str

    @property
    def header(self) -> bytes:
        """What stands before it in the tar."""
        mode = 0o777 if self.link else 0o755 if self.executable else 0o644
        return header(self.path, self.size, mode=mode, link=self.link)


def link_problem(path: str, target: str) -> str:
    """Why a symbolic link is left out; empty where it stays inside.

    Up is only allowed at its beginning: behind a name that is itself a link it would not be where it seems.
    """
    parts = target.split("/")
    up = len(list(takewhile(lambda part: part == "..", parts)))
    rest = [part for part in parts[up:] if part not in ("", ".")]
    if target.startswith("/") or ".." in rest or up > path.count("/"):
        return "a link to the outside"
    return path_problem("/".join(rest)) if rest else ""


class Writer:
    """Writes a tar and hashes it."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._digest, self.length = out, hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        """The next bytes."""
        self._out.write(data)
        self._digest.update(data)
        self.length += len(data)

    def close(self) -> str:
        """Write the end; returns the SHA-256 of all."""
        self.write(bytes(end(self.length)))
        return self._digest.hexdigest()


class Reader:
    """Reads a tar front to back; `digest` is that of its bytes, once `entries` is exhausted.

    Raises CorruptError for anything that `Writer` would not have written.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name, self._digest, self._length = file, name, hashlib.sha256(), 0

    @property
    def digest(self) -> str:
        """SHA-256 of what was read."""
        return self._digest.hexdigest()

    def entries(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Each entry with the blocks of its file."""
        before, seen = b"", 0
        while (entry := self._entry()) is not None:
            key = entry.path.encode()
            if problem := path_problem(entry.path):
                raise self.corrupt(f"{entry.path!r}: {problem}")
            if entry.link and (problem := link_problem(entry.path, entry.link)):
                raise self.corrupt(f"{entry.path!r} is {problem}")
            if (seen := seen + 1) > MOST_ENTRIES or (before and key <= before):
                raise self.corrupt("its files are too many, or not in order")
            before = key
            blocks = self._blocks(entry.size)
            yield entry, blocks
            for _ in blocks:
                pass
            if any(self._exactly(-entry.size % RECORD)):
                raise self.corrupt(f"bad padding after {entry.path!r}")

    def corrupt(self, what: str) -> CorruptError:
        """The error to raise for this tar."""
        return CorruptError(f"{self._name}: {what}", _HINT)

    def _blocks(self, left: int) -> Iterator[bytes]:
        while left:
            block = self._exactly(min(left, BLOCK))
            left -= len(block)
            yield block

    def _entry(self) -> Entry | None:
        at = self._length
        block = self._exactly(RECORD)
        if not any(block):
            if any(self._exactly(end(at) - RECORD)) or self._file.read(1):
                raise self.corrupt("a bad end")
            return None
        whole, records = block, dict[str, str]()
        try:
            if block[156:157] == b"x":
                size = int(block[124:135], 8)
                if not 0 <= size <= _MAX_PAX:
                    raise self.corrupt("an oversized header")
                body = self._exactly(size + -size % RECORD)
                records = _records(body[:size])
                block = self._exactly(RECORD)
                whole += body + block
            entry = Entry(
                records.get("path") or _text(block[:100]),
                int(block[124:135], 8),
                block[100:107] == b"0000755",
                (records.get("linkpath") or _text(block[157:257])) if block[156:157] == b"2" else "",
            )
            expected = entry.header
        except (ValueError, UnicodeError) as error:
            raise self.corrupt("not a tar that exptui wrote") from error
        if whole != expected or entry.size < 0 or (entry.link and entry.size):
            raise self.corrupt(f"an entry that is no plain file: {entry.path!r}")
        return entry

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise self.corrupt("it is cut off")
        self._digest.update(data)
        self._length += size
        return data


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("ascii")


def _records(body: bytes) -> dict[str, str]:
    """The records of a pax header; of a false length nothing follows, as the header then differs."""
    found: dict[str, str] = {}
    while body:
        length, _, _ = body.partition(b" ")
        size = int(length)
        key, _, value = body[len(length) + 1 : size - 1].partition(b"=")
        if size < 1:
            raise ValueError("a record without a length")
        found[key.decode()], body = value.decode(), body[size:]
    return found


def unpack(path: Path, target: Path, digest: str) -> list[str]:
    """Unpack the code of a digest into a new directory; returns the paths of its files.

    It is read twice: nothing is written before all of it was found to be that code.

    Raises:
        CorruptError: it is not; nothing was written.
        OSError: the disk said no; what was written is in `target`.
    """
    with path.open("rb") as file:
        found = check(file, path.name)
        if found.digest != digest:
            raise found.corrupt("it is not the code that was captured")
        file.seek(0)
        target.mkdir(mode=0o700, parents=True)
        root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _write(root, Reader(file, path.name), digest)
        finally:
            os.close(root)


def check(file: BinaryIO, name: str) -> Reader:
    """Read all of it and keep nothing; the reader then knows the digest."""
    reader = Reader(file, name)
    if problem := collisions([entry.path for entry, _ in reader.entries()]):
        raise reader.corrupt(problem)
    return reader


def paths(path: Path) -> list[str]:
    """What is in it, links too."""
    with path.open("rb") as file:
        return [entry.path for entry, _ in Reader(file, path.name).entries()]


def _write(root: int, reader: Reader, digest: str) -> list[str]:
    """Files first and links last, so that no path goes through one."""
    files, links, made = list[str](), list[Entry](), set[str]()
    for entry, blocks in reader.entries():
        parts = entry.path.split("/")
        for folder in ("/".join(parts[:depth]) for depth in range(1, len(parts))):
            if folder not in made:
                os.mkdir(folder, 0o755, dir_fd=root)
                made.add(folder)
        if entry.link:
            links.append(entry)
            continue
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        fd = open_below(root, entry.path, flags, 0o755 if entry.executable else 0o644)
        try:
            for block in blocks:
                write_all(fd, block)
        finally:
            os.close(fd)
        files.append(entry.path)
    if reader.digest != digest:
        raise reader.corrupt("it changed while it was read")
    for entry in links:
        os.symlink(entry.link, entry.path, dir_fd=root)
    return files
