"""Which lines of a block match: the answer of a loop over the lines, found by looking only where one could."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any, TypeAlias

from exptui.core.monitor.needles import Byte, Needles, Run, needles
from exptui.core.monitor.pattern import compile_pattern, plain_lines

NUMPY_PAYS = 4 << 20
"""Less than this is gone through before numpy is imported."""
SAMPLE = 1 << 16
RAREST = 12
FEW = 8
"""So few candidates are sooner held against the pattern than looked at closer."""
PASS = 150
"""What it costs to look at every byte of the sample, in candidates to look at."""
Bytes: TypeAlias = Any
"""numpy arrays: numpy is imported only where there is much to search."""


class Matcher:
    """Lines that match a pattern as they are shown: in their last state, without colours."""

    def __init__(self, pattern: str, numpy_pays: int = NUMPY_PAYS) -> None:
        compiled = compile_pattern(pattern)
        self._search = compiled.search
        self._needles = {one: needles(compiled, ascii=one) for one in (False, True)}
        self._probes: dict[Run, Probe] = {}
        self._left = numpy_pays

    def lines(self, data: bytes) -> tuple[list[int], int]:
        """The numbers, from 0, of the lines in `data` that match, and how many lines there are."""
        data = plain_lines(data)
        self._left -= len(data)
        wanted = self._needles[data.isascii()]
        if wanted and self._left < 0:
            return self._sifted(wanted, data)
        texts = data.decode(errors="replace").split("\n")
        return [number for number, hit in enumerate(map(self._search, texts)) if hit], len(texts)

    def one_by_one(self, data: bytes, at: Callable[[int], None]) -> list[int]:
        """The same by a plain loop, which says before each line where it is."""
        found = []
        for number, line in enumerate(plain_lines(data).split(b"\n")):
            at(number)
            if self._search(line.decode(errors="replace")):
                found.append(number)
        return found

    def _sifted(self, wanted: Needles, data: bytes) -> tuple[list[int], int]:
        import numpy as np

        array = np.frombuffer(data, np.uint8)
        if any(run not in self._probes for run in wanted.runs):
            self._probes |= {run: Probe(run, array[:SAMPLE]) for run in wanted.runs}
        newlines = array == ord("\n")
        found = [places for run in wanted.runs if len(places := self._probes[run].places(data, array))]
        places = found[0] if len(found) == 1 else np.sort(np.concatenate([*found, array[:0]]))
        if len(places) <= FEW:
            return self._one_of_few(data, places.tolist(), newlines)
        ends = np.concatenate(([-1], np.flatnonzero(newlines), [len(data)]))
        numbers = np.searchsorted(ends, places) - 1
        numbers = numbers[np.flatnonzero(np.diff(numbers, prepend=-1))]
        count = len(ends) - 1
        if wanted.exact:
            return numbers.tolist(), count
        search, starts, stops = self._search, (ends[numbers] + 1).tolist(), ends[numbers + 1].tolist()
        lines = zip(numbers.tolist(), starts, stops, strict=True)
        if data.isascii():
            text = data.decode()
            return [number for number, start, stop in lines if search(text[start:stop])], count
        return [n for n, at, stop in lines if search(data[at:stop].decode(errors="replace"))], count

    def _one_of_few(self, data: bytes, places: list[int], newlines: Bytes) -> tuple[list[int], int]:
        import numpy as np

        hits, number, start, end = [], 0, 0, -1
        for place in places:
            if place > end:
                before, start = start, data.rfind(b"\n", start, place) + 1 or start
                number += int(np.count_nonzero(newlines[before:start]))
                end = data.find(b"\n", place) % (len(data) + 1)
                if self._search(data[start:end].decode(errors="replace")):
                    hits.append(number)
        return hits, number + int(np.count_nonzero(newlines[start:])) + 1


class Probe:
    """Finds a run of bytes: first by the two that are rarest together, then by the others."""

    def __init__(self, run: Run, sample: Bytes) -> None:
        import numpy as np

        self.run = run
        self.tables = [np.isin(np.arange(256), list(wanted)) for wanted in run]
        hits = {at: _are(sample, wanted) for at, wanted in enumerate(run)}
        rare = sorted(hits, key=lambda at: np.count_nonzero(hits[at]))[:RAREST]
        self.rarest = [bytes([byte]) for byte in run[rare[0]]]

        def cost(pair: tuple[int, int]) -> int:
            room = max(0, len(sample) - max(pair))
            together = hits[pair[0]][pair[0] :][:room] & hits[pair[1]][pair[1] :][:room]
            return int(np.count_nonzero(together)) + PASS * sum(1 + (len(run[at]) > 1) for at in pair)

        first = min(combinations(rare, 2), key=cost, default=tuple(rare))
        self.first, self.others = first, [at for at in (*rare, *hits) if at not in first]

    def places(self, data: bytes, array: Bytes) -> Bytes:
        """Where it begins; a few places more where there are only a few."""

        if not any(byte in data for byte in self.rarest):
            return array[:0]
        room = max(0, len(array) - len(self.run) + 1)
        one, *other = (_are(array[at : at + room], self.run[at]) for at in self.first)
        if other:
            one &= other[0]
        found = _places(one)
        for at in self.others:
            if len(found) <= FEW:
                break
            found = found[self.tables[at][array[found + at]]]
        return found


def _places(hits: Bytes) -> Bytes:
    """`numpy.flatnonzero`, several times as fast where there are few: it looks at eight bytes at once."""
    import numpy as np

    whole = len(hits) & ~7
    words = np.flatnonzero(hits[:whole].view(np.uint64) != 0)
    if len(words) > len(hits) >> 6:
        return np.flatnonzero(hits)
    near = (words[:, None] * 8 + np.arange(8)).ravel()
    return np.concatenate((near[hits[near]], whole + np.flatnonzero(hits[whole:])))


def _are(array: Bytes, wanted: Byte) -> Bytes:
    """Which bytes are wanted ones."""
    import numpy as np

    low, high = min(wanted), max(wanted)
    if len(wanted) == 1:
        return array == low
    if len(wanted) == 2 and low + 32 == high:
        return (array | 32) == high if low & 32 == 0 else (array == low) | (array == high)
    if high - low + 1 == len(wanted):
        return array - low < len(wanted)
    return np.isin(np.arange(256), list(wanted))[array]
