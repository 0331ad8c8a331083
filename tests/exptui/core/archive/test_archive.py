"""The archive: what goes in comes out, nothing else does, and the source outlives every accident."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from exptui.core.archive import check as checking
from exptui.core.archive import ledger, listing, recovery, restore, seal
from exptui.core.archive import manifest as mf
from exptui.core.errors import ArchiveError, Cancelled, CorruptError, StorageError
from exptui.core.files import Cancel, sha256_bytes

RUN = "exp_001_20251109T120000Z"


def make_run(base: Path) -> Path:
    run = base / "results" / RUN
    (run / "checkpoints").mkdir(parents=True)
    (run / "attempts").mkdir()
    (run / "config.toml").write_text("a = 1\n")
    (run / "trainer.log").write_text("hello\n" * 50)
    (run / "attempts" / "1.json").write_text("{}")
    (run / "empty").touch()
    (run / "checkpoints" / "epoch_0002.ckpt").write_bytes(random.Random(1).randbytes(3000))
    (run / "checkpoints" / ("é" * 60)).write_bytes(b"x" * 512)
    return run


def do_seal(run: Path, *, keep: bool = True, cancel: Cancel | None = None) -> seal.Sealed:
    seed = seal.Seed(RUN, "a" * 64, "b" * 64, recipe={"argv": ["x"]}, attempts=1)
    return seal.seal(run, run.parent.parent / "archive", seed, b'{"a":1}', keep=keep, cancel=cancel)


def contents(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_plain_tools_agree_and_restore_gives_the_same(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    before = contents(run)
    sealed = do_seal(run, keep=False)
    archive = tmp_path / "archive"
    assert not run.exists()
    assert list((tmp_path / "results").iterdir()) == []
    names = subprocess.run(["tar", "tzf", sealed.path], capture_output=True, check=True).stdout
    assert names.splitlines()[0].decode() == f"{RUN}/MANIFEST.json"
    assert len(names.splitlines()) == len(before) + 1
    subprocess.run(["gzip", "-t", sealed.path], check=True)
    subprocess.run(["sha256sum", "-c", f"{RUN}.sha256"], cwd=archive, check=True, capture_output=True)
    assert sha256_bytes(gzip.decompress(sealed.path.read_bytes())) == sealed.identity
    with tarfile.open(sealed.path) as tar:
        assert {m.name for m in tar} == {f"{RUN}/{n}" for n in (*before, "MANIFEST.json")}
    result = checking.check(sealed.path, read_data=True)
    assert result == checking.CheckResult(RUN, sealed.identity, [])
    restore.restore(sealed.path, run)
    assert contents(run) == before
    (listed,) = listing.list_archives(archive)
    assert (listed.run_id, listed.identity, listed.card) == (RUN, sealed.identity, {"a": 1})
    assert [e["event"] for e in ledger.read(archive)[0]] == ["archived", "restored"]
    with pytest.raises(ArchiveError, match="exists"):
        restore.restore(sealed.path, run)
    assert restore.load_manifest(sealed.path).attempts == 1


def test_identity_survives_touch_and_chmod_and_a_second_seal_is_done(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    os.utime(second / "config.toml", (1, 1))
    (second / "config.toml").chmod(0o600)
    one, two = do_seal(first), do_seal(second)
    assert one.identity == two.identity
    again = do_seal(first, keep=False)
    assert again.already
    assert again.identity == one.identity
    assert not first.exists()
    (second / "config.toml").write_text("a = 2\n")
    with pytest.raises(ArchiveError, match="exists"):
        do_seal(second, keep=False)
    assert second.exists()


@pytest.mark.parametrize("stage", ["_write_sidecars", "_publish", "read_back"])
def test_a_failure_before_the_commit_leaves_the_source_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    run = make_run(tmp_path)
    before = contents(run)

    def fail(*_: object) -> None:
        raise StorageError("no space")

    monkeypatch.setattr(seal, stage, fail)
    with pytest.raises(StorageError):
        do_seal(run, keep=False)
    assert contents(run) == before
    assert list((tmp_path / "archive").iterdir()) == []


def test_cancel_leaves_nothing(tmp_path: Path) -> None:
    run, cancel = make_run(tmp_path), Cancel()
    cancel.ask()
    with pytest.raises(Cancelled):
        do_seal(run, keep=False, cancel=cancel)
    assert list((tmp_path / "archive").iterdir()) == []


STAGES = ["read_back", "_write_sidecars", "_publish", "_remove_source", "_to_trash", "remove_tree"]


@pytest.mark.parametrize("stage", STAGES)
def test_recover_after_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    run = make_run(tmp_path)
    before = contents(run)
    archive, results = tmp_path / "archive", tmp_path / "results"
    pid = os.fork()
    if pid == 0:
        setattr(seal, stage, lambda *_: os._exit(9))
        try:
            do_seal(run, keep=False)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert recovery.recover(archive, results) or stage in ("_remove_source", "_to_trash")
    assert recovery.recover(archive, results) == []
    committed = stage in ("_remove_source", "_to_trash", "remove_tree")
    assert (archive / f"{RUN}.tar.gz").exists() == committed
    assert run.exists() == (stage != "remove_tree")
    if committed:
        assert checking.check(archive / f"{RUN}.tar.gz", read_data=True).problems == []
    else:
        assert contents(run) == before
        assert list(archive.iterdir()) == []


def test_recover_finds_and_puts_back(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    archive, results = tmp_path / "archive", tmp_path / "results"
    do_seal(run)
    (archive / "ledger.jsonl").unlink()
    run.rename(results / ".trash-other")
    assert len(recovery.recover(archive, results)) == 2
    assert (results / "other").is_dir()
    assert ledger.read(archive)[0][0]["event"] == "found"


def test_a_file_that_changes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path)
    real = mf.scan

    def scan(*args: object) -> list[mf.FileEntry]:
        entries = real(run)
        (run / "config.toml").write_text("a = 9\n")
        return entries

    monkeypatch.setattr(mf, "scan", scan)
    with pytest.raises(ArchiveError, match=r"config\.toml changed"):
        do_seal(run, keep=False)
    assert run.exists()
    assert list((tmp_path / "archive").iterdir()) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda p: (p / "x").symlink_to("config.toml"),
        lambda p: os.mkfifo(p / "x"),
        lambda p: (p / "x\n").touch(),
        lambda p: Path(os.fsdecode(os.fsencode(p) + b"/\xff")).touch(),
        lambda p: (p / "CONFIG.toml").touch(),
        lambda p: (p / "manifest.json").touch(),
    ],
)
def test_what_cannot_be_archived_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    run = make_run(tmp_path)
    make(run)
    with pytest.raises(ArchiveError, match="cannot archive"):
        do_seal(run, keep=False)
    assert run.exists()


def refused(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(CorruptError):
        restore.restore(path, out / "run")
    assert not out.exists() or list(out.iterdir()) == []


def test_bit_flips_and_truncations_are_refused(tmp_path: Path) -> None:
    path = do_seal(make_run(tmp_path)).path
    good, rng = path.read_bytes(), random.Random(7)
    for _ in range(200):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        refused(path, tmp_path)
    for _ in range(60):
        path.write_bytes(good[: rng.randrange(len(good))])
        refused(path, tmp_path)
    path.write_bytes(good + b"x")
    refused(path, tmp_path)


Member = tuple[str, bytes, bytes]
HOSTILE: dict[str, Callable[[list[Member]], list[Member]]] = {
    "symlink": lambda m: [m[0], (m[1][0], b"", tarfile.SYMTYPE), m[2]],
    "hardlink": lambda m: [m[0], (m[1][0], b"", tarfile.LNKTYPE), m[2]],
    "fifo": lambda m: [m[0], (m[1][0], b"", tarfile.FIFOTYPE), m[2]],
    "device": lambda m: [m[0], (m[1][0], b"", tarfile.CHRTYPE), m[2]],
    "dotdot": lambda m: [m[0], (f"{RUN}/../a", m[1][1], b"0"), m[2]],
    "absolute": lambda m: [m[0], ("/tmp/a", m[1][1], b"0"), m[2]],
    "duplicate": lambda m: [m[0], m[1], m[1], m[2]],
    "unlisted": lambda m: [*m, (f"{RUN}/z", b"z", b"0")],
    "missing": lambda m: m[:2],
    "order": lambda m: [m[0], m[2], m[1]],
    "size": lambda m: [m[0], (m[1][0], m[1][1] + b"x", b"0"), m[2]],
    "content": lambda m: [m[0], (m[1][0], b"!", b"0"), m[2]],
    "manifest last": lambda m: [m[1], m[2], m[0]],
}


def build(path: Path, names: list[str], change: Callable[[list[Member]], list[Member]]) -> None:
    files = [{"class": "identity", "path": n, "sha256": sha256_bytes(b"x"), "size": 1} for n in names]
    fields = {"attempts": 0, "config_sha256": "", "files": files, "fingerprint": None, "incomplete": False}
    fields |= {"recipe": None, "run_id": RUN, "schema": 1, "settings_digest": "", "total_bytes": len(names)}
    data = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    members: list[Member] = [
        (f"{RUN}/MANIFEST.json", data, b"0"),
        *((f"{RUN}/{n}", b"x", b"0") for n in names),
    ]
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for name, body, kind in change(members):
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(body), kind, "/etc/passwd" if not body else ""
            tar.addfile(info, io.BytesIO(body))


def test_a_benign_archive_of_tarfile_is_read(tmp_path: Path) -> None:
    path = tmp_path / "archive" / f"{RUN}.tar.gz"
    build(path, ["a", "b"], lambda m: m)
    restore.restore(path, tmp_path / "out")
    assert contents(tmp_path / "out") == {"a": b"x", "b": b"x"}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_members_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "archive" / f"{RUN}.tar.gz"
    build(path, ["a", "b"], HOSTILE[name])
    refused(path, tmp_path)


@pytest.mark.parametrize(
    "names",
    [["../a"], ["/a"], ["A", "a"], ["a", "a"], ["b", "a"], ["a", "a/b"], ["a//b"], ["./a"], ["a\nb"],
     ["e\u0301", "\u00e9"], ["a\\b"], ["MANIFEST.json"]],
)  # fmt: skip
def test_hostile_manifests_are_refused(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "archive" / f"{RUN}.tar.gz"
    build(path, names, lambda m: m)
    refused(path, tmp_path)


def test_ledger_chain_and_torn_line(tmp_path: Path) -> None:
    for number in range(3):
        ledger.append(tmp_path, ledger.event("archived", f"r{number}", "f" * 64))
    path = tmp_path / ledger.NAME
    events, problems = ledger.read(tmp_path)
    assert problems == []
    assert events[0]["previous"] == ledger.GENESIS
    assert events[1]["previous"] == sha256_bytes(path.read_bytes().split(b"\n")[0])
    path.write_bytes(path.read_bytes()[:-5])
    assert ledger.read(tmp_path)[1] == ["ledger.jsonl: the last line is torn"]
    ledger.append(tmp_path, ledger.event("removed", "r0", "f" * 64))
    events, problems = ledger.read(tmp_path)
    assert (len(events), problems, events[-1]["torn"]) == (3, [], True)
    assert list(ledger.identities(events)) == ["r1"]
    path.write_bytes(path.read_bytes().replace(b"r1", b"r9"))
    assert ledger.read(tmp_path)[1] == ["ledger.jsonl:2: not the line that was written"]


def test_classes() -> None:
    assert mf.classify("attempts/1.json", []) == "observational"
    assert mf.classify("metrics.json", []) == "identity"
    assert mf.classify("sub/trainer.log", ["*.log"]) == "identity"
    assert mf.classify("logs/a/b", ["logs/**"]) == "observational"


def test_the_identity_of_an_archive_is_what_it_always_was(tmp_path: Path) -> None:
    identity = "1fe5aa88e08a4a61bf8e88f498627191c4eba6090dee5f180d5c617d291307b1"
    assert do_seal(make_run(tmp_path)).identity == identity
