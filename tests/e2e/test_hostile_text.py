"""Text from logs, configs, names and records never commands a terminal: every surface of the cockpit and the CLI."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from e2e.terminal import Terminal
from exptui.core.archive import ledger
from exptui.core.runs.run import RunState
from exptui.core.workspace import Workspace
from support import until, workspace

MARKUP = "[/x] [@click=app.quit]x[/] [bold red]y[/bold red]"
CSI = "\x1b[31337m\x1b[31337;1H\x1b[?31337h\x1b[2J"
OSC = (
    "\x1b]52;c;U0dhY2tQV05FRA==\x07\x1b]0;PWNEDTITLE\x07\x1b]8;;http://pwned.example\x1b\\link\x1b]8;;\x1b\\"
)
DCS = "\x1bPPWNEDDCS\x1b\\\x1b_PWNEDAPC\x1b\\\x1bc"
C1 = "\x9b31337m\x9d52;c;U0dhY2tQV05FRA==\x9c\x90PWNED\x9c"
BIDI = "\u202epwned\u202c\u2066a\u2069\u200f\u061c"
TEXT = f"{MARKUP}{CSI}{OSC}{DCS}{C1}{BIDI}\x00\x07\x08\x7f"
SHORT = f"[/x]\x1b[31337m\x1b]0;PWN\x07{C1[:7]}\u202ew"
NAME = "[red]\x1b[31337m\x1b]0;PWN\x07\u009b31337m\u202eq\n\r"
HUGE = 1 << 20
RAW_LOG = (
    f"first {TEXT}\n".encode()
    + b"invalid \xff\xfe\x9b31337m \xc3( \x00\n"
    + b"x" * HUGE
    + b"\n"
    + "\x1b[31337m\u009b\u202e".encode() * (HUGE // 12)
    + b"\n"
    + b"\r".join(b"%d%% \x1b[31337K" % n for n in range(100))
    + f"\rlast state {SHORT}\nTraceback (most recent call last):\n  {TEXT}\nerror {TEXT}\nthe end\n".encode()
)
FORBIDDEN = (
    b"\x1b[31337",
    b"\x1b[?31337",
    b"\x1b]52;",
    b"\x1b]0;PW",
    b"\x1b]8;",
    b"\x1bPPWN",
    b"\x1b_PWN",
    b"\x1bc",
    b"\x00",
)
STEPS = "".join(
    json.dumps({"epoch": n, f"loss {SHORT}": 1 / n, f"train_{SHORT}": n, f"accuracy {TEXT}": n / 9}) + "\n"
    for n in range(1, 9)
)
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def config_text() -> str:
    values: dict[str, Any] = {
        "engine": {
            "base_seed": 7,
            "epochs": 8,
            f"key {TEXT}": TEXT,
            "list": [TEXT, SHORT],
            "big": "b" * HUGE,
        },
        f"table {SHORT}": {f"k {BIDI}": OSC},
        "plain": MARKUP,
    }
    # The raw C1 and bidi characters are valid TOML; the C0 ones are written as escapes.
    return f"# comment {MARKUP}{BIDI}\n{tomli_w.dumps(values)}\n"


def fill(directory: Path) -> None:
    """What a hostile trainer leaves behind."""
    (directory / "trainer.log").write_bytes(RAW_LOG)
    (directory / "metrics.jsonl").write_text(STEPS + "not json " + TEXT.replace("\x00", "") + "\n")
    (directory / "metrics.json").write_text(json.dumps({f"loss {SHORT}": 0.1, f"accuracy {TEXT}": 0.9}))


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def a_run(space: Workspace, name: str = "a") -> Path:
    directory = space.run(name)
    until(lambda: space.show(directory.name).state is RunState.FINISHED)
    return directory


@pytest.fixture
def space(original: Workspace, tmp_path: Path) -> Workspace:
    """A copy of its own for every test."""
    return Workspace(shutil.copytree(original.root, tmp_path / "experiments", symlinks=True))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Runs, a config and an archive in which every text is hostile."""
    made = workspace(tmp_path_factory.mktemp("hostile"), name=f"trainer {TEXT}")
    (made.configs / "a.toml").write_text(config_text())
    (made.configs / "broken.toml").write_bytes(b"[x\nbad = \xff\x1b[31337m\n")
    (made.configs / f"{NAME}.toml").write_text("")
    (made.configs / os.fsdecode(b"inv\xff\x9balid.toml")).write_text("")
    sealed, first, second = a_run(made), a_run(made), a_run(made)
    for directory in (sealed, first, second):
        fill(directory)
        changed(directory / "run.json", config_name=TEXT, user=TEXT)
    code = subprocess.run(
        [sys.executable, "-m", "exptui", "archive", sealed.name], cwd=made.root.parent, capture_output=True
    )
    assert code.returncode == 0, code.stderr
    for directory in (first, second):
        changed(directory / "run.json", config_sha256=SHORT)  # which would keep it out of the archive
        for name in (NAME, MARKUP.replace("/", ":"), os.fsdecode(b"raw\x9b31337m\xff"), C1):
            (directory / name).write_text("x")
    changed(
        first / "run.json",
        exit={"code": None, "signal": 9, "error": TEXT},
        fingerprint={"git": {"commit": SHORT, "dirty": True}, "code": {SHORT: SHORT}, TEXT: TEXT},
        resumed_from=TEXT,
        attempts=2,
    )
    changed(second / "run.json", fingerprint={"host": TEXT, SHORT: BIDI, "code": {SHORT: "other"}})
    config = (second / "config.toml").read_text()
    (second / "config.toml").write_text(config.replace("base_seed = 7", f'base_seed = "{C1}{BIDI}"'))
    for name, text in (("half_20250101T000000Z", '{"run_id": "'), ("odd_20250101T000000Z", SHORT)):
        (made.results / name).mkdir()
        (made.results / name / "run.json").write_text(text)
        (made.results / name / "config.toml").write_text("")
    for name in (f"{NAME}_20250101T000000Z", os.fsdecode(b"inv\xff\x9b31337m_20250101T000000Z")):
        (made.results / name).mkdir()
        fill(made.results / name)
    remote = made.results / "remote_20250102T000000Z"
    remote.mkdir()
    record = json.loads((second / "run.json").read_text())
    record |= {
        "run_id": TEXT,
        "phase": "running",
        "host": TEXT,
        "exit": None,
        "ended_at": TEXT,
        "adopted": SHORT,
    }
    (remote / "run.json").write_text(json.dumps(record))
    hostile_archive(made, sealed.name, first.name)
    return made


