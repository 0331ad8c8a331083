"""Archives made to harm: refused before a byte is written, inside or outside, in little memory."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exptui.core.archive import restore, tarball
from exptui.core.archive.check import check
from exptui.core.archive.tarball import RECORD, header
from exptui.core.audit.report import Verdict
from exptui.core.errors import CorruptError
from exptui.core.files import sha256_bytes
from hostile.world import World, counts, memory, packed, snapshot

RUN = "evil_20251109T120000Z"
CAP = 256 << 20
FILES = {"a": b"aaaa", "b": b"b" * 600, "d/c": b"c"}


def manifest(names: list[str] | None = None, *, entry: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """A manifest of FILES, or of these names with one byte each; `entry` changes the first file's."""
    files = FILES if names is None else dict.fromkeys(names, b"x")
    entries: list[dict[str, Any]] = [
        {"class": "identity", "path": name, "sha256": sha256_bytes(files[name]), "size": len(files[name])}
        for name in names or FILES
    ]
    entries[0] |= entry or {}
    total = sum(e["size"] for e in entries if isinstance(e["size"], int))
    fields = {"attempts": 0, "config_sha256": "", "files": entries, "fingerprint": None, "incomplete": False}
    fields |= {"recipe": None, "run_id": RUN, "schema": 1, "settings_digest": "", "total_bytes": total}
    text = json.dumps(fields | changes, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass") + b"\n"


def archive(data: bytes, names: list[str] | None = None) -> bytes:
    """An archive that follows this manifest to the letter."""
    files = FILES if names is None else dict.fromkeys(names, b"x")
    parts = [header(f"{RUN}/MANIFEST.json", len(data)), data]
    for name in names or FILES:
        try:
            parts += [header(f"{RUN}/{name}", len(files[name])), files[name]]
        except UnicodeEncodeError:
            parts += [header(f"{RUN}/x", 1), b"x"]
    return packed(*parts)


def block(
    name: bytes = b"", size: int | bytes = 4, kind: bytes = b"0", link: bytes = b"", **at: bytes
) -> bytes:
    """A ustar header with anything in it and a good checksum; `at`: p<offset>=bytes."""
    raw = size if isinstance(size, bytes) else b"%011o\0" % size
    made = bytearray(
        (name or f"{RUN}/a".encode()).ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + raw
        + b"%011o\0" % 0 + b" " * 8 + kind + link.ljust(100, b"\0") + b"ustar\x0000" + bytes(247)
    )  # fmt: skip
    for place, data in at.items():
        offset = int(place[1:])
        made[offset : offset + len(data)] = data
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


def pax(key: bytes, value: bytes, kind: bytes = b"x") -> list[bytes]:
    body = tarball._pax(key, value)
    return [block(b"././@PaxHeader", len(body), kind), body]


def members(*replaced: bytes, first: bytes | None = None) -> bytes:
    """The good archive with other parts in place of the first file."""
    data = manifest()
    rest = [
        part for name in ("b", "d/c") for part in (header(f"{RUN}/{name}", len(FILES[name])), FILES[name])
    ]
    return packed(first or header(f"{RUN}/MANIFEST.json", len(data)), data, *replaced, *rest)


A, B, C = ([header(f"{RUN}/{name}", len(data)), data] for name, data in FILES.items())
HEAD = [header(f"{RUN}/MANIFEST.json", len(manifest())), manifest()]
GOOD = packed(*HEAD, *A, *B, *C)
TAR = gzip.decompress(GOOD)


def renamed() -> bytes:
    """A good archive, of another run than its file's name says."""
    data = manifest(run_id="other")
    files = [part for name, body in FILES.items() for part in (header(f"other/{name}", len(body)), body)]
    return packed(header("other/MANIFEST.json", len(data)), data, *files)


def again(tar: bytes) -> bytes:
    return gzip.compress(tar, mtime=0)


def bomb() -> bytes:
    """One byte is listed; 2 GB of zeros follow, in 2 MB."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = manifest(["a"])
    lead = b"".join((header(f"{RUN}/MANIFEST.json", len(data)), data, bytes(-len(data) % RECORD)))
    out = deflate.compress(lead + header(f"{RUN}/a", 1) + b"x" + bytes(RECORD - 1))
    zeros = bytes(16 << 20)
    return out + b"".join(deflate.compress(zeros) for _ in range(8)) + deflate.flush()


def nested(depth: int) -> bytes:
    return manifest().replace(b'"recipe":null', b'"recipe":{"a":' + b"[" * depth + b"]" * depth + b"}")


def text(old: bytes, new: bytes) -> bytes:
    """The good archive with other text in its manifest."""
    assert old in manifest()
    return archive(manifest().replace(old, new, 1))


MEMBERS: dict[str, Callable[[], bytes]] = {
    "symbolic link": lambda: members(block(size=0, kind=b"2", link=b"/etc/passwd")),
    "hard link": lambda: members(block(size=0, kind=b"1", link=b"/etc/passwd")),
    "character device": lambda: members(block(size=0, kind=b"3")),
    "block device": lambda: members(block(size=0, kind=b"4")),
    "directory in place of a file": lambda: members(block(size=0, kind=b"5")),
    "fifo": lambda: members(block(size=0, kind=b"6")),
    "contiguous file": lambda: members(block(kind=b"7"), FILES["a"]),
    "file of the old kind": lambda: members(block(kind=b"\0"), FILES["a"]),
    "unknown kind": lambda: members(block(kind=b"Z"), FILES["a"]),
    "directory entry": lambda: members(block(f"{RUN}/d/".encode(), 0, b"5"), *A),
    "GNU long name": lambda: members(block(b"././@LongLink", 8, b"L"), b"../../x\0", *A),
    "GNU long link": lambda: members(block(b"././@LongLink", 8, b"K"), b"../../x\0", *A),
    "GNU sparse": lambda: members(block(kind=b"S", p386=b"%011o\0" % (1 << 30)), FILES["a"]),
    "pax sparse": lambda: members(*pax(b"GNU.sparse.realsize", b"99999999999"), *A),
    "pax size lie": lambda: members(*pax(b"size", b"99999999999"), *A),
    "pax negative size": lambda: members(*pax(b"size", b"-1"), *A),
    "pax path": lambda: members(*pax(b"path", b"../../../../tmp/evil"), *A),
    "pax link path": lambda: members(*pax(b"linkpath", b"/etc/passwd"), block(size=0, kind=b"2")),
    "pax global header": lambda: members(*pax(b"path", b"/tmp/evil", b"g"), *A),
    "pax header before the manifest": lambda: packed(*pax(b"path", b"/tmp/evil"), *HEAD, *A, *B, *C),
    "oversized pax header": lambda: packed(block(b"x", 1 << 30, b"x"), *HEAD),
    "dot-dot": lambda: members(block(f"{RUN}/../../evil".encode()), FILES["a"]),
    "absolute": lambda: members(block(b"/tmp/evil"), FILES["a"]),
    "another run's": lambda: members(block(b"other/a"), FILES["a"]),
    "backslash": lambda: members(block(f"{RUN}/..\\a".encode()), FILES["a"]),
    "NUL in a name": lambda: members(block(f"{RUN}/a\0/../../evil".encode()), FILES["a"]),
    "name in the prefix field": lambda: members(block(p345=b"../.."), FILES["a"]),
    "twice": lambda: members(*A, *A),
    "not listed": lambda: packed(*HEAD, *A, *B, *C, block(f"{RUN}/z".encode()), b"zzzz"),
    "missing": members,
    "another order": lambda: packed(*HEAD, *B, *A, *C),
    "manifest last": lambda: packed(*A, *B, *C, *HEAD),
    "manifest twice": lambda: packed(*HEAD, *HEAD, *A, *B, *C),
    "no manifest": lambda: packed(*A, *B, *C),
    "empty manifest": lambda: packed(header(f"{RUN}/MANIFEST.json", 0), *A),
    "manifest as a link": lambda: members(*A, first=block(f"{RUN}/MANIFEST.json".encode(), 0, b"2")),
    "manifest of 8 GB": lambda: packed(block(f"{RUN}/MANIFEST.json".encode(), b"77777777777\0"), b"{}"),
    "longer than listed": lambda: members(header(f"{RUN}/a", 5), b"aaaaa"),
    "shorter than listed": lambda: members(header(f"{RUN}/a", 3), b"aaa"),
    "negative size": lambda: members(block(size=b"-0000000004\0"), FILES["a"]),
    "negative size of the manifest": lambda: packed(block(size=b"-0000000004\0"), *HEAD),
    "base-256 size": lambda: members(block(size=b"\x80" + bytes(10) + b"\4"), FILES["a"]),
    "negative base-256 size": lambda: members(block(size=b"\xff" * 12), FILES["a"]),
    "size in Python's spelling": lambda: members(block(size=b"0o0000000_4\0"), FILES["a"]),
    "bad checksum": lambda: members(block()[:148] + b"000000\0 " + block()[156:], FILES["a"]),
    "set-uid": lambda: members(block(p100=b"0004755\0"), FILES["a"]),
    "another owner": lambda: members(block(p108=b"0001750\0"), FILES["a"]),
    "other bytes": lambda: members(A[0], b"AAAA"),
    "data in the padding": lambda: members(A[0], FILES["a"] + b"hidden"),
    "data in the header's end": lambda: members(block(p500=b"hidden"), FILES["a"]),
    "no end": lambda: again(TAR.rstrip(b"\0")),
    "a longer end": lambda: again(TAR + bytes(20 * RECORD)),
    "data behind the end": lambda: again(TAR + b"x"),
    "two gzip members": lambda: again(TAR[:4096]) + again(TAR[4096:]),
    "a second archive behind": lambda: GOOD + GOOD,
    "garbage behind": lambda: GOOD + b"\0",
    "cut": lambda: GOOD[:-1],
    "wrong length in the end of the gzip": lambda: GOOD[:-4] + b"\xff\xff\xff\x7f",
    "not gzip": lambda: TAR,
    "zlib instead of gzip": lambda: zlib.compress(TAR),
    "empty": lambda: b"",
    "bomb of zeros": bomb,
    "another run's archive": renamed,
}  # fmt: skip


def named(*names: str) -> Callable[[], bytes]:
    return lambda: archive(manifest(list(names)), list(names))


MANIFESTS: dict[str, Callable[[], bytes]] = {
    "10 GB claimed": lambda: archive(manifest(entry={"size": 10 << 30})),
    "32 TB claimed": lambda: archive(manifest(entry={"size": 32 << 40})),
    "more than any disk claimed": lambda: archive(manifest(entry={"size": 1 << 62})),
    "beyond 64 bits": lambda: archive(manifest(entry={"size": 1 << 70})),
    "a number of 5,000 digits": lambda: text(b'"attempts":0', b'"attempts":' + b"9" * 5000),
    "an endless number": lambda: text(b'"attempts":0', b'"attempts":1e999999999'),
    "negative size listed": lambda: archive(manifest(entry={"size": -1})),
    "size as a fraction": lambda: archive(manifest(entry={"size": 4.5})),
    "another total": lambda: archive(manifest(total_bytes=1)),
    "negative attempts": lambda: archive(manifest(attempts=-1)),
    "100,000 brackets deep": lambda: archive(nested(100_000)),
    "900 brackets deep and cut": lambda: archive(nested(900)[:-20]),
    "a recipe of 6 MB": lambda: archive(manifest(recipe={"a": [[] for _ in range(2 << 20)]})),
    "a key twice": lambda: text(b'"attempts":0', b'"attempts":0,"attempts":0'),
    "NaN": lambda: text(b'"recipe":null', b'"recipe":{"a":NaN}'),
    "infinity": lambda: text(b'"recipe":null', b'"recipe":{"a":Infinity}'),
    "spaces": lambda: text(b'"attempts":0', b'"attempts": 0'),
    "escaped letters": lambda: text(b'"path":"a"', b'"path":"\\u0061"'),
    "an unknown field": lambda: archive(manifest(command="rm -rf /")),
    "another schema": lambda: archive(manifest(schema=2)),
    "no files field": lambda: archive(manifest(files=None)),
    "a list": lambda: archive(b"[]\n"),
    "not UTF-8": lambda: text(b'"path":"a"', b'"path":"\xff"'),
    "a byte order mark": lambda: archive(b"\xef\xbb\xbf" + manifest()),
    "a lone surrogate": lambda: text(b'"path":"a"', b'"path":"\\ud800"'),
    "a raw surrogate": lambda: archive(manifest(["\ud800"]), ["\ud800"]),
    "text behind it": lambda: archive(manifest() + b"{}"),
    "a digest in capitals": lambda: archive(manifest(entry={"sha256": sha256_bytes(FILES["a"]).upper()})),
    "no digest": lambda: archive(manifest(entry={"sha256": ""})),
    "an unknown class": lambda: archive(manifest(entry={"class": "ignored"})),
    "run id of another run": lambda: archive(manifest(run_id="other_20251109T120000Z")),
    "run id with a path": lambda: archive(manifest(run_id=f"../{RUN}")),
    "run id dot-dot": lambda: archive(manifest(run_id="..")),
    "run id with NUL": lambda: archive(manifest(run_id="a\0b")),
    "path dot-dot": named("../evil"),
    "path dot-dot inside": named("a/../../evil"),
    "path absolute": named("/tmp/evil"),
    "path empty": named(""),
    "path dot": named("./a"),
    "path with an empty part": named("a//b"),
    "path of a directory": named("a/"),
    "path with a backslash": named("..\\evil"),
    "path with a line end": named("a\nb"),
    "path with NUL": named("a\0b"),
    "path with an escape sequence": named("a\x1b[2J"),
    "path with C1": named("a\u009b2J"),
    "path with a line separator": named("a\u2028b"),
    "part of 256 bytes": named("a" * 256),
    "path of 4,001 bytes": named("/".join(["a" * 200] * 20)),
    "the same path twice": named("a", "a"),
    "case": named("A", "a"),
    "case beyond ASCII": named("STRASSE", "straße"),
    "two normal forms": named("e\u0301", "\u00e9"),
    "Kelvin": named("k", "\u212a"),
    "case of a directory": named("D/a", "d/b"),
    "file as a directory": named("a", "a/b"),
    "file as a directory in other case": named("A", "a/b"),
    "the manifest's name": named("MANIFEST.json"),
    "the manifest's name in other case": named("manifest.JSON"),
    "the manifest as a directory": named("MANIFEST.json/a"),
    "unsorted": named("b", "a"),
}
ALL = {**MEMBERS, **MANIFESTS}


@pytest.fixture
def place(world: World) -> Path:
    return world.space.archives / f"{RUN}.tar.gz"


def test_the_maker_of_these_can_make_a_good_one(tmp_path: Path) -> None:
    good = (GOOD, members(*A), archive(manifest()), named("x", "y")(), text(b'"attempts":0', b'"attempts":1'))
    for number, data in enumerate(good):
        path = tmp_path / f"{RUN}.tar.gz"
        path.write_bytes(data)
        restore.restore(path, tmp_path / str(number), record=False)


@pytest.mark.parametrize("name", ALL)
def test_refused_before_a_byte_is_written(world: World, place: Path, name: str) -> None:
    data, starts = ALL[name](), world.starts()
    place.write_bytes(data)
    try:
        before = snapshot(world.base)
        with memory(CAP):
            for destination in (world.space.results / RUN, world.base / "new/place"):
                with pytest.raises(CorruptError):
                    restore.restore(place, destination)
            problems = check(place, read_data=True).problems
            verdict = world.verdict(place)
        after = snapshot(world.base)
    finally:
        place.unlink()
    counts["hostile archives"] += 1
    counts["bytes outside"] += after != before
    counts["executed"] += world.starts() - starts
    assert any("is not in the ledger" not in p and "is missing" not in p for p in problems)
    assert verdict is Verdict.CORRUPT
    assert after == before
    assert world.starts() == starts
