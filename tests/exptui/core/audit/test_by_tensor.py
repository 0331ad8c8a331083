"""Files of tensors beside each other: the same, within a tolerance, or not, with what was not compared."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.core.archive import manifest as mf
from exptui.core.audit.by_tensor import _block, compare
from exptui.core.audit.compare import FileAudit, compare_files
from exptui.core.settings import TrainerSettings
from exptui.core.tensors.contents import NotRead
from exptui.core.tolerance import Bound, Tolerances, apart

GOLDEN = Path(__file__).parents[1] / "tensors/golden"
PAIRS = [
    "checkpoint_{}.pt",
    "kinds_{}.pt",
    "kinds_{}.safetensors",
    "kinds_{}.npz",
    "kinds_{}_packed.npz",
    "array_{}.npy",
]
BOUNDS = st.builds(Bound, abs=st.floats(0, 1e30), rel=st.floats(0, 1, exclude_max=True))
FORMATS = {"<f8": ("<d", 64), "<f4": ("<f", 32), "<f2": ("<e", 16)}


@pytest.mark.parametrize("name", PAIRS)
def test_another_path_and_time_are_metadata(name: str) -> None:
    found = compare(GOLDEN / name.format("one"), GOLDEN / name.format("two"), {})
    assert (found.differs, found.delta) == ("", None)
    assert "bytes of metadata not compared" in found.said
    if name.startswith("checkpoint"):
        assert "(they differ in args.output, place, saved_at)" in found.said
        assert "28 tensors" in found.said
    if name.endswith(".safetensors"):
        assert "(they differ in __metadata__.path, __metadata__.time)" in found.said


@pytest.mark.parametrize("name", PAIRS)
def test_one_element_is_enough(name: str) -> None:
    sides = GOLDEN / name.format("one"), GOLDEN / name.format("off")
    found = compare(*sides, {})
    assert "differs" in found.differs
    near = compare(*sides, {"*": Bound(abs=1e-3)})
    assert near.differs == ""
    assert near.delta is not None
    assert 5e-8 < near.delta < 2e-6
    assert "differs" in compare(*sides, {"*": Bound(abs=1e-9)}).differs
    if name.startswith("kinds"):
        assert near.largest == "scalar"
        assert near.delta == pytest.approx(1e-6)
        only = compare(*sides, {"scalar": Bound(abs=1e-3)})
        assert "turned" in only.differs
        assert "scalar" not in only.differs


def test_another_type_shape_name_or_kind_of_file() -> None:
    with pytest.raises(NotRead):
        compare(GOLDEN / "array_one.npy", GOLDEN / "refused_records.npy", {})
    found = compare(GOLDEN / "checkpoint_one.pt", GOLDEN / "kinds_one.pt", {"*": Bound(abs=9)})
    assert found.differs.startswith("bfloat16 is new, bool is new, complex128 is new, and ")
    assert compare(GOLDEN / "kinds_one.pt", GOLDEN / "kinds_one.npz", {}).differs == "PyTorch → npz"


@settings(max_examples=1000, deadline=None)
@given(st.data(), st.sampled_from(sorted(FORMATS)), BOUNDS)
def test_blocks_are_compared_as_single_numbers_are(data: st.DataObject, floats: str, bound: Bound) -> None:
    code, width = FORMATS[floats]
    pairs = st.tuples(st.floats(width=width), st.floats(width=width))  # type: ignore[arg-type]
    near = st.floats(width=width).map(lambda one: (one, one))  # type: ignore[arg-type]
    rows = data.draw(st.lists(pairs | near, min_size=1, max_size=5))
    one, two = (b"".join(struct.pack(code, row[side]) for row in rows) for side in (0, 1))
    singles = [apart(*row, bound) for row in rows]
    wanted = None if None in singles else max(far for far in singles if far is not None)
    assert _block(one, two, floats, bound) == wanted


def test_bfloat16_is_the_upper_half_of_a_float() -> None:
    def bfloat16(*numbers: float) -> bytes:
        return b"".join(struct.pack("<f", number)[2:] for number in numbers)

    one, two = bfloat16(1.0, math.inf, math.nan, -2.0), bfloat16(1.5, math.inf, math.nan, -2.0)
    assert _block(one, two, "bfloat16", Bound(abs=0.5)) == 0.5
    assert _block(one, two, "bfloat16", Bound(abs=0.4)) is None


def audit(tmp_path: Path, left: str, right: str, declared: TrainerSettings) -> FileAudit:
    sides = []
    for side, name in (("a", left), ("b", right)):
        (tmp_path / side).mkdir(exist_ok=True)
        (tmp_path / side / "model").write_bytes((GOLDEN / name).read_bytes())
        sides.append((tmp_path / side, mf.scan(tmp_path / side)))
    (found,) = compare_files(sides[0], sides[1], declared)
    return found


def test_the_audit_of_a_file(tmp_path: Path) -> None:
    declared = TrainerSettings(tensors=("model",))
    same = audit(tmp_path, "checkpoint_one.pt", "checkpoint_two.pt", declared)
    assert (same.status, same.offset, same.diverged) == ("equal except declared", None, False)
    assert same.declared[0].startswith("compared by tensor content, 28 tensors; 8,789 bytes of metadata")
    off = audit(tmp_path, "checkpoint_one.pt", "checkpoint_off.pt", declared)
    assert (off.status, off.detail) == ("differs", "model.0.weight differs")
    near = TrainerSettings(tensors=("*",), tolerance=Tolerances(tensors={"model.*": Bound(abs=1e-6)}))
    found = audit(tmp_path, "checkpoint_one.pt", "checkpoint_off.pt", near)
    assert (found.status, found.largest) == ("agrees", "model.0.weight")
    bytes_count = audit(tmp_path, "refused_model.pt", "refused_set.pt", declared)
    assert (bytes_count.status, bytes_count.detail) == (
        "differs",
        "not read: it holds torch.nn.modules.linear.Linear",
    )
    assert bytes_count.offset is not None
    assert audit(tmp_path, "checkpoint_one.pt", "checkpoint_two.pt", TrainerSettings()).status == "differs"


def test_a_tensor_larger_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of both sides have to lie at the same places, whichever way they are packed."""
    import numpy as np

    from exptui.core.tensors import contents, zipped

    monkeypatch.setattr(contents, "BLOCK", 1000)
    monkeypatch.setattr(zipped, "BLOCK", 1000)
    numbers = np.arange(10_000, dtype="<f8")
    np.savez_compressed(tmp_path / "one.npz", x=numbers, y=numbers[:3])
    numbers[9_999] += 0.25
    np.savez_compressed(tmp_path / "two.npz", x=numbers, y=numbers[:3])
    assert compare(tmp_path / "one.npz", tmp_path / "two.npz", {}).differs == "x differs"
    found = compare(tmp_path / "one.npz", tmp_path / "two.npz", {"x": Bound(abs=1)})
    assert (found.delta, found.largest) == (0.25, "x")


