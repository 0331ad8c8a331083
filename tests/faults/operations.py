"""The operations that are broken: where each starts, what it does, when it is done, how it is done again."""

from __future__ import annotations

import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from msgspec import structs

from exptui.core.archive import ledger, seal
from exptui.core.errors import ArchiveError, ExptuiError
from exptui.core.files import Lock, pretty_json
from exptui.core.house.prune import Rules
from exptui.core.launchers import local
from exptui.core.runs import adopt, launch, queue, run, supervisor, trash
from exptui.core.runs.alone import alone
from exptui.core.runs.cleanup import STORE
from exptui.core.runs.process import Process, boot_id
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from faults import chronicles
from faults.state import Files, archives, contents, sealed_problems
from support import CHECKPOINTS, workspace

SCRIPT = 'echo "{}" > "$EXPTUI_OUTPUT/metrics.json"; echo trained'
Act = Callable[[], object]


@dataclass(frozen=True)
class Operation:
    """`start` makes the state before; `arrange` runs untraced in the child and returns what is traced.

    `done` says what is missing from a success, `again` does what is left to do after a recovery and says what
    went wrong. `follow`: threads and children are traced too.
    """

    name: str
    start: Callable[[Path], Workspace]
    arrange: Callable[[Workspace], Act]
    done: Callable[[Workspace, Files], list[str]]
    again: Callable[[Workspace, Files], list[str]]
    follow: bool = True
    raises: tuple[type[Exception], ...] = (ExptuiError,)  # what its contract says


def finished(parent: Path) -> Workspace:
    """One finished run with a few files in directories."""
    space = workspace(parent, SCRIPT)
    directory = space.run("a")
    assert list(space.wait(directory.name))[-1].state is RunState.FINISHED
    (directory / "checkpoints").mkdir()
    (directory / "checkpoints/epoch_0001.ckpt").write_bytes(random.Random(1).randbytes(150_000))
    (directory / "run_summary.md").write_text("done\n")
    return space


def captured(parent: Path) -> Workspace:
    """That run, with its code captured; an older version of the code is in the store, which nobody has any more."""
    code = parent / "experiments/lib"
    space = workspace(parent, f"sh experiments/lib/train.sh && {SCRIPT}", snapshot=["experiments/lib"])
    (code / "deep").mkdir(parents=True)
    (code / "train.sh").write_text("test -s experiments/lib/deep/data && test -L experiments/lib/link\n")
    (code / "deep/data").write_bytes(random.Random(2).randbytes(30_000))
    (code / "link").symlink_to("deep/data")
    assert list(space.wait(space.run("a").name))[-1].state is RunState.FINISHED
    (space.results / STORE / f"{'0' * 64}.tar").write_bytes(bytes(512))
    return space


def half_captured(parent: Path) -> Workspace:
    """What a launcher left that was killed while it captured the code, and code that no run has."""
    space = captured(parent)
    (space.results / STORE / ".a_20250101T000000Z.4194304.partial").write_bytes(b"half")
    return space


def archived(parent: Path, *, keep: bool = False) -> Workspace:
    """That run, archived."""
    space = finished(parent)
    space.archive(only_run(space), keep=keep)
    return space


def torn(parent: Path) -> Workspace:
    """A finished run, and an archive of another whose ledger has a torn last line."""
    space = finished(parent)
    other = space.results / "other_20250101T000000Z"
    shutil.copytree(space.results / only_run(space), other)
    (other / "run.json").unlink()
    space.archive(other.name)
    with (space.archives / ledger.NAME).open("ab") as file:
        file.write(b'{"at":"2025-01-01T00:0')
    return space


def chronicled(parent: Path) -> Workspace:
    """A finished run, and a chronicle that stops behind its checkpoint."""
    space = finished(parent)
    chronicles.cut_short(space)
    return space


def only_run(space: Workspace) -> str:
    """The id of the one run the operations are about."""
    names = [path.name for path in space.run_directories()] + list(archives(space))
    return next(name for name in names if name.startswith("a_"))


