"""`{flags}`: what a config is as words of a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from exptui.core.configs import config, flags
from exptui.core.configs.style import Flags
from exptui.core.errors import ConfigError

TEXT = """
lr = 3e-4
amp = true
quiet = false
tags = ["a", "b c"]
k = 3
when = 2024-05-01
offset = -5
glob = "-x"
[model]
"hidden-size" = 1_000
"""


def words(text: str, **how: Any) -> list[str]:
    return list(
        flags.words(config.parse(Path("a.toml"), text.encode()), msgspec.convert(how, Flags, strict=True))
    )


def test_the_default_is_what_argparse_reads() -> None:
    assert words(TEXT) == [
        *("--lr", "3e-4", "--amp", "--tags", "a", "b c", "-k", "3", "--when", "2024-05-01"),
        *("--offset", "-5", "--glob=-x", "--model.hidden-size", "1000"),
    ]


def test_styles_of_pairs_and_names() -> None:
    found = words(TEXT, style="--key=value", nested="_", lists="repeat", booleans="no-flag")
    assert found == [
        *("--lr=3e-4", "--amp", "--no-quiet", "--tags=a", "--tags=b c", "-k", "3", "--when=2024-05-01"),
        *("--offset=-5", "--glob=-x", "--model_hidden-size=1000"),
    ]


def test_overrides_as_hydra_reads_them() -> None:
    assert words(TEXT, style="key=value") == [
        *("lr=3e-4", "amp=true", "quiet=false", 'tags=[a,"b c"]', "k=3", "when=2024-05-01", "offset=-5"),
        *("glob=-x", "model.hidden-size=1000"),
    ]


def test_booleans_as_values_and_lists_with_commas() -> None:
    found = words("a = true\nb = false\nn = [1, 2.50]\nx = []", booleans="value", lists="comma")
    assert found == ["-a", "true", "-b", "false", "-n", "1,2.50", "-x", ""]


@pytest.mark.parametrize(
    ("text", "how", "said"),
    [
        ("[[layer]]\nsize = 1", {}, "layer holds a list or a table inside of a list"),
        ("[m]\nx = [[1], [2]]", {}, "m.x holds a list"),
        ('x = ["a,b"]', {"lists": "comma"}, "x holds a comma"),
        ('x = "\\u0000"', {}, "x holds a NUL"),
    ],
)
def test_what_no_command_line_holds_is_named(text: str, how: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        words(text, **how)
    assert "{config} instead of {flags}" in caught.value.hint
