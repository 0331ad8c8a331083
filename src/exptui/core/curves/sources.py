"""The files that hold the series of a run, read on from where they were, each into a sink of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Generic

from exptui.core.curves.follow import Follower, S
from exptui.core.monitor.readers.find import Part, Source, sources
from exptui.core.monitor.readers.protocol import Last

if TYPE_CHECKING:
    from exptui.core.curves.columns import Columns
    from exptui.core.curves.series import Series


class Followers(Generic[S]):
    """Those of one run. What its directory holds may change: a file that is not read any more is let go of."""

    def __init__(
        self,
        directory: Path,
        sink: Callable[[], S],
        patterns: tuple[str, ...] | None = None,
        near: int | None = None,
    ) -> None:
        self.directory, self._sink, self._patterns, self._near = directory, sink, patterns, near
        self._known: dict[tuple[str, Path], Follower[S]] = {}

    def __iter__(self) -> Iterator[tuple[Source, list[tuple[Part, Follower[S]]]]]:
        """The sources there are, best first, with who follows their parts."""
        known, self._known = self._known, {}
        for source in sources(self.directory, self._patterns):
            found = []
            for part in source.parts:
                key = source.name, part.path
                if (follower := known.get(key)) is None:
                    follower = Follower(part.path, self._sink, part.make, part.label, self._near)
                self._known[key] = follower
                found.append((part, follower))
            yield source, found

    @property
    def whole(self) -> bool:
        """Whether nothing of them is left to read, as far as is known."""
        return all(follower.stamp is not None for follower in self._known.values())


def grow(part: Part, follower: Follower[S], problems: list[str], limit: int | None = None) -> bool:
    """Read on in one file, and say what is wrong with it; whether it could be read."""
    try:
        follower.grow(limit)
    except OSError as error:
        problems.append(f"{part.label}: {error.strerror}")
        return False
    problems += follower.format.problems.texts()
    return True


def joined(parts: Iterable[tuple[Part, Follower[Columns]]]) -> dict[str, Series]:
    """The series of a source; of one that is in several files the later takes over from its first step on."""
    found: dict[str, Series] = {}
    for part, follower in parts:
        for name, one in follower.sink.snapshot().items():
            before = found.get(part.prefix + name)
            found[part.prefix + name] = before.followed_by(one) if before else one
    return found


def ends(parts: Iterable[tuple[Part, Follower[Last]]]) -> dict[str, tuple[float, float]]:
    """The last point of each series that `joined` would give."""
    return {part.prefix + name: end for part, one in parts for name, end in one.sink.found.items()}