def _archive_done(space: Workspace, before: Files) -> list[str]:
    run_id = next(name for name in before if name.startswith("a_"))
    problems = sealed_problems(space, run_id, before[run_id])
    return problems + ["the source is still there"] * (space.results / run_id).exists()


def _archive_again(space: Workspace, before: Files) -> list[str]:
    run_id = only_run(space)
    if (space.results / run_id).exists():
        space.archive(run_id)
    return _archive_done(space, before)


def _keep_done(space: Workspace, before: Files) -> list[str]:
    (run_id,) = before
    whole = contents(space.results / run_id) == before[run_id]
    return sealed_problems(space, run_id, before[run_id]) + ["the kept source changed"] * (not whole)


def _restore_done(space: Workspace, before: Files) -> list[str]:
    (run_id,) = before
    problems = sealed_problems(space, run_id, before[run_id])
    if contents(space.results / run_id) != before[run_id]:
        problems.append("what was restored differs")
    events = [event["event"] for event in ledger.read(space.archives)[0]]
    return problems + ["the ledger does not say restored"] * ("restored" not in events)


def _restore_again(space: Workspace, before: Files) -> list[str]:
    (run_id,) = before
    if not (space.results / run_id).exists():
        space.restore(run_id)
        return _restore_done(space, before)
    return ["what was restored differs"] * (contents(space.results / run_id) != before[run_id])


def _began(space: Workspace, before: Files) -> list[str]:
    new = [path.name for path in space.run_directories() if path.name not in before]
    problems = ["no run was started"] * (not new)
    for run_id in new:
        last = list(space.wait(run_id))[-1]
        if last.state is not RunState.FINISHED or not (last.path / "metrics.json").exists():
            problems.append(f"{run_id} is {last.state}: {last.record and last.record.exit}")
    return problems


def _begin_again(space: Workspace, before: Files) -> list[str]:
    known = {**before, **{path.name: {} for path in space.run_directories()}}
    space.run("a")
    return _began(space, known)


@contextmanager
def queued(space: Workspace) -> Iterator[tuple[Path, Lock]]:
    """A queued run whose supervisor is not started: its directory and the supervisor's lock, taken."""
    held: list[Lock] = []

    def keep(module: str, paths: object, lock: Lock) -> None:
        held.append(Lock(os.dup(lock.fd), lock.path))

    with mock.patch.object(local, "detach", keep):
        yield space.run("a"), held[0]


def _supervise(space: Workspace) -> Act:
    with queued(space) as (directory, lock):
        owner = supervisor.Supervisor(directory, space.places.project, space.results, lock.fd)
    return owner.main


def _supervised(space: Workspace, before: Files) -> list[str]:
    """The record speaks, not the process: whatever it says must be so."""
    problems = []
    for path in space.run_directories():
        view = space.view(path)
        whole = contents(path).keys() >= {
            "config.toml",
            "metrics.json",
            "trainer.log",
        }  # attempts/ only tells
        if view.state is RunState.FINISHED and not whole:
            problems.append(f"{path.name} is FINISHED without its files")
        if view.state is RunState.FAILED and view.record and view.record.exit and not view.record.exit.error:
            problems.append(f"{path.name} FAILED for no reason")
    return problems + [f"{view.run_id} is {view.state}" for view in space.list_runs() if view.state.live]


def _supervise_again(space: Workspace, before: Files) -> list[str]:
    problems = []
    for view in space.list_runs():
        if view.record and not view.record.started_at:
            space.resume(view.run_id)
            last = list(space.wait(view.run_id))[-1]
            problems += [f"resumed: {last.state}"] * (last.state is not RunState.FINISHED)
    return problems or _begin_again(space, before)


def _replace(space: Workspace) -> Act:
    directory = space.results / only_run(space)
    record = run.read(directory)
    assert record is not None

    def write() -> None:
        with alone(space.archives, directory.name):
            run.write(directory, structs.replace(record, code_changed=True))

    return write


def _replaced(space: Workspace, before: Files) -> list[str]:
    record = space.show(only_run(space)).record
    return ["run.json is the old one"] * (record is None or not record.code_changed)


