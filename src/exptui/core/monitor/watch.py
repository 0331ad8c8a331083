"""What changed: blocks until something in the watched directories did, or a moment has passed.

Only these directories themselves are watched, never what lies below them. Where the kernel does not tell of changes,
a network file system for one, they are looked at once a beat instead, and `Watcher.polling` says why.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

DEBOUNCE = 100  # ms within which changes become one
STEP = 100  # ms without a change after which they are given out; each step costs a wake-up
BEAT = 1000  # ms after which to look without a change: the release of a lock is not one
RARELY = 8.0  # s between looks at everything when nothing has changed for long
NETWORK = {
    "9p", "afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "panfs", "pvfs2",
    "smb3", "smbfs", "virtiofs", "vboxsf", "wekafs",
}  # fmt: skip

Found = frozenset[Path]


class Pace:
    """When to look at everything, though nothing was seen to change: after 1 s, 2 s, 4 s… since something last did.

    A launcher that takes its time, and whatever else no watch tells of, is seen by that.
    """

    def __init__(self) -> None:
        self._wait, self._next = 1.0, 0.0

    def due(self, at: float) -> bool:
        """Whether it is time; `at` in seconds."""
        return at >= self._next

    def looked(self, at: float, *, changed: bool) -> None:
        """Everything was looked at; whether anything was different."""
        self._wait = 1.0 if changed else min(RARELY, 2 * self._wait)
        self._next = at + self._wait


class Watcher:
    """Waits for changes; `polling` is why it has to look for them itself, empty where it need not."""

    def __init__(self, mounts: Path = Path("/proc/self/mountinfo")) -> None:
        self.polling = ""
        self._mounts = mounts
        self._stamps: dict[Path, object] = {}

    def changes(
        self,
        places: Iterable[Path],
        runs: Iterable[Path],
        stop: threading.Event,
        names_only: Path | None = None,
    ) -> Iterator[Found]:
        """The paths that changed, again and again; an empty set for a beat. Ends when `stop` is set.

        `runs`: directories in which something is at work. Of `names_only` it only counts what comes and goes.
        """
        at_work = {path for path in runs if path.is_dir()}
        there = {path for path in places if path.is_dir()} | at_work
        network = next((kind for path in sorted(there) if is_network(kind := self._kind(path))), "")
        self.polling = network or self.polling
        if not there:
            stop.wait(BEAT / 1000)
            yield frozenset()
        elif self.polling:
            yield from self._poll(there, at_work, stop)
        else:
            yield from self._listen(there, stop, names_only)

    def _kind(self, path: Path) -> str:
        try:
            return file_system(path, self._mounts.read_bytes())
        except OSError:
            return ""

    def _listen(self, there: set[Path], stop: threading.Event, names_only: Path | None) -> Iterator[Found]:
        from watchfiles import Change, watch

        def counts(change: Change, path: str) -> bool:
            return change is not Change.modified or Path(path).parent != names_only

        try:
            for found in watch(
                *map(str, there),
                watch_filter=counts if names_only else None,
                debounce=DEBOUNCE,
                step=STEP,
                stop_event=stop,
                rust_timeout=BEAT,
                yield_on_timeout=True,
                raise_interrupt=False,
                recursive=False,
            ):
                yield frozenset(Path(path) for _, path in found)
        except (FileNotFoundError, NotADirectoryError):  # one of them went away just now
            stop.wait(BEAT / 1000)
            yield frozenset()
        except (OSError, RuntimeError) as error:  # watchfiles' own errors are RuntimeErrors
            self.polling = _why(error)
            yield frozenset()

    def _poll(self, there: set[Path], at_work: set[Path], stop: threading.Event) -> Iterator[Found]:
        while not stop.is_set():
            before, self._stamps = self._stamps, _stamps(there, at_work)
            known = before.keys() | self._stamps.keys()
            yield frozenset(path for path in known if before.get(path) != self._stamps.get(path))
            stop.wait(BEAT / 1000)


def is_network(kind: str) -> bool:
    """Whether changes made on another machine can go by without a word from the kernel."""
    return kind in NETWORK or kind.startswith("fuse.")


def file_system(path: Path, mounts: bytes) -> str:
    """The type of the file system a path is on, by the lines of mountinfo; empty where they do not tell."""
    real = os.fsencode(path.resolve())
    best, kind = b"", ""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(b" - ")
        parts = fields.split(b" ")
        if len(parts) < 5 or not rest:
            continue
        mount = parts[4]
        for code in (b"\\040", b"\\011", b"\\012", b"\\134"):  # the escapes of mountinfo, the backslash last
            mount = mount.replace(code, bytes([int(code[1:], 8)]))
        inside = real == mount or real.startswith(mount.rstrip(b"/") + b"/")
        if inside and len(mount) >= len(best):  # of two on one point the later one is on top
            best, kind = mount, rest.split(b" ")[0].decode(errors="replace")
    return kind


def _stamps(there: set[Path], at_work: set[Path]) -> dict[Path, object]:
    """Of each directory whether names came or went; of those at work each file as well."""
    found: dict[Path, object] = {}
    for directory in there:
        try:
            found[directory] = directory.stat().st_mtime_ns
            if directory in at_work:
                with os.scandir(directory) as entries:
                    for entry in entries:
                        stat = entry.stat(follow_symlinks=False)
                        found[Path(entry.path)] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            continue  # it went away: that is the change
    return found


def _why(error: Exception) -> str:
    text = str(error)
    if "limit" in text or "No space" in text or "Too many open files" in text:
        return "no inotify watch left"
    if "decode" in text or "utf" in text.lower():
        return "a name is not UTF-8"
    return f"inotify: {text}"
