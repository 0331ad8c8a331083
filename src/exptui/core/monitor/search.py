"""The lines of a log that match, found by a process that can be killed; they are here as soon as they are found."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path
from typing import NamedTuple

from exptui.core.monitor.scan import CAUGHT_UP, HEAD, STUCK

PIPE = 1 << 20
BEHIND = 10
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # more of them only take longer to start
    # Blocks are freed and asked for again all the time: the memory is kept, or clearing it is most of the work.
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
}


class Frame(NamedTuple):
    """What the process says: see `scan.HEAD`."""

    kind: bytes
    numbers: array[int]
    first: int
    after: int
    offset: int


class Scan:
    """A process that goes through a log."""

    def __init__(self, path: Path, **request: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "exptui.core.monitor.scan"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
        # Behind whoever waits for a key, and behind what trains, from its first moment on.
        os.setpriority(os.PRIO_PROCESS, self._process.pid, os.getpriority(os.PRIO_PROCESS, 0) + BEHIND)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        with contextlib.suppress(OSError):  # a small pipe is slower, nothing else
            fcntl(self._out, F_SETPIPE_SZ, PIPE)
        self._data = bytearray()
        self.code: int | None = None
        """How the process ended, once it has."""
        self.pid = self._process.pid
        self._say(json.dumps({"path": str(path), **request}).encode() + b"\n")

    def go_on(self) -> None:
        """There is more to go through. Only for one that has caught up."""
        self._say(b"+")

    def kill(self) -> None:
        """End it, whatever it is at. From any thread; who reads the frames then sees the end."""
        self._process.kill()

    def close(self) -> None:
        """End it and let go of it. For who reads the frames."""
        self._process.kill()
        self._reap()

    def _reap(self) -> None:
        self._in.close()
        self._out.close()
        self.code = self._process.wait()

    def frames(self, seconds: float | None) -> list[Frame]:
        """What has come, waited for so long or for ever; nothing more once `code` is set."""
        if self.code is not None or not select.select([self._out], [], [], seconds)[0]:
            return []
        data = os.read(self._out.fileno(), PIPE)
        if not data:
            self._reap()
        self._data += data
        found, at = [], 0
        while len(self._data) - at >= HEAD.size:
            kind, many, first, after, offset = HEAD.unpack_from(self._data, at)
            end = at + HEAD.size + 8 * many
            if end > len(self._data):
                break
            numbers = array("Q", bytes(self._data[at + HEAD.size : end]))
            found.append(Frame(kind, numbers, first, after, offset))
            at = end
        del self._data[:at]
        return found

    def _say(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended, as its frames will tell
            os.write(self._in.fileno(), data)


@dataclass(frozen=True)
class Progress:
    """How far a search is."""

    count: int
    """Matching lines found so far."""
    offset: int
    """Bytes gone through."""
    done: bool
    """Whether everything there was has been searched."""
    stuck: int | None = None
    """The line, from 0, that the pattern has been at for too long."""
    ended: str = ""
    """Why there will be no more."""

    @property
    def running(self) -> bool:
        """Whether there may be more of what is there now."""
        return not (self.done or self.ended)


class Search:
    """Lines that match every pattern. One thread waits, which starts its process; any may ask what was found."""

    def __init__(self, path: Path, *patterns: str) -> None:
        self.path, self.patterns = path, patterns
        self.hits = array("Q")
        """The numbers, from 0, of the matching lines found so far."""
        self.progress = Progress(0, 0, done=False)
        self._searched = 0
        """Lines gone through."""
        self._more = False
        """Whether the log has grown since the process was told to go on."""
        self._killed = False
        self._lock = threading.Lock()
        self._scan: Scan | None = None

    def wait(self) -> Progress:
        """How far it is as soon as something has happened."""
        if (scan := self._scan) is None:
            scan = self._scan = Scan(self.path, patterns=self.patterns)
            if self._killed:
                scan.kill()
        for frame in scan.frames(None):
            self._take(scan, frame)
        if (code := scan.code) is not None:
            why = f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
            self._moved(ended="cancelled" if self._killed else why, stuck=None)
        return self.progress

    def _take(self, scan: Scan, frame: Frame) -> None:
        if frame.kind == STUCK:
            self._moved(stuck=frame.first)
            return
        with self._lock:
            # The last line may still have been growing when it was looked at.
            del self.hits[bisect_left(self.hits, frame.first) :]
            self.hits.extend(frame.numbers)
            self._searched = frame.after
            done = frame.kind == CAUGHT_UP and not self._more
            self._moved(count=len(self.hits), offset=frame.offset, done=done, stuck=None)
            if frame.kind == CAUGHT_UP and self._more:
                self._more = False
                scan.go_on()

    def _moved(self, **changes: object) -> None:
        self.progress = replace(self.progress, **changes)  # type: ignore[arg-type]

    def go_on(self) -> None:
        """The log has grown."""
        with self._lock:
            if not self.progress.done:
                self._more = True
            elif self._scan and not self.progress.ended:
                self._moved(done=False)
                self._scan.go_on()

    def kill(self) -> None:
        """Cancel it."""
        self._killed = True
        if self._scan:
            self._scan.kill()

    def slice(self, first: int, count: int) -> tuple[int, ...]:
        """Some of the matching lines."""
        with self._lock:
            return tuple(self.hits[first : first + count])

    def before(self, line: int) -> int:
        """How many of the matching lines found so far come before a line."""
        with self._lock:
            return bisect_left(self.hits, line)

    def place(self, line: int, step: int) -> int | None:
        """Which hit is the first from `line` on (step 1) or back (step -1), among those found so far."""
        with self._lock:
            at = bisect_left(self.hits, line) if step > 0 else bisect_right(self.hits, line) - 1
            return at if 0 <= at < len(self.hits) else None

    def settled(self, line: int, step: int) -> bool:
        """Whether `place` says now what it will say in the end."""
        if not self.progress.running:
            return True
        return self.place(line, step) is not None if step > 0 else self._searched > line
