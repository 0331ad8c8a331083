"""Declared patterns at work, in a process of their own: one that backtracks for ever holds nobody up.

`python -P -m exptui.core.monitor.readers.matching` answers each line of JSON with another, and ends with its input.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from exptui.core.monitor.pattern import TooSlow, limited
from exptui.core.monitor.readers.log import Row
from exptui.core.monitor.readers.protocol import Problems

SECONDS = 1.0  # of processor time that a pattern may take for a block of lines
PATIENCE = 60.0  # seconds after which a process that says nothing is killed
READ = 1 << 16
NOTHING: dict[str, Any] = {"rows": [], "slow": {}}


def answer(patterns: Sequence[str], lines: Sequence[str]) -> dict[str, Any]:
    """The named groups of each line that a pattern is in, and the patterns that took too long, each with the line."""
    rows, slow = dict[int, dict[str, str]](), dict[str, int]()
    for text in patterns:
        search, number = re.compile(text).search, 0

        def look(search: Any = search) -> None:
            nonlocal number
            for number, line in enumerate(lines):
                if match := search(line):
                    rows.setdefault(number, {}).update(
                        (name, value) for name, value in match.groupdict().items() if value is not None
                    )

        try:
            limited(look, SECONDS)
        except TooSlow:
            slow[text] = number
    return {"rows": sorted(rows.items()), "slow": slow}


class Matcher:
    """The process, started when it is first asked: one for all, and for any thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._unused: dict[str, str] = {}  # patterns that are not used any more, and why

    def rows(self, patterns: Sequence[str], lines: Sequence[str], problems: Problems) -> list[Row]:
        """What the patterns find in lines; those that take too long are named, and used no more."""
        with self._lock:
            usable = [text for text in patterns if text not in self._unused]
            reply = self._ask(usable, lines) if usable else NOTHING
            if reply is None:
                self._unused |= dict.fromkeys(usable, "gave no answer")
                reply = NOTHING
            for text, line in reply["slow"].items():
                self._unused[text] = f"took more than {SECONDS:g} s, at last for {lines[line][:40]!r}"
            said = [
                f": the pattern {text!r} {self._unused[text]}" for text in patterns if text in self._unused
            ]
        for one in said:
            if problems.file + one not in problems.named:
                problems.say(one)
        return [(number, named) for number, named in reply["rows"]]

    def unused(self, pattern: str) -> str:
        """Why a pattern is not used any more; empty as long as it is."""
        return self._unused.get(pattern, "")

    def _ask(self, patterns: Sequence[str], lines: Sequence[str]) -> dict[str, Any] | None:
        """What the process answers; None where it does not."""
        process = self._process = (
            self._process if self._process and self._process.poll() is None else _start()
        )
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({"patterns": patterns, "lines": lines}).encode() + b"\n")
            process.stdin.flush()
            data = _line(process, time.monotonic() + PATIENCE)
        except BrokenPipeError:
            data = b""
        if not data.endswith(b"\n"):
            self.close()
            return None
        reply: dict[str, Any] = json.loads(data)
        return reply

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "exptui.core.monitor.readers.matching"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _line(process: subprocess.Popen[bytes], until: float) -> bytes:
    """A line of its output, or what there was of it when the time was over or it ended."""
    assert process.stdout is not None
    data, fd = bytearray(), process.stdout.fileno()
    while not data.endswith(b"\n") and (left := until - time.monotonic()) > 0:
        if not select.select([fd], [], [], left)[0] or not (some := os.read(fd, READ)):
            break
        data += some
    return bytes(data)


MATCHER = Matcher()


def main() -> None:
    """Answer until nobody asks any more."""
    for line in sys.stdin.buffer:
        request = json.loads(line)
        reply = answer(request["patterns"], request["lines"])
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
