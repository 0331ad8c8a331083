"""What happens to a supervisor in a long life: full disks, cleaned directories, errors of its own, and commands that race."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exptui.core import doctor
from exptui.core.archive.prepare import prepare
from exptui.core.audit.report import AuditReport, Verdict
from exptui.core.errors import ArchiveError, RunError
from exptui.core.files import Lock
from exptui.core.launchers import local
from exptui.core.runs import environment, run, supervisor
from exptui.core.runs.alone import alone, lock_path
from exptui.core.runs.run import RunState, RunView
from exptui.core.runs.supervisor import Supervisor
from exptui.core.workspace import Workspace
from soak.supervision import ended, fresh, record_of, running
from support import until, workspace


def finished(parent: Path, script: str = 'echo 1 > "$EXPTUI_OUTPUT/model"') -> tuple[Workspace, Path]:
    space = workspace(parent, script)
    directory = space.run("a")
    assert ended(space, directory) is RunState.FINISHED
    return space, directory


def test_a_run_whose_lock_files_were_cleaned_away_is_still_running(tmp_path: Path) -> None:
    space = fresh(tmp_path / "w")
    directory, _, _ = running(space)
    record = record_of(directory)
    for lock in (record.supervisor_lock, record.run_lock):
        assert lock is not None
        Path(lock.path).unlink()
    assert space.show(directory.name).state is RunState.RUNNING
    assert space.stop(directory.name).state is RunState.STOPPED


def queued(parent: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> tuple[Workspace, Supervisor]:
    """A run whose supervisor is to work in this process."""
    space = workspace(parent, script)
    held: list[Lock] = []
    monkeypatch.setattr(
        local, "detach", lambda _module, _paths, lock: held.append(Lock(os.dup(lock.fd), lock.path))
    )
    directory = space.run("a")
    # Neither the handlers of this process nor its place in the tree are to change.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(signal, "set_wakeup_fd", lambda *_: None)
    monkeypatch.setattr(os, "umask", lambda _: 0)
    monkeypatch.setattr(supervisor, "PR_SET_CHILD_SUBREAPER", 0)
    mine = Supervisor(directory, space.root.parent, space.results, held[0].fd)
    monkeypatch.setattr(mine, "_family", list)
    return space, mine


def test_the_heartbeat_keeps_the_lock_files_young(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cleans /var/tmp takes those that nobody has touched for a month."""
    _space, mine = queued(tmp_path, monkeypatch, "true")
    os.utime(mine.lock.path, (0, 0))
    mine._look()
    assert time.time() - mine.lock.path.stat().st_mtime < 60


def test_an_error_of_the_supervisors_own_says_what_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, mine = queued(tmp_path, monkeypatch, "true")

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr(environment, "fingerprint", broken)
    with pytest.raises(ZeroDivisionError):
        mine.main()
    end = record_of(mine.directory).exit
    assert end is not None
    assert end.error.startswith(
        "the supervisor failed: ZeroDivisionError: by chance (test_long_life.py, line "
    )
    assert end.error.endswith(", in broken)")
    facts = json.loads((mine.directory / "attempts/1.json").read_text())
    assert facts["traceback"].startswith("Traceback (most recent call last)")


def test_an_end_on_a_full_disk_is_written_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, mine = queued(tmp_path, monkeypatch, "true")
    refused: list[str] = []
    write = run.write

    def full(directory: Path, record: run.RunRecord) -> None:
        if record.phase is run.Phase.EXITED and len(refused) < 3:
            refused.append(space.view(directory).state)
            raise OSError(errno.ENOSPC, "No space left on device")
        write(directory, record)

    monkeypatch.setattr(run, "write", full)
    monkeypatch.setattr(mine, "_pause", lambda _: None)
    mine.main()
    assert refused == [RunState.RUNNING] * 3
    assert space.view(mine.directory).state is RunState.FINISHED


def test_a_heartbeat_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    space = fresh(tmp_path / "w")
    directory = space.run("a")
    (directory / "attempts").write_text("in the way")
    until((directory / "pid").exists)
    (directory / "go").touch()
    assert ended(space, directory) is RunState.FINISHED


def test_code_that_is_gone_at_the_end_has_changed(tmp_path: Path) -> None:
    space = workspace(tmp_path, "rm code.py", code=["code.py"])
    (tmp_path / "code.py").write_text("1\n")
    directory = space.run("a")
    assert ended(space, directory) is RunState.FINISHED
    assert record_of(directory).code_changed


