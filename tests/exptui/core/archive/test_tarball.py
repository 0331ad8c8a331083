"""The tar.gz: one identity whatever packs it, ordinary gzip, and no thread or memory left behind."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exptui.core.archive import codec, reader, seal, tarball
from exptui.core.archive import manifest as mf
from exptui.core.archive.reader import Reader
from exptui.core.errors import ArchiveError, Cancelled, CorruptError, ExptuiError, StorageError
from exptui.core.files import Cancel, sha256_bytes

RUN = "exp_001_20251109T120000Z"
GOLDEN = "d0b7afd62c1e22981101f2b17ba46c6add9cb26e0911939ce481ca964056a72e"  # computed by the release before the threads
NO_ISAL = "import sys; sys.modules['isal'] = None; sys.argv[0] = 'exptui'; from exptui.cli import main; sys.exit(main())"


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def make(base: Path, *, backwards: bool = False) -> Path:
    dice = random.Random(3)
    files = {
        "config.toml": b"x = 1\n",
        "empty": b"",
        "trainer.log": b"step 1 loss 0.5\n" * 200_000,
        "checkpoints/1.ckpt": dice.randbytes(2 * tarball.CUT + 77),
        "checkpoints/2.ckpt": dice.randbytes(3 * tarball.CUT),
        "sub/" + "n" * 120: b"long",
        "sub/" + "\u00e9" * 60: b"e" * 512,
    }
    for name in sorted(files, reverse=backwards):
        path = base / RUN / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
    return base / RUN


def pack(run: Path, out: Path, cancel: Cancel | None = None) -> tuple[int, int]:
    manifest = listed(run)
    return tarball.pack(run, mf.encode(manifest), manifest, out, None, cancel)


def listed(run: Path) -> mf.Manifest:
    files = mf.scan(run)
    return mf.Manifest(
        run_id=RUN, config_sha256="a" * 64, settings_digest="b" * 64, recipe=None, fingerprint=None, attempts=1,
        incomplete=False, files=files, total_bytes=sum(file.size for file in files),
    )  # fmt: skip


def read(path: Path) -> str:
    with Reader(path, cold=True) as found:
        found.verify()
        assert (found.gz_sha256, found.gz_size) == (sha256_bytes(path.read_bytes()), path.stat().st_size)
        return found.identity


@pytest.mark.parametrize("threads", [1, 4])
def test_the_bytes_are_those_of_every_release_and_of_any_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(tarball, "workers", lambda: threads)
    monkeypatch.setattr(mf, "workers", lambda: threads)
    one, two = tmp_path / "1.tar.gz", tmp_path / "2.tar.gz"
    pack(make(tmp_path / "a"), one)
    run = make(tmp_path / "b", backwards=True)
    os.utime(run / "config.toml", (1, 1))
    (run / "config.toml").chmod(0o600)
    monkeypatch.setattr(tarball, "workers", lambda: 2)
    pack(run, two)
    assert one.read_bytes() == two.read_bytes()
    assert read(one) == sha256_bytes(gzip.decompress(one.read_bytes())) == GOLDEN
    subprocess.run(["gzip", "-t", one], check=True)
    subprocess.run(["tar", "tzf", one], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(("umask", "locale"), [(0o077, "C"), (0o000, "C.UTF-8")])
def test_umask_locale_and_a_missing_isal_change_no_identity(tmp_path: Path, umask: int, locale: str) -> None:
    make(tmp_path / "experiments/results")
    (tmp_path / "experiments/configs").mkdir()
    seen = []
    for code in (NO_ISAL, NO_ISAL.replace("sys.modules['isal'] = None; ", "")):
        words = [sys.executable, "-c", code, "archive", "--keep", RUN]
        done = subprocess.run(
            words,
            cwd=tmp_path,
            umask=umask,
            env={**os.environ, "LC_ALL": locale},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert ("zlib" in done.stderr) == (code == NO_ISAL)
        seen.append(done.stdout.split()[-1])
        path = tmp_path / f"experiments/archive/{RUN}.tar.gz"
        assert read(path) == seen[-1]
        path.unlink()
    assert seen[0] == seen[1]


def test_an_archive_of_one_zlib_stream_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    pack(make(tmp_path), path)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 6, mtime=0))
    assert read(path) == GOLDEN


@pytest.mark.parametrize("flag", [0x02, 0x20, 0x40, 0x80])
def test_a_gzip_header_with_unknown_flags_is_refused(tmp_path: Path, flag: int) -> None:
    path = tmp_path / "a.tar.gz"
    pack(make(tmp_path), path)
    data = bytearray(path.read_bytes())
    data[3] |= flag
    path.write_bytes(data)
    with pytest.raises(CorruptError):
        read(path)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what is inflated from now on."""
    sizes: list[int] = []
    real = codec.inflater

    class Counting:
        def __init__(self) -> None:
            self.inner = real()

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def decompress(self, data: bytes, most: int) -> bytes:
            out = self.inner.decompress(data, most)
            sizes.append(len(out))
            return out

    monkeypatch.setattr(reader, "inflater", Counting)
    return sizes