def hostile_archive(space: Workspace, *run_ids: str) -> None:
    """Reports, a ledger and a card with hostile words."""
    change = dict.fromkeys(("key", "baseline", "candidate"), TEXT)
    for run_id in run_ids:
        audit = space.archives / f"restoration/{run_id}_20250103T000000Z"
        audit.mkdir(parents=True)
        report = {
            **dict.fromkeys(
                ("reason", "source", "identity", "mismatch_phase", "scope", "isolation", "kept"), TEXT
            ),
            "run_id": TEXT,
            "verdict": "DIVERGED",
            "first_mismatch_cycle": 3,
            "started_at": TEXT,
            "mismatch_details": [change],
            "environment": [change],
            "suspects": [TEXT],
            "command": [TEXT],
            "files": [{"path": TEXT, "class": "identity", "status": "differs", "declared": [TEXT]}],
        }
        (audit / "audit.json").write_text(json.dumps(report))
    line = ledger.read(space.archives)[0][-1]
    line |= {"event": "verified", "verdict": "DIVERGED", "at": TEXT, "user": TEXT}
    ledger.append(space.archives, line)
    with (space.archives / ledger.NAME).open("a") as file:
        file.write(f"torn {SHORT}")
    card = space.archives / f"{run_ids[0]}.card.json"
    changed(card, log=[TEXT, SHORT], metrics={f"loss {SHORT}": 0.5, TEXT: 1.0})


@pytest.fixture
def terminal(space: Workspace) -> Iterator[Terminal]:
    made = Terminal(space.root.parent)
    yield made
    made.close()


def harmless(terminal: Terminal, code: int) -> None:
    """Nothing of the payloads has reached the terminal, and the app ended as it should."""
    written = terminal.written
    assert [(b, around(written, b)) for b in FORBIDDEN if b in written] == []
    text = written.decode()  # strictly: a byte that is no UTF-8 would be a control to some terminals
    assert sorted({ascii(c) for c in CONTROL.findall(text)} - {ascii(c) for c in "\t\x07\r\x08\x1b"}) == []
    assert "Traceback (most recent call last):\r\n  File" not in text
    assert "internal error" not in text
    assert code == 0


def around(written: bytes, part: bytes) -> bytes:
    at = written.find(part)
    return written[max(0, at - 60) : at + 60]


def tabs(terminal: Terminal) -> None:
    """All six of them; the lists of keys are of the tab that has the focus."""
    terminal.keys("0")
    for _ in range(6):
        before = active(terminal.screen())
        terminal.keys("]")
        terminal.until(partial(another, before), "the tab never changed")


def active(screen: str) -> str:
    """The tab that is shown and what is in it: the screen without the lists, whose ages change."""
    return "\n".join(line[46:] for line in screen.splitlines()[1:-1])


