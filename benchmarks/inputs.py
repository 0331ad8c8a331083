"""What is measured on, made once from a seed under build/bench/inputs/: workspaces, a huge log, a million steps."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

SEED = 20260101
LOG_BYTES = 1_000_000_000
STEPS = 1_000_000
SERIES = ("loss", "val_loss", "acc", "val_acc", "lr")
OPTIMIZERS = ("AdamW", "Adam", "SGD", "Lion")


def made(path: Path, make: Callable[[Path], None]) -> Path:
    """The path, made beside and renamed when it is not there; says how long it took."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        shutil.rmtree(partial) if partial.is_dir() else partial.unlink(missing_ok=True)
        print(f"making {path.name} …", end=" ", flush=True)
        start = time.monotonic()
        make(partial)
        partial.rename(path)
        print(f"{time.monotonic() - start:.1f} s", flush=True)
    return path


def workspace(build: Path, runs: int) -> Path:
    """The parent of an `experiments/` with so many finished runs, a few of them failed."""
    return made(build / f"inputs/runs-{runs}", lambda path: fill(path, runs))


def newest(runs: int) -> str:
    """The id of the last run of such a workspace."""
    return _run_id(runs - 1)


def log(build: Path, size: int = LOG_BYTES) -> Path:
    """A log of that many bytes, in lines as trainers print them."""
    return made(build / f"inputs/log-{size}.log", lambda path: _log(path, size))


def steps(build: Path, count: int = STEPS) -> Path:
    """A `metrics.jsonl` of so many steps and five metrics, about 120 bytes a line."""
    return made(build / f"inputs/steps-{count}.jsonl", lambda path: _steps(path, count))


def _run_id(number: int) -> str:
    moment = time.gmtime(1_767_225_600 + 61 * number)  # 2026-01-01, a run a minute
    return f"exp_{number:06d}_{time.strftime('%Y%m%dT%H%M%SZ', moment)}"


def fill(root: Path, runs: int) -> None:
    """Write such a workspace."""
    space, dice = root / "experiments", random.Random(SEED)
    results = space / "results"
    for directory in (space / "configs", space / "archive", results):
        directory.mkdir(parents=True)
    (space / "exptui.toml").write_text('[trainer]\ncommand = ["true"]\n')
    for number in range(20):
        (space / f"configs/exp_{number:06d}.toml").write_text(_config(number, dice))
    for number in range(runs):
        run_id = _run_id(number)
        place = f"{results}/{run_id}"
        os.mkdir(place)  # noqa: PTH102  half a million paths are to be made
        loss = dice.random()
        _write(f"{place}/config.toml", _config(number, dice))
        _write(f"{place}/run.json", _record(run_id, number, code=int(number % 50 == 7)))
        _write(f"{place}/metrics.json", json.dumps({"final_loss": loss, "accuracy": 1 - loss, "epochs": 10}))
        _write(f"{place}/metrics.jsonl", "".join(_epoch(epoch, loss) for epoch in range(1, 11)))
        _write(
            f"{place}/trainer.log",
            "".join(f"epoch {epoch}/10 train loss {loss / epoch:.4f}\n" for epoch in range(1, 11)),
        )


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:  # noqa: PTH123
        file.write(text)


def _epoch(epoch: int, loss: float) -> str:
    values = {
        "train/loss": loss + 1 / epoch,
        "validate/loss": loss + 1.1 / epoch,
        "validate/accuracy": 1 - loss / epoch,
    }
    return json.dumps({"epoch": epoch, **values}) + "\n"


def _config(number: int, dice: random.Random) -> str:
    return (
        f"# {number}\n[engine]\nbase_seed = {number % 5}\nbatch_size = {dice.choice((16, 32, 64))}\nepochs = 10\n"
        f'learning_rate = {dice.choice((0.1, 0.01, 0.001))}\noptimizer = "{dice.choice(OPTIMIZERS)}"\n'
        f'[model]\nmodel_type = "DeterministicMLP"\nlayers = {dice.randint(2, 12)}\nactivation = "ReLU"\n'
    )


_FINGERPRINT = {
    "code": {f"trainer/module_{number}.py": f"{number:064x}" for number in range(13)},
    "cpu": {"flags": " ".join(f"flag{number}" for number in range(110)), "model": "AMD EPYC"},
    "git": None, "kernel": "6.1.0", "libc": "glibc 2.36", "machine": "x86_64",
    "packages": {f"package_{number}": f"1.{number}.0" for number in range(45)},
    "program": "e" * 64, "threads": 1,
}  # fmt: skip
_RECIPE = {
    "adopts": False, "argv": ["/usr/bin/true", "--config", "config.toml"], "checkpoints": "", "code": ["src/trainer"],
    "command": ["true", "--config", "{config}"], "cwd": "/home/user/project", "cwd_setting": ".", "isolation": "none",
    "masked": [], "network": True, "observational": [], "passed": [], "preset": "", "resume": [], "secret": [], "set": {},
    "slots": 1, "stop_grace": 10.0, "threads": 1, "trainer": "default", "volatile": {},
}  # fmt: skip
_TEMPLATE = json.dumps(
    {
        "adopted": "", "argv": [], "attempts": 1, "code_changed": False, "config_name": "<stem>.toml",
        "config_sha256": "0" * 64, "ended_at": "2026-01-01T00:05:00Z",
        "exit": {"code": "<code>", "error": "", "signal": None, "stop_requested": False}, "fingerprint": _FINGERPRINT,
        "host": os.uname().nodename, "isolation": "", "phase": "exited", "queued_at": "2026-01-01T00:00:00Z",
        "recipe": _RECIPE, "resumed_from": "", "run_id": "<run_id>", "run_lock": None, "schema": 1,
        "settings_digest": "<digest>", "started_at": "2026-01-01T00:00:01Z", "supervisor": None,
        "supervisor_lock": None, "user": "user",
    },
    indent=2,
)  # fmt: skip


def _record(run_id: str, number: int, code: int) -> str:
    text = _TEMPLATE.replace("<stem>", run_id.rpartition("_")[0]).replace("<run_id>", run_id)
    return text.replace('"<code>"', str(code)).replace("<digest>", f"{number:064x}")


def _log(path: Path, size: int) -> None:
    """The last line is `the very last line`; one line in a million holds the word `Needle`, one in 1,000 a warning."""
    dice, number, written, last = random.Random(SEED), 0, 0, b"the very last line\n"
    with path.open("wb") as file:
        while written < size - len(last) - 200_000:
            lines = []
            for number in range(number, number + 1000):  # noqa: B020  goes on from block to block
                tail = (
                    "Needle"
                    if number % 1_000_000 == 500_000
                    else "WARNING slow batch"
                    if number % 1000 == 999
                    else "ok"
                )
                lines.append(
                    f"2026-01-01T00:00:00Z INFO step {number} loss {dice.random():.6f} lr 0.0003 {tail}\n"
                )
            number += 1
            block = "".join(lines).encode()
            file.write(block)
            written += len(block)
        file.write(last)


def _steps(path: Path, count: int) -> None:
    dice = random.Random(SEED)
    names = ", ".join(f'"{name}": %.9f' for name in SERIES)
    line = f'{{"step": %d, {names}}}\n'
    with path.open("w") as file:
        for start in range(0, count, 10_000):
            file.write(
                "".join(
                    line % (step, *(dice.random() for _ in SERIES))
                    for step in range(start, min(start + 10_000, count))
                )
            )
