"""Cloning a config with edits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core.configs import config, derive
from exptui.core.errors import ConfigError

SOURCE = b"# the baseline\n[engine]\nseed = 42  # fixed\n[model]\nlayers = 5\n"


def source(tmp_path: Path) -> config.Config:
    path = tmp_path / "base.toml"
    path.write_bytes(SOURCE)
    return config.load(path)


def test_only_the_key_changes_and_comments_stay(tmp_path: Path) -> None:
    path = derive.clone(source(tmp_path), derive.parse_edits(["model.layers=8"]))
    assert path.name == "base-layers-8.toml"
    assert path.read_bytes() == b"# base with model.layers = 8\n" + SOURCE.replace(
        b"layers = 5", b"layers = 8"
    )
    assert derive.clone(source(tmp_path), {"model.layers": 8}) == path


def test_a_different_config_of_that_name_is_not_replaced(tmp_path: Path) -> None:
    base = source(tmp_path)
    derive.clone(base, {"model.layers": 8}, "other")
    with pytest.raises(ConfigError, match="says something else"):
        derive.clone(base, {"model.layers": 9}, "other")


@pytest.mark.parametrize("word", ["layers", "=3", "model..layers=3", ""])
def test_a_word_that_is_no_edit(word: str) -> None:
    with pytest.raises(ConfigError, match="not KEY=VALUE"):
        derive.parse_edits([word])


def test_a_key_below_a_value(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a value"):
        derive.edited(source(tmp_path), {"engine.seed.x": 1})


@given(
    st.one_of(st.integers(-(2**62), 2**62), st.booleans(), st.floats(allow_nan=False), st.text(max_size=20)),
    st.sampled_from(["model.layers", "new.table.key", "engine.seed", "top"]),
)
def test_what_is_set_is_what_is_read(value: object, key: str) -> None:
    base = config.parse(Path("base.toml"), SOURCE)
    again = config.parse(Path("base.toml"), derive.edited(base, {key: value}))
    assert again.flat == {**base.flat, key: value}
