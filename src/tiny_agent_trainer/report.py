"""What a run leaves behind: its log lines, metrics.jsonl, metrics.json and run_summary.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiny_agent_trainer import exact
from tiny_agent_trainer.checkpoint import write_atomic
from tiny_agent_trainer.config import Config
from tiny_agent_trainer.data import CLASSES
from tiny_agent_trainer.exact import Floats, Integers

CURVES = ("train/loss", "train/accuracy", "validate/loss", "validate/accuracy", "validate/f1_score")


@dataclass(frozen=True, slots=True)
class Scores:
    """A phase's mean loss, accuracy and macro F1."""

    loss: float
    accuracy: float
    f1_score: float


def score(losses: Floats, predicted: Integers, labels: Integers) -> Scores:
    """Score a phase from per-row losses, predictions and labels, each (rows,)."""
    f1 = 0.0
    for label in range(CLASSES):
        hits = int(np.count_nonzero((predicted == label) & (labels == label)))
        claimed = int(np.count_nonzero(predicted == label))
        actual = int(np.count_nonzero(labels == label))
        f1 += 2.0 * hits / (claimed + actual) if claimed + actual else 0.0
    correct = int(np.count_nonzero(predicted == labels))
    return Scores(exact.mean(losses), correct / labels.shape[0], f1 / CLASSES)


def say(text: str) -> None:
    """Print one line of the log at once."""
    print(text, flush=True)


def phase_line(epoch: int, epochs: int, phase: str, scores: Scores) -> str:
    """The log's line for one phase of an epoch."""
    return f"epoch {epoch}/{epochs} {phase} loss {scores.loss:.4f} accuracy {scores.accuracy:.4f}"


def append_metrics(path: Path, epoch: int, curves: dict[str, list[float]]) -> None:
    """Add the line of `epoch` to metrics.jsonl."""
    line = {"epoch": epoch, **{name: curves[name][epoch - 1] for name in CURVES}}
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
        stream.flush()


def rewind_metrics(path: Path, epoch: int) -> None:
    """Drop the lines after `epoch` (and a torn last one) that an interrupted run left."""
    if not path.exists():
        return
    content = path.read_bytes()
    kept: list[bytes] = []
    for line in content.splitlines(keepends=True):
        try:
            number = json.loads(line)["epoch"]
        except (ValueError, KeyError, TypeError):
            continue
        if line.endswith(b"\n") and isinstance(number, int) and number <= epoch:
            kept.append(line)
    rewound = b"".join(kept)
    if rewound != content:
        write_atomic(path, rewound)


def write_metrics(path: Path, config: Config, curves: dict[str, list[float]]) -> None:
    """Write metrics.json: the final validation scores, the config's digest and every curve."""
    document = {
        "final_loss": curves["validate/loss"][-1],
        "accuracy": curves["validate/accuracy"][-1],
        "f1_score": curves["validate/f1_score"][-1],
        "config_hash": config.digest,
        "epochs": len(curves["validate/loss"]),
        "curves": curves,
    }
    write_atomic(path, (json.dumps(document, sort_keys=True, indent=2) + "\n").encode("ascii"))


def write_summary(path: Path, config: Config, curves: dict[str, list[float]]) -> None:
    """Write run_summary.md: the config, the final scores and a row per epoch."""
    width = (
        ("channels", config.channels)
        if config.model_type == "DeterministicCNN"
        else ("hidden", config.hidden)
    )
    settings: list[tuple[str, object]] = [
        ("base_seed", config.base_seed),
        ("batch_size", config.batch_size),
        ("epochs", config.epochs),
        ("learning_rate", config.learning_rate),
        ("model_type", config.model_type),
        ("layers", config.layers),
        ("activation", config.activation),
        width,
    ]
    lines = ["# Run summary", "", f"Config SHA-256: `{config.digest}`", ""]
    lines += ["## Configuration", "", "| Setting | Value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in settings]
    lines += ["", "## Final metrics (360 held-out digits)", "", "| Metric | Value |", "|---|---:|"]
    for title, name in (("Loss", "loss"), ("Accuracy", "accuracy"), ("Macro F1", "f1_score")):
        lines.append(f"| {title} | {curves[f'validate/{name}'][-1]:.4f} |")
    lines += ["", "## Epochs", ""]
    lines.append("| Epoch | Train loss | Train accuracy | Validate loss | Validate accuracy | Validate F1 |")
    lines.append("|---:|---:|---:|---:|---:|---:|")
    for epoch, row in enumerate(zip(*(curves[name] for name in CURVES), strict=True), start=1):
        lines.append(f"| {epoch} | " + " | ".join(f"{value:.4f}" for value in row) + " |")
    write_atomic(path, ("\n".join(lines) + "\n").encode("utf-8"))
