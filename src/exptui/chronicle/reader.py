"""Bytes → Chronicle: sealed, open, torn or corrupt; damaged bytes never raise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from exptui.chronicle.records import (
    CHECKPOINT,
    DELTA,
    FRAME,
    HEADER,
    KEY,
    MAGIC,
    OPEN_COUNT,
    OPEN_HEADER,
    OPEN_NAME,
    SCALE,
    SCHEMA,
    SEALED_NAME,
    VERSION,
    BadBodyError,
    Base,
    Body,
    Checkpoint,
    Chronicle,
    CycleRecord,
    Status,
    crc64,
    decode_record,
)
from exptui.core.files import open_regular

_LOOK = 256 << 10  # bytes of would-be frames that are looked at behind a bad one; a crash leaves none


@dataclass
class Scan:
    """The frames read so far, and all a writer needs to go on behind them."""

    config_sha256: str = ""
    metric_names: tuple[str, ...] = ()
    records: list[CycleRecord] = field(default_factory=list)
    checkpoints: list[tuple[Checkpoint, int]] = field(default_factory=list)  # with the frame's end
    base: Base | None = None
    crc: int = 0
    count: int = 0
    at: int = 0

    def run(self, data: bytes, end: int, at: int = HEADER.size) -> str:
        """Read frames from `at` to `end`; what is wrong with the first bad one, or nothing."""
        self.at = at
        while self.at < end:
            size = _frame_size(data, self.at, end)
            if size is None:
                return "the last frame is cut"
            crc = crc64(self.crc.to_bytes(8, "little") + data[self.at : self.at + size - 8])
            if crc.to_bytes(8, "little") != data[self.at + size - 8 : self.at + size]:
                return "a frame does not match its checksum"
            self._frame(data[self.at], data[self.at + FRAME.size : self.at + size - 8], self.at + size)
            self.crc, self.at, self.count = crc, self.at + size, self.count + 1
        return "" if self.count else "the schema is missing"

    def _frame(self, kind: int, data: bytes, end: int) -> None:
        if (kind == SCHEMA) != (self.count == 0):
            raise BadBodyError("the schema must be the first frame, and only that")
        if kind == SCHEMA:
            body = Body(data)
            config, scale, n = body.take(32).hex(), int.from_bytes(body.take(4), "little"), body.take(1)[0]
            try:
                names = tuple(body.take(body.take(1)[0]).decode() for _ in range(n))
            except UnicodeDecodeError as error:
                raise BadBodyError("a metric name is not UTF-8") from error
            body.end()
            if scale != SCALE:
                raise BadBodyError(f"the scale is {scale}")
            self.config_sha256, self.metric_names = config, names
        elif kind in {KEY, DELTA}:
            record, self.base = decode_record(kind, data, self.base, len(self.metric_names))
            self.records.append(record)
        elif kind == CHECKPOINT and len(data) == 36:
            self.checkpoints.append((Checkpoint(int.from_bytes(data[:4], "little"), data[4:]), end))
        else:
            raise BadBodyError(f"frame type {kind} with {len(data)} bytes")

    def chronicle(self, status: Status, problem: str, valid_bytes: int) -> Chronicle:
        marks = tuple(mark for mark, _ in self.checkpoints)
        return Chronicle(
            status, self.config_sha256, self.metric_names, tuple(self.records), marks, problem, valid_bytes
        )


def _frame_size(data: bytes, at: int, end: int) -> int | None:
    if at + FRAME.size > end:
        return None
    size = FRAME.size + int(FRAME.unpack_from(data, at)[1]) + 8
    return size if at + size <= end else None


def _behind(data: bytes, scan: Scan) -> str:
    """What follows the bad frame and makes this damage, not a crash; empty where nothing does."""
    longest = 60 + 10 * (3 + (len(scan.metric_names) if scan.count else 255))
    left, last = _LOOK, scan.crc.to_bytes(8, "little")
    size = _frame_size(data, scan.at, len(data))
    # If only the bad frame's stored crc is damaged, its successor still chains on the true one.
    true = crc64(last + data[scan.at : scan.at + size - 8]).to_bytes(8, "little") if size else last
    for at in range(scan.at + 1, len(data) - FRAME.size - 7):
        kind, length = FRAME.unpack_from(data, at)
        if not (kind == CHECKPOINT and length == 36):
            plausible = kind in {KEY, DELTA} and 20 <= length <= longest
            if not plausible or data[at + 3] > 2 or data[at + 4] > 15:
                continue
        end = at + FRAME.size + length
        left -= length
        if left < 0:
            return "too much that could be one follows"
        stored = data[end : end + 8]
        for previous in {data[at - 8 : at], true, last}:
            if len(stored) == 8 and crc64(previous + data[at:end]).to_bytes(8, "little") == stored:
                return "a whole one follows"
    return ""


def trailer(crc: int, count: int) -> bytes:
    """The eight bytes that close a sealed file of `count` frames."""
    return crc64(crc.to_bytes(8, "little") + HEADER.pack(MAGIC, VERSION, count)).to_bytes(8, "little")


def scan_bytes(data: bytes) -> tuple[Scan, Chronicle]:
    """The chronicle in these bytes, and the state a writer needs to go on behind it."""
    scan = Scan()
    if len(data) < HEADER.size:
        cut = OPEN_HEADER.startswith(data)
        return scan, scan.chronicle(Status.TORN if cut else Status.CORRUPT, "the header is cut", 0)
    magic, version, count = HEADER.unpack_from(data)
    if (magic, version) != (MAGIC, VERSION):
        return scan, scan.chronicle(Status.CORRUPT, "not a chronicle of version 1", 0)
    is_open = count == OPEN_COUNT
    try:
        problem = scan.run(data, len(data) if is_open else max(len(data) - 8, HEADER.size))
    except BadBodyError as error:
        return scan, scan.chronicle(Status.CORRUPT, f"a frame makes no sense: {error}", scan.at)
    if is_open:
        if not problem:
            return scan, scan.chronicle(Status.OPEN, "", scan.at)
        if behind := _behind(data, scan):
            return scan, scan.chronicle(Status.CORRUPT, f"{problem}, and {behind}", scan.at)
        return scan, scan.chronicle(Status.TORN, problem, scan.at)
    if not problem and scan.count != count:
        problem = f"{count} frames were sealed, {scan.count} are there"
    if not problem and data[scan.at :] != trailer(scan.crc, count):
        problem = "the trailer does not match"
    if problem:
        return scan, scan.chronicle(Status.CORRUPT, problem, scan.at)
    return scan, scan.chronicle(Status.SEALED, "", len(data))


def decode(data: bytes) -> Chronicle:
    """The longest valid prefix; damaged bytes never raise."""
    return scan_bytes(data)[1]


def read(path: Path) -> Chronicle:
    """Read one file. A file under the sealed name that says it is open is CORRUPT."""
    with open_regular(path) as file:
        found = decode(file.read())
    if path.name == SEALED_NAME and found.status in {Status.OPEN, Status.TORN}:
        return replace(found, status=Status.CORRUPT, problem="a sealed file that says it is open")
    return found


def read_for(directory: Path) -> Chronicle | None:
    """The chronicle of a result directory, sealed or open; None where there is neither."""
    for name in (SEALED_NAME, OPEN_NAME):
        try:
            return read(directory / name)
        except FileNotFoundError:
            continue
    return None
