"""What changed is seen, by the kernel's word or by looking, and what is used is said."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import watchfiles
from hypothesis import given
from hypothesis import strategies as st

from exptui.core.monitor import watch
from exptui.core.monitor.watch import RARELY, Pace, Watcher, file_system, is_network
from support import until

MOUNTS = b"""22 27 0:21 / /proc rw - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:30 / /data rw shared:1 - nfs4 server:/data rw
31 30 0:31 / /data/fast\\040one rw - ext4 /dev/vdb rw
32 27 0:32 / /home rw - ext4 /dev/vdc rw
33 27 0:33 / /home rw - lustre x rw
34 27 0:34 / /mnt rw - fuse.sshfs x rw
broken line
"""


@contextmanager
def watching(
    watcher: Watcher, place: Path, run: Path, names_only: Path | None = None
) -> Iterator[list[Path]]:
    stop, ready, seen = threading.Event(), threading.Event(), list[Path]()

    def work() -> None:
        while not stop.is_set():
            for found in watcher.changes([place, place / "missing"], [run], stop, names_only):
                ready.set()  # at the latest after a beat
                seen.extend(found)

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(10)
    yield seen
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BEAT", 100)


@pytest.mark.parametrize("polling", ["", "nfs"])
def test_lines_and_names_are_seen(tmp_path: Path, polling: str) -> None:
    run, watcher = tmp_path / "run", Watcher()
    run.mkdir()
    watcher.polling = polling
    with watching(watcher, tmp_path, run) as seen:
        (run / "log").write_text("line\n")
        until(lambda: run / "log" in seen)
        seen.clear()
        with (run / "log").open("a") as file:
            file.write("more\n")
        until(lambda: run / "log" in seen)
        (tmp_path / "new").touch()
        until(lambda: tmp_path / "new" in seen or tmp_path in seen)
        seen.clear()
        (run / "log").unlink()
        until(lambda: run / "log" in seen)
    assert watcher.polling == polling


def test_of_the_locks_only_names_count(tmp_path: Path) -> None:
    locks, run = tmp_path / "locks", tmp_path / "run"
    locks.mkdir()
    run.mkdir()
    (locks / "old").touch()
    with watching(Watcher(), locks, run, locks) as seen:
        os.utime(locks / "old", (0, 0))
        (locks / "new").touch()
        until(lambda: locks / "new" in seen)
        assert locks / "old" not in seen


def test_a_name_that_is_not_utf_8_makes_it_look_itself(tmp_path: Path) -> None:
    watcher, run = Watcher(), tmp_path / "run"
    run.mkdir()
    with watching(watcher, tmp_path, run) as seen:
        (run / os.fsdecode(b"a\xff")).touch()
        until(lambda: watcher.polling)
        (run / "log").touch()
        until(lambda: run / "log" in seen)
    assert watcher.polling == "a name is not UTF-8"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError("OS file watch limit reached."), "no inotify watch left"),
        (RuntimeError("Error creating recommended watcher: Too many open files (os error 24)"), "no inotify watch left"),
        (RuntimeError("broken"), "inotify: broken"),
    ],
)  # fmt: skip
def test_where_the_kernel_gives_no_watch_it_looks_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(watchfiles, "watch", refused)
    watcher = Watcher()
    with watching(watcher, tmp_path, tmp_path) as seen:
        (tmp_path / "log").touch()
        until(lambda: tmp_path / "log" in seen)
    assert watcher.polling == why


def test_a_directory_that_goes_away_meanwhile_is_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(watchfiles, "watch", gone)
    watcher, stop = Watcher(), threading.Event()
    assert list(watcher.changes([tmp_path], [], stop)) == [frozenset()]
    assert watcher.polling == ""


def test_without_directories_there_is_only_the_beat(tmp_path: Path) -> None:
    assert list(Watcher().changes([tmp_path / "no"], [], threading.Event())) == [frozenset()]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/data/x", "nfs4"),
        ("/data", "nfs4"),
        ("/database", "ext4"),
        ("/data/fast one/x", "ext4"),
        ("/home/me", "lustre"),
        ("/mnt/x", "fuse.sshfs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind
    assert is_network(kind) == (kind != "ext4")


def test_a_network_file_system_is_looked_at(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 1 0:1 / {tmp_path} rw - nfs4 server:/ rw\n")
    watcher = Watcher(mounts)
    stop = threading.Event()
    changes = watcher.changes([tmp_path], [], stop)
    assert next(changes)  # all is new at the first look
    assert watcher.polling == "nfs4"
    assert next(changes) == frozenset()


@given(st.binary(max_size=60))
def test_no_mount_table_is_too_strange(mounts: bytes) -> None:
    file_system(Path("/tmp"), mounts)


def test_looks_become_rare_while_nothing_changes() -> None:
    pace, at, looks = Pace(), 0.0, list[float]()
    for _ in range(2000):
        if pace.due(at):
            pace.looked(at, changed=at == 0)
            looks.append(at)
        at += 1
    assert looks[:5] == [0, 1, 3, 7, 15]
    assert looks[-1] - looks[-2] == RARELY
    pace.looked(at, changed=True)
    assert pace.due(at + 1)
