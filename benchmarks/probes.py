"""`python -m benchmarks.probes NAME ARGUMENT…`: one piece of work in a process of its own, and as JSON what it took.

The only module that calls exptui's insides; those that call none are the plain way of doing the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Found = dict[str, float]


@contextlib.contextmanager
def spent(found: Found) -> Iterator[None]:
    """Wall and CPU seconds, children too."""
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    yield
    found |= {"wall": time.perf_counter() - wall, "cpu": sum(os.times()[:4]) - cpu}


# The list


def catalog(home: str) -> Found:
    """All of the workspace, by a process that knows nothing but what is on the disk, until nothing is left to do.

    `listed`: until all runs are listed, each compared with its directory. Then, as `again`, every file of every run is
    compared with the disk once more.
    """
    from exptui.core.monitor import places
    from exptui.core.monitor.catalog import Catalog
    from exptui.core.monitor.catalog_index import Index
    from exptui.core.monitor.roster import Roster
    from exptui.core.workspace import Workspace

    found, rest, once_more = Found(), Found(), Found()
    with spent(found):
        space = Workspace(Path(home) / "experiments")
        index = Index(places.cache(space.root) / "runs.sqlite3")
        looking = Catalog(space, Roster(space, index))
        snapshot = looking.snapshot()
        while not snapshot.runs or snapshot.unread:
            snapshot = looking.snapshot()
    with spent(rest):
        snapshot = looked(looking)
    with spent(once_more):
        looked(looking, every=True)
    index.close()
    more = {"listed": found["wall"], "listed_cpu": found["cpu"]}
    more |= {"again": once_more["wall"], "again_cpu": once_more["cpu"], "runs": len(snapshot.runs)}
    return {key: found[key] + rest[key] for key in found} | more


def looked(looking: Any, **how: bool) -> Any:
    """A snapshot after which there is no more to read."""
    snapshot = looking.snapshot(**how)
    while looking.busy:
        snapshot = looking.snapshot()
    return snapshot


def decoding(home: str) -> Found:
    """Read and decode the files of every run, and nothing else."""
    import msgspec
    import tomli

    found: Found = {}
    json_of, count = msgspec.json.Decoder(), 0
    with spent(found):
        for entry in os.scandir(Path(home) / "experiments/results"):
            json_of.decode(_bytes(f"{entry.path}/run.json"))
            tomli.loads(_bytes(f"{entry.path}/config.toml").decode())
            json_of.decode(_bytes(f"{entry.path}/metrics.json"))
            json_of.decode_lines(_bytes(f"{entry.path}/metrics.jsonl"))
            count += 1
    return {**found, "runs": count}


def stats(home: str) -> Found:
    """A stat of every run's run.json; as `every` one of each run's directory and of each of its files that lists read."""
    found, every = Found(), Found()
    results, count = Path(home) / "experiments/results", 0
    with spent(found):
        for entry in os.scandir(results):
            os.stat(f"{entry.path}/run.json")  # noqa: PTH116  as plain as it can be
            count += 1
    with spent(every):
        for entry in os.scandir(results):
            os.stat(entry.path)  # noqa: PTH116
            for name in ("run.json", "config.toml", "metrics.jsonl", "metrics.json"):
                os.stat(f"{entry.path}/{name}")  # noqa: PTH116
    return {**found, "every": every["wall"], "every_cpu": every["cpu"], "runs": count}


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


# The log


def index(path: str) -> Found:
    """The index of a whole log."""
    from exptui.core.monitor.index import LogIndex

    found: Found = {}
    lines = LogIndex(Path(path))
    with spent(found):
        while lines.grow(patience=0.05):
            pass
    return {**found, "lines": lines.count}


def search(path: str, pattern: str) -> Found:
    """How many lines match, by a process of its own, from its start on."""
    from exptui.core.monitor.search import Search

    found: Found = {}
    with spent(found):
        search = Search(Path(path), pattern)
        while search.wait().running:
            pass
        count = search.progress.count
        search.kill()
        while not search.wait().ended:  # its CPU counts once it has ended
            pass
    return {**found, "lines": count}


# The curves


def first_curve(path: str) -> Found:
    """A first curve that can be drawn: a sketch, and said to be one, of a long file."""
    return _curves(path, whole=False)


def every_curve(path: str) -> Found:
    """All series of a metrics.jsonl, every point."""
    return _curves(path, whole=True)


def reopened_curves(path: str, kept: str) -> Found:
    """The same by a process that finds what another kept in a directory; the first such process keeps it."""
    return _curves(path, whole=True, kept=kept)


def _curves(path: str, *, whole: bool, kept: str = "") -> Found:
    from exptui.core.curves.cache import Cache
    from exptui.core.curves.store import Store

    found, home = Found(), Path(path).parent
    with spent(found):
        store = Store(Cache(Path(kept)) if kept else None)
        read = store.read(home)
        while whole and read.share < 1:
            read = store.read(home)
    points = max(map(len, read.series.values()), default=0)
    return {**found, "series": len(read.series), "points": points}


def json_lines(path: str) -> Found:
    """json.loads a line."""
    found: Found = {}
    count = 0
    with spent(found), open(path, "rb") as file:  # noqa: PTH123
        for line in file:
            json.loads(line)
            count += 1
    return {**found, "points": count}


def columns(path: str, count: str) -> Found:
    """The same numbers as arrays from files of doubles, made before."""
    from array import array

    size, files = int(count), [Path(f"{path}-{count}-{number}") for number in range(6)]
    for file in files:
        if not file.exists():
            file.write_bytes(array("d", range(size)).tobytes())
    found: Found = {}
    with spent(found):
        for file in files:
            column = array("d")
            with file.open("rb") as opened:
                column.fromfile(opened, size)
    return {**found, "points": size}


def chart(points: str) -> Found:
    """A frame of a chart of 120 × 40 with three curves: the widget's own part of it, and with all that Textual does."""
    import asyncio

    from benchmarks.apps.frames import frames

    widget, fill = _our_chart(int(points))
    own: list[float] = []

    def act(number: int) -> None:
        begun = time.process_time()
        if number % 2:
            widget.pan(0.1 if number % 4 == 1 else -0.1)
        else:
            widget.move_cursor(1)
        for y in range(widget.size.height):
            widget.render_line(y)
        own.append(time.process_time() - begun)

    whole = asyncio.run(frames(widget, fill, act))
    return {"own": sorted(own)[len(own) // 2], "whole": whole}


def _our_chart(count: int) -> tuple[Any, Callable[[], None]]:
    import math

    from exptui.core.curves.series import Series
    from exptui.tui.widgets.chart import Chart, Curve

    widget = Chart("loss")
    names = ((number, f"run {number}") for number in range(3))
    curves = [
        Curve(
            name, Series.of((float(x), math.sin(x / 50 + number) + 1 / (x + 1)) for x in range(count)), number
        )
        for number, name in names
    ]

    def fill() -> None:
        widget.show(curves)
        widget.zoom(2)

    return widget, fill


def main() -> None:
    """Do it, and say what it took with the memory at its most."""
    _, name, *words = sys.argv
    if not re.fullmatch("[a-z_]+", name) or name.startswith("_"):
        raise SystemExit(f"no probe {name}")
    found = globals()[name](*words)
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(json.dumps(found))


if __name__ == "__main__":
    main()
