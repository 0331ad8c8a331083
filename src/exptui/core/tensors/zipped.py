"""The members of a zip file, strictly: what `zipfile` lets pass and a checkpoint never has is refused."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from exptui.core.tensors.contents import BLOCK, NotRead, stretch

MAX_DIRECTORY = 64 << 20
MAX_MEMBERS = 1 << 18
MAX_GROWTH, GROWTH_FREE = 200, 64 << 20  # times its size, and bytes beyond, that a file may unpack to
LOCAL = 30  # bytes of a local header before its name


class _Bounded(io.BufferedIOBase):
    """A file of which nobody reads more at once than a central directory may have."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int | None = -1) -> bytes:
        """As a file's, within the bound."""
        data = self.file.read(MAX_DIRECTORY + 1 if size is None or size < 0 else min(size, MAX_DIRECTORY + 1))
        if len(data) > MAX_DIRECTORY:
            raise NotRead("the directory of the zip file is too large")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """As a file's."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """As a file's."""
        return self.file.tell()

    def seekable(self) -> bool:
        """It is."""
        return True


@dataclass(frozen=True)
class Member:
    """One file in it: where its bytes lie, how many there are, and how many they are unpacked."""

    offset: int
    stored: int
    size: int
    packed: bool


@dataclass(frozen=True)
class Zip:
    """A zip file whose members lie beside each other, each once, and unpack to no more than is reasonable."""

    path: Path
    size: int
    members: dict[str, Member]

    @classmethod
    def open(cls, path: Path) -> Zip:
        """Raises NotRead for anything else."""
        try:
            with path.open("rb") as file, zipfile.ZipFile(_Bounded(file)) as found:
                size = file.seek(0, 2)
                return cls(path, size, _members(file, found.infolist(), found.start_dir, size))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
            raise NotRead(f"the zip file is damaged: {error}") from error

    def blocks(self, member: Member, skip: int = 0, size: int | None = None) -> Callable[[], Iterator[bytes]]:
        """Some of a member's bytes, unpacked, a block at a time."""
        wanted = member.size - skip if size is None else size
        if not member.packed:
            return stretch(self.path, member.offset + skip, wanted)
        return lambda: _cut(self._inflated(member), skip, wanted)

    def _inflated(self, member: Member) -> Iterator[bytes]:
        """The unpacked bytes: exactly as many as the directory says."""
        inflate, left, out = zlib.decompressobj(-15), member.size, b""
        try:
            for block in stretch(self.path, member.offset, member.stored)():
                out = inflate.decompress(block, BLOCK)
                while out and left >= len(out):
                    yield out
                    left -= len(out)
                    out = inflate.decompress(inflate.unconsumed_tail, BLOCK)
                if out:
                    break  # there is more than there should be
        except zlib.error as error:
            raise NotRead(f"the zip file is damaged: {error}") from error
        if out or left or not inflate.eof or inflate.unused_data:
            raise NotRead("the zip file is damaged: a member is not as long as it says")

    def read(self, name: str, most: int) -> bytes:
        """A small member as a whole."""
        member = self.members[name]
        if member.size > most:
            raise NotRead(f"{name} in it is too large: {member.size:,} bytes")
        return b"".join(self.blocks(member)())


def _cut(blocks: Iterator[bytes], skip: int, size: int) -> Iterator[bytes]:
    """`size` bytes behind the first `skip`, in blocks of full length but for the last; the rest is read as well."""
    held = bytearray()
    for block in blocks:
        dropped = min(skip, len(block))
        skip -= dropped
        held += block[dropped:][:size]
        size -= min(size, len(block) - dropped)
        while len(held) >= BLOCK:
            yield bytes(held[:BLOCK])
            del held[:BLOCK]
    if size or skip:
        raise NotRead("a member of the zip file is shorter than it says")
    if held:
        yield bytes(held)


def _members(file: BinaryIO, infos: list[zipfile.ZipInfo], directory: int, size: int) -> dict[str, Member]:
    if len(infos) > MAX_MEMBERS or len({info.filename for info in infos}) < len(infos):
        raise NotRead("the zip file has too many members, or one twice")
    unpacked = sum(info.file_size for info in infos)
    if unpacked > size * MAX_GROWTH + GROWTH_FREE:
        raise NotRead(f"the zip file would unpack to {unpacked:,} bytes")
    found, end = {}, 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        packed = info.compress_type == zipfile.ZIP_DEFLATED
        if info.flag_bits & 0x1 or not (packed or info.compress_type == zipfile.ZIP_STORED):
            raise NotRead(f"{info.filename} in it is packed in a way that is not read, or encrypted")
        if info.header_offset < end or (not packed and info.compress_size != info.file_size):
            raise NotRead("members of the zip file overlap")
        offset = _data_offset(file, info)
        end = offset + info.compress_size
        found[info.filename] = Member(offset, info.compress_size, info.file_size, packed)
    if end > directory:
        raise NotRead("members of the zip file overlap its directory")
    return found


def _data_offset(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: behind a local header that names it too."""
    file.seek(info.header_offset)
    head = file.read(LOCAL)
    if len(head) < LOCAL or head[:4] != b"PK\3\4":
        raise NotRead("the zip file is damaged: a member is not where it should be")
    name, extra = (int.from_bytes(head[at : at + 2], "little") for at in (26, 28))
    encoding = "utf-8" if info.flag_bits & 0x800 else "cp437"
    if file.read(name).decode(encoding, errors="replace") != info.orig_filename:
        raise NotRead("the zip file is damaged: a member has two names")
    return info.header_offset + LOCAL + name + extra
