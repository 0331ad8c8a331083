"""A file from elsewhere: whose signature stands for the user's yes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from exptui.core.audit.report import AuditReport, Verdict
from exptui.core.errors import UsageError
from support import finished, verified, workspace

SAME = 'echo 1 > "$EXPTUI_OUTPUT/model"'


def key(path: Path) -> str:
    """Make a key; its line of allowed signers."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return f"me@example.org {path.with_suffix('.pub').read_text()}"


def test_the_file_of_an_allowed_signer_needs_no_yes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home/exptui"
    for folder in (home, tmp_path / "there", tmp_path / "here"):
        folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.parent))
    (home / "allowed").write_text(key(home / "key"))
    (home / "config.toml").write_text('[signing]\nkey = "key"\nallowed_signers = "allowed"\n')
    there = workspace(tmp_path / "there", SAME)
    path = there.archive(finished(there)).path
    (there.archives / "ledger.jsonl").unlink()
    here = workspace(tmp_path / "here", "false")
    report = verified(here, str(path))
    assert report.verdict is Verdict.REPRODUCED, report.reason

    request = here.request(str(path))
    assert request.signer == "me@example.org"
    signature = path.with_name(path.name.replace(".tar.gz", ".sig"))
    signature.rename(tmp_path / "aside")
    last = list(here.follow(here.verify(request)))[-1]
    assert isinstance(last, AuditReport)
    assert (last.verdict, last.command) == (Verdict.UNKNOWN, ())
    assert "not the archive that me@example.org signed" in last.reason

    (tmp_path / "aside").rename(signature)
    (home / "allowed").write_text(key(home / "other"))
    with pytest.raises(UsageError, match="from elsewhere"):
        here.request(str(path))
