"""Looking only where a line could match finds what a loop over all lines finds, whatever the pattern and the bytes."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exptui.core.monitor import matcher as module
from exptui.core.monitor.matcher import Matcher
from exptui.core.monitor.needles import LONGEST, needles
from exptui.core.monitor.pattern import TooSlow, compile_pattern, last_state, limited, plain, plain_lines

WORDS = [
    "a",
    "b",
    "K",
    "k",
    "s",
    "i",
    "é",
    "É",
    "ſ",
    "K",
    "İ",
    "ß",
    "\ufffd",
    "1",
    "2",
    "_",
    " ",
    "-",
    "\u0663",
]
ESCAPES = [r"\d", r"\w", r"\s", r"\W", r"\b", r"\B", r"\x41", r"\n", r"\r"]
SETS = ["[ab]", "[^a]", "[a-k]", "[0-9]", "[1é]", r"[\dk]", "[sS]", r"[\n1]"]
AROUND = ["^", "$", "(?=a)", "(?!b)", "(?<=a)", "(?<!1)"]
ATOMS = st.sampled_from([*WORDS, "ab", "sk", "12", ".", *ESCAPES, *SETS, *AROUND])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        st.lists(inner, min_size=1, max_size=4).map("".join)
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})")
        | st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0}", "+?", "*+", "{2,}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        )
        | inner.map(lambda part: f"({part})\\b")
        | st.tuples(st.sampled_from(["(?i:%s)", "(?-i:%s)", "(?>%s)", "(?s:%s)"]), inner).map(
            lambda pair: pair[0] % pair[1]
        )
    )


PATTERNS = st.recursive(ATOMS, _grown, max_leaves=8).flatmap(
    lambda text: st.sampled_from([text, f"(?i){text}", f"(?a){text}", f"{text}|x"])
)
DATA = st.lists(
    st.sampled_from([*WORDS, "ab", "sk", "12", "x"]).map(str.encode)
    | st.sampled_from([b"\n", b"\n", b"\r", b"\x1b[31m", b"\x1b[", b"m", b"\xff", b"\xc3", b"\x1c", b"\0"])
).map(b"".join)


def looped(pattern: str, data: bytes) -> list[int]:
    search = compile_pattern(pattern).search
    return [n for n, line in enumerate(data.split(b"\n")) if search(plain(line).decode(errors="replace"))]


@settings(deadline=None, max_examples=1000)
@given(pattern=PATTERNS, data=DATA, few=st.sampled_from([0, 1, module.FEW]))
@example(pattern="kiss", data="KIS\u017f\nkiss\n".encode(), few=0)
@example(pattern="aa", data=b"aaa\naa", few=0)
@example(pattern="\\d\\d", data="1\u0663\n12".encode(), few=0)
@example(pattern="aaaab", data="a\u0663".encode(), few=0)
@example(pattern="\u017f", data=b"s\nS\nx", few=0)
def test_as_a_loop_over_the_lines(pattern: str, data: bytes, few: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matcher, wanted = Matcher(pattern, numpy_pays=0), looped(pattern, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW", few)
        check(matcher, data, wanted)


def check(matcher: Matcher, data: bytes, wanted: list[int]) -> None:
    assert matcher.lines(data) == (wanted, data.count(b"\n") + 1)
    seen: list[int] = []
    assert matcher.one_by_one(data, seen.append) == wanted
    assert seen == list(range(data.count(b"\n") + 1))


@given(DATA)
@example(b"\x1b\x1b[m[m\n\r\x1b[m\r\nab\r\r\n\rx")
def test_a_block_becomes_plain_as_its_lines_do(data: bytes) -> None:
    assert plain_lines(data) == b"\n".join(map(plain, data.split(b"\n")))


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("ValueError", ["ValueError"]),
        (r"Loss=0\.12[0-9]+ acc", ["Loss=0.129"]),
        (r"loss=0\.12[0-9]+ acc", ["loss=0.129"]),
        (r"error|exc.*x|\bnan\b", ["error", "exc", "nan"]),
        (r"Epoch \d+(?:ab){2}?", ["Epoch 9"]),
        (r"[0-9]{7}", ["9" * 7]),
        (r"(?:(?:(?:(?:a{99}){99}){99}){99}){99}", ["a" * LONGEST]),
        ("", None),
        (".", None),
        ("a?", None),
        ("x|", None),
        (r"\W", None),
        ("[^a]", None),
        ("(?!a)", None),
        ("|".join(f"{n:04}x" for n in range(99)), ["00"]),
    ],
)
def test_what_is_looked_for(pattern: str, wanted: list[str] | None) -> None:
    found = needles(compile_pattern(pattern), ascii=True)
    shown = found and [bytes(max(one) for one in run).decode() for run in found.runs]
    assert shown == wanted
    assert not found or found.exact == (pattern == "ValueError")


@pytest.mark.parametrize("text", ["(", "a{99999999999999999999}", "(" * 5000 + ")" * 5000])
def test_a_wrong_pattern_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(re.error):
        compile_pattern(text)


def test_a_pattern_that_backtracks_for_ever_can_be_stopped() -> None:
    search = re.compile(r"(a+)+$").search
    with pytest.raises(TooSlow):
        limited(lambda: search("a" * 60 + "b"), 0.05)
    assert limited(lambda: search("aaa"), 0.05)


def test_the_last_state_that_shows_anything() -> None:
    assert last_state(b"10%\r20%\r\x1b[0m") == b"20%"
    assert last_state(b"\r\r") == b""


@given(st.integers(0, 300), st.sets(st.integers(0, 299), max_size=20))
def test_few_places_are_found_as_many_are(size: int, marked: set[int]) -> None:
    hits = np.zeros(size, bool)
    hits[[at for at in marked if at < size]] = True
    assert module._places(hits).tolist() == np.flatnonzero(hits).tolist()
