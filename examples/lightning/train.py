"""A sine in noise, fitted with Lightning; its CSVLogger writes metrics.csv and hparams.yaml."""

import argparse

import lightning as L
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Sine(L.LightningModule):
    def __init__(self, lr, hidden):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1)
        )

    def training_step(self, batch, _):
        x, y = batch
        loss = nn.functional.mse_loss(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _):
        x, y = batch
        self.log("val_loss", nn.functional.mse_loss(self.net(x), y))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


def sines(count):
    x = torch.rand(count, 1) * 12 - 6
    return TensorDataset(x, x.sin() + 0.1 * torch.randn(count, 1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--max-epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-dir", default="lightning_logs")
    args = parser.parse_args()

    L.seed_everything(args.seed)
    train = DataLoader(sines(4000), 64, shuffle=True)
    val = DataLoader(sines(1000), 1000)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=args.max_epochs,
        log_every_n_steps=10,
        enable_progress_bar=False,
        logger=CSVLogger(args.save_dir, name="", flush_logs_every_n_steps=50),
    )
    trainer.fit(Sine(args.lr, args.hidden), train, val)


if __name__ == "__main__":
    main()
