"""A small resumable trainer for tests: `behaviour.json` in its working directory says what goes wrong in it."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from exptui.chronicle import CycleRecord, Phase, Writer

CYCLES = 2
MASK = (1 << 64) - 1


def behaviour() -> dict[str, Any]:
    """What goes wrong; nothing where there is no such file."""
    path = Path("behaviour.json")
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def epochs(wrong: dict[str, Any]) -> int:
    """How many there are in a whole run."""
    return int(wrong.get("epochs", 4))


def step(state: int, momentum: int) -> tuple[int, int]:
    """The next weights and optimizer state."""
    state = (state * 6364136223846793005 + 1442695040888963407 + momentum) & MASK
    return state, (momentum + (state >> 7)) & MASK


def loss_of(state: int, cycle: int, wrong: dict[str, Any]) -> float:
    """What is written down of a cycle."""
    loss = state / 2**64
    if cycle >= wrong.get("bad_at", 1 << 60):
        loss += wrong.get("by", 0.001)
    if cycle >= wrong.get("random_at", 1 << 60):
        loss += random.SystemRandom().random()
    return loss


def misbehave(cycle: int, wrong: dict[str, Any]) -> None:
    """End or hang before a cycle, where it is said so."""
    if cycle == wrong.get("crash_at"):
        print("no luck", flush=True)
        if wrong.get("how") == "signal":
            os.kill(os.getpid(), signal.SIGSEGV)
        sys.exit(9)
    if cycle == wrong.get("hang_at"):
        Path("hanging").write_text(str(os.getpid()))
        while True:
            time.sleep(0.05)


def train(
    output: Path, state: int, momentum: int, done: int, last: int, writer: Writer, wrong: dict[str, Any]
) -> None:
    """Epochs `done` + 1 to `last`, each with a checkpoint; the final files at the end."""
    total = epochs(wrong) * CYCLES + wrong.get("more", 0)
    for cycle in range(done * CYCLES, last * CYCLES + (wrong.get("more", 0) if last == epochs(wrong) else 0)):
        misbehave(cycle, wrong)
        state, momentum = step(state, momentum)
        loss = loss_of(state, cycle, wrong)
        writer.append(
            CycleRecord(cycle=cycle, phase=Phase.TRAIN, loss=loss, metrics=(loss / 2,), seed_state=state)
        )
        if cycle % CYCLES == CYCLES - 1 and cycle < epochs(wrong) * CYCLES:
            epoch = cycle // CYCLES + 1
            saved = json.dumps({"epoch": epoch, "state": state, "momentum": momentum, "loss": loss}).encode()
            writer.checkpoint(cycle, hashlib.sha256(saved).hexdigest())
            (output / "checkpoints").mkdir(exist_ok=True)
            (output / f"checkpoints/epoch_{epoch:04d}.ckpt").write_bytes(saved)
    if last == epochs(wrong):
        writer.seal()
        final = {"loss": loss_of(state, total - 1, wrong), "cycles": total}
        final |= {"at": time.time_ns()} if wrong.get("clock") else {}
        (output / "metrics.json").write_text(json.dumps(final))
        (output / "model.bin").write_bytes(state.to_bytes(8, "little"))


def main() -> None:
    """`toy.py --config C --output D [--resume CHECKPOINT] [--until-epoch N]`."""
    parser = argparse.ArgumentParser()
    for name in ("--config", "--output", "--resume"):
        parser.add_argument(name, type=Path)
    wrong = behaviour()
    parser.add_argument("--until-epoch", type=int, default=epochs(wrong))
    given = parser.parse_args()
    if port := wrong.get("port"):
        socket.create_connection(("127.0.0.1", port)).close()
    if wrong.get("nothing"):
        return
    state, momentum, done = 7, 1, 0
    digest = hashlib.sha256(given.config.read_bytes()).hexdigest()
    if given.resume:
        content = given.resume.read_bytes()
        saved = json.loads(content)
        state, done = saved["state"], saved["epoch"]
        momentum = 1 if wrong.get("forgets") else saved["momentum"]
    if given.resume and any(given.output.glob("chronicle.*")):
        writer = Writer.resume(given.output, hashlib.sha256(content).hexdigest())
    else:
        writer = Writer.create(given.output, digest, ("half",))
    if not given.resume:
        for name, text in wrong.get("early", {}).items():
            (given.output / name).write_text(text)
    train(given.output, state, momentum, done, given.until_epoch, writer, wrong)
    writer.close()
    for name in wrong.get("skip", ()):
        (given.output / name).unlink()
    for name, text in wrong.get("write", {}).items():
        (given.output / name).write_text(text)


if __name__ == "__main__":
    main()
