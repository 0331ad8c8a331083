"""docs/performance.md, written from build/bench/results.json: every figure in it was measured, none is typed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.bench import ROOT, Bench
from benchmarks.figures import Figure, number

DOCUMENT = ROOT / "docs/performance.md"
HEAD = """# Performance

Made by `make bench` (and `make bench-day`), which measures exptui and each peer that is installed in turn, in the same
pty harness (`benchmarks/`), on inputs made from a seed. Figures are medians; a ratio is the median of the rounds' own
ratios. A target is that of the design; what missed it says so, and what could not be measured says why.
"""


def record(bench: Bench, name: str, text: tuple[str, str], figures: Sequence[Figure], seconds: float) -> None:
    """Keep a subject's title, how it is measured, and its figures; those of other subjects stay as they are."""
    results = load(bench)
    results[name] = {
        "title": text[0],
        "about": text[1],
        "figures": [figure.as_json() for figure in figures],
        "measured": {
            "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "seconds": round(seconds),
            "rounds": bench.rounds,
            "quick": bench.quick,
            "load": [round(one, 1) for one in os.getloadavg()],
            "commit": commit(bench.source),
        },
    }
    bench.build.mkdir(parents=True, exist_ok=True)
    (bench.build / "results.json").write_text(json.dumps(results, indent=1))


def load(bench: Bench) -> dict[str, Any]:
    """What was kept."""
    path = bench.build / "results.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write(bench: Bench, order: Sequence[str], target: Path = DOCUMENT) -> None:
    """The whole document anew."""
    results = load(bench)
    parts = [HEAD, machine(bench)]
    parts += [section(results[name]) for name in order if name in results]
    target.write_text("\n".join(parts))


def section(found: dict[str, Any]) -> str:
    """One subject as a table."""
    figures = [Figure(**figure) for figure in found["figures"]]
    measured = found["measured"]
    load = measured["load"][0]
    rows = ["| What | exptui | Peer | Ratio | Target | |", "|---|---|---|---|---|---|"]
    for one in figures:
        ours = f"{number(one.ours)} {one.unit}".strip()
        peer = f"{one.peer}: {number(one.theirs)} {one.unit}".strip() if one.theirs is not None else one.peer
        share = f"{one.ratio:.2f} ×" if one.ratio is not None else ""
        what = f"{one.what} ({one.note})" if one.note else one.what
        rows.append(
            "| "
            + " | ".join(cell(text) for text in (what, ours, peer, share, one.target, one.verdict))
            + " |"
        )
    facts = f"{measured['at']}, {measured['rounds']} rounds, {measured['seconds']} s, load average {load:g} at the end, {measured['commit']}"
    return (
        f"## {found['title']}\n\n{found['about']}\n\n{facts}{', small inputs' if measured['quick'] else ''}.\n\n"
        + "\n".join(rows)
        + "\n"
    )


def cell(text: str) -> str:
    """No cell ends early."""
    return text.replace("|", "\\|")


def machine(bench: Bench) -> str:
    """What it was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    info = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1e6
    versions = {name: version(name) for name in ("textual", "msgspec", "numpy", "watchfiles")}
    rows = {
        "CPU": f"{info.get('model name', platform.machine())}, {os.cpu_count()} CPUs",
        "Memory": f"{memory:.0f} GB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Filesystem": filesystem(bench.build),
        "Python": platform.python_version(),
        "Packages": ", ".join(f"{name} {found}" for name, found in versions.items()),
        "Peers": ", ".join(peer_versions(bench)) or "none installed",
    }
    return "## The machine\n\n| | |\n|---|---|\n" + "".join(
        f"| {key} | {cell(text)} |\n" for key, text in rows.items()
    )


def version(name: str) -> str:
    """Of a package beside us."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def peer_versions(bench: Bench) -> list[str]:
    """The peers that are there, with their versions."""
    found = []
    for path in sorted(bench.build.glob("peers/*/lib/python*/site-packages/*.dist-info")):
        name, _, number_ = path.name.removesuffix(".dist-info").rpartition("-")
        if name.replace("_", "-") == path.parents[3].name:
            found.append(f"{name} {number_}")
    for words in (["lnav", "-V"], ["tail", "--version"], ["grep", "--version"], ["less", "-V"]):
        try:
            said = subprocess.run(words, check=False, capture_output=True, text=True).stdout
            found.append(said.splitlines()[0] if said else words[0])
        except FileNotFoundError:
            continue
    return found


def filesystem(path: Path) -> str:
    """On which the inputs are."""
    said = subprocess.run(
        ["df", "--output=fstype", str(path)], check=False, capture_output=True, text=True
    ).stdout.split()
    return said[-1] if said else "unknown"


def commit(source: Path) -> str:
    """Of the tree under test."""
    words = ["git", "-C", str(source), "describe", "--always", "--dirty"]
    try:
        return f"commit {subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()}"
    except (OSError, subprocess.CalledProcessError):
        return "no commit"
