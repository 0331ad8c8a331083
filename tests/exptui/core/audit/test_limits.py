"""What a verification needs: room, the network, a trainer; and what it costs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from exptui import cli
from exptui.core.archive import manifest as mf
from exptui.core.audit import original
from exptui.core.audit.report import Verdict
from exptui.core.audit.rerun import copied
from exptui.core.audit.verify import Verification
from exptui.core.files import Cancel
from exptui.core.runs.run import RunState
from support import finished, toy, until, verified, workspace, wrong


def test_a_trainer_that_needs_the_network_gets_it_when_asked(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        space = toy(tmp_path)
        wrong(port=server.getsockname()[1])(space)
        run_id = finished(space)
        cut = verified(space, run_id)
        if "no network" in cut.isolation:
            assert (cut.verdict, "Connection refused" in cut.reason) == (Verdict.FAILED, True)
        assert verified(space, run_id, network=True).verdict is Verdict.REPRODUCED


def test_a_run_of_which_nothing_was_recorded_is_verified(tmp_path: Path) -> None:
    space = toy(tmp_path)
    directory = space.results / finished(space)
    (directory / "run.json").unlink()
    assert space.show(directory.name).state is RunState.EXTERNAL
    report = verified(space, directory.name)
    assert (report.verdict, report.environment, report.attempts) == (Verdict.REPRODUCED, None, 0)


def test_no_room_for_a_rerun_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = toy(tmp_path)
    request = space.request(finished(space))
    monkeypatch.setattr(original, "free_bytes", lambda _: 100)
    (tmp_path / "v").mkdir()
    verification = Verification(request, tmp_path / "v", space.settings, space.places, Cancel())
    report = verification.run(lambda *_: lambda *_: None)
    assert report.verdict is Verdict.UNKNOWN
    assert "need" in report.reason
    assert "100 are free" in report.reason


def test_a_rerun_that_fills_the_disk_is_unknown(tmp_path: Path) -> None:
    """On a file system of its own, where this machine can mount one."""
    space = workspace(tmp_path, 'head -c ${SIZE:-9} /dev/zero > "$EXPTUI_OUTPUT/model"; exit $?')
    path = space.archive(finished(space)).path
    settings = (space.root / "exptui.toml").read_text()
    (tmp_path / "small/experiments/configs").mkdir(parents=True)
    script = (
        f"mount -t tmpfs -o size=6m tmpfs {tmp_path}/small && mkdir -p {tmp_path}/small/experiments/configs && "
        f"cp {tmp_path}/exptui.toml {tmp_path}/small/experiments/ && cp -r {path.parent} {tmp_path}/small/experiments/ && "
        f"{sys.executable} -m exptui --workspace {tmp_path}/small/experiments verify a --json"
    )
    (tmp_path / "exptui.toml").write_text(settings.replace("9", "9000000"))
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True, timeout=60)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "the disk is full" in done.stdout or "No space left" in done.stdout


def test_the_cost_is_known_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = toy(tmp_path)
    run_id = finished(space)
    ours = space.cost(space.request(run_id))
    space.archive(run_id)
    archived = space.cost(space.request(run_id))
    assert ours.seconds is not None
    assert ours.seconds == archived.seconds
    assert ours.size == archived.size > 0
    assert cli.main(["--workspace", str(space.root), "verify", run_id]) == 0
    assert f"verifying {run_id} in about {ours.seconds:.0f} s" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--sample", "2"], ["--segments", "-1"], ["--segments", "9", "--sample", "1"]]
)
def test_numbers_that_make_no_sense_are_usage(tmp_path: Path, words: list[str]) -> None:
    space = toy(tmp_path)
    assert cli.main(["--workspace", str(space.root), "verify", "a", *words]) == 2
    assert not space.archives.exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 0, "network not cut, original readable"),
        (["--isolation", "required"], 5, "the re-run cannot be isolated here"),
    ],
)
def test_where_there_are_no_namespaces(tmp_path: Path, words: list[str], code: int, says: str) -> None:
    """The kernel's limit is one of the user namespace: inside a new one it can be set to none."""
    space = toy(tmp_path)
    run_id = finished(space)
    verify = [sys.executable, "-m", "exptui", "--workspace", str(space.root), "verify", run_id, *words]
    without = 'echo 0 > /proc/sys/user/max_user_namespaces || exit 99; exec "$@"'
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", without, "sh", *verify], capture_output=True, text=True, timeout=60
    )
    if done.returncode in (1, 99) and not done.stdout:
        pytest.skip(done.stderr)
    assert (done.returncode, says in done.stdout) == (code, True), done.stdout + done.stderr


def test_outputs_older_than_the_rerun_are_told_unless_the_clock_was_set(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"x")
    tmp_path = tmp_path / "run"
    tmp_path.mkdir()
    for name in ("config.toml", "new", "old", "empty", "log"):
        (tmp_path / name).write_bytes(b"" if name == "empty" else b"x")
    (tmp_path / "link").hardlink_to(tmp_path.with_name("elsewhere"))
    (tmp_path / "latest").hardlink_to(tmp_path / "new")  # of its own
    began = (tmp_path / "new").stat().st_mtime_ns
    os.utime(tmp_path / "old", ns=(began - 1, began - 1))
    os.utime(tmp_path / "empty", ns=(began - 1, began - 1))
    files = mf.scan(tmp_path, ["log"])
    found = [copied(tmp_path, at, files) for at in (began, None)]
    assert found == [["link", "old"], ["link"]]


def test_interrupting_the_command_leaves_nothing(tmp_path: Path) -> None:
    space = toy(tmp_path)
    run_id = finished(space)
    wrong(hang_at=3)(space)
    command = [sys.executable, "-m", "exptui", "--workspace", str(space.root), "verify", run_id]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0)
    until((tmp_path / "hanging").exists)
    until(lambda: any(state.done == 3 for state in space.verification_states().values()))
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out.split()[0]) == (5, "UNKNOWN")
    assert "cancelled: no comparison was made" in out
    until(lambda: not list((space.archives / "restoration").iterdir()))
    assert not Path("/proc", (tmp_path / "hanging").read_text()).exists()
