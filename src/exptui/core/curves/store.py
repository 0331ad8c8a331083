"""The curves of the runs that were looked at last. A long file is read in slices, so that others get their turn."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path

import msgspec

from exptui import chronicle
from exptui.core.curves.cache import WORTH, Cache
from exptui.core.curves.columns import Columns
from exptui.core.curves.follow import Follower, Stamp, stamp_of
from exptui.core.curves.formats import CHRONICLES, FORMATS, source
from exptui.core.curves.series import Series

KEPT, VALUES = 32, 16_000_000  # runs, and values in all of them
RECENT = 4  # runs that are kept however long they are: they are on the screen
SLICE = 8 << 20  # bytes of a file read at a time
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


def of_chronicle(directory: Path) -> Curves:
    """The series of a trainer that writes a chronicle and no metrics: phase and metric, by cycle."""
    try:
        found = chronicle.read_for(directory)
    except OSError as error:
        return Curves(problems=(f"chronicle: {error.strerror}",))
    columns = Columns()
    if found is None:
        return Curves()
    for record in found.records:
        values = (record.loss, *record.metrics)
        names = (f"{record.phase.name.lower()}_{name}" for name in ("loss", *found.metric_names))
        columns.add([float(record.cycle)], {name: [value] for name, value in zip(names, values, strict=True)})
    damaged = found.status is chronicle.Status.CORRUPT
    return Curves(columns.snapshot(), (f"chronicle: {found.problem}",) if damaged else ())


class _Run:
    """One directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._follower: Follower[Columns] | None = None
        self._saved = 0  # so much of the file is in the cache
        self._shown: Curves | None = None  # what was read whole
        self._sketch: dict[str, Series] = {}
        self._chronicle: tuple[object, Curves] | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing of it is left to read, as far as is known."""
        return self._follower is None or self._follower.stamp is not None

    @property
    def weight(self) -> int:
        """How many values it holds."""
        return sum(map(len, self._shown.series.values())) if self._shown else 0

    def read(self, cache: Cache | None) -> Curves:
        path = source(self.directory)
        if path is None:
            self._follower = None
            return self._of_chronicle()
        if self._follower is None or self._follower.path != path:
            self._begin(Follower(path, Columns), cache)
        assert self._follower is not None  # set by _begin
        try:
            found = self._further(self._follower, cache)
        except OSError as error:
            return Curves(problems=(f"{path.name}: {error.strerror}",))
        return found if found.series or found.share < 1 else self._of_chronicle(found.problems)

    def _begin(self, follower: Follower[Columns], cache: Cache | None) -> None:
        self._follower, self._shown, self._sketch, self._saved = follower, None, {}, 0
        if cache and cache.load(follower):
            self._saved = follower.place.offset

    def _further(self, follower: Follower[Columns], cache: Cache | None) -> Curves:
        before, sink = follower.stamp, follower.sink
        follower.grow(SLICE)
        if follower.sink is not sink:
            self._begin(follower, None)
        if follower.stamp is None:  # there is more
            follower.sink.snapshot()  # so that the pyramid grows with it
            if self._shown is None and not self._sketch:
                self._sketch = sketch(follower.path, follower.size)
            shown = self._shown.series if self._shown else self._sketch
            return Curves(shown, follower.format.problems.texts(), follower.share)
        if self._shown is None or follower.stamp != before:
            self._shown, self._sketch = Curves(follower.sink.snapshot(), follower.format.problems.texts()), {}
            if cache and follower.place.offset - self._saved >= max(WORTH, self._saved // 4):
                cache.save(follower)
                self._saved = follower.place.offset
        return self._shown

    def _of_chronicle(self, problems: tuple[str, ...] = ()) -> Curves:
        stamps = tuple(_stamp(self.directory / name) for name in CHRONICLES)
        if self._chronicle is None or self._chronicle[0] != (stamps, problems):
            found = of_chronicle(self.directory)
            self._chronicle = (stamps, problems), Curves(found.series, (*problems, *found.problems))
        return self._chronicle[1]


def sketch(path: Path, size: int) -> dict[str, Series]:
    """What a long file holds, from a few lines here and there: a spike may be missing."""
    found, form = Columns(), FORMATS[path.name](path.name)
    with path.open("rb", buffering=0) as file:
        for number in range(LOOKS):
            start = size * number // LOOKS
            data = os.pread(file.fileno(), LOOK, start)
            first = data.find(b"\n") + 1 if start else 0
            whole = data[first : data.rfind(b"\n") + 1]
            if whole:
                length = len(whole) / whole.count(b"\n")
                form.lines = int(start / length)  # about: it is the step where a row names none
                form.read(whole, found)
    return found.snapshot()


def _stamp(path: Path) -> Stamp | None:
    try:
        return stamp_of(path.stat())
    except OSError:
        return None
