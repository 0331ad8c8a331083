"""Files that were made to do harm: each is refused, with its reason, before it does any."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from exptui.core.tensors import find, pickled, torch, zipped
from exptui.core.tensors.contents import NotRead
from exptui.core.tensors.pickled import Machine

GOLDEN = Path(__file__).parent / "golden"
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def refused(path: Path, data: bytes, why: str) -> None:
    """It is, and takes little memory meanwhile."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(NotRead, match=why):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


def read(path: Path) -> None:
    """All of a file."""
    for tensor in find.read(path).tensors.values():
        for _ in tensor.blocks():
            pass


def zip_of(members: dict[str, bytes], how: int = STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return file.getvalue()


def npy(shape: str, size: int, descr: str = "<f4") -> bytes:
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head + bytes(size)


def safetensors(header: object, size: int = 0) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


def f32(*offsets: int, shape: list[Any] | None = None) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape or [1], "data_offsets": offsets}


def pickle_of(*parts: bytes | str | int) -> bytes:
    """Opcodes; a text becomes BINUNICODE and a number BININT."""
    out = b"\x80\x02"
    for part in parts:
        if isinstance(part, str):
            out += b"X" + struct.pack("<I", len(part)) + part.encode()
        else:
            out += part if isinstance(part, bytes) else b"J" + struct.pack("<i", part)
    return out + b"."