def test_nothing_is_inflated_past_what_the_manifest_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tar.gz"
    pack(make(tmp_path), path)
    tar = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(tar + bytes(64 << 20)))
    sizes = counting(monkeypatch)
    with pytest.raises(CorruptError, match="after the end of the tar"):
        read(path)
    assert sum(sizes) == len(tar) + 1


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d + d,
        lambda d: d + b"\0" * 8,
        lambda d: d[:-1],
        lambda d: d[:-8],
        lambda d: d[: len(d) // 2],
    ],
)
def test_second_members_trailing_bytes_and_cuts_are_refused(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "a.tar.gz"
    pack(make(tmp_path), path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CorruptError):
        read(path)


@pytest.mark.parametrize("name", ["config.toml", "checkpoints/1.ckpt", "checkpoints/2.ckpt"])
@pytest.mark.parametrize("how", ["longer", "shorter", "other", "gone"])
def test_a_file_that_is_not_what_was_hashed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    run, real = make(tmp_path), tarball.pack

    def changing(*rest: Any) -> tuple[int, int]:
        data = (run / name).read_bytes()
        (run / name).unlink()
        if how != "gone":
            new = {"longer": data + b"x", "shorter": data[:-1], "other": b"?" + data[1:]}[how]
            (run / name).write_bytes(new)
        return real(*rest)

    monkeypatch.setattr(tarball, "pack", changing)
    with pytest.raises(ArchiveError, match=name) as caught:
        seal.seal(run, tmp_path / "archive", seal.Seed(RUN, "a" * 64, "b" * 64), b"{}")
    assert not isinstance(caught.value, CorruptError)
    assert run.exists()
    assert list((tmp_path / "archive").iterdir()) == []


def test_what_the_disk_gives_back_has_to_be_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real = make(tmp_path), tarball.pack

    def flipping(*rest: Any) -> tuple[int, int]:
        written = real(*rest)
        data = bytearray(rest[3].read_bytes())
        data[4] ^= 1  # the time in the gzip header: of no meaning to any reader
        rest[3].write_bytes(data)
        return written

    monkeypatch.setattr(tarball, "pack", flipping)
    with pytest.raises(ArchiveError, match="other bytes"):
        seal.seal(run, tmp_path / "archive", seal.Seed(RUN, "a" * 64, "b" * 64), b"{}")
    assert list((tmp_path / "archive").iterdir()) == []


class After(Cancel):
    """Asked after a number of blocks."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks = blocks

    def check(self) -> None:
        self.blocks -= 1
        if self.blocks < 0:
            self.ask()
        super().check()


@pytest.mark.parametrize("blocks", [0, 1, 9])
def test_cancelled_in_each_pass(tmp_path: Path, blocks: int) -> None:
    run, path = make(tmp_path), tmp_path / "a.tar.gz"
    pack(run, path)
    with pytest.raises(Cancelled):
        mf.scan(run, (), None, After(blocks))
    with pytest.raises(Cancelled):
        pack(run, tmp_path / "b.tar.gz", After(blocks))
    with Reader(path, None, After(blocks)) as found, pytest.raises(Cancelled):
        found.verify()


def test_errors_in_a_thread_surface_as_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path)
    with pytest.raises(StorageError, match="No space left"):
        pack(run, Path("/dev/full"))

    def failing(_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(codec, "deflate", failing)
    with pytest.raises(MemoryError):
        pack(run, tmp_path / "a.tar.gz")
    real = mf.open_source

    def refusing(root: int, path: str) -> int:
        if path == "checkpoints/2.ckpt":
            raise ArchiveError(f"cannot read {path}")
        return real(root, path)

    monkeypatch.setattr(mf, "open_source", refusing)
    with pytest.raises(ExptuiError, match=r"cannot read checkpoints/2\.ckpt"):
        mf.scan(run)


def test_a_reader_that_stops_early_leaves_no_thread(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    pack(make(tmp_path), path)
    with Reader(path) as found:
        _, blocks = next(found.members())
        next(blocks)


@pytest.mark.parametrize("missing", [True, False])
def test_where_pages_cannot_be_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    path = tmp_path / "a.tar.gz"
    pack(make(tmp_path), path)

    def refused(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    if missing:
        monkeypatch.delattr(os, "posix_fadvise")
    else:
        monkeypatch.setattr(os, "posix_fadvise", refused)
    assert read(path) == GOLDEN


def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    run = tmp_path / f"experiments/results/{RUN}"
    run.mkdir(parents=True)
    (tmp_path / "experiments/configs").mkdir()
    (run / "config.toml").write_text("x = 1\n")
    with (run / "large").open("wb") as file:
        file.truncate(300 << 20)
    for words in (["archive", "--keep", RUN], ["check", "--read-data"]):
        # a fork of this process would count its memory too: a small one starts the command and looks
        code = (
            "import os, subprocess, sys; child = subprocess.Popen([sys.executable, '-m', 'exptui', *sys.argv[1:]]);"
            "_, status, usage = os.wait4(child.pid, 0); print(usage.ru_maxrss << 10); sys.exit(status != 0)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        assert int(done.stdout.split()[-1]) < 64_000_000


@pytest.mark.parametrize("name", ["a", "a" * 100, "a" * 101, "\u00e9"])
@pytest.mark.parametrize("size", [0, 511, (1 << 33) - 1, 1 << 33])
def test_the_size_of_a_header_is_known_without_making_it(name: str, size: int) -> None:
    assert tarball.header_size(name, size) == len(tarball.header(name, size))
