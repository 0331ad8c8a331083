"""How the keys of a config become flags; apart from what does it, as every run.json that is read has this."""

from __future__ import annotations

from typing import Literal

import msgspec


class Flags(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the keys of a config become flags (docs/trainers/README.md)."""

    style: Literal["--key value", "--key=value", "key=value"] = "--key value"
    nested: Literal[".", "_", "-"] = "."
    booleans: Literal["flag", "no-flag", "value"] = "flag"
    lists: Literal["words", "repeat", "comma", "brackets"] = "words"