def tensor(
    count: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> list[bytes | str | int]:
    """A tensor of float32 in storage 0."""
    storage: list[bytes | str | int] = [b"(", "storage", b"ctorch\nFloatStorage\n", "0", "cpu", count, b"tQ"]
    return [
        b"ctorch._utils\n_rebuild_tensor_v2\n(", *storage, offset, b"(", *shape, b"t(", *stride, b"t\x89",
        b"ccollections\nOrderedDict\n)RtR",
    ]  # fmt: skip


def pt(data: bytes, storage: bytes = bytes(8), **more: bytes) -> bytes:
    return zip_of({"a/data.pkl": data, "a/data/0": storage, **more})


def test_the_emitter_makes_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(pt(pickle_of(*tensor(2, 0, (2,), (1,)))))
    assert find.read(tmp_path / "x").tensors["tensor"].kind == "float32[2]"


ZIPS = {
    "a bomb": (zip_of({"x.npy": npy("(75000000,)", 300_000_000)}, DEFLATED), "would unpack to 300,000,"),
    "two of a name": (b"", "twice"),
    "encrypted": (b"", "encrypted"),
    "another way of packing": (zip_of({"x.npy": npy("(1,)", 4)}, zipfile.ZIP_BZIP2), "not read, or encrypted"),
    "cut off": (zip_of({"x.npy": npy("(1,)", 4)})[:-5], "damaged"),
    "empty": (zip_of({}), "neither|no tensor"),
    "no arrays": (zip_of({"x.txt": b"1"}), "x.txt in it is no array"),
    "an array that is too short": (zip_of({"x.npy": npy("(9,)", 4)}), "not as long as it says"),
    "an array with an impossible shape": (zip_of({"x.npy": npy("(" + "9" * 18 + ", " * 1 + "9" * 18 + ")", 4)}), "impossible shape"),
    "an array that is a program": (zip_of({"x.npy": npy("(__import__('os').system('id'),)", 4)}), "not read"),
}  # fmt: skip


def twice() -> bytes:
    data = zip_of({"x.npy": npy("(1,)", 4), "y.npy": npy("(1,)", 4)})
    return data.replace(b"y.npy", b"x.npy")


def encrypted() -> bytes:
    data = bytearray(zip_of({"x.npy": npy("(1,)", 4)}))
    data[data.index(b"PK\1\2") + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize("name", ZIPS)
def test_zip_files(tmp_path: Path, name: str) -> None:
    data, why = ZIPS[name]
    refused(tmp_path / "x", data or (twice() if name == "two of a name" else encrypted()), why)


def test_members_that_overlap(tmp_path: Path) -> None:
    """Two entries of the directory that are of one member."""
    data = zip_of({"x.npy": npy("(1,)", 4), "y.npy": npy("(1,)", 4)})
    first, second = data.index(b"PK\1\2"), data.rindex(b"PK\1\2")
    offset = data[first + 42 : first + 46]
    both = data[: second + 42] + offset + data[second + 46 :]
    refused(tmp_path / "x", both, "overlap")
    refused(tmp_path / "x", data.replace(b"y.npy", b"z.npy", 1), "two names")
    renamed = both.replace(b"y.npy", b"x.npy")
    refused(tmp_path / "x", renamed, "twice")
    inner = zip_of({"x.npy": npy("(1,)", 4)})
    outer = zip_of({"y.npy": inner})  # a second directory that takes the inner file's member for its own
    at = outer.index(inner)
    entry = inner[inner.index(b"PK\1\2") : inner.index(b"PK\5\6")]
    entry = entry[:42] + at.to_bytes(4, "little") + entry[46:]
    start = outer.index(b"PK\1\2", at + len(inner))
    end = outer.rindex(b"PK\5\6")
    directory = outer[start:end] + entry
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 2, 2, len(directory), start, 0)
    refused(tmp_path / "x", outer[:start] + directory + tail, "overlap")


def test_a_directory_that_is_too_large_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "MAX_DIRECTORY", 1 << 16)
    refused(
        tmp_path / "x",
        zip_of({f"{n}.npy": b"" for n in range(2000)}),
        "directory of the zip file is too large",
    )
    monkeypatch.undo()
    monkeypatch.setattr(zipped, "MAX_MEMBERS", 100)
    refused(tmp_path / "x", zip_of({f"{n}.npy": b"" for n in range(101)}), "too many members")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (struct.pack("<Q", 1 << 62) + b"{}", "too large"),
        (struct.pack("<Q", 40) + b"{}", "too large, or it is cut off"),
        (safetensors(b"{" + b'"a":{' * 5000 + b"}" * 5001), "no JSON"),
        (safetensors({"a": f32(0, 4), "b": f32(0, 4)}, 4), "overlap"),
        (safetensors({"a": f32(0, 4), "b": f32(8, 12)}, 12), "gaps"),
        (safetensors({"a": f32(0, 4)}, 8), "gaps"),
        (safetensors({"a": f32(0, 4)}, 3), "cut off"),
        (safetensors({"a": f32(4, 8)}, 8), "gaps"),
        (safetensors({"a": f32(0, 8)}, 8), "not described"),
        (safetensors({"a": f32(-4, 0)}, 0), "not described"),
        (safetensors({"a": f32(0, 4, shape=[-1, -1])}, 4), "impossible shape"),
        (safetensors({"a": f32(0, 4, shape=[True])}, 4), "impossible shape"),
        (safetensors({"a": f32(0, 4, shape=[1] * 65)}, 4), "impossible shape"),
        (safetensors({"a": f32(0, 4, shape=[1 << 62])}, 4), "impossible shape"),
        (safetensors({"a": {**f32(0, 4), "dtype": "F4"}}, 4), "not described"),
        (safetensors({"a": {**f32(0, 4), "more": 1}}, 4), "not described"),
        (safetensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":1}', 4), "twice"),
        (safetensors({"__metadata__": {"x": 1}, "a": f32(0, 4)}, 4), "metadata"),
        (safetensors({"__metadata__": {"x": "y"}}), "no tensor"),
        (safetensors({"a": f32(0, 0, shape=[0])}), "no tensor"),
        (safetensors(b"{}"), "no tensor"),
        (b"", "neither"),
    ],
)  # fmt: skip
def test_safetensors(tmp_path: Path, data: bytes, why: str) -> None:
    refused(tmp_path / "x", data, why)


def laughs() -> bytes:
    """A list of ten of the same list, thirty times over."""
    levels = [b"(" + (b"h" + bytes([n])) * 10 + b"tq" + bytes([n + 1]) for n in range(30)]
    return pickle_of(b"(Nq\0", *levels, b"t")


