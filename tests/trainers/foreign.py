"""A trainer that knows nothing of exptui and writes paths and times everywhere: `foreign.py OUTPUT`.

`behaviour.json` in its working directory says what is different this time.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from pathlib import Path


def main() -> None:
    """Five steps; a table, a history, a result, a checkpoint, and a line of the log each."""
    output, path = Path(sys.argv[1]), Path("behaviour.json")
    wrong = json.loads(path.read_text()) if path.exists() else {}
    noise, only = float(wrong.get("noise", 0)), wrong.get("only")
    losses = [1 / step + noise for step in range(1, 6)]
    for at, value in wrong.get("at", {}).items():
        losses[int(at)] = float(value)
    steps = [step for step in range(5) if step not in wrong.get("skip", ())]
    now = time.time_ns()
    for step in steps:
        print(f"step={step} loss={losses[step]!r} time={now}", flush=True)
    rows = [{"step": step, "loss": losses[step], "time": now} for step in steps]
    files = {
        "metrics.csv": "step,loss,time\n" + "".join(f"{r['step']},{r['loss']!r},{now}\n" for r in rows),
        "history.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "result.json": json.dumps({"history": rows, "best": min(losses), "took": {"s": now}}),
    }
    for name, text in files.items():
        if only is None or name in only:
            (output / name).write_text(text)
    if only is None or "model.safetensors" in only:
        weights = struct.pack("<5f", *losses)
        about = {"path": str(output), "time": str(now)}
        tensor = {"dtype": "F32", "shape": [len(losses)], "data_offsets": [0, len(weights)]}
        header = json.dumps({"__metadata__": about, "w": tensor}).encode()
        (output / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + weights)
        if wrong.get("damage"):
            (output / "model.safetensors").write_bytes(f"{now}".encode())


if __name__ == "__main__":
    main()
