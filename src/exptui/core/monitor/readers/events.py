"""TensorBoard's event files: framed records, each a small protocol buffer; only its scalars are of interest.

A record is its length (u64), the masked CRC-32C of that, the bytes, and their masked CRC-32C, all little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from exptui.core.monitor.readers.protocol import Problems, Sink, Unit

HEAD = struct.Struct("<QI")
LARGE = 1 << 16  # bytes; a longer record holds a picture, a sound or a graph, and is left out unseen
TENSORS = {1: "f", 2: "d", 3: "i", 9: "q"}  # DataType → how its bytes are packed
SCALAR = "scalars"  # the plugin of tensors that are scalars
_FIXED = {1: 8, 5: 4}


class BadWireError(Exception):
    """Bytes that are no protocol buffer."""


class Events:
    """Scalars by step, of TensorFlow 1 and 2, PyTorch and tensorboardX."""

    unit = Unit.RECORDS

    @staticmethod
    def probe(head: bytes) -> bool:
        """Whether it begins with the head of a record."""
        return _is_head(head, 0)

    def __init__(self, file: str) -> None:
        self.problems, self.lines, self.header = Problems(file), 0, list[str]()

    def read(self, block: bytes, sink: Sink) -> int:
        """Decode whole records. Behind a damaged head the next good one is looked for."""
        at, rows = 0, dict[str, tuple[list[float], list[float]]]()
        while at + HEAD.size <= len(block):
            if not _is_head(block, at):
                after = _next_head(block, at + 1)
                if not self.header:
                    self.lines, self.header = self.lines + 1, ["lost"]
                    self._bad(self.lines, "has a damaged head")
                at = after
                continue
            self.header = []
            size = int(HEAD.unpack_from(block, at)[0])
            end = at + HEAD.size + size + 4
            if size <= LARGE and end > len(block):
                break
            self.lines += 1
            if size <= LARGE:
                self._record(block[at + HEAD.size : end - 4], block[end - 4 : end], rows)
            at = end
        for tag, (steps, values) in rows.items():
            sink.add(steps, {tag: values})
        return at

    def _bad(self, record: int, what: str) -> None:
        self.problems.say(f" record {record} {what}")

    def is_whole(self, line: bytes) -> bool:  # noqa: ARG002  the protocol's
        """There are no lines."""
        return False

    def _record(self, data: bytes, crc: bytes, rows: dict[str, tuple[list[float], list[float]]]) -> None:
        if masked(crc32c(data)) != int.from_bytes(crc, "little"):
            self._bad(self.lines, "does not match its checksum")
            return
        try:
            step, found = scalars(data)
        except BadWireError as error:
            self._bad(self.lines, f"is no event: {error}")
            return
        for tag, value in found.items():
            steps, values = rows.setdefault(tag, ([], []))
            steps.append(step)
            values.append(value)


def _is_head(data: bytes, at: int) -> bool:
    return len(data) >= at + HEAD.size and _masked_at(data, at) == int.from_bytes(
        data[at + 8 : at + 12], "little"
    )


def _masked_at(data: bytes, at: int) -> int:
    return masked(crc32c(data[at : at + 8]))


def _next_head(data: bytes, at: int) -> int:
    """Where the next good head is, or where it may begin that is not all here. Its length ends in four zeros."""
    last = len(data) - HEAD.size
    while (zeros := data.find(b"\0\0\0\0", at + 4)) >= 0 and (at := zeros - 4) <= last:
        if not any(data[at : at + HEAD.size]):  # no head, and maybe a long hole
            at += max(1, len(data) - at - len(data[at:].lstrip(b"\0")) - HEAD.size + 1)
            continue
        if _is_head(data, at):
            return at
        at += 1
    return last + 1


def scalars(data: bytes) -> tuple[float, dict[str, float]]:
    """The step of an Event and its scalars by tag.

    Raises:
        BadWireError: it is none.
    """
    step, found = 0, dict[str, float]()
    for field, value in fields(data):
        if field == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >> 63 else value
        elif field == 5 and isinstance(value, bytes):
            for number, inner in fields(value):
                if number == 1 and isinstance(inner, bytes):
                    found |= _value(inner)
    return float(step), found


def _value(data: bytes) -> dict[str, float]:
    """One Summary.Value: its tag and number; nothing where it is a histogram, a picture or a text."""
    tag, number, tensor, plugin = "", None, b"", ""
    for field, value in fields(data):
        if field == 1 and isinstance(value, bytes):
            tag = value.decode(errors="replace")
        elif field == 2 and isinstance(value, bytes) and len(value) == 4:
            number = struct.unpack("<f", value)[0]
        elif field == 8 and isinstance(value, bytes):
            tensor = value
        elif field == 9 and isinstance(value, bytes):
            plugin = _plugin(value)
    if number is None and tensor and plugin in (SCALAR, ""):
        number = _tensor(tensor)
    return {} if number is None or not tag else {tag: number}


def _plugin(metadata: bytes) -> str:
    for field, value in fields(metadata):
        if field == 1 and isinstance(value, bytes):
            return next(
                (v.decode(errors="replace") for n, v in fields(value) if n == 1 and isinstance(v, bytes)), ""
            )
    return ""


def _tensor(data: bytes) -> float | None:
    """The number in a TensorProto of no dimension, or of one value; None where it holds something else."""
    kind, content, values, dimensions = 0, b"", list[bytes](), 1
    for field, value in fields(data):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field == 2 and isinstance(value, bytes):
            dimensions = _count(value)
        elif field == 4 and isinstance(value, bytes):
            content = value
        elif field in (5, 6) and isinstance(value, bytes):
            values.append(value)
        elif field in (7, 10):
            numbers = [value] if isinstance(value, int) else list(_varints(value))
            values += [
                (number & (1 << 64) - 1).to_bytes(8, "little")[: 4 if field == 7 else 8]
                for number in numbers[:1]
            ]
    packed = struct.Struct(f"<{TENSORS[kind]}") if kind in TENSORS else None
    raw = content or b"".join(values)
    if packed is None or dimensions != 1 or len(raw) != packed.size:
        return None
    return float(packed.unpack(raw)[0])


def _count(shape: bytes) -> int:
    """How many values a tensor of this shape has."""
    count = 1
    for field, value in fields(shape):
        if field == 2 and isinstance(value, bytes):
            count *= next((v for n, v in fields(value) if n == 1 and isinstance(v, int)), 0)
    return count


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer: numbers of varints as integers, all else as bytes.

    Raises:
        BadWireError: it is none.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(data, at)
            yield key >> 3, number
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise BadWireError(f"wire type {kind}")
        if at + size > len(data):
            raise BadWireError("a field is cut")
        yield key >> 3, data[at : at + size]
        at += size


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        number, at = _varint(data, at)
        yield number


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
        shift += 7
    raise BadWireError("a number is cut")


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ 0x82F63B78 if byte & 1 else byte >> 1  # noqa: PLW2901  the polynomial's own loop
        table.append(byte)
    return tuple(table)


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of some bytes."""
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """As it is stored, so that a checksum of checksums means something."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
