"""run.json printed again: what `record` is made of, not decoded, is copied as it is; an eighth of the work."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import fields

from exptui.core.runs.run import Recipe, RunRecord, read_bytes


def _undecoded(kind: type[msgspec.Struct], **inner: Any) -> type[msgspec.Struct]:
    """The same fields in the same order, with their values as text; what a file does not say has its default."""
    made = []
    for field in fields(kind):
        value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        default = () if value is msgspec.NODEFAULT else (msgspec.Raw(msgspec.json.encode(value)),)
        made.append((field.name, inner.get(field.name, msgspec.Raw), *default))
    return msgspec.defstruct(kind.__name__, made, kw_only=True)


_RECORD = msgspec.json.Decoder(_undecoded(RunRecord, recipe=_undecoded(Recipe)))


def verbatim(results: int, run_id: str) -> msgspec.Struct | None:
    """A record that is known to be sound, to be encoded; None where it is gone."""
    try:
        return _RECORD.decode(read_bytes(f"{run_id}/run.json", results))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
