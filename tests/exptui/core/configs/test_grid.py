"""Every combination of some values: what is made of it, and what there is already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core.configs import config, grid
from exptui.core.errors import ConfigError

SOURCE = config.parse(
    Path("base.toml"), b"# mine\n[engine]\nseed = 7 # of three\n[model]\nlayers = 5\nact = 'ReLU'\n"
)


def test_all_combinations_with_their_comments_and_names() -> None:
    points = grid.plan(SOURCE, grid.parse_axes(["model.layers=2,5", "model.act=ReLU,Tanh"]), (), {}).points
    assert [(point.stem, point.data is None) for point in points] == [
        ("base-layers-2-act-ReLU", False),
        ("base-layers-2-act-Tanh", False),
        ("base", True),
        ("base-layers-5-act-Tanh", False),
    ]
    assert points[1].data == (
        b'# base with model.layers = 2, model.act = "Tanh"\n'
        b'# mine\n[engine]\nseed = 7 # of three\n[model]\nlayers = 2\nact = "Tanh"\n'
    )


def test_what_is_there_and_what_ran_is_known_by_its_settings() -> None:
    other = config.parse(Path("mine.toml"), b"model = {act = 'ReLU', layers = 2}\nengine.seed = 7")
    points = grid.plan(SOURCE, {"model.layers": [2, 3]}, [other], {other.settings_digest: "mine_1"}).points
    assert [(point.stem, point.data is None, point.ran) for point in points] == [
        ("mine", True, "mine_1"),
        ("base-layers-3", False, ""),
    ]


def test_names_that_would_clash_or_are_too_long_get_a_digest() -> None:
    points = grid.plan(SOURCE, {"model.act": ["a/b", "a_b", "x" * 300, "x" * 301]}, (), {}).points
    assert len({point.stem for point in points}) == 4
    assert all(config.check_stem(point.stem) for point in points)


@pytest.mark.parametrize(
    ("words", "axes"),
    [
        (["a=1,2"], {"a": [1, 2]}),
        (["a.b=0.1,auto,true"], {"a.b": [0.1, "auto", True]}),
        (["a=[64, 32],[128]"], {"a": [[64, 32], [128]]}),
        (["a=ReLU", "b='x,y',z"], {"a": ["ReLU"], "b": ["'x", "y'", "z"]}),
        (["a='x,y','z'"], {"a": ["x,y", "z"]}),
    ],
)
def test_values(words: list[str], axes: dict[str, Any]) -> None:
    assert grid.parse_axes(words) == axes


@pytest.mark.parametrize(
    ("words", "said"),
    [(["a"], "not KEY"), (["a="], "not KEY"), (["a..b=1"], "not KEY"), (["a=1", "a=2"], "given twice")],
)
def test_what_are_no_values(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        grid.parse_axes(words)


def test_too_many_are_refused() -> None:
    with pytest.raises(ConfigError, match="makes 512 runs"):
        grid.plan(SOURCE, {"a": range(16), "b": range(32)}, (), {})


@given(
    st.dictionaries(
        st.sampled_from(["engine.seed", "model.layers", "model.new", "top"]),
        st.lists(
            st.integers(0, 9) | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=3),
            min_size=1,
            max_size=3,
        ),
    )
)
def test_each_says_what_it_was_given_and_no_two_say_the_same(axes: dict[str, list[Any]]) -> None:
    points = grid.plan(SOURCE, axes, (), {}).points
    found = [
        config.parse(Path(f"{point.stem}.toml"), SOURCE.data if point.data is None else point.data)
        for point in points
    ]
    assert len({one.settings_digest for one in found}) == len(found) == len({one.stem for one in found})
    for one, point in zip(found, points, strict=True):
        assert one.flat == {**SOURCE.flat, **point.edits}
