"""Where runs are started, as the settings say it; apart from what does it, as every run.json that is read has this."""

from __future__ import annotations

from typing import Literal

import msgspec


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[launcher]`: how a run gets its machine (docs/slurm.md). Times in seconds but for `time`, which is Slurm's."""

    kind: Literal["local", "slurm"] = "local"
    partition: str = ""
    time: str = ""  # the limit, as 2:00:00
    gres: str = ""
    extra: tuple[str, ...] = ()  # more words for sbatch, which count last
    at_once: int = 0  # of a grid's runs; 0: as many as there is room for
    warn: int = (
        120  # before the time limit: then a checkpoint is asked for, and the run goes on in the next job
    )
    stale: float = 60.0  # without a heartbeat: then a run that Slurm knows no more is lost


class Launching(msgspec.Struct, frozen=True, kw_only=True):
    """What run.json says of a run that a cluster starts; of one that this machine starts it says nothing."""

    options: Options
    requeue: bool = False  # the trainer can go on from a checkpoint: the next job is the next attempt
    request: str = ""  # the signal that asks the trainer for a checkpoint
