"""The process that runs the user's alert command, so that a command that hangs, fills or kills is never the run's matter.

It is forked by a supervisor that is not yet a subreaper, and through a child that ends at once: neither it nor what it
starts is ever a descendant of the supervisor, which would be taken for a part of the run, waited for and stopped.
It holds no lock of the run, gets its messages through a pipe, and outlives the supervisor for as long as its commands take.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from exptui.core import alerts, user
from exptui.core.monitor.text import clean

TIMEOUT = 30.0  # seconds for one command
LOOK = 0.2
OUTPUT = 1 << 20  # bytes of a command's output that are read; one that prints more waits, and is ended
KEPT = 400
LOG_SIZE = 1 << 18

_Message = dict[str, str]


class Messenger:
    """The supervisor's end of the pipe. Nothing here ever waits, or fails."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def start(cls, command: tuple[str, ...], about: Mapping[str, str], lock_fd: int) -> Messenger:
        """Fork it. `about` names the run; call it while there is one thread, and before becoming a subreaper."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        if (between := os.fork()) == 0:
            try:
                if os.fork() == 0:
                    os.close(writing)
                    os.close(lock_fd)
                    _serve(reading, command, about)
            finally:
                os._exit(0)
        os.waitpid(between, 0)
        os.close(reading)
        os.set_blocking(writing, False)
        return cls(writing)

    def tell(self, event: str, text: str) -> None:
        """Have the command run; that it cannot be is noted."""
        line = msgspec.json.encode({"event": event, "text": text[:1000]}) + b"\n"
        try:
            os.write(self.fd, line)  # whole or not at all: it is shorter than PIPE_BUF
        except OSError as error:
            note(f"{event}: could not be handed to the alert command: {error.strerror}")

    def close(self) -> None:
        """Nothing more will come, and that is as it should be."""
        with contextlib.suppress(OSError):
            os.write(self.fd, b"\n")
        os.close(self.fd)


def _serve(reading: int, command: tuple[str, ...], about: Mapping[str, str]) -> None:
    """Run the command for each message, one after the other, until the supervisor closes the pipe or is gone."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    rest, farewell = b"", False
    while data := os.read(reading, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if farewell := not line:
                continue
            deliver(command, {**about, **msgspec.json.decode(line, type=_Message)})
    if not farewell:
        words = "its supervisor is gone; the trainer may still be at work (exptui ls)"
        deliver(command, {**about, "event": "lost", "text": words})


def deliver(command: tuple[str, ...], message: Mapping[str, str]) -> None:
    """Run the command once, for TIMEOUT seconds at most; how it failed goes into the user's alerts.log."""
    argv = alerts.fill(command, message)
    try:
        with subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd="/", start_new_session=True, restore_signals=True, bufsize=0,
        ) as process:  # fmt: skip
            assert process.stdout is not None  # a pipe
            kept, late = _await(process, process.stdout.fileno())
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
    except OSError as error:
        failure = error.strerror or str(error)
    else:
        code = process.returncode
        failure = f"ended after {TIMEOUT:.0f} s" if late else f"exit code {code}" if code > 0 else ""
        failure = failure or (f"signal {-code}" if code else "")
        failure += f": {clean(kept.strip(), KEPT)}" if failure and kept.strip() else ""
    if failure:
        note(f"{message['run_id']} {message['event']}: {argv[0]}: {failure}")


def _await(process: subprocess.Popen[bytes], output: int) -> tuple[bytes, bool]:
    """Wait for its end; the last of its output, and whether the time was over first."""
    deadline = time.monotonic() + TIMEOUT
    kept, room = b"", OUTPUT
    while process.poll() is None:
        if time.monotonic() > deadline:
            return kept, True
        if room > 0 and select.select([output], [], [], LOOK)[0]:
            data = os.read(output, 1 << 16)
            kept, room = (kept + data)[-KEPT:], room - len(data) if data else 0
        elif room <= 0:
            time.sleep(LOOK)
    if room > 0 and select.select([output], [], [], 0)[0]:
        kept = (kept + os.read(output, 1 << 16))[-KEPT:]
    return kept, False


def log_file() -> Path:
    """Where it is kept what could not be told."""
    return user.state() / "alerts.log"


def note(text: str) -> None:
    """Add a line to the user's alerts.log, of which the last quarter of a megabyte or so is kept."""
    file = log_file()
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if file.exists() and file.stat().st_size > LOG_SIZE:
            file.replace(file.with_name(f"{file.name}.1"))
        with file.open("a") as opened:
            opened.write(f"{at} {clean(text, 1000)}\n")
