"""A re-run kept from the original and the network, where this kernel allows it; and said where it does not."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exptui.core.errors import RunError
from exptui.core.runs import isolation
from exptui.core.runs.isolation import Isolation, prepare

SOCKETS = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); socket.create_connection(s.getsockname()); print('lo')"


def entered(tmp_path: Path, *, network: bool = False) -> Callable[[], None]:
    masked = (str(tmp_path / "original"), str(tmp_path / "a.tar.gz"), str(tmp_path / "gone"))
    enter, words = prepare("auto", Isolation(masked, network))
    if enter is None:
        pytest.skip(words)
    return enter


def said(enter: Callable[[], None], *words: str) -> str:
    return subprocess.run(words, preexec_fn=enter, capture_output=True, text=True, check=True).stdout


def test_the_original_is_covered_and_a_rename_into_the_run_crosses_no_mount(tmp_path: Path) -> None:
    for name in ("original", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "original/model").write_text("secret")
    (tmp_path / "a.tar.gz").write_text("secret")
    (tmp_path / "mine").write_text("made")
    enter = entered(tmp_path)
    assert said(enter, "sh", "-c", f"ls {tmp_path}/original; cat {tmp_path}/a.tar.gz") == ""
    move = f"import os; os.rename('{tmp_path}/mine', '{tmp_path}/run/mine')"
    said(enter, sys.executable, "-c", move)
    assert (tmp_path / "run/mine").read_text() == "made"
    assert (tmp_path / "original/model").read_text() == "secret"


def test_what_goes_while_it_is_covered_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered(tmp_path)
    monkeypatch.setattr(Path, "is_dir", lambda _: True)
    _, words = prepare("auto", Isolation((str(tmp_path / "gone"),), network=False))
    assert "masked" in words


def test_there_is_no_network_but_the_loopback(tmp_path: Path) -> None:
    devices = "import socket; print([name for _, name in socket.if_nameindex()])"
    assert said(entered(tmp_path), sys.executable, "-c", devices).strip() == "['lo']"
    assert said(entered(tmp_path), sys.executable, "-c", SOCKETS).strip() == "lo"
    here = subprocess.run([sys.executable, "-c", devices], capture_output=True, text=True).stdout
    assert said(entered(tmp_path, network=True), sys.executable, "-c", devices) == here


def test_where_the_kernel_refuses_it_is_said_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EPERM, "Operation not permitted", "user namespace")

    monkeypatch.setattr(isolation, "_unshare", refuse)
    enter, words = prepare("auto", Isolation((), network=False))
    assert enter is None
    assert words == (
        "clean environment only (user namespace: Operation not permitted): network not cut, original readable"
    )
    with pytest.raises(RunError, match="cannot be isolated here: user namespace"):
        prepare("required", Isolation((), network=False))
    assert prepare("none", Isolation((), network=False)) == (None, "")
