"""The project's own packages that are installed from where they lie: a run has to find them in its snapshot instead."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

_MAPPING = re.compile(r"^MAPPING\b[^=]*=\s*(\{.*?\})\s*$", re.MULTILINE | re.DOTALL)


class _Origin(msgspec.Struct):
    """`direct_url.json` of an installed package (PEP 610)."""

    url: str = ""
    dir_info: dict[str, bool] = {}


def roots(sites: list[Path], project: Path) -> tuple[str, ...]:
    """The directories below the project that these site-packages add to Python's path, as paths below the project."""
    project = project.resolve()
    found = dict[str, None]()
    for site in sites:
        for place in (*_by_path(site), *_by_finder(site)):
            whole = place.resolve()
            if whole.is_relative_to(project) and not whole.is_relative_to(site.resolve()):
                found[str(whole.relative_to(project))] = None
    return tuple(found)


def packages(sites: list[Path], project: Path) -> tuple[str, ...]:
    """The names of what is installed from below the project."""
    names = set[str]()
    for path in (path for site in sites for path in site.glob("*.dist-info/direct_url.json")):
        try:
            origin = msgspec.json.decode(path.read_bytes(), type=_Origin)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            continue
        place = Path(origin.url.removeprefix("file://"))
        if origin.dir_info.get("editable") and place.is_relative_to(project.resolve()):
            names.add(path.parent.name.removesuffix(".dist-info").rpartition("-")[0])
    return tuple(sorted(names))


def _by_path(site: Path) -> Iterator[Path]:
    """Lines of .pth files that are directories."""
    for file in sorted(site.glob("*.pth")):
        for line in file.read_text(errors="replace").splitlines():
            if line.startswith(os.sep) and Path(line).is_dir():
                yield Path(line)


def _by_finder(site: Path) -> Iterator[Path]:
    """What setuptools' import hook maps packages to."""
    for file in sorted(site.glob("__editable__*finder.py")):
        if match := _MAPPING.search(file.read_text(errors="replace")):
            try:
                mapped = ast.literal_eval(match[1])
            except (ValueError, SyntaxError):
                continue
            yield from (Path(place).parent for place in mapped.values())
