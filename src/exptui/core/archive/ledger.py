"""The ledger: one line an event, each naming the digest of the line before it."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from exptui.core.files import (
    Lock,
    append_durable,
    canonical_json,
    fsync_dir,
    sha256_bytes,
    storage_errors,
)
from exptui.core.runs.process import user

NAME = "ledger.jsonl"
LOCK = ".ledger.lock"
GENESIS = "0" * 64


def event(kind: str, run_id: str, identity: str, **extra: object) -> dict[str, Any]:
    """An event of this moment, user and host: archived, verified, restored, removed or found."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "user": user(),
        "host": socket.gethostname(),
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
            data = path.read_bytes() if path.exists() else b""
            whole = data[: data.rfind(b"\n") + 1]
            line = {key: value for key, value in event.items() if key not in ("previous", "torn")}
            if whole != data:
                with path.open("r+b") as file:
                    file.truncate(len(whole))
                    os.fsync(file.fileno())
                fsync_dir(archive_dir)
                line["torn"] = True
            lines = whole.split(b"\n")[:-1]
            line["previous"] = sha256_bytes(lines[-1]) if lines else GENESIS
            append_durable(path, canonical_json(line))


def read(archive_dir: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The events that parse, and what is wrong with the chain.

    Raises:
        StorageError: the ledger exists and cannot be read.
    """
    path = archive_dir / NAME
    with storage_errors("read the ledger"):
        data = path.read_bytes() if path.exists() else b""
    events: list[dict[str, Any]] = []
    problems: list[str] = []
    previous = GENESIS
    lines = data.split(b"\n")
    if lines.pop():
        problems.append(f"{NAME}: the last line is torn")
    for number, line in enumerate(lines, start=1):
        try:
            found = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            problems.append(f"{NAME}:{number}: {error}")
        else:
            events.append(found)
            if found.get("previous") != previous:
                problems.append(f"{NAME}:{number}: does not follow the line before it")
        previous = sha256_bytes(line)
    return events, problems


def identities(events: list[dict[str, Any]]) -> dict[str, str]:
    """Run id → identity of every archive that the ledger says is there."""
    known: dict[str, str] = {}
    for found in events:
        run_id, identity = found.get("run_id"), found.get("identity")
        if not isinstance(run_id, str):
            continue
        if found.get("event") == "removed":
            known.pop(run_id, None)
        elif found.get("event") in ("archived", "found") and isinstance(identity, str):
            known[run_id] = identity
    return known
