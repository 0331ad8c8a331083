"""Runs people already have: the directories that `[results] also` names, read-only.

Nothing is written there, and where the settings name none this costs a look at the settings file.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from exptui.core.errors import ExptuiError
from exptui.core.monitor.stamps import changes
from exptui.core.runs.run import id_of, read_bytes

if TYPE_CHECKING:
    from exptui.core.contents import Contents

TICK = 2.0  # seconds: a directory that changed so short ago may change again and keep its stamp
MAGIC = re.compile(r"[*?[]")
WATCHED = 64  # directories whose changes are waited for; of more it is seen when everything is looked at
Stamp = tuple[int, int, int]


class Place(NamedTuple):
    """One such directory."""

    name: str
    path: Path

    def stat(self) -> os.stat_result:
        """Raises OSError where it is gone."""
        return self.path.stat()


class Elsewhere:
    """What the settings name, look by look."""

    def __init__(self, space: Contents) -> None:
        self._space = space
        self._looked: dict[str, Stamp] = {}  # the settings, and every directory that a pattern led through
        self._young = True
        self.problems: tuple[str, ...] = ()

    @property
    def places(self) -> list[Path]:
        """Where others may come and go."""
        return [Path(name) for name in list(self._looked)[1 : 1 + WATCHED]]

    def moved(self) -> bool:
        """Whether something may have come or gone since the last look."""
        return self._young or any(changes(name) != stamp for name, stamp in self._looked.items())

    def look(self) -> list[Place]:
        """The directories there are now."""
        settings, problems, places = str(self._space.root / "exptui.toml"), list[str](), dict[str, Place]()
        self._looked = {settings: changes(settings)}
        try:
            # To read the settings as such takes longer than a list of runs that names no others.
            patterns = self._space.settings.results.also if b"also" in _bytes(settings) else ()
        except (ExptuiError, OSError) as error:
            patterns = ()
            problems.append(f"the runs of [results] also are not listed: {error}")
        for pattern in patterns:
            before = len(problems)
            found = [path for path in self._expanded(pattern, problems) if self._may_be_run(path)]
            if not found and len(problems) == before:
                problems.append(f"[results] also: nothing is where {pattern!r} leads")
            named = (Place(id_of(self._space.results, path), path) for path in found)
            places |= {place.name: place for place in named}
        self.problems = tuple(problems)
        newest = max((stamp[0] for stamp in self._looked.values()), default=0) / 1e9
        self._young = 0 <= time.time() - newest < TICK
        return list(places.values())

    @contextlib.contextmanager
    def and_results(self) -> Iterator[Iterable[os.DirEntry[str] | Place]]:
        """All that may be runs, those of results/ first, which need not be there.

        Raises:
            OSError: results/ cannot be read.
        """
        more = self.look()
        try:
            scanned = os.scandir(self._space.results)
        except FileNotFoundError:
            yield more
            return
        with scanned:
            yield chain(scanned, more)

    def _expanded(self, pattern: str, problems: list[str]) -> Iterator[Path]:
        """The directories of a pattern; one that cannot be read is a problem."""
        whole = os.path.normpath(self._space.root / os.path.expanduser(pattern))  # noqa: PTH111  never raises
        found = ["/"]
        for part in whole.split("/")[1:]:
            if MAGIC.search(part):
                found = [below for above in found for below in self._below(above, part, problems)]
            else:
                found = [os.path.join(above, part) for above in found]  # noqa: PTH118  of many
        for name in found:
            try:
                os.scandir(name).close()
                yield Path(name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                problems.append(f"[results] also: cannot read {name}: {error.strerror}")

    def _below(self, above: str, part: str, problems: list[str]) -> list[str]:
        self._looked[above] = changes(above)
        from fnmatch import translate

        matches = re.compile(translate(part)).match
        try:
            with os.scandir(above) as entries:
                names = [
                    entry.name
                    for entry in entries
                    if matches(entry.name) and (entry.name[0] != "." or part[0] == ".") and entry.is_dir()
                ]
        except FileNotFoundError:
            return []
        except OSError as error:
            problems.append(f"[results] also: cannot read {above}: {error.strerror}")
            return []
        return [os.path.join(above, name) for name in sorted(names)]  # noqa: PTH118

    def _may_be_run(self, path: Path) -> bool:
        """Neither the workspace nor what it is in."""
        return not self._space.results.is_relative_to(path)


def exactly(places: list[Place], name: str) -> Path | None:
    """The one of that id, or of that path."""
    path = Path(os.path.abspath(name))  # noqa: PTH100  nothing is followed
    return next((place.path for place in places if name == place.name or place.path == path), None)


def ending(places: list[Place], name: str) -> list[Place]:
    """Those whose id ends so, from a slash on."""
    return [place for place in places if f"/{place.name}".endswith(f"/{name.strip('/')}")]


def _bytes(path: str) -> bytes:
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return b""
