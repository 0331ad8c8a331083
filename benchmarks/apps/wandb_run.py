"""Writes an offline run of so many steps and five metrics for `wandb leet`: wandb_run.py DIRECTORY STEPS."""

import random
import sys

import wandb

run = wandb.init(
    project="bench",
    mode="offline",
    dir=sys.argv[1],
    settings=wandb.Settings(quiet=True, x_disable_stats=True),
)
dice = random.Random(1)
for step in range(int(sys.argv[2])):
    run.log({f"metric_{number}": dice.random() for number in range(5)}, step=step)
run.finish()
