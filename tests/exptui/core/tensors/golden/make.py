"""Writes the golden files with the real libraries: `python make.py` in an environment that has them (see README.md).

Of each kind `one` and `two` hold the same tensors beside another path and another time, and in `off` one element is another.
"""

# mypy: ignore-errors
from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
RUNS = {
    "one": ("/runs/1", 1.5, 0.0),
    "two": ("/another/place/runs/2", 2.25, 0.0),
    "off": ("/runs/1", 1.5, 1e-7),
}
EXPECTED: dict[str, dict[str, list[object]]] = {}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def raw(tensor: torch.Tensor) -> bytes:
    return (
        tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        if tensor.numel()
        else b""
    )


def note(file: str, tensors: dict[str, torch.Tensor]) -> None:
    EXPECTED[file] = {
        name: [str(one.dtype).removeprefix("torch."), list(one.shape), digest(raw(one))]
        for name, one in tensors.items()
    }


def leaves(name: str, value: object) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, by name."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    items = []
    if isinstance(value, dict):
        items = [
            (f"{name}.{key}" if isinstance(key, str) else f"{name}[{key}]", one) for key, one in value.items()
        ]
    elif isinstance(value, list | tuple):
        items = [(f"{name}[{at}]", one) for at, one in enumerate(value)]
    return {key: one for below, item in items for key, one in leaves(below.removeprefix("."), item).items()}


def checkpoint(path: str, time: float, off: float) -> dict[str, object]:
    """Everything a usual checkpoint has: a model, an optimizer with its state, a generator's state, and what it is of."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(2):
        model(torch.ones(5, 3)).sum().backward()
        optimizer.step()
    with torch.no_grad():
        model[0].weight[1, 2] += off
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state()[:16].clone(),
        "epoch": 2,
        "args": Namespace(output=path, lr=1e-3, device=torch.device("cpu"), dtype=torch.float32),
        "place": Path(path),
        "saved_at": time,
        "best": None,
    }


def kinds(off: float) -> dict[str, torch.Tensor]:
    """Every type, a scalar, an empty one, a transposed one, and two that share their bytes."""
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 7
    base[2, 3] += off
    dtypes = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    found = {name: torch.arange(5).to(getattr(torch, name)) for name in [*dtypes, "complex64", "complex128"]}
    return {
        **found,
        "uint16": torch.arange(5).to(torch.uint16),
        "scalar": torch.tensor(3.5 + 10 * off, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        "nan": torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0]),
        "row": base[1],
        "whole": base,
        "turned": base.t(),
    }


def main() -> None:
    for run, (path, time, off) in RUNS.items():
        saved = checkpoint(path, time, off)
        torch.save(saved, HERE / f"checkpoint_{run}.pt")
        note(f"checkpoint_{run}.pt", leaves("", saved))
        torch.save(OrderedDict(kinds(off)), HERE / f"kinds_{run}.pt", pickle_protocol=4)
        note(f"kinds_{run}.pt", kinds(off))
        plain = {name: one.clone().contiguous() for name, one in kinds(off).items() if "complex" not in name}
        save_file(plain, HERE / f"kinds_{run}.safetensors", metadata={"path": path, "time": str(time)})
        note(f"kinds_{run}.safetensors", plain)
        arrays = {name: one.numpy() for name, one in kinds(off).items() if name not in ("bfloat16", "turned")}
        arrays |= {"turned": np.asfortranarray(arrays["whole"])}
        for pack, write in (("", np.savez), ("_packed", np.savez_compressed)):
            file = f"kinds_{run}{pack}.npz"
            write(HERE / file, **(arrays if run != "two" else dict(reversed(arrays.items()))))
            EXPECTED[file] = {
                name: [one.dtype.str, list(one.shape), digest(one.tobytes(order="A"))]
                for name, one in arrays.items()
            }
        np.save(HERE / f"array_{run}.npy", arrays["whole"])
        EXPECTED[f"array_{run}.npy"] = {
            "array": [arrays["whole"].dtype.str, [3, 4], digest(arrays["whole"].tobytes())]
        }
    torch.save(torch.arange(3), HERE / "single.pt")
    note("single.pt", {"tensor": torch.arange(3)})
    torch.save(torch.nn.Linear(2, 2), HERE / "refused_model.pt")
    torch.save({"x": torch.zeros(2), "s": {1, 2}}, HERE / "refused_set.pt")
    torch.save({"x": torch.zeros(2)}, HERE / "refused_legacy.pt", _use_new_zipfile_serialization=False)
    np.savez(HERE / "refused_objects.npz", x=np.zeros(2), o=np.array([{}], dtype=object))
    np.save(HERE / "refused_records.npy", np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))
    lines = (f"{json.dumps(file)}: {json.dumps(EXPECTED[file], sort_keys=True)}" for file in sorted(EXPECTED))
    (HERE / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
