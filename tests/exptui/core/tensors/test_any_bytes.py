"""Every reader, given anything: what it says is so, or it says why it does not read it; never another error."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from exptui.core.tensors import find
from exptui.core.tensors.contents import Contents, NotRead
from exptui.core.tensors.pickled import Machine

GOLDEN = Path(__file__).parent / "golden"
MANY = settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FILES = [
    "kinds_one.safetensors",
    "array_one.npy",
    "kinds_one.npz",
    "kinds_one_packed.npz",
    "checkpoint_one.pt",
    "kinds_one.pt",
]
BITS = [b"\0" * 9, b"\xff" * 8, b"PK\3\4", b"PK\1\2", b"}", b"[" * 9, b"(", b"R", b".", b"9" * 12]
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=6) | st.sampled_from(BITS)), max_size=4
)
Read = dict[str, tuple[str, bytes]]


def edited(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for share, dropped, new in edits:
        at = int(share * len(data))
        data = data[:at] + new + data[at + dropped :]
    return data


def whole(contents: Contents) -> Read:
    return {name: (one.kind, b"".join(one.blocks())) for name, one in contents.tensors.items()}


def read(data: bytes) -> Read | None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "x")
        path.write_bytes(data)
        try:
            found = find.read(path)
            assert found.metadata >= 0
            read = whole(found)
        except NotRead:
            return None
    assert all(len(content) == found.tensors[name].size for name, (_, content) in read.items())
    return read


@pytest.mark.parametrize("file", FILES)
@MANY
@given(edits=EDITS)
def test_an_edited_file_is_read_or_refused(file: str, edits: list[tuple[float, int, bytes]]) -> None:
    data = (GOLDEN / file).read_bytes()
    found = read(edited(data, edits))
    if not edits:
        assert found is not None


@MANY
@given(st.binary(max_size=400), st.sampled_from([b"", b"PK\3\4", b"\x93NUMPY\1\0", b"\x20\0\0\0\0\0\0\0{"]))
def test_any_bytes_are_read_or_refused(data: bytes, head: bytes) -> None:
    read(head + data)


@MANY
@given(edits=EDITS, packed=st.booleans())
def test_what_is_read_as_the_same_is_the_same_to_numpy(
    edits: list[tuple[float, int, bytes]], packed: bool
) -> None:
    data = (GOLDEN / f"kinds_one{'_packed' if packed else ''}.npz").read_bytes()
    new = edited(data, edits)
    if (found := read(new)) is None or found != read(data):
        return
    try:
        with np.load(io.BytesIO(new)) as theirs:
            again = {name: theirs[name] for name in theirs.files}
    except Exception:  # noqa: BLE001  it refuses what is not read here, and more
        return
    with np.load(io.BytesIO(data)) as ours:
        assert {name: one.tobytes() for name, one in again.items()} == {
            n: ours[n].tobytes() for n in ours.files
        }


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0:"), min_size=1, max_size=8)
ARRAYS = arrays.arrays(
    st.one_of(arrays.floating_dtypes(), arrays.integer_dtypes(), arrays.boolean_dtypes(), arrays.complex_number_dtypes()),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)  # fmt: skip


@MANY
@given(st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=4), st.booleans())
def test_what_numpy_writes_is_read(given: dict[str, Any], packed: bool) -> None:
    file = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(file, **{f"n{name}": one for name, one in given.items()})
    found = read(file.getvalue())
    if found is None:
        assert not any(one.size for one in given.values())
        return
    assert {name: content for name, (_, content) in found.items()} == {
        f"n{name}": one.tobytes("A") for name, one in given.items()
    }


@MANY
@given(st.dictionaries(NAMES, st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=5), st.data())
def test_what_safetensors_describes_is_read(shapes: dict[str, list[int]], data: st.DataObject) -> None:
    header, body = {}, b""
    for name, shape in shapes.items():
        content = data.draw(st.binary(min_size=4 * int(np.prod(shape)), max_size=4 * int(np.prod(shape))))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(content)]}
        body += content
    text = json.dumps(header).encode()
    found = read(len(text).to_bytes(8, "little") + text + body)
    if body:
        assert found is not None
        assert {name: len(content) for name, (_, content) in found.items()} == {
            name: 4 * int(np.prod(shape)) for name, shape in shapes.items()
        }
    else:
        assert found is None


FLAT = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 2000), 1 << 2000)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
)
PLAIN = st.recursive(
    FLAT,
    lambda below: (
        st.lists(below, max_size=4)
        | st.tuples(below, below)
        | st.dictionaries(st.integers() | st.text(max_size=4), below, max_size=4)
    ),
    max_leaves=20,
)


@MANY
@given(PLAIN, st.sampled_from([2, 3, 4, 5]))
def test_plain_values_are_unpickled_as_they_are(value: object, protocol: int) -> None:
    assert Machine().run(pickle.dumps(value, protocol)) == value


@MANY
@given(
    st.lists(
        st.sampled_from([bytes([code]) for code in b"}]()ltau0.NRbQe\x85\x86\x87\x88\x89\x94q\0h\0K\1"])
        | st.binary(max_size=3)
    )
)
def test_any_opcodes_are_understood_or_refused(codes: list[bytes]) -> None:
    with contextlib.suppress(NotRead):
        Machine().run(b"\x80\x02" + b"".join(codes) + b".")
