"""`code.tar`: what was packed comes out, and nothing that was not packed by it is unpacked."""

from __future__ import annotations

import io
import os
import random
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.core.archive import manifest as mf
from exptui.core.archive import tarball
from exptui.core.errors import CorruptError
from exptui.core.files import sha256_bytes
from exptui.core.source import pack
from exptui.core.source.pack import Entry, link_problem

NAMES = st.text("abcé-. ", min_size=1, max_size=60).filter(lambda name: not mf.path_problem(name))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(PATHS, st.tuples(st.binary(max_size=1500), st.booleans()), max_size=8).filter(
    lambda tree: not mf.collisions(list(tree))
)


def packed(*entries: tuple[Entry, bytes]) -> bytes:
    """A tar of these, as `Writer` makes it."""
    out = io.BytesIO()
    writer = pack.Writer(out)
    for entry, data in entries:
        writer.write(entry.header + data + bytes(-len(data) % tarball.RECORD))
    assert writer.close() == sha256_bytes(out.getvalue())
    return out.getvalue()


def file(path: str, data: bytes = b"x", *, executable: bool = False) -> tuple[Entry, bytes]:
    """A file."""
    return Entry(path, len(data), executable, ""), data


def link(path: str, target: str) -> tuple[Entry, bytes]:
    """A link."""
    return Entry(path, 0, executable=False, link=target), b""


@given(TREES)
@settings(max_examples=200, deadline=None)
def test_what_was_packed_comes_out(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, tuple[bytes, bool]]
) -> None:
    data = packed(
        *(file(path, tree[path][0], executable=tree[path][1]) for path in sorted(tree, key=str.encode))
    )
    folder = tmp_path_factory.mktemp("pack")
    (folder / "code.tar").write_bytes(data)
    assert sorted(pack.unpack(folder / "code.tar", folder / "out", sha256_bytes(data))) == sorted(tree)
    for path, (content, executable) in tree.items():
        found = folder / "out" / path
        assert found.read_bytes() == content
        assert bool(found.stat().st_mode & stat.S_IXUSR) == executable
    with tarfile.open(folder / "code.tar") as other:
        assert sorted(other.getnames()) == sorted(tree)


def test_links_and_long_names_are_read_by_tar_too(tmp_path: Path) -> None:
    long = "d" * 120
    data = packed(file(f"{long}/é", b"1"), link(f"{long}2/up", f"../{long}/é"), link("link", f"{long}/é"))
    (tmp_path / "code.tar").write_bytes(data)
    pack.unpack(tmp_path / "code.tar", tmp_path / "out", sha256_bytes(data))
    (tmp_path / "tar").mkdir()
    subprocess.run(["tar", "xf", tmp_path / "code.tar", "-C", tmp_path / "tar"], check=True)
    for place in ("out", "tar"):
        for path in ("link", f"{long}2/up"):
            assert (tmp_path / place / path).read_bytes() == b"1"
            assert (tmp_path / place / path).is_symlink()


@pytest.mark.parametrize(
    ("path", "target", "fine"),
    [
        ("a", "b", True),
        ("a", "b/c", True),
        ("d/a", "../b", True),
        ("d/e/a", "../../b", True),
        ("a", ".", True),
        ("a", "..", False),
        ("d/a", "../..", False),
        ("a", "/etc/passwd", False),
        ("a", "b/../c", False),
        ("a", "./../c", False),
        ("d/a", ".././../x", False),
        ("a", "b\nc", False),
    ],
)
def test_which_links_stay_inside(path: str, target: str, *, fine: bool) -> None:
    assert (link_problem(path, target) == "") == fine


def foreign(*members: tarfile.TarInfo) -> bytes:
    """A tar of somebody else's."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return out.getvalue()


def member(name: str, **facts: object) -> tarfile.TarInfo:
    """One member of it."""
    found = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(found, key, value)
    return found


def negative(data: bytes) -> bytes:
    """A size below zero, with the right checksum."""
    block = bytearray(data[:512])
    block[124:136] = b"-0000000001\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data[512:]


ORDINARY = packed(file("a"), file("b/c", b"y" * 700), link("l", "b/c"))
HOSTILE: dict[str, Callable[[], bytes]] = {
    "absolute": lambda: packed(file("/etc/x")),
    "dots": lambda: packed(file("../x")),
    "inner dots": lambda: packed(file("a/../../x")),
    "empty part": lambda: packed(file("a//x")),
    "control": lambda: packed(file("a\nb")),
    "backslash": lambda: packed(file("a\\b")),
    "link out": lambda: packed(link("a", "../x")),
    "absolute link": lambda: packed(link("a", "/etc")),
    "link through a link": lambda: packed(link("a", "."), link("b", "a/../x")),
    "write through a link": lambda: packed(link("a", "b"), file("a/x")),
    "a file as directory": lambda: packed(file("a"), file("a/x")),
    "twice": lambda: packed(file("a"), file("a")),
    "out of order": lambda: packed(file("b"), file("a")),
    "case": lambda: packed(file("A"), file("a")),
    "composed": lambda: packed(file("e\u0301"), file("\u00e9")),
    "hard link": lambda: foreign(member("a", type=tarfile.LNKTYPE, linkname="b")),
    "device": lambda: foreign(member("a", type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "fifo": lambda: foreign(member("a", type=tarfile.FIFOTYPE)),
    "directory": lambda: foreign(member("a", type=tarfile.DIRTYPE, mode=0o755)),
    "sparse": lambda: foreign(member("a", type=tarfile.GNUTYPE_SPARSE)),
    "owner": lambda: foreign(member("a", uid=1)),
    "time": lambda: foreign(member("a", mtime=1)),
    "setuid": lambda: foreign(member("a", mode=0o4755)),
    "pax size": lambda: foreign(member("a", pax_headers={"size": "1"})),
    "pax comment": lambda: foreign(member("a", pax_headers={"comment": "x"})),
    "a link with bytes": lambda: foreign(
        member("a", type=tarfile.SYMTYPE, linkname="b", size=512, mode=0o777)
    ),
    "below zero": lambda: negative(ORDINARY),
    "cut": lambda: ORDINARY[:-1],
    "more": lambda: ORDINARY + b"\0",
    "after the end": lambda: ORDINARY[:-512] + b"x" * 512,
    "padding": lambda: ORDINARY[:1023] + b"x" + ORDINARY[1024:],
    "nothing": lambda: b"",
    "no tar": lambda: random.Random(1).randbytes(10240),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused_before_a_byte_is_written(tmp_path: Path, name: str) -> None:
    data = HOSTILE[name]()
    (tmp_path / "code.tar").write_bytes(data)
    with pytest.raises(CorruptError):
        pack.unpack(tmp_path / "code.tar", tmp_path / "out", sha256_bytes(data))
    assert os.listdir(tmp_path) == ["code.tar"]  # noqa: PTH208


@given(st.integers(0, len(ORDINARY) * 8 - 1))
@settings(max_examples=300, deadline=None)
def test_no_changed_bit_is_taken_for_the_code(bit: int) -> None:
    data = bytearray(ORDINARY)
    data[bit // 8] ^= 1 << bit % 8
    try:
        found = pack.check(io.BytesIO(bytes(data)), "code.tar")
    except CorruptError:
        return
    assert found.digest != sha256_bytes(ORDINARY)


@given(st.binary(max_size=3000))
@settings(max_examples=300, deadline=None)
def test_no_bytes_of_anybody_are_a_tar_of_ours(data: bytes) -> None:
    with pytest.raises(CorruptError):
        pack.check(io.BytesIO(data), "code.tar")
