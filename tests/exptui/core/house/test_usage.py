"""What takes the space: as `du` counts it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from exptui import cli
from support import workspace


def random_file(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


def du(path: Path) -> int:
    said = subprocess.run(["du", "-s", "--block-size=1", path], check=True, capture_output=True, text=True)
    return int(said.stdout.split()[0])


def test_the_sum_is_that_of_du_with_links_and_holes(tmp_path: Path) -> None:
    space = workspace(tmp_path, checkpoints="ck/step_{epoch}.pt")
    one, two = space.results / "a_20260101T000000Z", space.results / "b_20260101T000000Z"
    random_file(one / "ck/step_1.pt", 300_000)
    random_file(one / "trainer.log", 50_000)
    random_file(one / "model.pt", 100_000)  # not what the settings call a checkpoint
    two.mkdir()
    os.link(one / "ck/step_1.pt", two / "kept.pt")
    with (two / "holes.bin").open("wb") as file:
        file.truncate(1 << 30)
    (two / "link").symlink_to("/usr")
    random_file(space.results / "comparisons/x.md", 5_000)
    random_file(space.archives / "c_20260101T000000Z.tar.gz", 40_000)
    random_file(space.archives / "c_20260101T000000Z.card.json", 400)
    random_file(space.archives / "restoration/c_1/out", 9_000)
    gone = space.results / "gone_20260101T000000Z"
    random_file(gone / "x", 70_000)
    space.remove(gone.name)
    found = space.usage()
    assert sum(one.bytes for one in found.places.values()) - found.places["cache"].bytes == du(space.root)
    first, second = found.runs
    assert (first.name, first.checkpoints, first.logs) == (
        one.name,
        du(one / "ck/step_1.pt"),
        du(one / "trainer.log"),
    )
    assert first.bytes == first.checkpoints + first.logs + first.rest == du(one)
    assert second.bytes < 100_000  # the other name of one file, and a hole
    assert [usage.name for usage in found.trash] == [gone.name]
    assert [(usage.name, usage.files) for usage in found.archives] == [("c_20260101T000000Z", 2)]
    assert found.unread == []


def test_nothing_is_read(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    random_file(space.results / "a_20260101T000000Z/run.json", 100)
    path = space.results / "a_20260101T000000Z/run.json"
    os.utime(path, (0, 0))
    path.chmod(0)
    assert space.usage().runs[0].files == 1
    assert path.stat().st_atime == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = workspace(tmp_path)
    (space.results / "a_20260101T000000Z/closed").mkdir(parents=True, mode=0)
    assert cli.main(["--workspace", str(space.root), "du"]) == 3
    assert "closed" in capsys.readouterr().err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = workspace(tmp_path)
    for name, size in (("small", 1_000), ("large", 900_000), ("middle", 90_000)):
        random_file(space.results / name / "checkpoints/1", size)
    assert cli.main(["--workspace", str(space.root), "du", "-n", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines[-3:-1]] == ["large", "middle"]
    assert "1 more" in lines[-1]
    assert cli.main(["--workspace", str(space.root), "du", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["runs"]] == ["large", "middle", "small"]
    assert found["places"]["results"]["bytes"] == sum(one["bytes"] for one in found["runs"])
    assert found["runs"][0]["checkpoints"] >= 900_000