def _replace_again(space: Workspace, before: Files) -> list[str]:
    _replace(space)()
    return _replaced(space, before)


def _recovered(space: Workspace, before: Files) -> list[str]:
    return [f"recover had not finished: {message}" for message in space.recover()]


def crashed(stage: str, *, cut: bool = False) -> Callable[[Path], Workspace]:
    """A workspace whose archiver was killed as it was about to enter `seal.<stage>`; `cut`: half-way through."""

    def start(parent: Path) -> Workspace:
        space = finished(parent)
        pid = os.fork()
        if pid == 0:
            setattr(seal, stage, lambda *_: os._exit(9))
            try:
                space.archive(only_run(space))
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
        if cut:
            trash = next(space.results.glob(f"{seal.TRASH}*"))
            shutil.rmtree(trash / "checkpoints")
        return space

    return start


def unentered(parent: Path) -> Workspace:
    """A committed archive that its killed archiver did not enter in the ledger."""
    space = finished(parent)
    space.archive(only_run(space), keep=True)
    (space.archives / ledger.NAME).unlink()
    return space


def claimed(parent: Path) -> Workspace:
    """What launchers left that were killed before their runs were queued."""
    space = finished(parent)
    claim = launch.claim(space.results, "a")
    gone = Process(pid=4194304, start_time=1.0, boot_id=boot_id())
    (claim / adopt.CLAIM).write_bytes(pretty_json(launch.Claim(socket.gethostname(), gone)))
    (claim / "config.toml").write_bytes((space.configs / "a.toml").read_bytes())
    (claim / ".run.json.4194304.partial").write_bytes(b"{")
    (space.results / "a_20250101T000000Z").mkdir()
    os.utime(space.results / "a_20250101T000000Z", (0, 0))
    (lock_directory(space) / f"{claim.name}{queue.SUPERVISOR}").touch()
    return space


def half_restored(parent: Path) -> Workspace:
    """An archive, and what a killed restoration of it left."""
    space = archived(parent)
    left = space.results / ".restore-1-00000000"
    (left / "checkpoints").mkdir(parents=True)
    (left / "checkpoints/epoch_0001.ckpt").write_bytes(b"half")
    return space


def _recovery(name: str, start: Callable[[Path], Workspace]) -> Operation:
    again = _restore_again if name == "a restoration" else _archive_again
    return Operation(f"recover {name}", start, lambda space: space.recover, _recovered, again)


def _archive(space: Workspace) -> Act:
    run_id = only_run(space)
    return lambda: space.archive(run_id)


def _archive_keep(space: Workspace) -> Act:
    run_id = only_run(space)
    return lambda: space.archive(run_id, keep=True)


def _restore(space: Workspace) -> Act:
    run_id = only_run(space)
    return lambda: space.restore(run_id)


def _again_keeping(space: Workspace, before: Files) -> list[str]:
    space.archive(only_run(space), keep=True)
    return _keep_done(space, before)


def checkpointed(parent: Path) -> Workspace:
    """A finished run whose trainer says which of its files are checkpoints, and settings that keep the last."""
    space = finished(parent)
    keys = f'checkpoints = "{CHECKPOINTS}"\n[archive]\ncheckpoints = "last"\n'
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text() + keys)
    folder = space.results / only_run(space) / "checkpoints"
    (folder / "epoch_0002.ckpt").write_bytes(random.Random(2).randbytes(150_000))
    return space


def removed(parent: Path) -> Workspace:
    """A run, and another in the trash, of which there is a copy beside."""
    space = finished(parent)
    other = space.results / "other_20250101T000000Z"
    shutil.copytree(space.results / only_run(space), other)
    shutil.copytree(other, parent / "copy")
    space.remove(other.name)
    return space


def _remove(space: Workspace) -> Act:
    run_id = only_run(space)
    return lambda: space.remove(run_id)


def _removed(space: Workspace, before: Files) -> list[str]:
    (run_id,) = before
    return ["it is not in the trash"] * ([one.run_id for one in space.trashed()] != [run_id])


