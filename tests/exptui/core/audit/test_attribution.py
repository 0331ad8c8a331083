"""Suspects are specific: what it was, and what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from exptui.core.audit.attribution import changes, suspects
from exptui.core.audit.original import Original
from exptui.core.runs.run import Recipe, RunRecord

SEEN: dict[str, Any] = {
    "code": {"net/model.py": "a" * 64, "net/data.py": "b" * 64},
    "program": "c" * 64,
    "packages": {"numpy": "2.1.0", "torch": "2.5.1"},
    "cpu": {"model": "A", "flags": "fpu sse2 avx2"},
    "threads": 1,
    "kernel": "6.1",
    "git": {"commit": "1" * 40, "dirty": False},
}
RECIPE = Recipe(
    trainer="default", command=("train",), argv=("/bin/train",), cwd="/", resume=(), checkpoints="", code=(), passed=(),
    set={"A": "1"}, secret=(), preset="", threads=1, stop_grace=1.0, observational=(), slots=1,
)  # fmt: skip


def found(seen: dict[str, Any], **more: Any) -> tuple[str, ...]:
    facts = msgspec.to_builtins(RECIPE)
    original = Original(Path("/"), [], facts, SEEN, more.pop("attempts", 1), "", False, False, None)
    record = RunRecord(
        run_id="a", config_name="a.toml", config_sha256="", settings_digest="", user="u", host="h", queued_at="",
        recipe=msgspec.structs.replace(RECIPE, **more), fingerprint=seen,
    )  # fmt: skip
    return suspects(original, changes(original, record), "")


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"packages": {"numpy": "2.2.0", "torch": "2.5.1"}}, "package numpy 2.1.0 → 2.2.0"),
        ({"packages": {"numpy": "2.1.0"}}, "package torch is gone (2.5.1)"),
        ({"packages": {**SEEN["packages"], "jax": "0.4"}}, "package jax is new (0.4)"),
        (
            {"code": {**SEEN["code"], "net/model.py": "d" * 64}},
            "code net/model.py aaaaaaaaaaaa → dddddddddddd",
        ),
        ({"cpu": {"model": "A", "flags": "fpu sse2 avx512f"}}, "CPU flags without avx2 → with avx512f"),
        ({"cpu": {"model": "A", "flags": "fpu sse2"}}, "CPU flags without avx2 → –"),
        ({"threads": 4}, "threads 1 → 4"),
        ({"kernel": "6.8"}, "kernel 6.1 → 6.8"),
        ({"git": {"commit": "1" * 40, "dirty": True}}, "git dirty false → true"),
    ],
)
def test_what_changed_is_named(changed: dict[str, Any], line: str) -> None:
    assert found({**SEEN, **changed}) == (line,)


def test_how_it_is_started_is_named() -> None:
    assert found(SEEN, command=("train", "-v")) == (
        'started with command ["train"] → ["train", "-v"]',
    ) or found(SEEN, command=("train", "-v"))[0].startswith("started with command ")
    assert found(SEEN, set={"A": "2"}) == ("started with set.A 1 → 2",)


def test_the_likeliest_comes_first_and_many_are_counted() -> None:
    many = {f"p{number}": "1" for number in range(9)}
    lines = found({**SEEN, "kernel": "6.8", "packages": {**SEEN["packages"], **many}, "code": {}})
    assert [line.partition(" ")[0] for line in lines[:2]] == ["code", "code"]
    assert lines[-1] == "kernel 6.1 → 6.8"
    assert "package: 3 more differ" in lines


def test_where_nothing_differs_it_says_so() -> None:
    assert "not deterministic, or reads something" in found(SEEN)[0]
    assert "2 attempts" in found(SEEN, attempts=2)[0]
    assert suspects(None, None, "")[0].startswith("how the original was run is unknown")
