"""The command line: `tiny-agent-trainer --config PATH [--output DIR] [--resume CKPT] [--until-epoch N]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tiny_agent_trainer.config import TrainerError, load_config
from tiny_agent_trainer.report import say
from tiny_agent_trainer.train import run


def _fresh_output(config: Path) -> Path:
    """Make experiments/results/<stem>_<UTC time>Z, with -2, -3, … when that is taken."""
    base = Path("experiments/results") / f"{config.stem}_{datetime.now(UTC):%Y%m%dT%H%M%S}Z"
    candidate, number = base, 1
    while True:
        try:
            candidate.mkdir(parents=True)
        except FileExistsError:
            number += 1
            candidate = base.with_name(f"{base.name}-{number}")
        else:
            return candidate


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tiny-agent-trainer",
        description="Train a small digit classifier, bit for bit the same on any CPU.",
    )
    parser.add_argument("--config", type=Path, required=True, help="the run's TOML file")
    parser.add_argument("--output", type=Path, help="where results go (default: a new experiments/results/…)")
    parser.add_argument("--resume", type=Path, metavar="CHECKPOINT", help="go on after this checkpoint")
    parser.add_argument(
        "--until-epoch", type=int, metavar="N", help="stop after epoch N, to be resumed later"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trainer; returns 0, or 2 after one line on stderr for what the person can mend."""
    options = _parser().parse_args(argv)
    try:
        config = load_config(options.config)
        output = options.output
        if output is None:
            output = _fresh_output(options.config)
            say(f"output {output}")
        run(config, output, options.resume, options.until_epoch)
    except TrainerError as error:
        print(f"tiny-agent-trainer: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"tiny-agent-trainer: {error}; check the paths and the disk", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