def another(before: str, screen: str) -> bool:
    return active(screen) != before


TITLES = {"1": r" config ", "2": r"20\d{6}T\d{6}Z", "3": r" archived "}


def pane(terminal: Terminal, key: str) -> None:
    """Go to a list; what is typed before it has the focus is for the one that had it."""
    terminal.keys(key)
    terminal.until(lambda screen: re.search(TITLES[key], title(screen)) is not None, f"pane {key} never came")


def title(screen: str) -> str:
    return screen.splitlines()[1][44:]


def narrow(terminal: Terminal, query: str) -> None:
    """Filter the runs."""
    pane(terminal, "2")
    terminal.keys("/")
    terminal.shows("Filter the runs")
    terminal.keys(f"{query}\r")
    terminal.lacks("Filter the runs")


def test_the_lists_and_the_tabs(terminal: Terminal) -> None:
    terminal.shows("1 Configs 4")
    terminal.shows("2 Runs 7")
    terminal.shows("3 Archive 1")
    for key, rows in (("2", 7), ("1", 4), ("3", 1)):
        pane(terminal, key)
        terminal.keys("g")
        for _ in range(rows):
            tabs(terminal)
            pane(terminal, key)
            terminal.keys("j")
    narrow(terminal, "id:a_")
    terminal.keys("L")
    terminal.shows("following")
    for key in "w#eEwGg":
        terminal.keys(key)
        terminal.shows("following", "paused")
    terminal.keys("F")
    terminal.shows("the end")
    terminal.shows("1 Configs 4")
    harmless(terminal, terminal.leave())


def sheet(terminal: Terminal, key: str, shown: str) -> None:
    """Open it, read it, close it."""
    terminal.keys(key)
    terminal.shows(shown)
    terminal.keys("\x1b")
    terminal.lacks(shown)


def test_the_sheets(terminal: Terminal) -> None:
    terminal.shows("2 Runs 7")
    pane(terminal, "2")
    terminal.keys("g")
    terminal.shows("REMOTE")
    sheet(terminal, "?", "Keys")
    sheet(terminal, ":", "Commands")
    for _ in range(7):
        for key, shown in (("y", "Copy"), ("D", "to the trash?"), ("V", "Verify "), ("a", "Archive ")):
            sheet(terminal, key, {"Archive ": "archives and keeps"}.get(shown, shown))
        terminal.keys("j")
    pane(terminal, "1")
    terminal.keys("gj")
    terminal.shows("engine.base_seed")
    terminal.keys("r")
    terminal.shows("program ")
    terminal.keys("\x1b")
    terminal.lacks("program ")
    sheet(terminal, "E", "with edits")
    narrow(terminal, "[/x]")
    terminal.shows("no run matches", "of 7")
    terminal.keys("\x1b")
    terminal.shows("2 Runs 7")
    pane(terminal, "3")
    sheet(terminal, "V", "Verify ")
    sheet(terminal, "y", "Copy")
    terminal.keys("c")
    terminal.shows("is CORRUPT", "is intact")
    terminal.keys("t")
    terminal.shows("is in results/ again")
    terminal.shows("2 Runs 8")
    harmless(terminal, terminal.leave())


def test_the_comparison_of_all_runs(terminal: Terminal) -> None:
    terminal.shows("2 Runs ")
    narrow(terminal, "id:a_")
    terminal.shows("of 7", "of 8")
    terminal.keys("*")
    terminal.shows("marked")
    terminal.keys("d")
    terminal.shows("Esc back")
    terminal.shows("vs", "not read", "no config")
    terminal.keys("GGogm")
    terminal.shows("wrote", "comparisons")
    terminal.keys("\x1b")
    terminal.shows("1 Configs")
    harmless(terminal, terminal.leave())


def test_stopping_and_the_toasts_of_refusals(terminal: Terminal) -> None:
    terminal.shows("2 Runs ")
    narrow(terminal, "state:remote")
    terminal.shows("1 of ")
    terminal.keys("x")
    terminal.shows("stops it")
    terminal.keys("y")
    terminal.shows("runs on")
    terminal.keys("u")
    terminal.shows("is REMOTE")
    harmless(terminal, terminal.leave())


def test_the_verdict_in_the_ledger(space: Workspace) -> None:
    path = space.archives / ledger.NAME
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:-1], json.dumps({**json.loads(lines[-2]), "verdict": SHORT}), ""]))
    terminal = Terminal(space.root.parent)
    try:
        terminal.shows("3 Archive 1")
        pane(terminal, "3")
        tabs(terminal)
        harmless(terminal, terminal.leave())
    finally:
        terminal.close()


