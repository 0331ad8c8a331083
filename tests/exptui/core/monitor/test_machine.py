"""The machine, read from a /proc that the test writes."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core.monitor import machine
from exptui.core.monitor.machine import Gpu, Gpus, Load, Sampler, parse
from support import until

GB = 10**9


class World:
    """A machine whose clock and files the test moves."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.at, self.free = root, 100.0, 50 * GB
        monkeypatch.setattr(machine, "free_bytes", lambda _: self.free)
        self.stat(0, 0)
        (root / "meminfo").write_text("MemTotal: 1000000 kB\nMemAvailable: 250000 kB\nHugePages_Total: 0\n")
        self.sampler = Sampler(root, root, lambda: self.at, lambda: ((), ""))

    def stat(self, busy: int, idle: int) -> None:
        (self.root / "stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1\n")

    def process(self, pid: int, parent: int, ticks: int, start: int = 7, pages: int = 1000) -> None:
        (self.root / str(pid)).mkdir(exist_ok=True)
        zeros = " 0" * 9
        (self.root / f"{pid}/stat").write_text(
            f"{pid} (a) b) R {parent}{zeros} {ticks} 0 0 0 20 0 1 0 {start} 1 {pages} 0\n"
        )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_cpu_and_memory_in_coarse_steps(world: World) -> None:
    world.stat(100, 100)
    first = world.sampler.sample({})
    assert first.cpu is None  # nothing to compare with
    assert (first.memory / first.memory_total, first.memory_total) == (0.76, 1_024_000_000)
    world.stat(169, 131)
    assert world.sampler.sample({}).cpu == 0.7
    assert world.sampler.sample({}).cpu is None  # no time went by


def test_the_load_of_a_tree_is_what_it_took_since_the_last_look(world: World) -> None:
    world.process(10, 1, 500)  # the supervisor
    world.process(11, 10, 100)
    world.process(12, 11, 50)
    world.process(99, 1, 0)
    world.sampler.sample({"a": [10]}, [10])
    world.at += 2
    ticks = machine._TICKS
    world.process(10, 1, 500 + 9 * ticks)
    world.process(11, 10, 100 + ticks)
    world.process(12, 11, 50 + 2 * ticks, start=8)  # another process of that number
    world.process(13, 12, ticks, pages=500)
    found = world.sampler.sample({"a": [10], "b": [99, 4000], "c": ()}, [10]).loads
    assert found["a"].processes == 3
    assert found["a"].cores == pytest.approx((ticks + 50 + 2 * ticks + ticks) / ticks / 2, abs=0.06)
    assert found["a"].memory == float(f"{2500 * machine._PAGE:.1e}")
    assert found["b"] == Load(0, float(f"{1000 * machine._PAGE:.1e}"), 1)  # type: ignore[arg-type]
    assert found["c"].processes == 0


def test_equal_machines_are_equal_so_that_nothing_is_painted(world: World) -> None:
    world.process(11, 10, 100)
    world.stat(100, 100)
    world.sampler.sample({"a": [10]})
    found = []
    for at in (1, 2):
        world.at += 3
        world.stat(100 + at * 1000, 100 + at * 1010)
        world.process(11, 1, 100 + at, pages=1000 + at)
        world.free -= 1000
        found.append(world.sampler.sample({"a": [11]}))
    assert found[0] == found[1]


def test_a_disk_that_will_be_full_is_said_before_it_is(world: World) -> None:
    soon = []
    for _ in range(7):
        soon.append(world.sampler.sample({}).full_in)
        world.at += 30
        world.free -= 2 * GB
    assert soon[0] is None
    assert soon[-1] == 600.0
    for _ in range(60):  # it grows no more
        world.at += 30
        last = world.sampler.sample({})
    assert last.full_in is None


def test_a_slow_growth_is_no_warning(world: World) -> None:
    for _ in range(10):
        world.at += 30
        world.free -= 10**6
        assert world.sampler.sample({}).full_in is None


def test_a_machine_without_its_files_is_unknown(tmp_path: Path) -> None:
    found = Sampler(tmp_path, tmp_path, gpus=lambda: ((), "")).sample({"a": [1]})
    assert (found.cpu, found.memory_total, found.loads["a"]) == (None, 0, Load(0, 0, 0))


def test_what_nvidia_smi_says() -> None:
    said = b"0, 93, 41984, 81920\n1, [N/A], [N/A], 81920\nNo devices were found\n\n, , ,\n2, 1\n"
    assert parse(said) == (Gpu(0, 0.95, 44_000_000_000, 81920 << 20), Gpu(1, None, None, 81920 << 20))


@given(st.binary(max_size=60))
def test_whatever_nvidia_smi_says(said: bytes) -> None:
    parse(said)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_nvidia_smi_is_asked_rarely_and_its_failure_is_said(tmp_path: Path) -> None:
    at = [0.0]
    counted = Gpus(script(tmp_path / "smi", f"echo x >> {tmp_path}/asked; echo 0, 5, 1, 2"), lambda: at[0])
    for _ in range(5):
        assert counted.read() == ((Gpu(0, 0.05, 1000000, 2 << 20),), "")
        at[0] += 3
    assert (tmp_path / "asked").read_text() == "x\nx\n"
    assert Gpus(script(tmp_path / "bad", "exit 9")).read() == ((), "nvidia-smi: exit code 9")
    assert Gpus(str(tmp_path / "no")).read() == ((), "nvidia-smi: No such file or directory")
    assert Gpus(None).read() == ((), "")


def test_one_that_hangs_is_killed_and_not_asked_again_before_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "GPU_PATIENCE", 0.3)
    at = [0.0]
    gpus = Gpus(script(tmp_path / "smi", f"echo $$ >> {tmp_path}/pid; exec sleep 60"), lambda: at[0])
    assert gpus.read() == ((), "nvidia-smi does not answer")
    (pid,) = map(int, (tmp_path / "pid").read_text().split())
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    monkeypatch.setattr(gpus._hanging, "poll", lambda: None)  # as if the kernel could not end it
    at[0] += 100
    assert gpus.read() == ((), "nvidia-smi does not answer")
    assert len((tmp_path / "pid").read_text().split()) == 1
