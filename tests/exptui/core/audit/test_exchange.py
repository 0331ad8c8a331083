"""A verdict that is sent back: it counts for the very archive, once, from somebody who is allowed, and never otherwise."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptui.cli import main
from exptui.core.archive import ledger, signature, tally
from exptui.core.audit import exchange
from exptui.core.audit.report import Verdict
from exptui.core.errors import ArchiveError, ConfigError, CorruptError, ExptuiError, StorageError, UsageError
from exptui.core.files import canonical_json
from exptui.core.workspace import Workspace
from support import finished, verified, workspace

SAME = 'echo 1 > "$EXPTUI_OUTPUT/model"'


def key(path: Path, who: str) -> str:
    """Make a key; its line of allowed signers."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return f"{who} {path.with_suffix('.pub').read_text()}"


class Two:
    """Somebody with an archive, and a colleague who ran it again on another machine."""

    def __init__(self, tmp_path: Path) -> None:
        self.home = tmp_path / "home/exptui"
        for folder in (self.home, tmp_path / "mine", tmp_path / "theirs"):
            folder.mkdir(parents=True)
        self.allowed = self.home / "allowed"
        self.allowed.write_text(key(self.home / "key", "colleague@example.org"))
        self.settings('key = "key"\nallowed_signers = "allowed"')
        self.mine = workspace(tmp_path / "mine", SAME)
        self.theirs = workspace(tmp_path / "theirs", "false")
        self.run_id = finished(self.mine)
        self.archive = self.mine.archive(self.run_id).path
        self.letter = tmp_path / "verdict.json"

    def settings(self, text: str) -> None:
        (self.home / "config.toml").write_text(f"[signing]\n{text}\n")

    def verify_there(self) -> None:
        """The colleague's verification, and their machine in place of this one."""
        report = verified(self.theirs, str(self.archive), trust=True)
        assert report.verdict is Verdict.REPRODUCED, report.reason
        (audit,) = (self.theirs.archives / "restoration").glob("*/audit.json")
        found = json.loads(audit.read_text())
        found["machine"] |= {"id": "f" * 16, "host": "gpu-07"}
        audit.write_text(json.dumps(found))

    def send(self) -> Path:
        self.verify_there()
        self.theirs.write_verdict(str(self.archive), self.letter)
        return self.letter

    def state(self) -> tuple[bytes, list[Path]]:
        return (self.mine.archives / ledger.NAME).read_bytes(), sorted(self.mine.archives.rglob("verdicts/*"))

    @property
    def summary(self) -> str:
        (one,) = self.mine.list_archives()
        return tally.summary(one.heard)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Two:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return Two(tmp_path)


def test_there_and_back(two: Two, capsys: pytest.CaptureFixture[str]) -> None:
    verified(two.mine, two.run_id)
    two.verify_there()
    capsys.readouterr()

    def said(space: Workspace, *words: str) -> str:
        assert main(["--workspace", str(space.root), *words]) == 0
        return capsys.readouterr().out

    assert "REPRODUCED  in" in said(two.theirs, "verdict", two.archive.name, "-o", str(two.letter))
    assert two.letter.stat().st_size < 4096
    assert "on gpu-07, signed by colleague@example.org" in said(two.mine, "verdict", "--add", str(two.letter))
    assert "REPRODUCED ×2, 2 machines" in said(two.mine, "ls", "archive")
    assert "is already here" in said(two.mine, "verdict", "--add", str(two.letter))
    assert two.summary == "REPRODUCED ×2, 2 machines"

    head, row = said(two.mine, "verdict").splitlines()
    assert head.split()[-1] == "gpu-07"
    assert row.split()[:3] == [two.run_id, "✔", "✔"]
    found = json.loads(said(two.mine, "verdict", "--json"))
    assert [len(cell) for cell in found["archives"][0]["verdicts"]] == [1, 1]
    assert [v["host"] for v in json.loads(said(two.mine, "ls", "archive", "--json"))[0]["verdicts"]][
        1
    ] == "gpu-07"

    whole = said(two.mine, "verdict", two.run_id)
    assert "REPRODUCED ×2, 2 machines" in whole
    for text in (
        "made here",
        "signed by colleague@example.org (SHA256:",
        "2 of 2 files equal",
        "not compared",
        "run.json",
    ):
        assert text in whole, text
    assert {one["signer"][:9] for one in json.loads(said(two.mine, "verdict", two.run_id, "--json"))} == {
        "",
        "colleague",
    }
    page = Path(said(two.mine, "report", two.run_id).strip()).read_text()
    assert "signed by colleague@example.org" in page
    assert page.count("badge good") == 3
    assert said(two.mine, "check") != ""
    assert two.mine.recover() == []


def test_what_was_made_here_is_known_already(two: Two) -> None:
    verified(two.mine, two.run_id)
    two.mine.write_verdict(two.run_id, two.letter)
    before = two.state()
    assert two.mine.add_verdict(two.letter)[1] is False
    assert two.state() == before
    assert two.summary == "REPRODUCED"


