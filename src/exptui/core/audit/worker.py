"""The detached process that verifies: `python -P -m exptui.core.audit.worker DIRECTORY WORKSPACE`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from exptui.core.archive import ledger
from exptui.core.audit import session, statement
from exptui.core.audit.report import AuditReport, Verdict
from exptui.core.audit.request import Request
from exptui.core.audit.session import REQUEST, STATE, State
from exptui.core.audit.verify import Verification
from exptui.core.errors import Cancelled, ExptuiError
from exptui.core.files import Cancel, Progress, read_json
from exptui.core.runs import process
from exptui.core.runs.launch import Places, now
from exptui.core.settings import load as load_settings

EVERY = 0.2  # seconds between two looks of a follower are no shorter


class Worker:
    """Runs one Verification and writes down how far it is and what came of it."""

    def __init__(self, directory: Path, root: Path) -> None:
        self.directory, self.root = directory, root
        self.request = read_json(directory / REQUEST, Request)
        self.state = msgspec.structs.replace(read_json(directory / STATE, State), worker=process.me())
        self.written = 0.0
        self.cancel = Cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.cancel.ask())
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def phase(self, name: str, unit: str) -> Progress:
        """Say what begins; the result says how far it is."""
        self._write(phase=name, done=0, total=0, unit=unit)

        def progress(done: int, total: int) -> None:
            if time.monotonic() - self.written >= EVERY:
                self._write(done=done, total=total)

        return progress

    def _write(self, **changes: object) -> None:
        self.state, self.written = msgspec.structs.replace(self.state, **changes), time.monotonic()
        session.write_state(self.directory, self.state)

    def main(self) -> None:
        """Verify and write the report; of an archive in this workspace the ledger gets its line."""
        try:
            settings = load_settings(self.root / "exptui.toml")
            places = Places(self.root.parent, self.root / "results")
            verification = Verification(self.request, self.directory, settings, places, self.cancel)
            found = msgspec.structs.replace(verification.run(self.phase), machine=statement.here())
        except Cancelled:
            session.discard(self.directory)
            return
        except (ExptuiError, OSError) as error:
            found = self._unknown(str(error))
        except BaseException:
            session.finish(self.directory, self._unknown("an internal error of exptui; please report it"))
            raise
        session.finish(self.directory, found, self._enter)

    def _enter(self, found: AuditReport) -> AuditReport:
        """The ledger's line; a report whose line could not be written says so."""
        archives = self.root / "archive"
        if not found.identity or Path(found.source).parent != archives:
            return found
        stated = statement.of(found)
        facts = {
            "verdict": found.verdict.value,
            "audit": self.directory.name,
            "machine": stated.place,
            "statement": stated.digest,
        }
        try:
            ledger.append(archives, ledger.event("verified", found.run_id, found.identity, **facts))
        except ExptuiError as error:
            note = f"the ledger does not have this verdict: {error.message}"
            return msgspec.structs.replace(found, notes=(*found.notes, note))
        return found

    def _unknown(self, reason: str) -> AuditReport:
        return AuditReport(
            run_id=self.request.run_id,
            verdict=Verdict.UNKNOWN,
            reason=reason,
            source=self.request.source,
            ended_at=now(),
        )


def main() -> None:
    """Entry point; the lock on the inherited descriptor says that this process is at work."""
    os.set_inheritable(int(os.environ.pop("EXPTUI_LOCK_FD")), False)  # noqa: FBT003  positional only
    Worker(Path(sys.argv[1]), Path(sys.argv[2])).main()


if __name__ == "__main__":
    main()
