"""What the ledger heard of an archive: counted once, of that identity alone, and a DIVERGED is never hidden."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exptui.core.archive import tally
from exptui.core.archive.tally import Heard

VERDICTS = st.sampled_from(["REPRODUCED", "DIVERGED", "FAILED", "UNKNOWN", "AGREES"])
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "event": st.sampled_from(["verified", "received", "archived"]),
            "run_id": st.sampled_from(["a", "b"]),
            "identity": st.sampled_from(["1", "2"]),
            "verdict": VERDICTS,
            "machine": st.sampled_from(["m1", "m2", "m3"]),
            "host": st.just("vm"),
            "at": st.just("2026-01-01T00:00:00Z"),
            "statement": st.integers(0, 5).map(str),
        }
    ),
    max_size=12,
)


def one(verdict: str, machine: str = "m1", **more: str) -> Heard:
    return Heard(verdict, machine, more.get("host", machine), "2026-01-01T00:00:00Z", more.get("signer", ""))


@given(EVENTS)
def test_another_identity_never_counts_and_a_duplicate_counts_once(events: list[dict[str, Any]]) -> None:
    found = tally.heard(events)
    assert tally.heard([*events, *events]) == found
    for (run_id, identity), verdicts in found.items():
        own = [e for e in events if (e["run_id"], e["identity"]) == (run_id, identity)]
        assert tally.heard(own) == {(run_id, identity): verdicts}
        assert len(verdicts) == len({e["statement"] for e in own if e["event"] != "archived"})


@given(st.lists(st.tuples(VERDICTS, st.sampled_from(["m1", "m2"])), max_size=8))
def test_a_divergence_is_never_hidden(pairs: list[tuple[str, str]]) -> None:
    verdicts = [one(*pair) for pair in pairs]
    said = tally.summary(verdicts), tally.short(verdicts), getattr(tally.leading(verdicts), "verdict", "")
    for text in said:
        assert ("DIVERGED" in text) == any(verdict == "DIVERGED" for verdict, _ in pairs)
    assert ("✗" in tally.cell(verdicts)) == ("DIVERGED" in said[0])


def test_how_it_is_said() -> None:
    good, bad, unknown = one("REPRODUCED"), one("DIVERGED", "m2"), one("UNKNOWN", "m3")
    assert tally.summary([]) == tally.short([]) == tally.cell([]) == ""
    assert tally.summary([good]) == tally.short([good]) == "REPRODUCED"
    assert tally.summary([good, good]) == "REPRODUCED ×2, 1 machine"
    assert tally.summary([good, one("REPRODUCED", "m2")]) == "REPRODUCED ×2, 2 machines"
    assert tally.summary([bad, good, good, unknown]) == "DIVERGED ×1, REPRODUCED ×2, 2 machines"
    assert tally.summary([unknown]) == "UNKNOWN"
    assert tally.short([good, bad, good]) == "DIVERGED 1 of 3"
    assert tally.cell([good, bad, good]) == "✗ ✔2"


def test_an_event_of_an_older_exptui_or_of_nobody() -> None:
    old = {
        "event": "verified",
        "run_id": "a",
        "identity": "1",
        "verdict": "REPRODUCED",
        "host": "vm",
        "at": "then",
    }
    odd = {"event": "verified", "run_id": 3, "identity": None, "verdict": "REPRODUCED"}
    found = tally.heard([old, odd, {}, {**old, "at": "now"}])
    assert found == {
        ("a", "1"): (
            Heard("REPRODUCED", "host vm", "vm", "then"),
            Heard("REPRODUCED", "host vm", "vm", "now"),
        )
    }
    assert tally.summary(found["a", "1"]) == "REPRODUCED ×2, 1 machine"


def test_archives_by_machines() -> None:
    first, other = one("REPRODUCED", "aaaa1", host="vm"), one("DIVERGED", "bbbb2", host="vm")
    found = tally.matrix(
        [("run", [first, other, first]), ("new", []), ("late", [one("AGREES", "c", host="gpu")])]
    )
    assert found.machines == ("vm aaaa", "vm bbbb", "gpu")
    assert [(run, tuple(map(tally.cell, row))) for run, row in found.rows] == [
        ("run", ("✔2", "✗", "")),
        ("late", ("", "", "≈")),
    ]
