"""One run: epochs of training and validation, each recorded, checkpointed and resumable."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, cast

import numpy as np

from exptui.chronicle import CorruptError, CycleRecord, Phase, Writer
from tiny_agent_trainer import checkpoint, exact, report
from tiny_agent_trainer.checkpoint import Checkpoint
from tiny_agent_trainer.config import Config, TrainerError
from tiny_agent_trainer.data import Split, load_digits
from tiny_agent_trainer.exact import Floats, Integers
from tiny_agent_trainer.model import Model, initialise
from tiny_agent_trainer.optimizer import AdamW
from tiny_agent_trainer.report import CURVES, Scores, say

_EVALUATE_ROWS = 90
_LIMIT_64 = (1 << 64) - 1


class Session:
    """The state that training moves: parameters, optimizer, generator and curves."""

    def __init__(self, config: Config) -> None:
        """Draw the start from the config's seed."""
        self.config = config
        self.generator = np.random.PCG64(config.base_seed)
        self.parameters = initialise(config, self.generator)
        self.model = Model(config, self.parameters)
        self.optimizer = AdamW(self.parameters, config.learning_rate)
        self.curves: dict[str, list[float]] = {name: [] for name in CURVES}

    def _generator_state(self) -> tuple[int, int]:
        inner = cast("dict[str, Any]", self.generator.state)["state"]
        return int(inner["state"]), int(inner["inc"])

    def seed_state(self) -> int:
        """The generator's 128-bit state folded to 64 bits, for the chronicle."""
        state, _ = self._generator_state()
        return (state >> 64) ^ (state & _LIMIT_64)

    def _arrays(self) -> dict[str, Floats]:
        groups = (
            ("value", self.parameters),
            ("first", self.optimizer.first),
            ("second", self.optimizer.second),
            ("average", self.optimizer.average),
        )
        return {f"{group}/{name}": array for group, arrays in groups for name, array in arrays.items()}

    def snapshot(self, epoch: int) -> Checkpoint:
        """The whole state after `epoch`; arrays are shared, not copied."""
        powers = (self.optimizer.power1, self.optimizer.power2)
        return Checkpoint(
            epoch, self.config.digest, self._generator_state(), powers, self.curves, self._arrays()
        )

    def restore(self, saved: Checkpoint) -> None:
        """Take over the state of a checkpoint of the same config."""
        arrays = self._arrays()
        shapes = {name: array.shape for name, array in saved.arrays.items()}
        lengths = {name: len(values) for name, values in saved.curves.items()}
        fits = shapes == {name: array.shape for name, array in arrays.items()}
        if not fits or lengths != dict.fromkeys(CURVES, saved.epoch):
            raise TrainerError("the checkpoint does not fit this model; take one this version wrote")
        for name, array in arrays.items():
            array[...] = saved.arrays[name]
        self.optimizer.power1, self.optimizer.power2 = saved.powers
        self.curves = {name: list(saved.curves[name]) for name in CURVES}
        state, inc = saved.generator
        self.generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": state, "inc": inc},
            "has_uint32": 0,
            "uinteger": 0,
        }

    def train_epoch(self, split: Split) -> Scores:
        """One pass over `split` in a fresh shuffled order; scores as seen while training."""
        rows = split.labels.shape[0]
        order = exact.permutation(self.generator, rows)
        losses: list[Floats] = []
        predicted: list[Integers] = []
        for start in range(0, rows, self.config.batch_size):
            index = order[start : start + self.config.batch_size]
            outcome, gradients = self.model.gradients(split.images[index], split.labels[index])
            self.optimizer.step(self.parameters, gradients)
            losses.append(outcome.losses)
            predicted.append(outcome.predicted)
        return report.score(np.concatenate(losses), np.concatenate(predicted), split.labels[order])

    def validate(self, split: Split) -> Scores:
        """Scores on `split` with the averaged parameters."""
        model = Model(self.config, self.optimizer.averaged())
        outcomes = [
            model.evaluate(split.images[s : s + _EVALUATE_ROWS], split.labels[s : s + _EVALUATE_ROWS])
            for s in range(0, split.labels.shape[0], _EVALUATE_ROWS)
        ]
        losses = np.concatenate([outcome.losses for outcome in outcomes])
        return report.score(losses, np.concatenate([o.predicted for o in outcomes]), split.labels)

    def learn(self, epoch: int, scores: tuple[Scores, Scores]) -> None:
        """Add an epoch's scores to the curves and say them."""
        trained, validated = scores
        values = (trained.loss, trained.accuracy, validated.loss, validated.accuracy, validated.f1_score)
        for name, value in zip(CURVES, values, strict=True):
            self.curves[name].append(value)
        say(report.phase_line(epoch, self.config.epochs, "train", trained))
        say(report.phase_line(epoch, self.config.epochs, "validate", validated))


