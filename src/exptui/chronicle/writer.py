"""Chronicle → bytes, one write a frame, durable at every checkpoint."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from exptui.chronicle.reader import Scan, scan_bytes, trailer
from exptui.chronicle.records import (
    CHECKPOINT,
    COUNT_OFFSET,
    FRAME,
    HEADER,
    OPEN_HEADER,
    OPEN_NAME,
    SCALE,
    SCHEMA,
    SEALED_NAME,
    SYNC_SECONDS,
    CycleRecord,
    check_record,
    crc64,
    encode_record,
)
from exptui.core.errors import CorruptError
from exptui.core.files import fsync_dir


class Writer:
    """Writes `chronicle.cmeta.open`; `seal()` makes it `chronicle.cmeta`."""

    def __init__(self, directory: Path, handle: int, scan: Scan) -> None:
        self._directory, self._handle, self._state = directory, handle, scan
        self._synced = time.monotonic()

    @classmethod
    def create(cls, directory: Path, config_sha256: str, metric_names: Sequence[str]) -> Writer:
        """Start a chronicle. Raises FileExistsError where the directory has one, ValueError for bad arguments."""
        config, names = bytes.fromhex(config_sha256), [name.encode() for name in metric_names]
        if len(config) != 32 or len(names) > 255 or any(len(name) > 255 for name in names):
            raise ValueError("needs a SHA-256 in hex and at most 255 metric names of at most 255 bytes")
        if (directory / SEALED_NAME).exists():
            raise FileExistsError(f"{directory / SEALED_NAME} is already there")
        handle = os.open(directory / OPEN_NAME, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        writer = cls(directory, handle, Scan(metric_names=tuple(metric_names)))
        body = config + struct.pack("<iB", SCALE, len(names))
        body += b"".join(bytes((len(name),)) + name for name in names)
        writer._write(SCHEMA, body, before=OPEN_HEADER)  # together: a reader never sees half a start
        fsync_dir(directory)
        return writer

    @classmethod
    def resume(cls, directory: Path, checkpoint_sha256: str) -> Writer:
        """Cut behind the CHECKPOINT frame with this digest and go on as if nothing had happened."""
        for name in (SEALED_NAME, OPEN_NAME):
            try:
                data = (directory / name).read_bytes()
            except FileNotFoundError:
                continue
            marks = scan_bytes(data)[0].checkpoints
            cut = [end for mark, end in marks if mark.sha256.hex() == checkpoint_sha256.lower()]
            if cut:
                return cls._continue(directory, OPEN_HEADER + data[HEADER.size : cut[-1]])
        raise CorruptError(
            f"no chronicle in {directory} holds the checkpoint {checkpoint_sha256[:12]}",
            "Resume from an older checkpoint, or into an empty directory.",
        )

    @classmethod
    def _continue(cls, directory: Path, prefix: bytes) -> Writer:
        # A new file put in place whole: a crash in between loses neither the old nor the new one.
        fresh = directory / (OPEN_NAME + ".new")
        handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        writer = cls(directory, handle, Scan())
        try:
            writer._put(prefix)
            os.fsync(handle)
            fresh.replace(directory / OPEN_NAME)
            (directory / SEALED_NAME).unlink(missing_ok=True)
            fsync_dir(directory)
        except OSError:
            fresh.unlink(missing_ok=True)
            writer.close()
            raise
        writer._state.run(prefix, len(prefix))
        return writer

    def append(self, record: CycleRecord) -> None:
        """Write one record, durable within a second. Raises ValueError for what the format cannot hold."""
        check_record(record, len(self._state.metric_names))
        kind, body, base = encode_record(record, self._state.base)
        self._write(kind, body)
        self._state.base = base
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self.sync()

    def checkpoint(self, cycle: int, sha256_hex: str) -> None:
        """Note a checkpoint and sync, so that none is published that the chronicle does not know."""
        digest = bytes.fromhex(sha256_hex)
        if len(digest) != 32 or not 0 <= cycle < 2**32:
            raise ValueError("needs a SHA-256 in hex and a cycle of 32 bits")
        self._write(CHECKPOINT, struct.pack("<I", cycle) + digest)
        self.sync()

    def sync(self) -> None:
        """Make everything written so far durable."""
        os.fsync(self._handle)
        self._synced = time.monotonic()

    def seal(self) -> None:
        """Close the file for good under its final name."""
        end = os.lseek(self._handle, 0, os.SEEK_END)
        try:
            # The count comes last: until it is there the file reads as torn, with every frame intact.
            self._put(trailer(self._state.crc, self._state.count))
            os.fsync(self._handle)
            os.pwrite(self._handle, struct.pack("<I", self._state.count), COUNT_OFFSET)
            os.fsync(self._handle)
            (self._directory / OPEN_NAME).replace(self._directory / SEALED_NAME)
        except OSError:
            os.pwrite(self._handle, OPEN_HEADER, 0)  # open again, so that it can be sealed or continued later
            os.ftruncate(self._handle, end)
            raise
        self.close()
        fsync_dir(self._directory)

    def close(self) -> None:
        """Let go of the file; unless it was sealed it stays open and can be resumed."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def _write(self, kind: int, body: bytes, before: bytes = b"") -> None:
        frame = FRAME.pack(kind, len(body)) + body
        crc = crc64(self._state.crc.to_bytes(8, "little") + frame)
        self._put(before + frame + crc.to_bytes(8, "little"))
        self._state.crc, self._state.count = crc, self._state.count + 1

    def _put(self, data: bytes) -> None:
        start = os.lseek(self._handle, 0, os.SEEK_END)
        rest = memoryview(data)
        try:
            while rest:  # once, unless the disk takes only a part
                rest = rest[os.write(self._handle, rest) :]
        except OSError:
            os.ftruncate(self._handle, start)  # half a frame would spoil all that follow
            raise
