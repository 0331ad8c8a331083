"""Records and their bytes: the frames' bodies, the checksum, the constants of the format."""

from __future__ import annotations

import enum
import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

SEALED_NAME = "chronicle.cmeta"
OPEN_NAME = "chronicle.cmeta.open"
MAGIC, VERSION, SCALE, OPEN_COUNT = 0x0C0DA55E, 1, 1_000_000, 0xFFFFFFFF
SCHEMA, KEY, DELTA, CHECKPOINT = 1, 2, 3, 4
HAS_ACTION, RAW, HAS_COHERENCE, HAS_SIGNATURE = 1, 2, 4, 8
KEY_EVERY = 64
SYNC_SECONDS = 1.0
HEADER = struct.Struct("<IHI")
FRAME = struct.Struct("<BH")
OPEN_HEADER = HEADER.pack(MAGIC, VERSION, OPEN_COUNT)
COUNT_OFFSET = 6
_NO_BITS = (0, 0, 0)


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0xC96C5795D7870F42 if value & 1 else 0)  # noqa: PLW2901
        table.append(value)
    return tuple(table)


_TABLE = _crc_table()


def crc64(data: bytes) -> int:
    """CRC-64/XZ."""
    crc, table = 0xFFFFFFFFFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFFFFFFFFFF


class Phase(enum.IntEnum):
    """What a cycle did."""

    DREAM = 0
    TRAIN = 1
    VALIDATE = 2


class Status(enum.Enum):
    """What became of a file: whole, still open, cut at its end, or damaged."""

    SEALED = "sealed"
    OPEN = "open"
    TORN = "torn"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class CycleRecord:
    """One cycle. `cycle` is absolute; `exact_digest` is computed on write when empty."""

    cycle: int
    phase: Phase
    loss: float
    metrics: tuple[float, ...]
    seed_state: int
    coherence: float | None = None
    tensor_signature: tuple[float, float, float] | None = None
    action_code: int | None = None
    exact_digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint noted after `cycle`; `sha256` is the 32-byte digest of its file."""

    cycle: int
    sha256: bytes


@dataclass(frozen=True)
class Chronicle:
    """The longest valid prefix of a chronicle, and what is wrong behind it."""

    status: Status
    config_sha256: str
    metric_names: tuple[str, ...]
    records: tuple[CycleRecord, ...]
    checkpoints: tuple[Checkpoint, ...]
    problem: str
    valid_bytes: int


@dataclass(frozen=True, slots=True)
class Base:
    """What a DELTA is taken against; exact integers, as floats above 2**53 would not come back."""

    values: tuple[int, ...]  # cycle, loss, coherence (0 when absent), metrics
    bits: tuple[int, ...]


class BadBodyError(Exception):
    """A frame with a good crc and a body that makes no sense."""


def f64_bits(value: float) -> bytes:
    """Eight little-endian bytes; every NaN gives the same."""
    return struct.pack("<Q", 0x7FF8000000000000) if math.isnan(value) else struct.pack("<d", value)


def f32_bits(value: float) -> int:
    """The 32 bits of the nearest float32; every NaN gives the same."""
    if math.isnan(value):
        return 0x7FC00000
    try:
        packed = struct.pack("<f", value)
    except OverflowError:  # beyond f32: the nearest it can say is infinity
        packed = struct.pack("<f", math.copysign(math.inf, value))
    return int.from_bytes(packed, "little")


def _varint(value: int) -> bytes:
    rest = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def stored_values(record: CycleRecord) -> list[float]:
    """Loss, coherence where there is one, and the metrics, in the order of the file."""
    coherence = [] if record.coherence is None else [record.coherence]
    return [record.loss, *coherence, *record.metrics]


def exact_digest(record: CycleRecord) -> bytes:
    """The first eight bytes of the SHA-256 of loss, coherence and metrics as f64."""
    return hashlib.sha256(b"".join(map(f64_bits, stored_values(record)))).digest()[:8]


def _is_raw(values: Sequence[float]) -> bool:
    return not all(abs(value * SCALE) <= 2**62 for value in values)  # NaN fails every comparison


def check_record(record: CycleRecord, metric_count: int) -> None:
    """Raises ValueError for a record that the format cannot hold."""
    if len(record.metrics) != metric_count:
        raise ValueError(f"{len(record.metrics)} metrics given, the schema names {metric_count}")
    if not 0 <= record.cycle < 2**63 or not 0 <= record.seed_state < 2**64:
        raise ValueError("cycle must fit 63 bits and seed_state 64 bits, both unsigned")
    if record.action_code is not None and not -(2**63) <= record.action_code < 2**63:
        raise ValueError("action_code must fit a signed 64-bit integer")
    if len(record.exact_digest) not in {0, 8}:
        raise ValueError("exact_digest must be 8 bytes, or empty to have it computed")


def encode_record(record: CycleRecord, base: Base | None) -> tuple[int, bytes, Base | None]:
    """The frame's type and body, and the base of the next record (None after a raw one)."""
    values = stored_values(record)
    raw = _is_raw(values)
    key = base is None or raw or record.cycle % KEY_EVERY == 0
    zero = Base((0,) * (3 + len(record.metrics)), _NO_BITS)
    against = zero if key or base is None else base
    flags = (
        (record.action_code is not None) * HAS_ACTION
        | raw * RAW
        | (record.coherence is not None) * HAS_COHERENCE
        | (record.tensor_signature is not None) * HAS_SIGNATURE
    )
    body = bytearray((int(record.phase), flags))
    body += _varint(record.cycle - against.values[0])
    following: Base | None = None
    bits = tuple(map(f32_bits, record.tensor_signature)) if record.tensor_signature else _NO_BITS
    if raw:
        body += b"".join(map(f64_bits, values))
    else:
        fixed = [round(value * SCALE) for value in values]  # round() is half-even
        if record.coherence is None:
            fixed.insert(1, 0)
        following = Base((record.cycle, *fixed), bits)
        for index, value in enumerate(fixed, start=1):
            if index != 2 or record.coherence is not None:
                body += _varint(value - against.values[index])
    if record.tensor_signature is not None:
        body += struct.pack("<3I", *(new ^ old for new, old in zip(bits, against.bits, strict=True)))
    body += struct.pack("<Q", record.seed_state) + (record.exact_digest or exact_digest(record))
    if record.action_code is not None:
        body += _varint(record.action_code)
    return (KEY if key else DELTA), bytes(body), following