def _remove_again(space: Workspace, before: Files) -> list[str]:
    (run_id,) = before
    if (space.results / run_id).exists():
        space.remove(run_id)
    problems = _removed(space, before)
    space.undo_remove(run_id)
    return problems


def _taken_back(space: Workspace, before: Files) -> list[str]:
    copy = contents(space.root.parent / "copy")
    return ["it is not back"] * (contents(space.results / "other_20250101T000000Z") != copy)


def _take_back_again(space: Workspace, before: Files) -> list[str]:
    if space.trashed():
        space.undo_remove()
    return _taken_back(space, before)


def _emptied(space: Workspace, before: Files) -> list[str]:
    return ["the trash is not empty"] * bool(contents(space.results / trash.TRASH))


def _empty(space: Workspace) -> list[object]:
    return list(space.empty_trash(space.trashed()))


def _empty_again(space: Workspace, before: Files) -> list[str]:
    copy = contents(space.root.parent / "copy")
    halves = [one.run_id for one in space.trashed() if contents(one.path) != copy]
    _empty(space)
    return [f"half of {name} could be taken back" for name in halves] + _emptied(space, before)


def _prune(space: Workspace) -> Act:
    plan = space.prunable(Rules(older_than=0.0, checkpoints_only=True))

    def act() -> None:
        for went in space.prune(plan):
            if went.why:
                raise ArchiveError(went.why)

    return act


def _pruned(space: Workspace, before: Files) -> list[str]:
    (run_id,) = before
    left = list((space.results / run_id).glob("checkpoints/*"))
    return [f"still there: {left}"] * bool(left)


def _prune_again(space: Workspace, before: Files) -> list[str]:
    _prune(space)()
    return _pruned(space, before)


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("start", finished, lambda space: lambda: space.run("a"), _began, _begin_again, follow=False),
        Operation("start captured", captured, lambda space: lambda: space.run("a"), _began, _begin_again, follow=False),
        Operation("supervise captured", captured, _supervise, _supervised, _supervise_again, follow=False, raises=(ExptuiError, OSError)),
        Operation("supervise", finished, _supervise, _supervised, _supervise_again, follow=False, raises=(ExptuiError, OSError)),
        Operation("replace", finished, _replace, _replaced, _replace_again, raises=(ExptuiError, OSError)),
        Operation("chronicle", finished, lambda space: lambda: chronicles.write(space), chronicles.sealed, chronicles.again, raises=(ExptuiError, OSError)),
        Operation("chronicle resumed", chronicled, lambda space: lambda: chronicles.resume(space), chronicles.sealed, chronicles.again, raises=(ExptuiError, OSError)),
        Operation("archive", finished, _archive, _archive_done, _archive_again),
        Operation("archive --keep", finished, _archive_keep, _keep_done, _again_keeping),
        Operation("archive again", lambda parent: archived(parent, keep=True), _archive, _archive_done, _archive_again),
        Operation("archive torn", torn, _archive, _archive_done, _archive_again),
        Operation("restore", archived, _restore, _restore_done, _restore_again),
        Operation("archive the last", checkpointed, _archive, _archive_done, _archive_again),
        Operation("remove", finished, _remove, _removed, _remove_again),
        Operation("take back", removed, lambda space: space.undo_remove, _taken_back, _take_back_again),
        Operation("empty the trash", removed, lambda space: lambda: _empty(space), _emptied, _empty_again),
        Operation("prune checkpoints", checkpointed, _prune, _pruned, _prune_again),
        _recovery("a partial", crashed("read_back")),
        _recovery("sidecars", crashed("_publish")),
        _recovery("a commit", crashed("_remove_source")),
        _recovery("an entry", unentered),
        _recovery("a claim", claimed),
        _recovery("a capture", half_captured),
        _recovery("a removal", crashed("remove_tree")),
        _recovery("half a removal", crashed("remove_tree", cut=True)),
        _recovery("a restoration", half_restored),
    )
}  # fmt: skip


def lock_directory(space: Workspace) -> Path:
    """Where the locks of a workspace are, outside of it."""
    return queue.lock_directory(space.results)
