"""Digests of configs: bytes for identity, meaning for likeness."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptui.core.configs.config import check_stem, parse
from exptui.core.errors import ConfigError

HERE = Path("a.toml")


def test_comments_and_order_change_the_bytes_but_not_the_settings() -> None:
    one, two = parse(HERE, b"a = 1\nb = 2\n"), parse(HERE, b"# said\nb = 2\na = 1\n")
    assert one.sha256 != two.sha256
    assert one.settings_digest == two.settings_digest


@pytest.mark.parametrize("other", [b"a = 1.0", b'a = "1"', b"a = true", b"a = [1]", b"", b"a = {b = 1}"])
def test_another_type_is_another_setting(other: bytes) -> None:
    assert parse(HERE, b"a = 1").settings_digest != parse(HERE, other).settings_digest


def test_nested_keys_are_dotted() -> None:
    assert parse(HERE, b"[m]\nlayers = 5\n[m.n]\nx = [1, 2]").flat == {"m.layers": 5, "m.n.x": [1, 2]}


@pytest.mark.parametrize("stem", ["", "..", ".x", "a/b", "a b", "ä", "a\n", "x" * 181])
def test_names_that_could_escape_or_confuse(stem: str) -> None:
    with pytest.raises(ConfigError):
        check_stem(stem)


def test_not_utf8_is_said_with_its_place() -> None:
    with pytest.raises(ConfigError, match="byte 4"):
        parse(HERE, b'a ="\xff"')
