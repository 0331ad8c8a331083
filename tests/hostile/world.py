"""Signed archives of runs whose trainer leaves a mark, and what is needed to damage them and to look."""

from __future__ import annotations

import contextlib
import gzip
import os
import resource
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exptui.core.archive.tarball import RECORD, end
from exptui.core.audit.report import Verdict
from exptui.core.audit.request import Request
from exptui.core.audit.verify import Verification
from exptui.core.files import Cancel, sha256_bytes
from exptui.core.workspace import Workspace
from support import workspace

FULL = os.environ.get("HOSTILE") == "full"
counts: Counter[str] = Counter()

TRAINER = (
    'echo started >> "{mark}"; echo "$EXPTUI_RUN_ID"; cd "$EXPTUI_OUTPUT"; mkdir checkpoints plots; '
    "for n in 1 2 3; do seq $n 700 > checkpoints/$n.ckpt; echo weights $n > plots/$n.bin; done; "
    'echo "{{}}" > metrics.json; : > empty'
)


@dataclass(frozen=True)
class World:
    """A directory with everything in it: the user's settings, a workspace with three sealed runs."""

    base: Path
    space: Workspace
    run_ids: tuple[str, str, str]

    def file(self, suffix: str, number: int = 0) -> Path:
        """A file of an archive; the ledger by its name."""
        name = suffix if suffix == "ledger.jsonl" else f"{self.run_ids[number]}{suffix}"
        return self.space.archives / name

    def verdict(self, archive: Path) -> Verdict:
        """What `verify` says of an archive, in this process; nothing may have been written for it."""
        audit = self.base.parent / f"{self.base.name}-audit"
        audit.mkdir(exist_ok=True)
        request = Request(run_id=archive.name.removesuffix(".tar.gz"), source=str(archive), archived=True)
        space = self.space
        verification = Verification(request, audit, space.settings, space.places, Cancel())
        report = verification.run(lambda *_: lambda *_: None)
        counts["bytes outside"] += sum(1 for _ in audit.rglob("*"))
        return report.verdict

    def starts(self) -> int:
        """How often a trainer was started."""
        return (self.base / "mark").read_text().count("started")


def make(base: Path) -> World:
    """A world below `base`; XDG_CONFIG_HOME has to be `base`/home already."""
    home = base / "home"
    (home / "exptui").mkdir(parents=True)
    key = home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (home / "allowed").write_text(f"me@example.org {key.with_suffix('.pub').read_text()}")
    (home / "exptui/config.toml").write_text('[signing]\nkey = "../key"\nallowed_signers = "../allowed"\n')
    space = workspace(base, TRAINER.format(mark=base / "mark"))
    one, two, three = (_sealed(space) for _ in range(3))
    world = World(base, space, (one, two, three))
    assert all(not result.problems for result in space.check_all(read_data=True))
    return world


def _sealed(space: Workspace) -> str:
    run_id = space.run("a").name
    list(space.wait(run_id))
    space.archive(run_id)
    return run_id


def snapshot(base: Path) -> dict[str, tuple[int, int, str]]:
    """Every file and directory below, with its inode, the time of its last change and its content."""
    found = {}
    for where, _, files in os.walk(base):
        for path in (Path(where), *(Path(where, name) for name in files)):
            stat = path.lstat()
            content = sha256_bytes(path.read_bytes()) if path.is_file() else ""
            found[str(path)] = (stat.st_ino, stat.st_mtime_ns, content)
    return found


@contextlib.contextmanager
def memory(cap: int) -> Iterator[None]:
    """At most `cap` bytes of address space more than now."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + cap, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def packed(*parts: bytes) -> bytes:
    """A tar of these parts (headers, and data that is padded here), compressed."""
    tar = b"".join(part + bytes(-len(part) % RECORD) for part in parts)
    return gzip.compress(tar + bytes(end(len(tar))), mtime=0)
