"""The ledger: one line an event, each with its own digest and that of the line before it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from exptui.core.files import (
    Lock,
    append_durable,
    canonical_json,
    fsync_dir,
    open_regular,
    sha256_bytes,
    storage_errors,
)
from exptui.core.runs.process import user

NAME = "ledger.jsonl"
LOCK = ".ledger.lock"
TORN = f"{NAME}: the last line is torn"
GENESIS = "0" * 64
GZ = "gz_sha256"
"""Of the event that enters an archive: the digest of its file, as it was when all of it was last read and proved."""


class Book(msgspec.Struct, frozen=True):
    """What the ledger says: the events that parse, what is wrong with it, and the digest of each whole line."""

    events: list[dict[str, Any]]
    problems: list[str]
    digests: list[str]

    @property
    def torn(self) -> bool:
        """Whether all that is wrong is a last line that is cut, as a crash leaves it."""
        return self.problems == [TORN]

    @property
    def whole(self) -> bool:
        """Whether every line is the one that was written, but for a last one that is cut."""
        return self.torn or not self.problems


def event(kind: str, run_id: str, identity: str, **extra: object) -> dict[str, Any]:
    """An event of this moment, user and host: archived, verified, received, restored, removed or found."""
    from datetime import UTC, datetime

    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "user": user(),
        "host": os.uname().nodename,
        "event": kind,
        "run_id": run_id,
        "identity": identity,
        **extra,
    }


def append(archive_dir: Path, event: dict[str, Any]) -> None:
    """Append an event, durably. A torn last line is cut first, and the new line says so.

    Raises:
        StorageError: the ledger could not be written.
    """
    path = archive_dir / NAME
    with storage_errors("write the ledger"):
        lock = Lock.take(archive_dir / LOCK)
        if lock is None:  # pragma: no cover - take() waits
            return
        with lock:
            data = _bytes(path)
            whole = data[: data.rfind(b"\n") + 1]
            line = {k: v for k, v in event.items() if k not in ("previous", "torn", "sha256")}
            if whole != data:
                with path.open("r+b") as file:
                    file.truncate(len(whole))
                    os.fsync(file.fileno())
                fsync_dir(archive_dir)
                line["torn"] = True
            lines = whole.split(b"\n")[:-1]
            line["previous"] = sha256_bytes(lines[-1]) if lines else GENESIS
            line["sha256"] = sha256_bytes(canonical_json(line))
            append_durable(path, canonical_json(line))


def _bytes(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read()
    except FileNotFoundError:
        return b""


def load(archive_dir: Path) -> Book:
    """The ledger, read and proved.

    Raises:
        StorageError: it exists and cannot be read.
    """
    path = archive_dir / NAME
    with storage_errors("read the ledger"):
        data = _bytes(path)
    book = Book([], [], [])
    lines = data.split(b"\n")
    torn = lines.pop()
    before, sound = GENESIS, True
    for number, line in enumerate(lines, start=1):
        problem = ""
        try:
            found = msgspec.json.decode(line, type=dict[str, Any])
            book.events.append(found)
            rest = {key: value for key, value in found.items() if key != "sha256"}
            if (
                found.get("sha256") != sha256_bytes(canonical_json(rest))
                or canonical_json(found) != line + b"\n"
            ):
                problem = "not the line that was written"
            elif sound and found.get("previous") != before:
                problem = "does not follow the line before it: one was changed, added or removed"
        except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as error:
            problem = f"not the line that was written ({error})"
        if problem:
            book.problems.append(f"{NAME}:{number}: {problem}")
        before, sound = sha256_bytes(line), not problem
        book.digests.append(before)
    if torn:
        book.problems.append(TORN)
    return book


def read(archive_dir: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The events that parse, and what is wrong with the ledger.

    Raises:
        StorageError: the ledger exists and cannot be read.
    """
    book = load(archive_dir)
    return book.events, book.problems


def archived(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Run id → the event that entered it, of every archive that the ledger says is there."""
    known: dict[str, dict[str, Any]] = {}
    for found in events:
        run_id, identity = found.get("run_id"), found.get("identity")
        if not isinstance(run_id, str):
            continue
        if found.get("event") == "removed":
            known.pop(run_id, None)
        elif found.get("event") in ("archived", "found") and isinstance(identity, str):
            known[run_id] = found
    return known


def identities(events: list[dict[str, Any]]) -> dict[str, str]:
    """Run id → identity of every archive that the ledger says is there."""
    return {run_id: found["identity"] for run_id, found in archived(events).items()}