class Body:
    """A cursor over one frame's body."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        part = self.data[self.at : self.at + size]
        if len(part) != size:
            raise BadBodyError("the body is too short")
        self.at += size
        return part

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return -((value + 1) >> 1) if value & 1 else value >> 1
        raise BadBodyError("a number is too long")

    def f64(self) -> float:
        return float(struct.unpack("<d", self.take(8))[0])

    def end(self) -> None:
        if self.at != len(self.data):
            raise BadBodyError("the body is too long")


def decode_record(kind: int, data: bytes, base: Base | None, n: int) -> tuple[CycleRecord, Base | None]:
    """The record in a frame's body and what the next DELTA is taken against. Raises BadBodyError."""
    body = Body(data)
    phase, flags = body.take(2)
    if phase > max(Phase) or flags > 15:
        raise BadBodyError("an unknown phase or flag")
    against = Base((0,) * (3 + n), _NO_BITS)
    if kind == DELTA:
        if base is None or flags & RAW:
            raise BadBodyError("a delta without a record to refer to")
        against = base
    cycle = against.values[0] + body.varint()
    with_coherence = bool(flags & HAS_COHERENCE)
    wanted = [True, with_coherence, *[True] * n]
    fixed: list[int] = []
    if flags & RAW:
        values = [body.f64() if want else 0.0 for want in wanted]
    else:
        fixed = [
            old + body.varint() if want else 0 for want, old in zip(wanted, against.values[1:], strict=True)
        ]
        if any(abs(value) > 2**62 for value in fixed):
            raise BadBodyError("a value out of range")
        values = [value / SCALE for value in fixed]
    bits, signature = _NO_BITS, None
    if flags & HAS_SIGNATURE:
        a, b, c = (
            new ^ old for new, old in zip(struct.unpack("<3I", body.take(12)), against.bits, strict=True)
        )
        bits = (a, b, c)
        x, y, z = struct.unpack("<3f", struct.pack("<3I", a, b, c))
        signature = (x, y, z)
    seed_state = int.from_bytes(body.take(8), "little")
    digest = body.take(8)
    action = body.varint() if flags & HAS_ACTION else None
    body.end()
    record = CycleRecord(
        cycle, Phase(phase), values[0], tuple(values[2:]), seed_state,
        values[1] if with_coherence else None, signature, action, digest,
    )  # fmt: skip
    return record, None if flags & RAW else Base((cycle, *fixed), bits)
