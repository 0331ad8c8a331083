"""`make soak`: the long version of what `make test` looks at a few times; writes build/soak.json."""

from __future__ import annotations

import json
import tempfile
import time
from functools import partial
from pathlib import Path

from soak import at_once, supervision

TIMES, ROUNDS = 100, 200
OUT = Path(__file__).parents[2] / "build/soak.json"


def main() -> None:
    """Everything, one after the other; ends at the first broken promise."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        parent = Path(name)
        for what, seen in {
            "hang_ups": partial(supervision.hang_ups, parent / "h", TIMES),
            "killed_supervisors": partial(supervision.killed_supervisors, parent / "k", TIMES),
            "reused_pids": partial(supervision.mistaken, parent / "p", TIMES, boot=False),
            "other_boots": partial(supervision.mistaken, parent / "b", TIMES, boot=True),
            "no_locks": partial(supervision.no_locks, parent / "l", TIMES),
        }.items():
            begin = time.monotonic()
            found[what] = seen()
            found[f"{what}_seconds"] = round(time.monotonic() - begin, 1)
            print(f"{what}: {found[what]} in {found[f'{what}_seconds']} s", flush=True)
        begin = time.monotonic()
        for seed in range(4):
            for what, count in at_once.schedule(parent / f"s{seed}", seed, ROUNDS // 4).items():
                found[f"at_once_{what}"] = found.get(f"at_once_{what}", 0) + count
        found["at_once_seconds"] = round(time.monotonic() - begin, 1)
        print({key: value for key, value in found.items() if key.startswith("at_once")})
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
