"""The page: nothing of a run becomes markup, the same runs give the same bytes, and all that is asked for is on it."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptui.cli import main
from exptui.core.audit.report import Machine, Verdict
from exptui.core.audit.statement import Seen, Statement
from exptui.core.compare.comparison import compare
from exptui.core.compare.sides import Side
from exptui.core.curves.series import Series
from exptui.core.directions import BY_NAME
from exptui.core.monitor.metrics import Metrics
from exptui.core.monitor.text import clean
from exptui.core.page import plot
from exptui.core.page.document import document
from exptui.core.page.plot import Axis, Line
from exptui.core.page.subject import Subject
from support import finished, verified, workspace

HOSTILE = (
    "<script>alert(1)</script>",
    "</style></head><body onload=x>",
    '"><img src=http://x.example/a>',
    "\x1b[31mred\x1b]52;c;aGk=\x07",
    "\u202egnp.exe\u2066\u2069",
    "&lt;b&gt; <!-- ]]>",
    "javascript:x' onmouseover='y",
)
CURVES = 'i=0; while [ $i -lt 5 ]; do echo "{\\"epoch\\": $i, \\"train_loss\\": 0.$i, \\"val_loss\\": 0.5}"; i=$((i+1)); done'
SCRIPT = f'{CURVES} > "$EXPTUI_OUTPUT/metrics.jsonl"; echo done > "$EXPTUI_OUTPUT/result.txt"'
CURVE = [(0, 1.0), (5, 0.0), (9, 0.5)]
VOID = {"meta", "path", "circle", "br"}


class Reading(HTMLParser):
    """The page as a browser takes it: its elements with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.text, self.open = list[tuple[str, tuple[str, ...]]](), "", list[str]()
        self.links = list[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "style", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """One ends, the last that began."""
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text in it."""
        self.text += data


def seen(text: str) -> Seen:
    """A verdict whose every text is that one."""
    machine = Machine(id=text, host=text, user=text, cpu=text, system=text, libc=text)
    many = (text,)
    return Seen(
        Statement(
            run_id=text, identity=text, verdict=Verdict.DIVERGED, headline=text, at=text, machine=machine, scope=text,
            cause=text, isolation=text, first_mismatch_cycle=3, original=text, rerun=text, compared=2, code=text, prepared=text, differing=many,
            not_compared=many, declared=many, environment=many, notes=many,
        ),
        text,
    )  # fmt: skip


def subjects(text: str, values: tuple[float, float] = (1.0, 2.0)) -> list[Subject]:
    """Two runs in which every name and value is made of that text."""
    found = []
    for at, value in enumerate(values):
        series = {
            f"train_{text}": Series.of([(0, value), (1, value / 2)]),
            f"val_{text}": Series.of([(0, value)]),
        }
        side = Side(
            run_id=f"{text}{at}",
            seed_key="seed",
            config={text: f"{text}{at}", "same": text},
            circumstances={text: f"{text}{at}"},
            metrics=Metrics({text: value}, None, (text,), series),
            state=text,
            doubts=(text,),
            problems=(text,),
        )
        found.append(Subject(side, (("state", text), ("command", text)), (seen(text),)))
    return found


def page(found: list[Subject]) -> str:
    return document(found, compare([one.side for one in found], BY_NAME), BY_NAME)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("count", [1, 2])
def test_nothing_of_a_run_becomes_markup(text: str, count: int) -> None:
    hostile, plain = Reading(page(subjects(text)[:count])), Reading(page(subjects("plain")[:count]))
    assert hostile.tags == plain.tags
    assert not hostile.open
    assert not hostile.links
    assert not {"script", "img", "link", "iframe", "object"} & {tag for tag, _ in hostile.tags}
    assert clean(text) in hostile.text


def test_no_control_character_and_no_bidi_control_is_in_it() -> None:
    found = page(subjects("".join(HOSTILE)))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", found)
    assert "http://x.example" not in re.sub(r"&quot;&gt;&lt;img src=http://x.example/a&gt;", "", found)


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=12), st.floats(), st.floats())
def test_whatever_a_run_is_called_the_page_is_whole(text: str, one: float, other: float) -> None:
    found = subjects(text, (one, other))
    assert page(found) == page(found)
    assert not Reading(page(found)).open


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8), st.booleans())
def test_an_axis_holds_its_values_and_its_ticks(values: list[float], may_log: bool) -> None:
    axis = Axis(values, 0, 100, may_log=may_log)
    assert all(-0.01 <= axis.at(value) <= 100.01 for value in values)
    ticks = axis.ticks(5)
    assert len(ticks) <= 12
    assert all(-1 <= axis.at(tick) <= 101 for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_a_curve_is_broken_where_it_is_not_finite() -> None:
    svg = plot.chart("loss", [Line(0, Series.of([(0, 1.0), (1, math.nan), (2, 3.0), (3, 2.0)]))])
    assert svg.count("M56 ") >= 1
    assert "1 values are not finite" in svg
    (path,) = re.findall(r'class="line g0" d="([^"]*)"', svg)
    assert path.count("M") == 2
    assert plot.chart("loss", [Line(0, Series.of([(0, math.nan)]))]) == ""


def test_training_is_dashed_and_each_group_has_its_letter() -> None:
    lines = [Line(0, Series.of(CURVE), train=True), Line(0, Series.of(CURVE))]
    svg = plot.chart("loss", [*lines, Line(1, Series.of(CURVE))])
    assert svg.count('class="line g0 train"') == svg.count('class="line g0"') == 1
    letters = re.findall(r'class="letter g\d" x="[\d.]+" y="([\d.]+)" dy="4">([AB])<', svg)
    (above, _), (below, _) = letters
    assert float(below) - float(above) >= plot.LABEL


def test_values_far_apart_have_a_logarithmic_axis() -> None:
    svg = plot.chart("loss", [Line(0, Series.of([(0, 1000.0), (1, 0.1)]))])
    assert "log scale" in svg
    assert "1e+03" in svg or "1000" in svg


def test_a_run_and_an_archive_are_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = workspace(tmp_path, SCRIPT)
    (space.configs / "b.toml").write_text("[engine]\nbase_seed = 7\nlr = 0.5\n")
    one, other = finished(space), finished(space, "b")
    space.archive(other)
    report = verified(space, other)
    assert report.verdict is Verdict.REPRODUCED
    out = tmp_path / "page.html"
    assert main(["--workspace", str(space.root), "report", one, other, "--html", "-o", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    found = Reading(out.read_text())
    for text in (
        one, other, "engine.lr", "0.5", "val_loss", "REPRODUCED", "not verified", "archived", report.identity,
        "trainer.log", "dashed: training", report.machine.cpu if report.machine else "",
    ):  # fmt: skip
        assert text in found.text, text
    assert [tag for tag, _ in found.tags].count("figure") == 1
    first = out.read_bytes()
    assert space.write_report([one, other]).read_bytes() == first
    assert space.write_report([one]).name == f"{one}.html"


def test_a_damaged_card_and_manifest_are_said(tmp_path: Path) -> None:
    space = workspace(tmp_path, SCRIPT)
    one = finished(space)
    space.archive(one)
    for suffix in ("card", "manifest"):
        (space.archives / f"{one}.{suffix}.json").write_text("[")
    found = Reading(space.write_report([one]).read_text()).text
    assert "its manifest cannot be read" in found
    assert "its card.json cannot be read" in found
