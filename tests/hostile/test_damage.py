"""Bit flips, truncations and swaps: every one is found, nothing is started, nothing is written."""

from __future__ import annotations

import gzip
import itertools
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from exptui import cli
from exptui.core.archive import ledger
from exptui.core.archive import manifest as mf
from exptui.core.archive.reader import Reader
from exptui.core.archive.tarball import header
from exptui.core.audit.report import Verdict
from exptui.core.files import sha256_bytes
from hostile.world import FULL, World, counts, packed, snapshot

CORRUPT = 4
FLIPS = {
    ".tar.gz": 400,
    ".manifest.json": 200,
    ".sha256": 100,
    ".sig": 150,
    "ledger.jsonl": 100,
    ".card.json": 50,
}
CUTS = {
    ".tar.gz": 200,
    ".manifest.json": 100,
    ".sha256": 60,
    ".sig": 60,
    "ledger.jsonl": 60,
    ".card.json": 20,
}
SWAPS = 100  # of each kind


def share(number: int) -> int:
    """The long form's number, or a sample of it."""
    return number if FULL else max(1, number // 40)


def found(world: World, changed: dict[Path, bytes], *, verify: bool = True) -> None:
    """Check and verify say CORRUPT of these bytes, and leave everything as it is."""
    good = {path: path.read_bytes() for path in changed}
    starts = world.starts()
    try:
        for path, data in changed.items():
            path.write_bytes(data)
        before = snapshot(world.base)
        run_id = world.run_ids[0]
        if world.file("ledger.jsonl") in changed:
            problems = [p for result in world.space.check_all(read_data=True) for p in result.problems]
        else:
            problems = world.space.check(run_id, read_data=True).problems
        verdict = world.verdict(world.file(".tar.gz")) if verify else Verdict.CORRUPT
        counts["not refused"] += not problems or verdict is not Verdict.CORRUPT
        counts["executed"] += world.starts() - starts
        assert problems
        assert verdict is Verdict.CORRUPT
        assert world.starts() == starts
        assert snapshot(world.base) == before
    finally:
        for path, data in good.items():
            path.write_bytes(data)
    assert counts["bytes outside"] == 0


@pytest.mark.parametrize("suffix", FLIPS)
def test_bit_flips(world: World, suffix: str) -> None:
    path, dice = world.file(suffix), random.Random(f"flip {suffix}")
    good = path.read_bytes()
    for _ in range(share(FLIPS[suffix])):
        bad = bytearray(good)
        bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
        # Nothing but the list reads the card; and a last line without its end is what a crash leaves.
        verify = suffix != ".card.json" and not (suffix == "ledger.jsonl" and bad[-1:] != b"\n")
        found(world, {path: bytes(bad)}, verify=verify)
        counts["bit flips"] += 1
        counts["of these seen by check alone (card, cut ledger)"] += not verify


@pytest.mark.parametrize("suffix", CUTS)
def test_truncations(world: World, suffix: str) -> None:
    path, dice = world.file(suffix), random.Random(f"cut {suffix}")
    good = path.read_bytes()
    for _ in range(share(CUTS[suffix])):
        verify = suffix not in (".card.json", "ledger.jsonl")
        found(world, {path: good[: dice.randrange(len(good))]}, verify=verify)
        counts["truncations"] += 1
        counts["of these seen by check alone (card, cut ledger)"] += not verify


Files = list[tuple[str, bytes]]


def unpacked(world: World) -> tuple[mf.Manifest, Files]:
    """The manifest of the first archive, and its files in order."""
    with Reader(world.file(".tar.gz")) as reader:
        return reader.manifest, [(entry.path, b"".join(blocks)) for entry, blocks in reader.members()]


def tar_of(manifest: mf.Manifest, files: Files) -> bytes:
    """What a careful forger would write: every header and checksum is right."""
    data = mf.encode(manifest)
    names = [(f"{manifest.run_id}/{mf.NAME}", data), *((f"{manifest.run_id}/{p}", d) for p, d in files)]
    return packed(*itertools.chain.from_iterable((header(name, len(d)), d) for name, d in names))


def with_digests(world: World, data: bytes, manifest: bytes) -> dict[Path, bytes]:
    """The archive with a `.sha256` and a `.manifest.json` that agree with it."""
    run_id = world.run_ids[0]
    lines = f"{sha256_bytes(data)}  {run_id}.tar.gz\n{sha256_bytes(manifest)}  {run_id}.manifest.json\n"
    return {
        world.file(".tar.gz"): data,
        world.file(".sha256"): lines.encode(),
        world.file(".manifest.json"): manifest,
    }


def contents(manifest: mf.Manifest, files: Files, i: int, j: int) -> tuple[mf.Manifest, Files]:
    files[i], files[j] = (files[i][0], files[j][1]), (files[j][0], files[i][1])
    return manifest, files


def positions(manifest: mf.Manifest, files: Files, i: int, j: int) -> tuple[mf.Manifest, Files]:
    files[i], files[j] = files[j], files[i]
    return manifest, files


def resealed(manifest: mf.Manifest, files: Files, i: int, j: int) -> tuple[mf.Manifest, Files]:
    """The manifest agrees as well: only the signature and the ledger know better."""
    manifest, files = contents(manifest, files, i, j)
    entries = [
        msgspec.structs.replace(entry, size=len(data), sha256=sha256_bytes(data))
        for entry, (_, data) in zip(manifest.files, files, strict=True)
    ]
    return msgspec.structs.replace(manifest, files=entries), files


@pytest.mark.parametrize("swap", [contents, positions, resealed])
def test_swapped_members(
    world: World, swap: Callable[[mf.Manifest, Files, int, int], tuple[mf.Manifest, Files]]
) -> None:
    manifest, files = unpacked(world)
    identity = world.space.check(world.run_ids[0], read_data=True).identity
    assert sha256_bytes(gzip.decompress(tar_of(manifest, files))) == identity  # the forger's tools are good
    pairs = [(i, j) for i, j in itertools.combinations(range(len(files)), 2) if files[i][1] != files[j][1]]
    dice = random.Random(swap.__name__)
    for number in range(share(SWAPS)):
        i, j = dice.choice(pairs)
        changed, moved = swap(manifest, list(files), i, j)
        data = tar_of(changed, moved)
        digests = with_digests(world, data, mf.encode(changed))
        plain = swap is not resealed and number % 2
        found(world, {world.file(".tar.gz"): data} if plain else digests)
        counts["swapped members"] += 1


SUFFIXES = (".tar.gz", ".manifest.json", ".sha256", ".sig", ".card.json")


@pytest.mark.parametrize(
    "suffixes", [*((one,) for one in SUFFIXES), SUFFIXES, SUFFIXES[:3], SUFFIXES[1:4]], ids=" ".join
)
def test_files_of_two_runs_swapped(world: World, suffixes: tuple[str, ...]) -> None:
    for other in (1, 2):
        pairs = [(world.file(suffix), world.file(suffix, other)) for suffix in suffixes]
        good = {path: path.read_bytes() for pair in pairs for path in pair}
        swapped = {a: good[b] for a, b in pairs} | {b: good[a] for a, b in pairs}
        found(world, swapped, verify=suffixes != (".card.json",))
        counts["swapped between runs"] += 1


@pytest.mark.parametrize("suffix", [".tar.gz", ".manifest.json", ".sha256", ".sig"])
def test_the_commands_exit_with_4(world: World, suffix: str) -> None:
    path, dice = world.file(suffix), random.Random(f"command {suffix}")
    good, starts = path.read_bytes(), world.starts()
    for _ in range(10 if FULL else 1):
        bad = bytearray(good)
        bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
        path.write_bytes(bad)
        try:
            at = ["--workspace", str(world.space.root)]
            assert cli.main([*at, "check", "--read-data", world.run_ids[0]]) == CORRUPT
            assert cli.main([*at, "verify", world.run_ids[0]]) == CORRUPT
        finally:
            path.write_bytes(good)
        counts["commands"] += 2
    assert world.starts() == starts
    assert ledger.load(world.space.archives).problems == []