def test_one_that_diverged_there_is_what_is_shown(two: Two) -> None:
    two.verify_there()
    (audit,) = (two.theirs.archives / "restoration").glob("*/audit.json")
    audit.write_text(audit.read_text().replace('"REPRODUCED"', '"DIVERGED"'))
    two.theirs.write_verdict(two.run_id, two.letter)
    two.mine.add_verdict(two.letter)
    verified(two.mine, two.run_id)
    assert two.summary == "DIVERGED ×1, REPRODUCED ×1, 2 machines"
    assert two.mine.list_archives()[0].verdict == "DIVERGED"


def edited(two: Two, edit: Callable[[dict[str, object]], object]) -> None:
    found = json.loads(two.letter.read_text())
    edit(found)
    two.letter.write_text(json.dumps(found))


def other_key(two: Two) -> None:
    two.allowed.write_text(key(two.home / "other", "somebody@example.org"))


def nobody_allowed(two: Two) -> None:
    two.settings('key = "key"')


def better(two: Two) -> None:
    edited(two, lambda found: found["statement"].update(verdict="AGREES"))  # type: ignore[attr-defined]


def unsigned(two: Two) -> None:
    edited(two, lambda found: found.update(signature=""))


def of_an_archive(two: Two) -> None:
    statement = json.loads(two.letter.read_text())["statement"]
    made = signature.sign(canonical_json(statement), str(two.home / "key"))
    edited(two, lambda found: found.update(signature=made.decode()))


def newer(two: Two) -> None:
    edited(two, lambda found: found.update(schema=2))


def large(two: Two) -> None:
    two.letter.write_text(two.letter.read_text() + " " * exchange.LARGEST)


def another_archive(two: Two) -> None:
    for path in two.mine.archives.glob(f"{two.run_id}.*"):
        path.unlink()
    ledger.append(two.mine.archives, ledger.event("removed", two.run_id, "0"))
    ledger.append(two.mine.archives, ledger.event("archived", two.run_id, "0" * 64))


def no_archive(two: Two) -> None:
    ledger.append(two.mine.archives, ledger.event("removed", two.run_id, "0"))


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [
        (other_key, ArchiveError, "whom you do not allow"),
        (nobody_allowed, ArchiveError, "whom you do not allow"),
        (better, CorruptError, "does not fit the verdict"),
        (unsigned, CorruptError, "not an SSH signature of a verdict"),
        (of_an_archive, CorruptError, "not an SSH signature of a verdict"),
        (newer, CorruptError, "newer exptui"),
        (large, CorruptError, "larger than any verdict"),
        (another_archive, ArchiveError, "about another archive"),
        (no_archive, ArchiveError, "no archive here"),
    ],
)
def test_anything_else_is_refused(
    two: Two, spoil: Callable[[Two], None], kind: type[ExptuiError], said: str
) -> None:
    two.send()
    spoil(two)
    before = two.state()
    with pytest.raises(kind, match=said) as refused:
        two.mine.add_verdict(two.letter)
    assert refused.value.hint
    assert two.state() == before
    with pytest.raises(StorageError, match="cannot read"):
        two.mine.add_verdict(two.letter.with_name("nothing"))


def test_what_was_added_and_changed_since_does_not_count(two: Two) -> None:
    two.mine.add_verdict(two.send())
    (kept,) = (two.mine.archives / exchange.FOLDER).iterdir()
    assert len(two.mine.verdicts(two.run_id)[0]) == 1
    kept.write_text(kept.read_text().replace("gpu-07", "gpu-08"))
    found, problems = two.mine.verdicts(two.run_id)
    assert not found
    assert "not the one that was added" in problems[0]
    kept.unlink()
    assert "cannot read" in two.mine.verdicts(two.run_id)[1][0]


def test_what_cannot_be_sent(two: Two, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not verified here"):
        two.mine.write_verdict(two.run_id, two.letter)
    other = finished(two.mine)
    verified(two.mine, other)
    with pytest.raises(UsageError, match="over no archive"):
        two.mine.write_verdict(other, two.letter)
    two.verify_there()
    two.settings("")
    with pytest.raises(ConfigError, match="no key to sign with"):
        two.theirs.write_verdict(two.run_id, two.letter)
    (audit,) = (two.theirs.archives / "restoration").glob("*/audit.json")
    found = json.loads(audit.read_text())
    audit.write_text(json.dumps({**found, "machine": None}))
    with pytest.raises(UsageError, match="on which machine"):
        two.theirs.write_verdict(two.run_id, two.letter)
    assert not two.letter.exists()


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["statement", "signature", "schema", "verdict"]), inner)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_a_verdict_or_an_error(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "letter")
        path.write_bytes(data)
        with pytest.raises(CorruptError):
            exchange.read(path)
