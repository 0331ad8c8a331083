"""Commands of several people at once on the same run: one wins, the others say why not, and nothing is lost."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from support import until, workspace

# Of `a` everything is written at once; an attempt at `b` fails, the next one finishes.
SCRIPT = (
    'cd "$EXPTUI_OUTPUT"; if [ "$1" = --from ] || ! grep -q fail config.toml; then echo trained > model; '
    "else echo one > ck1; exit 3; fi"
)
COMMANDS = {
    "a": ["archive", "archive --keep", "verify", "stop", "resume", "rm", "rm --undo", "restore"],
    "b": ["archive --incomplete", "stop", "resume", "rm", "rm --undo", "restore"],
}
BACK = {"rm --undo", "restore"}  # after which a run can be removed again
ALLOWED = {
    "verify": {0, 2, 3, 5}
}  # never DIVERGED nor CORRUPT; every other command: done, bad input, or refused


def schedule(parent: Path, seed: int, rounds: int) -> dict[str, int]:
    """Start two to four commands at once, wait for all, look whether all is there; how many did what."""
    parent.mkdir()
    space = workspace(
        parent, command=["sh", "-c", SCRIPT, "x"], resume=["--from", "{checkpoint}"], checkpoints="ck{epoch}"
    )
    (space.configs / "b.toml").write_text("fail = true\n")
    chance = random.Random(seed)
    counts = {"rounds": 0, "commands": 0, "done": 0, "refused": 0}
    runs: dict[str, str] = {}
    for number in range(rounds):
        config = chance.choice("ab")
        if config not in runs or not number % 6:
            runs[config] = launched(space, config)
        run_id = runs[config]
        words = [chance.choice(COMMANDS[config]).split() for _ in range(chance.randint(2, 4))]
        if chance.random() < 0.3:
            words[1] = words[0]
        codes = at_once(space, [[*one, run_id] for one in words])
        story = f"seed {seed}, round {number}: {words} {codes}"
        removed = [code for one, code in zip(words, codes, strict=True) if one == ["rm"]]
        if not BACK & {" ".join(one) for one in words}:
            assert removed.count(0) <= 1, f"removed twice: {story}"
        settle(space, run_id)
        check(space, run_id, config, story)
        counts["rounds"] += 1
        counts["commands"] += len(codes)
        counts["done"] += codes.count(0)
        counts["refused"] += len(codes) - codes.count(0)
    return counts


def launched(space: Workspace, config: str) -> str:
    """A run of that config that has ended."""
    name = space.run(config).name
    settle(space, name)
    return name


def at_once(space: Workspace, commands: list[list[str]]) -> list[int]:
    """Their exit codes; each said what is wrong in one sentence, with what to do."""
    base = [sys.executable, "-m", "exptui", "--workspace", str(space.root)]
    started = [
        subprocess.Popen([*base, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for words in commands
    ]
    codes = []
    for words, child in zip(commands, started, strict=True):
        out, err = child.communicate(timeout=120)
        allowed = ALLOWED.get(words[0], {0, 2, 3})
        assert child.returncode in allowed, f"{words}: {child.returncode}\n{out}{err}"
        assert "Traceback" not in err, err
        if child.returncode and words[0] != "verify":
            said = [line for line in err.splitlines() if not line.startswith("recovered: ")]
            assert said[0].startswith("exptui: "), err
        codes.append(child.returncode)
    return codes


def settle(space: Workspace, run_id: str) -> None:
    """Wait until nothing of it is at work."""

    def quiet() -> bool:
        view = space.view(space.results / run_id)
        return not (view.state.live or view.leftovers)

    until(quiet)


def check(space: Workspace, run_id: str, config: str, story: str) -> None:
    """The run's bytes are in results/, in its trash or in a good archive; nothing half-done is left."""
    space.recover()
    payload = {"a": ["model"], "b": ["ck1"]}[config]
    folders = [space.results / run_id, *(space.results / ".trash").rglob(run_id)]
    whole = any(all((folder / name).is_file() for name in payload) for folder in folders)
    archive = space.archives / f"{run_id}.tar.gz"
    if archive.exists():
        assert space.check(run_id, read_data=True).identity, f"a bad archive: {story}"
        whole = True
    assert whole, f"the run is lost: {story}"
    path = space.results / run_id
    if path.is_dir():
        assert space.view(path).state in (RunState.FINISHED, RunState.FAILED, RunState.STOPPED), story
    left = [p.name for p in (*space.results.glob(".trash-*"), *space.archives.glob(".*"))]
    assert [name for name in left if name != ".ledger.lock"] == [], f"left behind: {left}: {story}"
