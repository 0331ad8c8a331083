"""What Slurm means, in plain words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core.launchers import words


@pytest.mark.parametrize(
    ("state", "reason", "node", "said"),
    [
        ("PENDING", "Resources", "", "waits: no room yet"),
        ("PENDING", "None", "", "waits"),
        ("PENDING", "ReqNodeNotAvail, UnavailableNodes:n1", "", "waits: a node it needs is not available"),
        (
            "PENDING",
            "PartitionTimeLimit",
            "",
            "will not start: it asks for more time than the partition gives (PartitionTimeLimit)",
        ),
        (
            "PENDING",
            "launch failed requeued held",
            "",
            "will not start: it could not be launched, and is held (launch failed requeued held)",
        ),
        ("PENDING", "AssocGrpCpuLimit", "", "waits: a limit of your account (AssocGrpCpuLimit)"),
        ("RUNNING", "None", "n2", "runs on n2"),
        ("NODE_FAIL", "None", "n2", "its node failed (n2)"),
        ("NEW_STATE", "", "", "new_state"),
    ],
)
def test_states_and_reasons(state: str, reason: str, node: str, said: str) -> None:
    assert words.say(state, reason, node) == said


@given(st.text(), st.text(), st.text())
def test_something_is_said_whatever_slurm_says(state: str, reason: str, node: str) -> None:
    assert words.say(state or "PENDING", reason, node)


def test_no_reason_both_passes_and_does_not() -> None:
    assert not words.REASONS.keys() & words.NEVER.keys()
    assert not words.STATES.keys() & words.ENDED.keys()
