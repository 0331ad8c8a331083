"""A run that failed leads with why."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.core.curves.store import Store
from exptui.core.files import pretty_json, read_json
from exptui.core.monitor import cause, detail
from exptui.core.monitor.catalog import Catalog, RunRow
from exptui.core.runs import run
from exptui.core.runs.run import Attempt, Exit, RunState, RunView
from support import workspace

CHAINED = """
Traceback (most recent call last):
  File "a.py", line 1, in <module>
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
""" + "".join(f'  File "b.py", line {n}, in f\n    g()\n    ~^^\n' for n in range(9))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo start; echo 'Traceback (most recent call last):'; echo ValueError; exit 4", ["exit code 4", "ValueError"]),
        ("echo 'No space left on device' >&2; exit 1", ["exit code 1", "the disk was full", "No space left on device"]),
        ("kill -9 $$", ["signal 9: killed", "by the kernel for want of memory, or by somebody's kill -9"]),
        ("exit 137", ["exit code 137: killed", "by the kernel for want of memory, or by somebody's kill -9"]),
        ("kill -TERM $$", ["signal 15: asked to end, by somebody else than exptui"]),
        ("echo one; echo torch.OutOfMemoryError: CUDA out of memory; exit 1", ["exit code 1", "out of memory, by the end of its log", "one", "torch.OutOfMemoryError: CUDA out of memory"]),
        ("true", []),
    ],
)  # fmt: skip
def test_a_failed_run_leads_with_its_cause(tmp_path: Path, script: str, words: list[str]) -> None:
    space = workspace(tmp_path, script)
    list(space.wait(space.run("a").name))
    row = Catalog(space).snapshot().runs[0]
    assert isinstance(row, RunRow)
    assert list(detail.read(space, row, "", Store()).cause) == words


def failed(tmp_path: Path, **how: object) -> RunView:
    space = workspace(tmp_path, "exit 1", checkpoints="ck/{epoch}.pt", resume=["--from", "{checkpoint}"])
    view = list(space.wait(space.run("a").name))[-1]
    assert view.record is not None
    end = msgspec.structs.replace(view.record.exit or Exit(), **how)
    return RunView(view.run_id, view.path, view.state, msgspec.structs.replace(view.record, exit=end))


def test_what_the_kernel_counted_is_said(tmp_path: Path) -> None:
    view = failed(tmp_path, code=None, signal=9)
    path = run.attempt_file(view.path, 1)
    path.write_bytes(pretty_json(msgspec.structs.replace(read_json(path, Attempt), oom_kills=1)))
    assert cause.cause(view, ()) == (
        "signal 9: killed",
        "out of memory: the kernel killed a process of its cgroup while it ran",
    )


def test_what_was_raised_stands_before_where(tmp_path: Path) -> None:
    log = [line.encode() for line in (CHAINED + "ValueError: \x1b[31mno\n\nbye").split("\n")]
    assert cause.cause(failed(tmp_path), log)[1:] == (
        "ValueError: \x1b[31mno",  # made harmless where it is shown
        *('  File "b.py", line 7, in f', "    g()", '  File "b.py", line 8, in f', "    g()"),
    )


def test_a_disk_that_is_still_full_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = failed(tmp_path)
    (view.path / "attempts/1.alerts.jsonl").write_text('{"at": "", "event": "disk", "text": ""}\n')
    assert "the disk was full" in cause.cause(view, ())
    monkeypatch.setattr(cause, "free_bytes", lambda _: 1)
    assert "the disk was full, and is: free some space before it is resumed" in cause.cause(view, ())


def test_the_last_checkpoint(tmp_path: Path) -> None:
    view = failed(tmp_path)
    assert cause.last_checkpoint(view) == ""
    (view.path / "ck").mkdir()
    for number in (2, 10, 9):
        (view.path / f"ck/{number}.pt").touch()
    assert cause.last_checkpoint(view) == "ck/10.pt"


def test_a_lost_run_says_so_and_a_live_one_nothing(tmp_path: Path) -> None:
    view = failed(tmp_path)
    states = {state: cause.cause(RunView("a", view.path, state, view.record), ()) for state in RunState}
    assert {state for state, words in states.items() if words} == {RunState.FAILED, RunState.LOST}
    assert states[RunState.LOST][0].startswith("neither its supervisor nor its trainer")


@given(
    st.lists(st.one_of(st.sampled_from(CHAINED.encode().split(b"\n")), st.binary(max_size=30)), max_size=30),
    st.one_of(st.none(), st.integers(-5, 300)),
    st.one_of(st.none(), st.integers(0, 99)),
)
def test_no_log_and_no_end_is_too_strange(log: list[bytes], code: int | None, number: int | None) -> None:
    """And it is never long: on 24 lines the curves have a place too."""
    assert len(cause._words([line.decode(errors="replace") for line in log])) <= 1 + cause.FRAMES
    cause._end(Exit(code=code, signal=number))
