"""Verdicts of several machines, and runs people already have, in the cockpit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exptui.core.archive import ledger, tally
from exptui.core.archive.tally import Heard
from exptui.core.workspace import Workspace
from exptui.tui import lists, overview
from exptui.tui.app import Exptui
from exptui.tui.screens.sheets import Choose, Confirm
from exptui.tui.widgets.detail import DetailPane
from exptui.tui.widgets.rows import Row, RowList
from support import finished, workspace
from tui_support import opened, text, until


def heard(space: Workspace, run_id: str, host: str, verdict: str) -> None:
    """Enter a verdict of another machine."""
    identity = ledger.identities(ledger.read(space.archives)[0])[run_id]
    facts = {
        "verdict": verdict,
        "machine": host,
        "made_on": host,
        "signer": f"{host}@example.org",
        "statement": host,
    }
    ledger.append(space.archives, ledger.event("received", run_id, identity, **facts))


def row_text(row: Row) -> str:
    return "".join(part for part, _ in (*row.left, *row.right))


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_the_matrix_leads_to_an_archive_and_its_audit_tells_all(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    space = workspace(tmp_path)
    first = finished(space)
    space.archive(first)
    app = Exptui(space)
    async with app.run_test(size=size, notifications=True) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("M")
        await until(pilot, lambda: any("was verified yet" in str(toast) for toast in app._notifications))
        heard(space, first, "gpu-07", "REPRODUCED")
        heard(space, first, "laptop", "DIVERGED")
        archives = screen.query_one("#archives", RowList)
        await until(pilot, lambda: "DIVERGED 1 of 2" in text(archives))
        await pilot.press("M")
        await until(pilot, lambda: isinstance(app.screen, Choose))
        found = text(app.screen.query_one("#choices", RowList))
        for word in (first, "gpu-07", "laptop", "✔", "✗"):
            assert word in found
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.screen is screen and screen.focused is archives)
        assert archives.key == first
        screen.query_one(DetailPane).tab = "audit"
        await pilot.press("0")
        await until(pilot, lambda: "laptop@example.org" in text(screen.query_one("#audit-text", RowList)))
        assert "DIVERGED ×1, REPRODUCED ×1, 2 machines" in text(screen.query_one("#audit-text", RowList))


def test_more_machines_than_fit_are_one_column() -> None:
    verdicts = [
        Heard("DIVERGED" if at == 6 else "REPRODUCED", f"m{at}", f"host-with-a-long-name-{at}", "")
        for at in range(7)
    ]
    found = tally.matrix([("run", verdicts)])
    rows = lists.matrix_rows(found, 69)
    assert all(len(row_text(row)) <= 69 for row in rows[:2])
    assert "+5 more" in row_text(rows[0])
    assert row_text(rows[1]).split() == ["run", "✔", "✔", "✗", "✔4"]
    assert row_text(lists.matrix_rows(found, 200)[1]).split() == ["run", *["✔"] * 6, "✗"]


def test_a_single_verdict_of_ones_own_needs_no_list() -> None:
    own, sent = (
        Heard("REPRODUCED", "m", "vm", "then"),
        Heard("REPRODUCED", "n", "\x1b[31m", "now", "\u202ewho"),
    )
    assert overview.audit_rows([], heard=[own]) == []
    found = "\n".join(map(row_text, overview.audit_rows([], heard=[own, sent])))
    assert found.startswith("REPRODUCED ×2, 2 machines")
    assert "\x1b" not in found
    assert "\u202e" not in found


async def test_runs_people_already_have_are_listed_and_left_alone(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    path = tmp_path / "lightning_logs/version_0"
    path.mkdir(parents=True)
    (path / "metrics.csv").write_text("step,val_loss\n1,0.9\n2,0.5\n")
    (path / "hparams.yaml").write_text("lr: 0.1\n")
    settings = space.root / "exptui.toml"
    settings.write_text(settings.read_text() + f"[results]\nalso = {json.dumps(['../lightning_logs/*'])}\n")
    app = Exptui(space)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, app)
        runs = screen.query_one("#runs", RowList)
        await until(pilot, lambda: "version_0" in text(runs))
        await pilot.press("2")
        detail = screen.query_one(DetailPane)
        await until(pilot, lambda: detail.detail is not None and detail.groups)
        assert list(detail.groups) == ["loss"]
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: any("only listed" in str(one) for one in app._notifications))
        (path.parent / "version_1").mkdir()
        await until(pilot, lambda: "version_1" in text(runs))
    assert (path / "metrics.csv").exists()
