"""Which files of a run hold its numbers, and which reader is for them: by their names first, then by what is in them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import translate
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol

from exptui.core.monitor.readers.protocol import Format

LOG = "trainer.log"
HPARAMS = ("hparams.yaml", "params.yaml", "*.hydra/config.yaml", "args.json")  # read by `hparams`
OWN = {
    "config.toml",
    "run.json",
    LOG,
    "metrics.json",
    "run_summary.md",
    "code.patch",
}  # not for others' readers
DEPTH, FOLDERS, NAMES = 4, 64, 4000  # how far, in how many directories and at how many names is looked
PROBED, HEAD = 16, 1 << 16  # files that are looked into, and how many bytes of them
SKIPPED = ("attempts", "checkpoints")
_NUMBER = re.compile(r"\d+")


class Reader(Protocol):
    """What makes a Format; a class that is one, for most."""

    def __call__(self, file: str, /) -> Format:
        """A reader of one file, which problems are named after."""

    def probe(self, head: bytes, /) -> bool:
        """Whether a file that begins so is one of its own."""


class Kind(NamedTuple):
    """A kind of source. `names`: of files that are one; `likely`: of those that are looked into."""

    reader: str
    names: tuple[str, ...]
    likely: tuple[str, ...] = ()
    below: str = ""  # the directory that metrics are named from
    deep: bool = False  # all there are count, not only the highest
    latest: bool = False  # one holds all that came before


class Part(NamedTuple):
    """One file of a source."""

    path: Path
    label: str
    prefix: str  # of its metrics' names
    make: Callable[[str], Format]


class Source(NamedTuple):
    """Files that together hold the series of a run: of parts with the same prefix a later one takes over."""

    name: str
    parts: tuple[Part, ...]
    problem: str = ""  # where something was not looked at: then there are no parts

    @property
    def kept(self) -> bool:
        """Whether what was read of it may be kept, for whoever reads on."""
        return any(self.name == kind.reader for kind in KINDS)


HERE = "exptui.core.monitor.readers"
KINDS = (
    Kind("jsonl:JsonLines", ("metrics.jsonl",)),
    Kind("table:Csv", ("metrics.csv", "progress.csv")),
    Kind("table:Tsv", ("*plots/metrics/*.tsv",), below="plots/metrics/", deep=True),
    Kind("events:Events", ("*events.out.tfevents.*",), deep=True),
    # Behind what is also written between checkpoints.
    Kind("state:TrainerState", ("trainer_state.json",), latest=True),
    Kind("chronicle:Cycles", ("chronicle.cmeta", "chronicle.cmeta.open")),
    Kind("table:Csv", (), ("results.csv", "*.csv")),
    Kind("jsonl:JsonLines", (), ("*.jsonl",)),
)
"""In the order in which they count: the first that has a series is the one."""


def sources(directory: Path, patterns: tuple[str, ...] | None = None) -> Iterator[Source]:
    """What may hold the series of a run, best first. Where metrics.jsonl has them nothing else is looked for.

    `patterns` are those for its log; None: as the settings are now.
    """
    first = directory / "metrics.jsonl"
    if there := os.path.lexists(first):
        yield Source(KINDS[0].reader, (Part(first, first.name, "", reader(KINDS[0].reader)),))
    names, more = look(directory)
    for kind in KINDS[1 if there else 0 :]:
        if found := _parts(directory, kind, names):
            yield Source(kind.reader, found)
    yield from _others(directory, names)
    if more:
        yield Source(
            "", (), f"only {FOLDERS} directories and {NAMES:,} names were looked through for metrics"
        )
    if LOG in names:
        yield from _log(directory / LOG, patterns)


def candidates(directory: Path) -> list[str]:
    """The files that `sources` may come to, by their names alone, and those that `hparams` may."""
    names, _ = look(directory)
    patterns = [LOG, *HPARAMS, *(pattern for kind in KINDS for pattern in (*kind.names, *kind.likely))]
    if plugins := sys.modules.get(f"{HERE}.plugins"):  # else none of theirs was read yet
        patterns += [pattern for other in plugins.others()[0].values() for pattern in other.files]
    return sorted({name for pattern in patterns for name in matching(pattern, names)})


def look(directory: Path) -> tuple[list[str], bool]:
    """The files below a directory, the highest first, within bounds; and whether there are more."""
    found, seen, queue = list[str](), 0, [("", 0)]
    for at, (folder, depth) in enumerate(queue):
        if at == FOLDERS:
            return found, True
        below = list[str]()
        try:
            with os.scandir(directory / folder) as entries:
                for entry in entries:
                    seen += 1
                    if seen > NAMES:
                        return found, True
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.name)
                    else:
                        found.append(folder + entry.name)
        except OSError:
            continue  # it went away, or is not ours to read
        wanted = [one for one in below if (one[0] != "." or one == ".hydra") and one not in SKIPPED]
        if depth < DEPTH:
            queue += [(f"{folder}{one}/", depth + 1) for one in sorted(wanted, key=natural, reverse=True)]
    return found, False


def natural(text: str) -> list[tuple[int, str]]:
    """An order in which 10 comes after 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,18})", text)]


