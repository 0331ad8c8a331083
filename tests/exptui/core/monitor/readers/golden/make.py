"""Writes the golden files with the real libraries: `python make.py` in an environment that has them (see README.md)."""

# mypy: ignore-errors
from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
os.environ["HF_HUB_OFFLINE"] = "1"


def fresh(name: str) -> Path:
    shutil.rmtree(HERE / name, ignore_errors=True)
    (HERE / name).mkdir()
    return HERE / name


class Line(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 32

    def __getitem__(self, at: int) -> dict[str, torch.Tensor]:
        x = torch.tensor([at / 32.0])
        return {"x": x, "labels": 3 * x + 1}


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.layer(x)
        return {"loss": torch.nn.functional.mse_loss(y, labels), "logits": y}


def csv_logger() -> None:
    import lightning
    from lightning.pytorch.loggers import CSVLogger

    class Module(lightning.LightningModule):
        def __init__(self, lr: float = 0.1, layers: int = 2, name: str = "line: 1", warm: bool = True,
                     betas: tuple[float, ...] = (0.9, 0.99), extra: dict[str, object] | None = None) -> None:  # fmt: skip
            super().__init__()
            self.save_hyperparameters()
            self.model = Model()

        def training_step(self, batch: dict[str, torch.Tensor], at: int) -> torch.Tensor:
            loss = self.model(**batch)["loss"]
            self.log("train_loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch: dict[str, torch.Tensor], at: int) -> None:
            self.log("val_loss", self.model(**batch)["loss"])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=self.hparams["lr"])

    out = fresh("lightning")
    data = torch.utils.data.DataLoader(Line(), batch_size=8)
    lightning.seed_everything(1)
    trainer = lightning.Trainer(max_epochs=3, log_every_n_steps=2, enable_progress_bar=False, enable_checkpointing=False,
                        logger=CSVLogger(out), accelerator="cpu")  # fmt: skip
    trainer.fit(Module(extra={"depth": 2, "tags": ["a", "b"], "none": None, "rate": 3e-4}), data, data)


def hugging_face() -> None:
    import transformers

    out = fresh("transformers")
    torch.manual_seed(1)
    arguments = transformers.TrainingArguments(str(out), num_train_epochs=3, per_device_train_batch_size=8, logging_steps=2,
                                    eval_strategy="epoch", save_strategy="epoch", learning_rate=0.05, report_to=[],
                                    disable_tqdm=True, use_cpu=True)  # fmt: skip
    with (out / "trainer.log").open("w") as log, contextlib.redirect_stdout(log):
        trainer = transformers.Trainer(Model(), arguments, train_dataset=Line(), eval_dataset=Line())
        trainer.train()
    trainer.save_state()
    for path in [*out.rglob("*")]:
        if path.is_file() and path.name not in ("trainer_state.json", "trainer.log"):
            path.unlink()


def tensorboard() -> None:
    from torch.utils.tensorboard import SummaryWriter

    out = fresh("torch_events")
    with SummaryWriter(str(out / "runs/one")) as writer:
        for step in range(20):
            writer.add_scalar("loss/train", 1 / (step + 1), step)
            if step % 5 == 0:
                writer.add_scalar("accuracy", math.nan if step == 10 else step / 20, step)
                writer.add_histogram("weights", np.arange(9), step)
                writer.add_scalars("both", {"a": step, "b": -step}, step)
        writer.add_text("note", "only a text")
        writer.add_image("picture", np.zeros((3, 4, 4)))


def tensorboardx() -> None:
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(fresh("tensorboardx"))) as writer:
        for step in range(12):
            writer.add_scalar("reward", step * 1.5, 1000 * step)
            writer.add_scalar(
                "double", step / 3, 1000 * step, display_name="shown", summary_description="said"
            )


def tensors() -> None:
    """As TensorFlow 2 does: scalars as tensors. By tensorboard's own writer and summary plugin."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    out = fresh("tf2_tensors")
    for name in ("train", "validation"):
        writer = EventFileWriter(str(out / "logs" / name))
        for step in range(6):
            writer.add_event(Event(step=step, wall_time=step, summary=scalar_pb("epoch_loss", 2.0**-step)))
        writer.close()


def dvclive() -> None:
    from dvclive import Live

    out = fresh("dvclive")
    os.chdir(tempfile.mkdtemp())  # it makes a repository of where it is
    with Live(str(out / "dvclive"), save_dvc_exp=False, dvcyaml=None, report=None) as live:
        live.log_params({"lr": 0.1, "model": {"layers": 2}})
        for step in range(8):
            live.log_metric("train/loss", 1 / (step + 1))
            if step % 2:
                live.log_metric("accuracy", step / 8)
            live.next_step()


def stable_baselines() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.logger import configure

    out = fresh("stable_baselines3")
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, seed=1, device="cpu")
    with (out / "trainer.log").open("w") as log, contextlib.redirect_stdout(log):
        model.set_logger(configure(str(out), ["csv", "tensorboard", "stdout"]))
        model.learn(128)


def xgboost() -> None:
    import xgboost

    out = fresh("xgboost")
    rows = np.random.default_rng(1).random((64, 3))
    data = xgboost.DMatrix(rows, rows[:, 0] > 0.5)
    with (out / "trainer.log").open("w") as log, contextlib.redirect_stdout(log):
        xgboost.train({"objective": "binary:logistic", "eval_metric": ["logloss", "error"]}, data, 8,
                      [(data, "train"), (data, "eval")])  # fmt: skip


for name in sys.argv[1:] or ["csv_logger", "hugging_face", "tensorboard", "tensorboardx", "tensors", "dvclive",
                             "stable_baselines", "xgboost"]:  # fmt: skip
    globals()[name]()
