"""`python -m benchmarks [SUBJECT…] [--quick] [--rounds N]`: measures, prints as it goes, and writes docs/performance.md."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.bench import ROOT, Bench
from benchmarks.figures import Figure, missing

SUBJECTS = ("start", "catalog", "logs", "follow", "curves", "idle", "link", "day")


def main(words: Sequence[str] | None = None) -> int:
    """All subjects but the day, or those that are named. 1 where something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subjects", nargs="*", help=f"of {', '.join(SUBJECTS)}; SUBJECT.PART for one part")
    parser.add_argument("--quick", action="store_true", help="smaller inputs and fewer rounds")
    parser.add_argument("--rounds", type=int, help="measured rounds of what is short (5; quick: 3)")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long the day takes")
    parser.add_argument(
        "--src", type=Path, default=os.environ.get("BENCH_SRC", ROOT / "src"), help="the tree under test"
    )
    parser.add_argument(
        "--python", default=os.environ.get("BENCH_PYTHON", sys.executable), help="its interpreter"
    )
    parser.add_argument(
        "--dry", action="store_true", help="print only: keep no results and write no document"
    )
    given = parser.parse_args(words)
    bench = Bench(
        rounds=given.rounds or (3 if given.quick else 5), quick=given.quick, minutes=given.minutes,
        python=given.python, source=Path(given.src).resolve(),
    )  # fmt: skip
    names = given.subjects or [name for name in SUBJECTS if name != "day"]
    if unknown := [name for name in names if name.partition(".")[0] not in SUBJECTS]:
        parser.error(f"no such subject: {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # what was started is ended first
    failed = 0
    for name in names:
        failed += measure(bench, name, keep=not given.dry)
    if not given.dry:
        report.write(bench, SUBJECTS)
        print(f"\nwritten: {report.DOCUMENT.relative_to(ROOT)}")
    return 1 if failed else 0


def measure(bench: Bench, name: str, *, keep: bool) -> int:
    """One subject, part by part; a part that fails says why and the rest goes on. Returns how many failed."""
    subject, _, only = name.partition(".")
    module = importlib.import_module(f"benchmarks.{subject}")
    print(f"\n{module.TITLE}   (load {os.getloadavg()[0]:.1f})", flush=True)
    figures: list[Figure] = []
    begun, failed = time.monotonic(), 0
    for part in module.PARTS:
        if only and part.__name__ != only:
            continue
        try:
            for figure in part(bench):
                figures.append(figure)
                print(f"  {figure.line()}", flush=True)
        except Exception as error:  # noqa: BLE001  one part must not end the others
            failed += 1
            why = f"failed: {type(error).__name__}: {error}"
            figures.append(missing(part.__name__.replace("_", " "), why.splitlines()[0]))
            print(f"  {part.__name__}: {why}", flush=True)
    if missed := [figure.what for figure in figures if figure.verdict == "MISSED"]:
        print(f"  missed: {'; '.join(missed)}", flush=True)
    if keep and not only:
        report.record(bench, subject, (module.TITLE, module.ABOUT), figures, time.monotonic() - begun)
    return failed


if __name__ == "__main__":
    sys.exit(main())