def test_a_resume_on_another_machine_belongs_there(tmp_path: Path) -> None:
    space = workspace(tmp_path, "exit 3", resume=["x"], checkpoints="config.toml")
    directory = space.run("a")
    assert ended(space, directory) is RunState.FAILED
    run.write(directory, msgspec.structs.replace(record_of(directory), host="elsewhere", user="somebody"))
    space.resume(directory.name)
    assert ended(space, directory) is RunState.FAILED
    assert record_of(directory).host != "elsewhere"
    assert record_of(directory).user != "somebody"


# One command at a time


def test_a_run_that_is_being_worked_on_is_left_to_it(tmp_path: Path) -> None:
    space, directory = finished(tmp_path)
    with alone(space.archives, directory.name):
        for command in (space.archive, space.remove, space.resume):
            with pytest.raises(RunError, match="another command is at work"):
                command(directory.name)
    assert directory.is_dir()
    assert not lock_path(space.archives, directory.name).exists()
    space.remove(directory.name)


def test_a_run_that_changed_before_it_could_be_archived_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, directory = finished(tmp_path)

    def slow(view: RunView, **how: Any) -> object:
        run.write(directory, msgspec.structs.replace(record_of(directory), attempts=2))
        return prepare(view, **how)

    monkeypatch.setattr("exptui.core.archive.prepare.prepare", slow)
    with pytest.raises(ArchiveError, match="changed meanwhile"):
        space.archive(directory.name)
    assert directory.is_dir()


def test_a_verification_of_a_run_that_was_archived_meanwhile_is_unknown_and_says_why(tmp_path: Path) -> None:
    space, directory = finished(tmp_path)
    request = space.request(directory.name)
    with alone(space.archives, directory.name):  # an archiving at work: the copying waits for it
        verification = space.verify(request)
        until(
            lambda: (state := space.verification_states().get(verification.name)) and "reading" in state.phase
        )
        shutil.rmtree(directory)
    report = list(space.follow(verification))[-1]
    assert isinstance(report, AuditReport)
    assert report.verdict is Verdict.UNKNOWN
    assert "archived or removed meanwhile" in report.reason


def test_a_resume_right_after_the_end_waits_for_the_last_moments_of_the_supervisor(tmp_path: Path) -> None:
    space = workspace(tmp_path, "exit 3", resume=["x"], checkpoints="config.toml")
    directory = space.run("a")
    assert ended(space, directory) is RunState.FAILED
    lock_id = record_of(directory).supervisor_lock
    assert lock_id is not None
    until(lambda: not Path(lock_id.path).exists())
    lock = Lock.take(Path(lock_id.path))
    assert lock is not None
    threading.Timer(0.3, lock.release).start()
    space.resume(directory.name)
    assert ended(space, directory) is RunState.FAILED
    assert record_of(directory).attempts == 2


def test_a_run_that_never_began_takes_over_nobodys_directory(tmp_path: Path) -> None:
    space = workspace(tmp_path, command=["sleep", "60"])  # not told where to write
    first, second = space.run("a"), space.run("a")
    by_hand = space.results / "by_hand"
    shutil.copytree(second, by_hand, ignore=lambda *_: ["run.json"])
    assert space.stop(second.name).state is RunState.STOPPED
    assert (by_hand / "config.toml").is_file()
    space.stop(first.name)


def test_where_a_logout_ends_runs_doctor_says_so(tmp_path: Path) -> None:
    def said(user: str = "ann") -> list[str]:
        return [finding.hint for finding in doctor.logout(tmp_path, user)]

    assert said() == []
    folder = tmp_path / "etc/systemd/logind.conf.d"
    folder.mkdir(parents=True)
    main = tmp_path / "etc/systemd/logind.conf"
    main.write_text("[Login]\n#KillUserProcesses=no\nKillUserProcesses = yes\n")
    assert "enable-linger" in said()[0]
    assert said("root") == []
    (folder / "50-keep.conf").write_text("[Login]\nKillUserProcesses=no\n")
    assert said() == []
    vendor = tmp_path / "usr/lib/systemd/logind.conf.d"
    vendor.mkdir(parents=True)
    (vendor / "60-kill.conf").write_text("[Login]\nKillUserProcesses=yes\nKillExcludeUsers=bob\n")
    assert said()
    assert said("bob") == []
    (folder / "60-kill.conf").write_text("")
    assert said() == []