@lru_cache(maxsize=64)
def reader(name: str) -> Reader:
    """A built-in reader, imported now."""
    module, _, attribute = name.partition(":")
    found: Reader = getattr(import_module(f"{HERE}.{module}"), attribute)
    return found


def _parts(directory: Path, kind: Kind, names: Sequence[str]) -> tuple[Part, ...]:
    for patterns, probed in ((kind.names, False), (kind.likely, True)):
        for pattern in patterns:
            found = matching(pattern, names)
            if found and not kind.deep:
                highest = min(name.count("/") for name in found)
                found = [name for name in found if name.count("/") == highest]
            found.sort(key=natural)
            if kind.latest:
                found = found[-1:]
            if probed:
                found = [name for name in found[:PROBED] if _probe(reader(kind.reader), directory / name)]
            if found:
                return tuple(arranged(directory, found, kind.below, reader(kind.reader), by_name=probed))
    return ()


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that are of a pattern; one without a slash is of the last part alone."""
    match, whole = _compiled(pattern), "/" in pattern
    return [name for name in names if match(name if whole else name.rpartition("/")[2])]


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> Callable[[str], object]:
    return re.compile(translate(pattern)).match


def arranged(
    directory: Path, names: Sequence[str], below: str, make: Callable[[str], Format], *, by_name: bool
) -> Iterator[Part]:
    """The files of one source with what their metrics' names begin with: their place, where there are several.

    Places that differ in numbers alone, as version_0 and version_1, are one: what came later takes over.
    """
    places = {name: _place(name, below, by_name=by_name) for name in names}
    common = "" if below else _common(list(places.values()))
    for name in sorted(names, key=lambda name: (natural(name.rpartition("/")[2]), natural(name))):
        yield Part(directory / name, legible(name), legible(places[name].removeprefix(common)), make)


def legible(name: str) -> str:
    """A file's name as text: what is no UTF-8 in it is replaced."""
    return os.fsencode(name).decode(errors="replace")


def _place(name: str, below: str, *, by_name: bool) -> str:
    folder = name.rpartition("/")[0]
    place = f"{name.rpartition('.')[0]}/" if by_name else f"{folder}/" if folder else ""
    return place.partition(below)[2] if below else _NUMBER.sub("#", place)


def _common(places: Sequence[str]) -> str:
    """The directories that all places begin with."""
    common = os.path.commonprefix(places)  # noqa: RUF071  cut back to the last slash
    return common[: common.rfind("/") + 1]


def _probe(of: Reader, path: Path) -> bool:
    """Whether the beginning of a file is as a reader wants it."""
    return of.probe(ends(path, HEAD)[0])


def ends(path: Path, size: int) -> tuple[bytes, bytes]:
    """The first and the last bytes of a file; nothing of what is none, or is not ours to read."""
    from exptui.core.files import open_regular

    try:
        with open_regular(path) as file:
            fd, behind = file.fileno(), os.fstat(file.fileno()).st_size - size
            return os.pread(fd, size, 0), os.pread(fd, size, max(behind, size)) if behind > 0 else b""
    except OSError:
        return b"", b""


def _log(path: Path, given: tuple[str, ...] | None) -> Iterator[Source]:
    """The log, where it has numbers as a person would print them, or where patterns say which."""
    from exptui.core.monitor.readers import declared
    from exptui.core.monitor.readers.log import LogLines

    if patterns := declared.patterns(path.parent) if given is None else given:
        from exptui.core.monitor.readers.matching import MATCHER

        match = partial(MATCHER.rows, patterns)
        yield Source(f"log {patterns}", (Part(path, LOG, "", partial(LogLines, match=match)),))
    elif any(map(LogLines.probe, ends(path, HEAD))):
        yield Source("log", (Part(path, LOG, "", LogLines),))


def _others(directory: Path, names: Sequence[str]) -> Iterator[Source]:
    """The readers that other packages bring, by the names of files they want to look into."""
    theirs = [name for name in names if name.rpartition("/")[2] not in OWN]
    if not theirs:
        return  # to ask what is installed takes longer than all else
    from exptui.core.monitor.readers.plugins import others

    found, problems = others()
    yield from (Source("", (), problem) for problem in problems)
    for name, other in found.items():
        wanted = [file for pattern in other.files for file in matching(pattern, theirs)]
        if own := [file for file in wanted[:PROBED] if _probe(other, directory / file)]:
            yield Source(name, tuple(arranged(directory, own, "", other, by_name=True)))