def _prepare(config: Config, output: Path, *, resuming: bool) -> None:
    output.mkdir(parents=True, exist_ok=True)
    used = (output / "metrics.json").exists() or any(output.glob("chronicle.*"))
    if used and not resuming:
        raise TrainerError(f"{output} already holds a run; choose another --output, or --resume it")
    copy = output / "config.toml"
    if not copy.exists():
        checkpoint.write_atomic(copy, config.source)
    elif copy.read_bytes() != config.source:
        raise TrainerError(f"{copy} differs from --config; choose another --output")


def _run_epoch(
    session: Session, epoch: int, splits: tuple[Split, Split], output: Path, chronicle: Writer
) -> None:
    """Train, validate, record and checkpoint one epoch."""
    trained = session.train_epoch(splits[0])
    validated = session.validate(splits[1])
    if not (math.isfinite(trained.loss) and math.isfinite(validated.loss)):
        raise TrainerError(f"the loss is no number after epoch {epoch}; lower engine.learning_rate")
    session.learn(epoch, (trained, validated))
    report.append_metrics(output / "metrics.jsonl", epoch, session.curves)
    phases = ((Phase.TRAIN, trained), (Phase.VALIDATE, validated))
    for number, (phase, scores) in enumerate(phases):
        record = CycleRecord(
            cycle=2 * (epoch - 1) + number,
            phase=phase,
            loss=scores.loss,
            metrics=(scores.accuracy, scores.f1_score),
            seed_state=session.seed_state(),
        )
        chronicle.append(record)
    name = f"checkpoints/epoch_{epoch:04d}.ckpt"
    content = checkpoint.encode(session.snapshot(epoch))
    # The chronicle first: no checkpoint is ever published that the chronicle cannot go on from.
    chronicle.checkpoint(2 * (epoch - 1) + 1, hashlib.sha256(content).hexdigest())
    checkpoint.write_atomic(output / name, content)
    say(f"checkpoint {name} {max(1, round(len(content) / 1000))} kB")


def _open_chronicle(config: Config, output: Path, resumed_digest: str | None) -> Writer:
    try:
        if resumed_digest is not None and any(output.glob("chronicle.*")):
            return Writer.resume(output, resumed_digest)
        return Writer.create(output, config.digest, ("accuracy", "f1_score"))
    except (ValueError, CorruptError) as error:
        raise TrainerError(
            f"the chronicle in {output} cannot go on: {error}; choose another --output"
        ) from error


def _load_resumed(config: Config, session: Session, resume: Path) -> tuple[int, str]:
    saved, digest = checkpoint.load(resume)
    if saved.config_digest != config.digest:
        raise TrainerError(f"{resume.name} belongs to another config; resume it with its own config.toml")
    session.restore(saved)
    return saved.epoch, digest


def run(config: Config, output: Path, resume: Path | None = None, until_epoch: int | None = None) -> None:
    """Train `config` into `output`, from the start or after a checkpoint, to the end or to `until_epoch`."""
    session = Session(config)
    done, digest = _load_resumed(config, session, resume) if resume is not None else (0, None)
    last = config.epochs if until_epoch is None else until_epoch
    if not done <= last <= config.epochs or last < 1:
        raise TrainerError(f"--until-epoch is {last}; use a number from {done + 1} to {config.epochs}")
    _prepare(config, output, resuming=resume is not None)
    chronicle = _open_chronicle(config, output, digest)
    try:
        report.rewind_metrics(output / "metrics.jsonl", done)
        splits = load_digits()
        for epoch in range(done + 1, last + 1):
            _run_epoch(session, epoch, splits, output, chronicle)
        if last == config.epochs:
            report.write_metrics(output / "metrics.json", config, session.curves)
            report.write_summary(output / "run_summary.md", config, session.curves)
            chronicle.seal()
    finally:
        chronicle.close()
