"""The curves of the runs that were looked at last. A long file is read in slices, so that others get their turn."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path

import msgspec

from exptui.core.curves.cache import WORTH, Cache
from exptui.core.curves.columns import Columns
from exptui.core.curves.follow import Follower, Stamp
from exptui.core.curves.series import Series
from exptui.core.curves.sources import Followers, grow, joined
from exptui.core.monitor.readers.find import Part
from exptui.core.monitor.readers.protocol import Unit

KEPT, VALUES = 32, 16_000_000  # runs, and values in all of them
RECENT = 4  # runs that are kept however long they are: they are on the screen
SLICE = 8 << 20  # bytes of a file read at a time
Parts = list[tuple[Part, Follower[Columns]]]
LOOKS, LOOK = 200, 1 << 11  # a sketch of a long file: so many places, and bytes at each


class Curves(msgspec.Struct, frozen=True):
    """The series of a run. While `share` is below 1 its file is still being read, and they are only a sketch of it."""

    series: dict[str, Series] = {}
    problems: tuple[str, ...] = ()
    share: float = 1.0


class Store:
    """Reads the curves of runs, each from where it was; used on the reading threads alone."""

    def __init__(self, cache: Cache | None = None) -> None:
        self.cache = cache
        self._kept: OrderedDict[Path, _Run] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, directory: Path) -> Curves:
        """The curves as they are now; where `share` is below 1, ask again for more."""
        with self._lock:
            run = self._kept.setdefault(directory, _Run(directory))
            self._kept.move_to_end(directory)
            found = run.read(self.cache)
            self._forget()
        return found

    def _forget(self) -> None:
        """Let go of those not asked for lately, except what is half read."""
        weight = sum(run.weight for run in self._kept.values())
        for path, run in list(self._kept.items())[:-RECENT]:
            if len(self._kept) <= KEPT and weight <= VALUES:
                return
            if run.whole:
                weight -= run.weight
                del self._kept[path]


class _Shown:
    """What was read of one source."""

    def __init__(self) -> None:
        self.curves: Curves | None = None  # when it was read whole
        self.stamps: tuple[Stamp | None, ...] = ()  # of its files then
        self.sketch: dict[str, Series] = {}
        self.saved: dict[Path, int] = {}  # so much of each file is in the cache

    def forget(self, path: Path) -> None:
        """A file became another one."""
        self.curves, self.sketch, self.saved[path] = None, {}, 0


class _Run:
    """One directory."""

    def __init__(self, directory: Path) -> None:
        self._followers = Followers(directory, Columns)
        self._shown: dict[tuple[str, Path], _Shown] = {}  # by the source and the first of its files

    @property
    def whole(self) -> bool:
        """Whether nothing of it is left to read, as far as is known."""
        return self._followers.whole

    @property
    def weight(self) -> int:
        """How many values it holds."""
        shown = (one.curves for one in self._shown.values() if one.curves)
        return sum(sum(map(len, curves.series.values())) for curves in shown)

    def read(self, cache: Cache | None) -> Curves:
        """The first source that has any series, or may have some."""
        problems, before, self._shown = tuple[str, ...](), self._shown, {}
        for source, parts in self._followers:
            if not parts:
                problems += (source.problem,)
                continue
            key = source.name, parts[0][0].path
            shown = self._shown[key] = before.get(key) or _Shown()
            found = self._further(shown, parts, cache if source.kept else None)
            if problems:
                found = msgspec.structs.replace(found, problems=(*problems, *found.problems))
            if found.series or found.share < 1:
                return found
            problems = found.problems
        return Curves(problems=problems)

    def _further(self, shown: _Shown, parts: Parts, cache: Cache | None) -> Curves:
        """The next slice of a source."""
        problems, readable = list[str](), Parts()
        for at, (part, follower) in enumerate(parts):
            if cache and part.path not in shown.saved:
                shown.saved[part.path] = follower.place.offset if cache.load(follower) else 0
            sink = follower.sink
            lines = follower.format.unit is Unit.LINES
            if not grow(part, follower, problems, SLICE if lines else SLICE // 8):
                continue
            readable.append((part, follower))
            if follower.sink is not sink:
                shown.forget(part.path)
            if follower.stamp is None:  # there is more
                follower.sink.snapshot()  # so that the pyramid grows with it
                if not shown.curves and not shown.sketch and lines:
                    shown.sketch = sketch(part, follower.size)
                series = shown.curves.series if shown.curves else shown.sketch
                return Curves(series, tuple(problems), (at + follower.share) / len(parts))
        stamps = tuple(follower.stamp for _, follower in readable)
        if shown.curves is None or shown.stamps != stamps or shown.curves.problems != tuple(problems):
            shown.curves, shown.stamps, shown.sketch = Curves(joined(readable), tuple(problems)), stamps, {}
            for part, follower in readable:
                saved = shown.saved.get(part.path, 0)
                if cache and follower.place.offset - saved >= max(WORTH, saved // 4):
                    cache.save(follower)
                    shown.saved[part.path] = follower.place.offset
        return shown.curves


def sketch(part: Part, size: int) -> dict[str, Series]:
    """What a long file holds, from a few lines here and there: a spike may be missing."""
    found, form = Columns(), part.make(part.label)
    with part.path.open("rb", buffering=0) as file:
        for number in range(LOOKS):
            start = size * number // LOOKS
            data = os.pread(file.fileno(), LOOK, start)
            first = data.find(b"\n") + 1 if start else 0
            whole = data[first : data.rfind(b"\n") + 1]
            if whole:
                length = len(whole) / whole.count(b"\n")
                form.lines = int(start / length)  # about: it is the step where a row names none
                form.read(whole, found)
    return {part.prefix + name: one for name, one in found.snapshot().items()}
