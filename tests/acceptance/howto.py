"""The how-to's of docs/trainers as what is typed in them, in order: a document whose commands fail is a failing test."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS, EXAMPLES = ROOT / "docs/trainers", ROOT / "examples"
_BLOCK = re.compile(r"^```(sh|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VERDICT = re.compile(r"\s+# ([A-Z]+)$")


@dataclass(frozen=True)
class Step:
    """A line that is typed, with the verdict that the document says it ends with, or lines for the settings file."""

    line: str = ""
    verdict: str = ""
    settings: str = ""


@dataclass(frozen=True)
class HowTo:
    """One document. `install`: the words of its `pip install`, the paths in it seen from its example."""

    name: str
    install: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def packages(self) -> list[str]:
        """The names of what its program needs, without exptui itself."""
        return [re.split(r"[\[<>=]", word)[0] for word in self.install[2:] if not word.startswith(".")]

    @property
    def example(self) -> Path:
        """Where its program lies."""
        return EXAMPLES / self.name


def read(path: Path) -> HowTo:
    """Take a document apart: the block that installs, then everything that is typed behind it."""
    install, steps = tuple[str, ...](), list[Step]()
    for kind, text in _BLOCK.findall(path.read_text()):
        if kind == "toml":
            steps.append(Step(settings=text))
            continue
        for line in text.splitlines():
            if line.startswith("pip install"):
                install = tuple(shlex.split(line))
            elif install:
                found = _VERDICT.search(line)
                steps.append(Step(line[: found.start()] if found else line, found[1] if found else ""))
    return HowTo(path.stem, install, tuple(steps))


def read_all() -> list[HowTo]:
    """Every how-to there is an example for."""
    return [read(DOCS / f"{path.name}.md") for path in sorted(EXAMPLES.iterdir()) if path.is_dir()]
