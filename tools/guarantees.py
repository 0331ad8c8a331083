"""`make guarantees`: docs/guarantees.md with the counts of what was tested, none of them typed.

The number of cases of a test is what pytest collects; that of a long suite is what its last run wrote into `build/`.
"""

from __future__ import annotations

import collections
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs/guarantees.md"
SUITES = ("faults", "hostile", "soak")


@dataclass(frozen=True)
class Promise:
    """What is promised, and the tests (paths, or path::part of a name) that try to break it."""

    text: str
    tests: tuple[str, ...]
    suites: tuple[str, ...] = ()


C, E = "tests/exptui/core/", "tests/e2e/"
PARTS: dict[str, tuple[Promise, ...]] = {
    "Nothing lost": (
        Promise(
            "Whatever is killed or fails while a run starts, run.json is replaced, a chronicle is sealed, an archive is "
            "made, restored or recovered: the old state or the new one, whole; the source goes only after the archive was "
            "read back and committed; no left-overs.",
            ("tests/faults/",),
            ("faults",),
        ),
        Promise(
            "A full disk is an error that says so, and loses nothing.", (E + "test_bad_input.py::full_disk",)
        ),
        Promise(
            "A run outlives the terminal, its supervisor's death is shown as what it is, and stop reaches every process.",
            (
                C + "runs/test_supervisor.py",
                C + "runs/test_trees.py",
                C + "runs/test_long_life.py",
                E + "test_cockpit.py",
            ),
            ("soak",),
        ),
        Promise(
            "Two commands at once on one run: one wins, the other is told, the bytes stay.",
            (C + "runs/test_adversity.py", C + "runs/test_two_people.py"),
            ("soak",),
        ),
        Promise(
            "Nothing protected is pruned; what is pruned was announced, and is in the trash or attested by its digest.",
            (C + "house/test_prune.py", C + "archive/test_attested.py"),
            ("faults",),
        ),
        Promise(
            "An archive is dropped here only after it was read back from elsewhere, whatever the commands do.",
            (C + "archive/test_remote.py",),
        ),
        Promise(
            "A run that was killed resumes to the bytes of a straight one.",
            (E + "test_promises.py::killed_in_its",),
        ),
    ),
    "Nothing faked": (
        Promise(
            "A damaged archive is CORRUPT, and nothing of it is executed or written.",
            (C + "archive/test_archive.py", "tests/hostile/"),
            ("hostile",),
        ),
        Promise(
            "The code of a run is that of the moment it was queued, and of hostile code nothing is unpacked.",
            (C + "source/",),
        ),
        Promise(
            "One run has one identity, whenever and wherever it is archived.",
            (C + "archive/test_tarball.py",),
        ),
        Promise(
            "A signature, the ledger and the sidecars name what was changed.",
            (C + "archive/test_signature.py",),
        ),
        Promise(
            "Text of others never reaches the terminal as control sequences.", (E + "test_hostile_text.py",)
        ),
    ),
    "Nothing passed in vain": (
        Promise(
            "Every way a verification can go has its verdict, exit code, first cycle or file.",
            (
                C + "audit/test_scenarios.py",
                C + "audit/test_verify.py",
                C + "audit/test_in_vain.py",
                C + "audit/test_limits.py",
            ),
        ),
        Promise(
            "Segments, a straight and a chained re-run agree; one changed checkpoint names exactly its segments.",
            (C + "audit/test_segments.py", E + "test_segments.py"),
        ),
        Promise(
            "An archive verifies from its file alone, with another user and home and no workspace; what is from "
            "elsewhere is executed only after a yes.",
            (E + "test_moved_archive.py", C + "audit/test_signer.py"),
        ),
        Promise(
            "An environment that is built for a re-run is the recorded one, or it is said what cannot be had.",
            (C + "audit/test_prepare_env.py",),
        ),
        Promise("Suspects are named one by one.", (C + "audit/test_attribution.py",)),
        Promise(
            "The re-run is kept from the original and the network, or that is said.",
            (C + "runs/test_isolation.py",),
        ),
        Promise(
            "`doctor --trainer` names what breaks a trainer, and nothing else.",
            (C + "audit/test_conformance.py",),
        ),
    ),
}
LIMITS = """\
## What is not promised

* The ledger's chain shows a line that was changed, moved or taken out of its middle. That its last lines were cut off it
  shows only to who noted its head before (`check --head`, [archive.md](archive.md)).
* A re-run that copies results, newly dated, from a place that is neither the original nor its archive nor the home
  directory cannot be told from one that computes them ([verify.md](verify.md)).
* Observational files (`trainer.log`, `metrics.jsonl`, …) are kept and hashed, and not compared; each report lists them.
* Two verifications on one machine say nothing of another CPU; a fingerprint that differs is named as a suspect.
* Where strace, namespaces or mounts are not to be had, the suites print what they skipped.
"""


def main() -> None:
    """Collect, read, write."""
    cases = collected()
    lines = [
        "# Guarantees",
        "",
        "Each promise, and what tries to break it. Made by `make guarantees`; no count here is typed.",
        "",
    ]
    for title, promises in PARTS.items():
        lines += [f"## {title}", "", "| Promise | Tested by | Cases |", "|---|---|---|"]
        for promise in promises:
            count = sum(
                number for name, number in cases.items() if any(matches(name, test) for test in promise.tests)
            )
            if not count:
                raise SystemExit(f"no test of: {promise.text}")
            where = " ".join(f"`{test}`" for test in promise.tests) + "".join(
                f" `make {suite}`" for suite in promise.suites
            )
            more = "".join(f", and below: {suite}" for suite in promise.suites)
            lines.append(f"| {promise.text} | {where} | {count}{more} |")
        lines.append("")
    for suite in SUITES:
        lines += [f"## make {suite}", "", *figures(suite), ""]
    TARGET.write_text("\n".join([*lines, LIMITS]))
    print(f"wrote {TARGET.relative_to(ROOT)}")


def collected() -> dict[str, int]:
    """path::test → how many cases of it pytest collects."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-o", "addopts=--import-mode=importlib", "--collect-only", "-q", "tests"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = (line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line)
    return dict(collections.Counter(names))


def matches(name: str, test: str) -> bool:
    """Whether a collected test is one of those a promise names."""
    path, _, part = test.partition("::")
    return name.startswith(path) and part in name


def figures(suite: str) -> list[str]:
    """What the last run of a long suite counted."""
    path = ROOT / f"build/{suite}.json"
    if not path.exists():
        raise SystemExit(f"run `make {suite}` first: {path.relative_to(ROOT)} is not there")
    found = json.loads(path.read_text())
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in flat(found).items())]


def flat(found: dict[str, Any]) -> dict[str, str]:
    """Every count by its name; counts of counts are added up, and what is no count is left out."""
    out: dict[str, str] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            kinds = {kind: sum(one.values()) if isinstance(one, dict) else one for kind, one in value.items()}
            out |= {f"{name.replace('_', ' ')} {kind}": count for kind, count in flat(kinds).items()}
        elif isinstance(value, int | float):
            out[name.replace("_", " ")] = f"{value:,}"
    return out


if __name__ == "__main__":
    main()
