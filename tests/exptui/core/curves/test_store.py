"""Columns that are kept: right, or not used. Long files: a sketch first, then all of it."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exptui.chronicle import CycleRecord, Phase, Writer
from exptui.core.curves import cache as caches
from exptui.core.curves import follow, store
from exptui.core.curves.cache import Cache
from exptui.core.curves.columns import Columns
from exptui.core.curves.follow import Follower
from exptui.core.curves.store import Curves, Store
from exptui.core.monitor.readers.find import Part
from exptui.core.monitor.readers.jsonl import JsonLines

LINES = 700


def line(at: int, end: str = "") -> str:
    value = "NaN" if at % 97 == 5 else repr(math.sin(at))
    more = f', "val": {at / 3}' if at % 10 == 0 else ""
    return f'{{"step": {at}, "loss": {value}, "ü": {-at}{more}{end}}}\n'


def written(directory: Path, lines: int = LINES) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / "metrics.jsonl"
    path.write_text("".join(map(line, range(lines))) + "no row\n")
    os.utime(path, (10**9, 10**9))
    return path


def content(curves: Curves | Follower[Columns]) -> str:
    if isinstance(curves, Follower):
        curves = Curves(curves.sink.snapshot(), curves.format.problems.texts())
    return repr({name: list(one) for name, one in curves.series.items()}) + repr(curves.problems)


def whole(path: Path) -> Follower[Columns]:
    follower = Follower(path, Columns, JsonLines)
    follower.grow()
    return follower


@pytest.fixture(autouse=True)
def worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WORTH", 1)


def test_what_was_kept_is_read_instead_and_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = written(tmp_path / "run"), Cache(tmp_path / "cache")
    expected = content(whole(path))
    assert content(Store(cache).read(path.parent)) == expected
    (kept,) = (tmp_path / "cache").iterdir()
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    with monkeypatch.context() as patch:
        patch.setattr(follow.Follower, "_block", lambda *_: pytest.fail("the file was read"))
        assert content(Store(cache).read(path.parent)) == expected
    with path.open("a") as file:
        file.writelines(map(line, range(LINES - 9, LINES + 9)))
    again = Follower(path, Columns, JsonLines)
    assert cache.load(again)
    begun = again.place.offset
    again.grow()
    assert 0 < begun < again.place.offset == path.stat().st_size
    assert content(again) == content(whole(path))
    assert again.format.lines == whole(path).format.lines
    assert kept.exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.floats(0, 1), st.integers(0, 255), st.booleans())
def test_a_damaged_file_is_never_believed(tmp_path: Path, where: float, byte: int, cut: bool) -> None:
    path, cache = written(tmp_path / "run", 40), Cache(tmp_path / "cache")
    expected = whole(path)
    cache.save(expected)
    (kept,) = (tmp_path / "cache").iterdir()
    data = bytearray(kept.read_bytes())
    at = min(int(where * len(data)), len(data) - 1)
    if cut:
        del data[at:]
    else:
        data[at] ^= byte
    kept.write_bytes(data)
    again = Follower(path, Columns, JsonLines)
    if cache.load(again):
        assert not cut
        assert byte == 0
    again.grow()
    assert content(again) == content(expected)


def test_a_file_that_changed_is_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = written(tmp_path / "run"), Cache(tmp_path / "cache")
    data = path.read_bytes()
    for change in (
        data.replace(b'"step": 3,', b'"step": 4,'),  # in the middle, as long as before
        data.replace(b'"step": 3,', b'"step": 4,') + line(LINES).encode(),  # and longer
        data[: len(data) // 2],
        b"",
    ):
        path.write_bytes(data)
        os.utime(path, (10**9, 10**9))
        cache.save(whole(path))
        path.write_bytes(change)
        os.utime(path, (10**9, 10**9))
        assert content(Store(cache).read(path.parent)) == content(whole(path))
    # Where times are coarse, a file written to a moment ago is not known by its times.
    path.write_bytes(data)
    with monkeypatch.context() as patch:
        patch.setattr(follow, "stamp_of", lambda found: (found.st_dev, found.st_ino, found.st_size, 2**62, 0))
        cache.save(whole(path))
        path.write_bytes(data.replace(b'"step": 3,', b'"step": 4,'))
        assert content(Store(cache).read(path.parent)) == content(whole(path))


def test_of_another_path_nothing_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other, cache = written(tmp_path / "1"), written(tmp_path / "2", 9), Cache(tmp_path / "cache")
    monkeypatch.setattr(caches, "sha256_bytes", lambda _: "0" * 64)
    cache.save(whole(one))
    assert not cache.load(Follower(other, Columns, JsonLines))
    assert cache.load(Follower(one, Columns, JsonLines))


def test_the_oldest_are_removed(tmp_path: Path) -> None:
    followers = [whole(written(tmp_path / str(number))) for number in range(4)]
    cache = Cache(tmp_path / "cache")
    cache.save(followers[0])
    size = next((tmp_path / "cache").iterdir()).stat().st_size
    cache.most = int(2.5 * size)
    cache.save(followers[1])
    for kept in (tmp_path / "cache").iterdir():
        os.utime(kept, (1, 1))
    assert cache.load(Follower(followers[0].path, Columns, JsonLines))  # looked at: no longer the oldest
    cache.save(followers[2])
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert [cache.load(Follower(one.path, Columns, JsonLines)) for one in followers] == [
        True,
        False,
        True,
        False,
    ]


def test_where_nothing_can_be_kept_nothing_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "run")
    (tmp_path / "file").touch()
    found = Store(Cache(tmp_path / "file/cache")).read(path.parent)
    assert content(found) == content(whole(path))


def test_a_long_file_is_a_sketch_until_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SLICE", 4000)
    monkeypatch.setattr(follow, "BLOCK", 1000)
    monkeypatch.setattr(store, "LOOK", 300)
    monkeypatch.setattr(store, "LOOKS", 20)
    path, curves = written(tmp_path / "run"), Store(Cache(tmp_path / "cache"))
    expected = whole(path).sink.snapshot()
    seen = [curves.read(path.parent)]
    while seen[-1].share < 1:
        seen.append(curves.read(path.parent))
    shares = [one.share for one in seen]
    assert len(seen) > 5
    assert shares == sorted(shares)
    assert {name: one.series["loss"] for name, one in enumerate(seen[:-1])} == dict.fromkeys(
        range(len(seen) - 1), seen[0].series["loss"]
    )
    steps = dict(seen[0].series["ü"])
    assert 20 <= len(steps) < LINES
    assert all(value == -step for step, value in steps.items())
    assert steps.keys() >= {0.0}
    assert max(steps) > LINES * 0.9
    assert content(seen[-1]) == content(whole(path))
    assert list(tmp_path.glob("cache/*.columns"))
    with path.open("a") as file:
        file.writelines(map(line, range(LINES, 2 * LINES)))
    grown = curves.read(path.parent)
    assert grown.share < 1
    assert list(grown.series["ü"]) == list(expected["ü"])  # what was read whole is no sketch


def test_a_sketch_of_rows_without_a_step_is_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"a": {at + 10_000}}}\n' for at in range(9_000)))
    monkeypatch.setattr(store, "LOOK", 100)
    found = store.sketch(Part(path, path.name, "", JsonLines), path.stat().st_size)["a"]
    assert all(abs(step - (value - 9_999)) <= 10 for step, value in found)


def test_only_so_many_runs_are_kept_but_none_half_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "KEPT", 2)
    monkeypatch.setattr(store, "RECENT", 1)
    monkeypatch.setattr(store, "SLICE", 10_000)
    monkeypatch.setattr(follow, "BLOCK", 1000)
    paths = [written(tmp_path / str(number)).parent for number in range(4)]
    curves = Store()
    assert all(curves.read(path).share < 1 for path in paths)
    assert all(curves.read(path).share < 1 for path in paths)
    assert len(curves._kept) == 4
    for path in paths:
        while curves.read(path).share < 1:
            pass
    assert list(curves._kept) == paths[2:]
    monkeypatch.setattr(store, "VALUES", 5)
    curves.read(paths[3])
    assert list(curves._kept) == paths[3:]


def test_series_come_from_the_file_that_has_them(tmp_path: Path) -> None:
    curves = Store()
    assert curves.read(tmp_path) == Curves()
    writer = Writer.create(tmp_path, "0" * 64, ())
    writer.append(CycleRecord(cycle=0, phase=Phase.TRAIN, loss=0.5, metrics=(), seed_state=1))
    writer.close()
    assert list(curves.read(tmp_path).series["train_loss"]) == [(0, 0.5)]
    (tmp_path / "progress.csv").write_text("step,a\n1,2\n")
    assert list(curves.read(tmp_path).series["a"]) == [(1, 2)]
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "b": 4}\n')
    found = curves.read(tmp_path)
    assert list(found.series["b"]) == [(3, 4)]
    assert curves.read(tmp_path) is found
    (tmp_path / "metrics.jsonl").write_text("{}\nx\n")
    assert curves.read(tmp_path).problems == ("metrics.jsonl line 2 is not a JSON object",)
    assert list(curves.read(tmp_path).series["a"]) == [(1, 2)]
    (tmp_path / "progress.csv").unlink()
    assert list(curves.read(tmp_path).series["train_loss"]) == [(0, 0.5)]
    (tmp_path / "metrics.jsonl").unlink()
    assert list(curves.read(tmp_path).series) == ["train_loss"]


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.jsonl")
    assert Store().read(tmp_path).problems == ("metrics.jsonl: is not a regular file",)
