"""Verdicts that travel: a small signed file that is sent back to whoever has the archive, and kept beside it there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from exptui.core.archive import ledger, signature
from exptui.core.archive.signature import VERDICTS
from exptui.core.audit.report import AuditReport
from exptui.core.audit.statement import Seen, Statement, of
from exptui.core.errors import ArchiveError, CorruptError, StorageError, UsageError
from exptui.core.files import (
    canonical_json,
    open_regular,
    pretty_json,
    sha256_bytes,
    storage_errors,
    write_atomic,
)

FOLDER = "verdicts"
LARGEST = 1 << 20
ALLOW = (
    "Add the key to the allowed_signers of your own settings (docs/share.md), if you trust whoever has it."
)


class Letter(msgspec.Struct, frozen=True):
    """What the file holds: a statement as it was written, and the signature over its canonical JSON."""

    statement: dict[str, Any]
    signature: str
    schema: int = 1


def write(report: AuditReport, path: Path) -> Statement:
    """Sign what a verification found and write it to a file.

    Raises:
        UsageError: it is of no archive, or was made before machines were recorded.
        ConfigError, ArchiveError: no key is set, or it cannot sign.
    """
    if not report.identity:
        raise UsageError(
            f"{report.run_id} was verified as a run in results/: that is a verdict over no archive",
            "Verify its archive: exptui verify FILE.tar.gz",
        )
    if report.machine is None:
        raise UsageError(
            f"the last verification of {report.run_id} does not say on which machine it was made",
            "Verify it again: it was made by an older exptui.",
        )
    stated = of(report)
    sign = signature.signer(wanted=True, purpose=VERDICTS)
    assert sign is not None  # wanted
    signed = sign(canonical_json(stated)).decode()
    with storage_errors("write the verdict"):
        write_atomic(path, pretty_json(Letter(msgspec.to_builtins(stated), signed)))
    return stated


def read(path: Path) -> tuple[Letter, Statement, bytes]:
    """A file that says it is a verdict, with its bytes; whose it is `signature.examine` says.

    Raises:
        CorruptError: it is none.
        StorageError: it cannot be read.
    """
    try:
        with open_regular(path) as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    try:
        if len(data) > LARGEST:
            raise msgspec.ValidationError("it is larger than any verdict")
        letter = msgspec.json.decode(data, type=Letter)
        if letter.schema != 1 or letter.statement.get("schema") != 1:
            raise msgspec.ValidationError("it was written by a newer exptui")
        return letter, msgspec.convert(letter.statement, Statement), data
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise CorruptError(f"{path.name} is no verdict: {error}", "Ask for it again.") from error


def add(path: Path, archives: Path, known: list[Seen]) -> tuple[Seen, bool]:
    """Keep a verdict beside the archive it is about; returns it, and whether it is new here. `known` are there already.

    Raises:
        CorruptError: it is no verdict, or its signature does not fit.
        ArchiveError: its signer is not allowed, or it is about another archive.
    """
    letter, stated, data = read(path)
    signed = canonical_json(letter.statement)
    who = signature.examine(signed, letter.signature.encode(), VERDICTS)
    if not who.identity:
        raise ArchiveError(f"{path.name} is signed by {who.key}, whom you do not allow", ALLOW)
    identity = ledger.identities(ledger.read(archives)[0]).get(stated.run_id)
    if identity is None:
        raise ArchiveError(
            f"{path.name} is about {stated.run_id}, of which there is no archive here",
            "exptui ls archive shows which there are.",
        )
    if identity != stated.identity:
        raise ArchiveError(
            f"{path.name} is about another archive of {stated.run_id}: its identity is {stated.identity[:12]}…, "
            f"and here {identity[:12]}…",
            "A verdict counts for the very archive that was run again, and for no other.",
        )
    digest = sha256_bytes(signed)
    if there := next((one for one in known if one.statement.digest == digest), None):
        return there, False
    seen = Seen(stated, str(who))
    with storage_errors("keep the verdict"):
        (archives / FOLDER).mkdir(exist_ok=True)
        write_atomic(archives / FOLDER / f"{digest}.json", data)
    facts = {
        "verdict": stated.verdict.value,
        "machine": stated.place,
        "statement": digest,
        "sha256_file": sha256_bytes(data),
        "signer": seen.signer,
        "made_at": stated.at,
        "made_on": stated.machine.host if stated.machine else "",
    }
    ledger.append(archives, ledger.event("received", stated.run_id, identity, **facts))
    return seen, True


def kept(archives: Path, run_id: str, identity: str) -> tuple[list[Seen], list[str]]:
    """The verdicts of others over an archive that the ledger has, oldest first, and what is wrong with their files."""
    found, problems = dict[str, Seen](), list[str]()
    for event in ledger.read(archives)[0]:
        digest = event.get("statement")
        ours = (event.get("run_id"), event.get("identity")) == (run_id, identity)
        if not (ours and event.get("event") == "received" and isinstance(digest, str) and digest.isalnum()):
            continue
        try:
            letter, stated, data = read(archives / FOLDER / f"{digest}.json")
        except (CorruptError, StorageError) as error:
            problems.append(f"a verdict of {event.get('signer')}: {error.message}")
            continue
        if (
            sha256_bytes(data) != event.get("sha256_file")
            or sha256_bytes(canonical_json(letter.statement)) != digest
        ):
            problems.append(
                f"a verdict of {event.get('signer')} is not the one that was added: {digest[:12]}"
            )
            continue
        found[digest] = Seen(stated, str(event.get("signer")))
    return list(found.values()), problems
