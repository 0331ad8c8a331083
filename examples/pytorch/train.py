"""Two spirals told apart by a small network."""

import argparse
import math
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def spirals(count):
    angle = torch.rand(count) * 3 * math.pi
    side = torch.arange(count) % 2
    radius = angle / 10 * (1 - 2 * side)
    points = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1)
    return TensorDataset(points + 0.02 * torch.randn(count, 2), side)


def evaluate(model, loader):
    model.eval()
    loss, right, count = 0.0, 0, 0
    with torch.no_grad():
        for x, y in loader:
            logits = model(x)
            loss += nn.functional.cross_entropy(logits, y, reduction="sum").item()
            right += (logits.argmax(1) == y).sum().item()
            count += len(y)
    return loss / count, right / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-dir", type=Path, default="runs/1")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    train, val = random_split(spirals(3000), [2400, 600])
    train, val = DataLoader(train, args.batch_size, shuffle=True), DataLoader(val, 600)
    model = nn.Sequential(
        nn.Linear(2, args.hidden),
        nn.ReLU(),
        nn.Linear(args.hidden, args.hidden),
        nn.ReLU(),
        nn.Linear(args.hidden, 2),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    args.save_dir.mkdir(parents=True, exist_ok=True)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for x, y in train:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        val_loss, val_acc = evaluate(model, val)
        print(
            f"Epoch {epoch + 1}/{args.epochs} | train loss: {total / len(train):.4f}"
            f" | val loss: {val_loss:.4f} | val acc: {100 * val_acc:.2f}%"
        )
        torch.save({"epoch": epoch + 1, "model": model.state_dict()}, args.save_dir / "last.pt")


if __name__ == "__main__":
    main()
