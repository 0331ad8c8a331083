"""Where two chronicles begin to differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exptui.chronicle.records import (
    Chronicle,
    CycleRecord,
    f32_bits,
    f64_bits,
)


@dataclass(frozen=True)
class Mismatch:
    """The first cycle that differs, and each field that does: name, baseline, candidate."""

    cycle: int
    phase: str
    fields: tuple[tuple[str, str, str], ...]  # name, baseline, candidate


def _facts(record: CycleRecord, names: Sequence[str]) -> list[tuple[str, object, str]]:
    """Name, comparable value (bits for floats, so that NaN equals itself) and text of every field."""

    def number(name: str, value: float | None) -> tuple[str, object, str]:
        return (name, None, "none") if value is None else (name, f64_bits(value), f"{value:.6f}")

    signature = record.tensor_signature
    bits = None if signature is None else tuple(map(f32_bits, signature))
    plain = (record.cycle, record.phase.name.lower(), record.seed_state, record.action_code)
    cycle, phase, seed, action = ((value, str(value).lower()) for value in plain)
    return [
        ("cycle", *cycle),
        ("phase", *phase),
        number("loss", record.loss),
        number("coherence", record.coherence),
        *(number(name, value) for name, value in zip(names, record.metrics, strict=True)),
        ("seed_state", *seed),
        ("exact_digest", record.exact_digest, record.exact_digest.hex()),
        ("tensor_signature", bits, "none" if bits is None else " ".join(f"{value:08x}" for value in bits)),
        ("action_code", *action),
    ]


def _length_mismatch(name: str, base: Sequence[int], other: Sequence[int], phase: str) -> Mismatch | None:
    if len(base) == len(other):
        return None
    if len(other) < len(base):
        return Mismatch(base[len(other)], phase, ((name, str(len(base)), "missing"),))
    return Mismatch(other[len(base)], phase, ((name, str(len(base)), "extra"),))


def first_mismatch(baseline: Chronicle, candidate: Chronicle) -> Mismatch | None:
    """The earliest cycle where two chronicles say something different, or None."""
    names = baseline.metric_names
    if names != candidate.metric_names:
        start = baseline.records[0].cycle if baseline.records else 0
        return Mismatch(start, "schema", (("metrics", ",".join(names), ",".join(candidate.metric_names)),))
    found: list[Mismatch] = []
    for ours, theirs in zip(baseline.records, candidate.records, strict=False):
        pairs = zip(_facts(ours, names), _facts(theirs, names), strict=True)
        fields = tuple((a[0], a[2], b[2]) for a, b in pairs if a[1] != b[1])
        if fields:
            first = min(ours, theirs, key=lambda record: record.cycle)
            found.append(Mismatch(first.cycle, first.phase.name.lower(), fields))
            break
    else:
        shorter = min(len(baseline.records), len(candidate.records))
        behind = (baseline.records[shorter:] or candidate.records[shorter:])[:1]
        phase = behind[0].phase.name.lower() if behind else ""
        cycles = [[record.cycle for record in side.records] for side in (baseline, candidate)]
        found += filter(None, [_length_mismatch("records", cycles[0], cycles[1], phase)])
    for mark, other in zip(baseline.checkpoints, candidate.checkpoints, strict=False):
        if mark != other:
            texts = [f"{at.cycle}:{at.sha256.hex()}" for at in (mark, other)]
            found.append(
                Mismatch(min(mark.cycle, other.cycle), "checkpoint", (("checkpoint", texts[0], texts[1]),))
            )
            break
    else:
        cycles = [[at.cycle for at in side.checkpoints] for side in (baseline, candidate)]
        found += filter(None, [_length_mismatch("checkpoints", cycles[0], cycles[1], "checkpoint")])
    return min(found, key=lambda mismatch: mismatch.cycle, default=None)  # on a tie the record