def test_much_that_is_packed_into_little(tmp_path: Path) -> None:
    import numpy as np

    numbers = np.zeros(700_001)
    np.savez_compressed(tmp_path / "one.npz", x=numbers)
    numbers[-1] = 1
    np.savez_compressed(tmp_path / "two.npz", x=numbers)
    assert compare(tmp_path / "one.npz", tmp_path / "one.npz", {}).differs == ""
    assert compare(tmp_path / "one.npz", tmp_path / "two.npz", {}).differs == "x differs"


def test_the_same_bytes_of_another_kind_differ_and_whole_numbers_have_no_tolerance(tmp_path: Path) -> None:
    import numpy as np

    kinds = {"a": np.zeros((2, 3), "<f4"), "b": np.zeros((3, 2), "<f4"), "c": np.zeros((2, 3), "<i4")}
    kinds |= {"d": np.asfortranarray(kinds["a"]), "e": np.ones((2, 3), "<i4")}
    for name, one in kinds.items():
        np.savez(tmp_path / f"{name}.npz", x=one)

    def differs(left: str, right: str) -> str:
        return compare(tmp_path / f"{left}.npz", tmp_path / f"{right}.npz", {"*": Bound(abs=9)}).differs

    assert differs("a", "b") == "x <f4[2, 3] → <f4[3, 2]"
    assert differs("a", "c") == "x <f4[2, 3] → <i4[2, 3]"
    assert differs("a", "d") == "x <f4[2, 3] → <f4[2, 3] by columns"
    assert differs("c", "e") == "x differs"
    assert differs("c", "c") == ""
