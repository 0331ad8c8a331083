"""Hyperparameters beside a run's numbers, of a run without config.toml: Lightning's hparams.yaml, params.yaml of DVC,
Hydra's own config, args.json.

Only the YAML that these are written in is understood: mappings and lists by indentation, one value a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exptui.core.monitor.readers.find import HPARAMS, look, matching, natural
from exptui.core.monitor.readers.protocol import decoded

LARGEST, LONGEST = 1 << 20, 4096  # bytes of a file and of a line
DEEP = 32  # levels; what is deeper is no hyperparameter
_LINE = re.compile(r"( *)((?:- +|-$)*)(.*)")
_KEY = re.compile(
    r"""('(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|[^\s'"#\[{&!|>-][^#]*?|-[^\s#][^#]*?) *:(?: +(.*)|$)"""
)
_INTEGER = re.compile(r"[-+]?\d{1,4000}")
_FLOAT = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=e))(?:e[-+]?\d+)?|[-+]?\.inf|\.nan", re.IGNORECASE)
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
Line = tuple[int, str]  # how far indented, and what


def source(directory: Path) -> Path | None:
    """The file that holds them: the highest, and of several beside each other the latest."""
    names, _ = look(directory)
    for pattern in HPARAMS:
        if found := matching(pattern, names):
            return directory / max(found, key=lambda name: (-name.count("/"), natural(name)))
    return None


def read(path: Path) -> dict[str, Any]:
    """What a file says, nested as it is; what is not understood is left out.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST)
    return decoded(data) or {} if path.suffix == ".json" else parsed(data.decode(errors="replace"))


def parsed(text: str) -> dict[str, Any]:
    """The mapping in a text of YAML."""
    lines = list[Line]()
    for raw in text.splitlines():
        if not raw.strip() or raw.lstrip()[0] == "#" or raw.rstrip() in ("---", "..."):
            continue
        if match := _LINE.fullmatch(raw.rstrip()[:LONGEST]):
            dashes = match[2].count("-")
            at = len(match[1])
            lines += [(at + 2 * number, "-") for number in range(dashes)]
            lines += [(at + len(match[2]), match[3])] if match[3] else []
    found, _ = _mapping(lines, 0, lines[0][0] if lines else 0, 0)
    return found


def _mapping(lines: Sequence[Line], at: int, indent: int, depth: int) -> tuple[dict[str, Any], int]:
    """The mapping that begins at a line, and the line behind it."""
    found = dict[str, Any]()
    while at < len(lines) and lines[at][0] >= indent:
        key = _KEY.fullmatch(lines[at][1]) if lines[at][0] == indent else None
        at += 1
        if key is None:
            continue  # another part of a long text, or nothing that is understood
        name, value = str(scalar(key[1])), key[2] or ""
        if re.sub(r"[!&]\S*", "", value).strip():
            found[name] = scalar(value)
            continue
        found[name], at = _below(lines, at, indent, depth + 1)
    return found, at


def _below(lines: Sequence[Line], at: int, indent: int, depth: int) -> tuple[Any, int]:
    """What belongs to a key that has nothing beside it."""
    if at == len(lines) or depth > DEEP:
        return None, at
    inner, what = lines[at]
    if what == "-" and inner >= indent:
        return _list(lines, at, inner, depth)
    return _mapping(lines, at, inner, depth) if inner > indent else (None, at)


def _list(lines: Sequence[Line], at: int, indent: int, depth: int) -> tuple[list[Any], int]:
    found = list[Any]()
    while at < len(lines) and lines[at] == (indent, "-"):
        at += 1
        if (
            at < len(lines)
            and lines[at][0] > indent
            and lines[at][1] != "-"
            and not _KEY.fullmatch(lines[at][1])
        ):
            found.append(scalar(lines[at][1]))
            at += 1
            continue
        item, at = _below(lines, at, indent + 1, depth + 1)
        found.append(item)
    return found, at


def scalar(text: str) -> Any:
    """One value."""
    text = text.strip()
    if text[:1] == "'" == text[-1:] and len(text) > 1:
        return text[1:-1].replace("''", "'")
    if text[:1] in ('"', "[", "{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text.replace(".inf", "inf").replace(".nan", "nan")) if _FLOAT.fullmatch(text) else text