def test_a_fingerprint_of_another_shape_does_not_end_the_cockpit(tmp_path: Path) -> None:
    made = workspace(tmp_path)
    shapes: list[object] = [
        {"git": {}},
        {"git": {"commit": [TEXT]}, "code": {"a": 1}},
        {"git": TEXT, "code": []},
    ]
    for shape in shapes:
        changed(a_run(made) / "run.json", fingerprint=shape, started_at=TEXT, ended_at="0001-01-01T00:00:00")
    terminal = Terminal(tmp_path)
    try:
        terminal.shows("2 Runs 3")
        for _ in range(3):
            pane(terminal, "2")
            terminal.keys("j")
            tabs(terminal)
        harmless(terminal, terminal.leave())
    finally:
        terminal.close()


def exptui(space: Workspace, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "exptui", *words], cwd=space.root.parent, capture_output=True, timeout=60
    )


def newest(space: Workspace) -> list[str]:
    """The three kinds of runs: ended badly, finished, half-written; then those with hostile names."""
    return [view.run_id for view in space.list_runs()]


def plain(done: subprocess.CompletedProcess[bytes]) -> str:
    """What it said, in which there is no control but the newline."""
    said = (done.stdout + done.stderr).decode()
    assert [
        (ascii(m[0]), ascii(said[max(0, m.start() - 40) : m.end() + 20])) for m in CONTROL.finditer(said)
    ] == []
    assert "internal error" not in said
    assert 'File "' not in said
    assert done.returncode in (0, 1, 2, 3, 4, 5)
    return said


@pytest.mark.parametrize(
    "words",
    [["ls"], ["ls", "configs"], ["ls", "archive"], ["check"], ["check", "--read-data"], ["doctor"]],
    ids=" ".join,
)
def test_what_lists(space: Workspace, words: list[str]) -> None:
    assert plain(exptui(space, *words))


@pytest.mark.parametrize("command", ["show", "logs"])
def test_what_shows_a_run(space: Workspace, command: str) -> None:
    for run_id in newest(space):
        plain(exptui(space, command, run_id))


def test_diff_and_its_markdown(space: Workspace) -> None:
    ids = [run_id for run_id in newest(space) if run_id.startswith("a_")]
    said = plain(exptui(space, "diff", ids[0], ids[1], "--markdown"))
    assert "base_seed" in said
    for path in (space.results / "comparisons").glob("*.md"):
        assert CONTROL.findall(path.read_text()) == []
    plain(exptui(space, "diff", ids[0], newest(space)[0]))


def test_what_refuses(space: Workspace) -> None:
    run_ids, archived = newest(space), space.list_archives()[0].run_id
    # Names in this shape come from a shell's `*`.
    for words in (
        ["show"],
        ["logs"],
        ["stop"],
        ["resume"],
        ["rm"],
        ["restore"],
        ["check"],
        ["verify"],
        ["run"],
        ["archive"],
    ):
        plain(exptui(space, *words, TEXT.replace("\x00", "")))
    for run_id in (n for n in run_ids if "a_2" not in n):
        plain(exptui(space, "archive", run_id))
        plain(exptui(space, "resume", run_id))
    (space.results / archived).mkdir(exist_ok=True)
    plain(exptui(space, "restore", archived))
    for name in ("a", "broken", NAME):
        if name != "a":
            plain(exptui(space, "run", name))
    for path in space.archives.glob(f"{archived}.sha256"):
        path.write_text(TEXT)
    plain(exptui(space, "check", archived, "--read-data"))
    odd = space.archives / f"{NAME}.tar.gz"
    odd.write_bytes(b"x")
    plain(exptui(space, "check", NAME))
    plain(exptui(space, "restore", NAME))
    plain(exptui(space, "verify", NAME))
    plain(exptui(space, "ls", "archive"))
    odd.unlink()


def test_removing_and_taking_back(space: Workspace) -> None:
    for run_id in newest(space):
        if run_id.startswith(("[red]", "inv")):
            plain(exptui(space, "rm", run_id))
            plain(exptui(space, "rm", "--undo"))


def test_words_that_the_argument_parser_refuses(space: Workspace) -> None:
    for words in (["show", "a", NAME], ["ls", NAME], [NAME], ["logs", "-n", NAME, "a"], ["ls", f"--{NAME}"]):
        plain(exptui(space, *words))


@pytest.mark.parametrize(
    "words", [["ls"], ["ls", "configs"], ["ls", "archive"], ["doctor"], ["check"]], ids=" ".join
)
def test_json_has_its_controls_as_escapes(space: Workspace, words: list[str]) -> None:
    done = exptui(space, *words, "--json")
    plain(done)
    json.loads(done.stdout)
