"""exptui.toml: what it says, and what is known without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptui.core.errors import ConfigError
from exptui.core.settings import Settings, load


def settings(parent: Path, text: str) -> Settings:
    path = parent / "exptui.toml"
    path.write_text(text)
    return load(path)


def test_only_of_its_own_trainer_is_known_how_it_resumes(tmp_path: Path) -> None:
    bundled = load(tmp_path / "missing.toml").trainer
    assert "{checkpoint}" in bundled.resume
    assert bundled.checkpoints
    assert bundled.code
    mine = settings(tmp_path, '[trainer]\ncommand = ["python", "train.py"]').trainer
    assert (mine.resume, mine.checkpoints, mine.code) == ((), "", ())


def test_what_is_given_for_its_own_trainer_counts(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        '[trainer]\ncode = ["mine"]\n[[trainers]]\nname = "other"\nconfigs = ["x*"]\nresume = ["--from", "{checkpoint}"]\n'
        '[[trainers]]\nname = "theirs"\ncommand = ["sh"]\n',
    )
    assert found.trainer.code == ("mine",)
    assert found.trainer.checkpoints
    other, theirs = found.trainers
    assert (other.resume, bool(other.checkpoints), bool(other.code)) == (
        ("--from", "{checkpoint}"),
        True,
        True,
    )
    assert (theirs.resume, theirs.checkpoints, theirs.code) == ((), "", ())
    assert found.trainer_for("x1.toml") == other


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[trainer", "Expected"),
        ("[trainer]\ncomand = []", "comand"),
        ("[queue]\nslots = 'two'", "slots"),
        ('[environment]\npass = ["MY_TOKEN"]', "environment.secret"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, text)
    assert str(tmp_path / "exptui.toml") in caught.value.message
    assert says in f"{caught.value.message} {caught.value.hint}"
