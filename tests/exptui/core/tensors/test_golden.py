"""What the real libraries wrote is read as they read it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from exptui.core.tensors import find
from exptui.core.tensors.contents import NotRead, Tensor

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
SAFETENSORS = {
    "BF16": "bfloat16",
    "BOOL": "bool",
    **{f"{kind[0]}{size}": f"{kind[1]}{size}" for kind in (("F", "float"), ("I", "int"), ("U", "uint")) for size in (8, 16, 32, 64)},
}  # fmt: skip


def digest(tensor: Tensor) -> str:
    return hashlib.sha256(b"".join(tensor.blocks())).hexdigest()


def transposed(tensor: Tensor) -> Tensor:
    """Its elements in the order of its shape, of one that lies by columns."""
    (rows, columns), data = tensor.shape, b"".join(tensor.blocks())
    elements = [data[at : at + 4] for at in range(0, len(data), 4)]
    ordered = b"".join(elements[row + rows * column] for row in range(rows) for column in range(columns))
    return Tensor(tensor.dtype, tensor.shape, tensor.size, lambda: iter([ordered]))


@pytest.mark.parametrize("file", sorted(EXPECTED))
def test_every_tensor_is_as_its_library_says(file: str) -> None:
    contents = find.read(GOLDEN / file)
    assert contents.tensors.keys() == EXPECTED[file].keys()
    for name, (dtype, shape, sha256) in EXPECTED[file].items():
        found = contents.tensors[name]
        if " in steps" in found.layout:
            found = transposed(found)
        kind = SAFETENSORS.get(found.dtype, found.dtype) if file.endswith(".safetensors") else found.dtype
        assert (kind, list(found.shape), digest(found)) == (dtype, shape, sha256), name
    stored = (
        0
        if "packed" in file
        else sum(t.size for n, t in contents.tensors.items() if n not in ("row", "turned"))
    )
    assert 0 < contents.metadata < (GOLDEN / file).stat().st_size - stored + 200


def test_what_is_no_tensor_is_there_as_text() -> None:
    other = find.read(GOLDEN / "checkpoint_one.pt").other
    assert other["args.output"] == other["place"] == "/runs/1"
    assert (other["epoch"], other["saved_at"], other["best"], other["args.lr"]) == (
        "2",
        "1.5",
        "None",
        "0.001",
    )
    assert (other["args.device"], other["args.dtype"]) == ("cpu", "torch.float32")
    assert other["optimizer.param_groups[0].params[1]"] == "1"
    assert find.read(GOLDEN / "kinds_two.safetensors").other == {
        "__metadata__.path": "/another/place/runs/2",
        "__metadata__.time": "2.25",
    }


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("refused_model.pt", "it holds torch.nn.modules.linear.Linear"),
        ("refused_set.pt", "it holds __builtin__.set"),
        ("refused_legacy.pt", "neither safetensors, npz, npy nor a zip file of PyTorch"),
        ("refused_objects.npz", "Python objects"),
        ("refused_records.npy", "records"),
    ],
)
def test_what_is_not_read_says_why(file: str, why: str) -> None:
    with pytest.raises(NotRead, match=why):
        find.read(GOLDEN / file)