PICKLES = {
    "a program": (pickle.dumps(os.system, 2), "it holds posix.system"),
    "a program, newer": (pickle.dumps(os.system, 4), "it holds posix.system"),
    "eval": (b"\x80\x02c__builtin__\neval\nX\x04\0\0\0exit\x85R.", "it holds __builtin__.eval"),
    "an instance": (b"(iposix\nsystem\n.", "INST"),
    "an extension": (b"\x80\x02\x82\1.", "EXT1"),
    "a bytearray": (pickle.dumps(bytearray(3), 5), "BYTEARRAY8|it holds"),
    "a list in itself": (pickle_of(b"]q\0h\0a"), "in itself"),
    "a list of lists of lists": (laughs(), "nested too deeply"),
    "a deep list": (pickle_of(b"]" * 5000 + b"a" * 4999), "nested too deeply"),
    "deep tuples": (pickle_of(b"N" + b"\x85" * 200_000), "nested too deeply"),
    "a deep tuple as a key": (pickle_of(b"}N" + b"\x85" * 200_000 + b"Ns"), "neither a text nor a number"),
    "no storage": (pickle_of(*tensor(2, 0, (2,), (1,))).replace(b"X\1\0\0\0\x30", b"X\1\0\0\0\x31"), "storage in it is missing"),
    "beyond its storage": (pickle_of(*tensor(2, 1, (2,), (1,))), "beyond its storage"),
    "steps beyond its storage": (pickle_of(*tensor(2, 0, (2,), (2,))), "beyond its storage"),
    "backwards": (pickle_of(*tensor(2, 1, (2,), (-1,))), "not described"),
    "a negative shape": (pickle_of(*tensor(2, 0, (-1, -1), (1, 1))), "impossible shape"),
    "a storage of another length": (pickle_of(*tensor(3, 0, (3,), (1,))), "not as long as it says"),
    "shared too often": (pickle_of(b"](", *(tensor(2, 0, (2,), (1,)) * 3), b"e"), "shared|too often"),
    "tensors of one name": (pickle_of(b"}(", 1, *tensor(2, 0, (1,), (1,)), "[1]", *tensor(2, 1, (1,), (1,)), b"u"), "are named"),
    "a storage by itself": (pickle_of(b"(", "storage", b"ctorch\nFloatStorage\n", "0", "cpu", 2, b"tQ"), "by itself"),
    "a mark by itself": (b"\x80\x02(.", "by itself"),
    "too many values": (b"\x80\x02NN.", "damaged"),
    "nothing": (b"", "cut off|damaged"),
    "no end": (b"\x80\x02N", "damaged|cut off"),
    "a memo that is not there": (b"\x80\x02h\7.", "damaged"),
    "no tensor": (pickle_of(b"}"), "no tensor"),
}  # fmt: skip


@pytest.mark.parametrize("name", PICKLES)
def test_pickles(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, why = PICKLES[name]
    if name == "shared too often":
        monkeypatch.setattr(torch, "SHARED", 0)
        data = pickle_of(b"](", *(tensor(1 << 18, 0, (1 << 18,), (1,)) * 2), b"e")
        refused(tmp_path / "x", pt(data, bytes(1 << 20)), why)
    else:
        refused(tmp_path / "x", pt(data), why)


def test_nothing_of_a_pickle_is_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "made"),)

    for protocol in range(6):
        refused(tmp_path / "x", pt(pickle.dumps({"x": Evil()}, protocol)), "it holds|its pickle has")
    assert not (tmp_path / "made").exists()


def test_a_pickle_of_too_many_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "MAX_OBJECTS", 100)
    with pytest.raises(NotRead, match="too many"):
        Machine().run(pickle_of(b"]" * 102))
    monkeypatch.setattr(pickled, "MAX_STEPS", 100)
    with pytest.raises(NotRead, match="too many"):
        Machine().run(pickle_of(b"N" * 102))


def test_another_byte_order_and_packed_storages(tmp_path: Path) -> None:
    good = pickle_of(*tensor(2, 0, (2,), (1,)))
    refused(tmp_path / "x", pt(good, **{"a/byteorder": b"big"}), "another order")
    refused(tmp_path / "x", zip_of({"a/data.pkl": good, "a/data/0": bytes(8)}, DEFLATED), "packed")
