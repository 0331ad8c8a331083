"""Is less of a metric better, or more? From its name, unless the settings say otherwise."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import msgspec

LOWER = re.compile(r"loss|error|perplexity|(^|[/._])(mse|mae|rmse|nll|wer|cer)($|[/._])", re.IGNORECASE)
HIGHER = re.compile(
    r"acc|f1|auc|precision|recall|reward|score|bleu|rouge|(^|[/._])(map|iou|r2|rew)($|[/._])", re.IGNORECASE
)


def direction(name: str) -> int:
    """-1 where less is better, +1 where more is, 0 where the name does not tell."""
    return -1 if LOWER.search(name) else 1 if HIGHER.search(name) else 0


class Directions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[metrics]`: patterns of names, as `fid` or `*_cost`; each also stands for `validate_fid` and `val/fid`."""

    lower: tuple[str, ...] = ()
    higher: tuple[str, ...] = ()

    def of(self, name: str) -> int:
        """The direction of a metric; `lower` comes first."""
        for sign, patterns in ((-1, self.lower), (1, self.higher)):
            if any(fnmatchcase(name, one) or fnmatchcase(name, f"*[/._]{one}") for one in patterns):
                return sign
        return direction(name)

    def order(self, sort: str, *, reverse: bool = False) -> tuple[str, bool]:
        """The key in an order, and whether its largest come first.

        `KEY`: the best first where it has a direction, else the least; `-KEY`: the largest.
        """
        key = sort.removeprefix("-")
        return key, (key != sort or self.of(key) > 0) != reverse


BY_NAME = Directions()
