"""The line at the top, at any width."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from exptui.core.monitor.catalog import Snapshot
from exptui.core.monitor.machine import Gpu, Machine
from exptui.tui import header

ROOT = Path("/somewhere/experiments")
BUSY = Machine(
    0.4, 12 << 30, 64 << 30, (Gpu(0, 0.95, 41 << 30, 80 << 30), Gpu(1, None, None, None)), "", 212 * 10**9
)


def shown(width: int, machine: Machine | None = BUSY, polling: str = "", **more: object) -> str:
    snapshot = Snapshot(free=212 * 10**9, slots=2, **more)  # type: ignore[arg-type]
    return "".join(text for text, _ in header.line(snapshot, machine, polling, ROOT, "gpu-07", width))


def test_all_of_it_where_there_is_room() -> None:
    assert shown(160, polling="nfs4") == (
        " exptui  /somewhere/experiments   ▶ 0 running · 2 slots   cpu 40%   mem 12/64G   gpu0 95% 41/80G   gpu1 –"
        "   disk 212.0 GB   polling: nfs4   gpu-07"
    )


def test_while_nothing_runs_there_is_nothing_that_moves() -> None:
    assert (
        shown(120, None) == " exptui  /somewhere/experiments   ▶ 0 running · 2 slots   disk 212.0 GB   gpu-07"
    )


def test_what_is_left_out_is_said_and_a_warning_never_is() -> None:
    full = Machine(0.4, 60 << 30, 64 << 30, BUSY.gpus, "", 10**9, 7200.0)
    text = shown(60, full)
    assert "disk 1.0 GB, full in ~2 h" in text
    assert text.endswith(" …")
    assert "somewhere" not in text
    assert "disk 5.0 MB left" in shown(60, Machine(free=5 * 10**6))
    assert "! notes.json is broken" in shown(40, full, problems=("notes.json is broken",))
    assert "gpu ? nvidia-smi does not answer" in shown(200, Machine(gpu_problem="nvidia-smi does not answer"))


@given(st.integers(20, 200), st.text(max_size=50))
def test_it_fits_from_40_columns_on_and_commands_no_terminal(width: int, name: str) -> None:
    spans = header.line(Snapshot(), BUSY, "nfs", Path("/") / name.replace("\0", ""), name, width)
    text = "".join(part for part, _ in spans)
    assert len(text) <= max(40, width)
    assert not any(ord(one) < 0x20 or 0x7F <= ord(one) < 0xA0 for one in text)
