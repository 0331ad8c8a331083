"""A command people already use → the settings of a trainer and a first config: `exptui init -- python train.py --lr 3e-4`.

What can be passed exactly so by `{flags}` becomes a key of the config; every other word stays in the command. Where
the program already reads a TOML file, that file is the config, and everything else stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomli

from exptui.core.configs import config, flags
from exptui.core.configs.flags import NUMBER, Written
from exptui.core.configs.style import Flags
from exptui.core.errors import UsageError

OUTPUTS = frozenset(
    (
        *("output", "output-dir", "outdir", "out", "out-dir", "o", "logdir", "log-dir", "logging-dir"),
        *("save-dir", "savedir", "save-path", "run-dir", "results-dir", "result-dir", "workdir", "work-dir"),
        *("default-root-dir", "checkpoint-dir", "ckpt-dir", "tensorboard-dir", "exp-dir", "hydra.run.dir"),
    )
)
DIGITS = 40  # of a longer number none is made
PLACES = frozenset(
    (
        *("data", "dataset", "file", "files", "path", "paths", "dir", "root", "folder", "input"),
        *("output", "in", "out", "src", "train", "val", "test", "eval", "model", "ckpt", "checkpoint"),
        *("weights", "config", "cfg", "vocab", "csv", "json", "load", "save", "log", "resume", "from"),
        *("init", "image", "images", "corpus", "list", "cache", "pretrained", "backbone", "tokenizer"),
        *("url", "name", "c", "d", "f", "i", "m", "w"),
    )
)  # parts of the names of flags that are given files
SEEDS = ("seed", "random-seed", "random-state", "base-seed", "manual-seed", "rng-seed")
_SCRIPT = re.compile(r".+\.(py|sh|bash|jl|R|r|pl|rb|js|mjs|ts|lua|jar|m)")
_LAUNCHER = re.compile(
    r"python[\d.]*|pypy[\d.]*|torchrun|accelerate|deepspeed|uv|poetry|pdm|hatch|pipenv|conda|mamba|micromamba|mpirun|mpiexec"
    r"|srun|env|nice|time|bash|sh|julia|Rscript|node|bun|deno|ruby|perl|java"
)
_MODULES_THAT_LAUNCH = ("torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch")
_PACKAGE = ("--package", "-p", "--bin", "--example")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*=.*", re.DOTALL)
_OVERRIDE = re.compile(r"\+{0,2}[A-Za-z_][\w./@-]*=", re.ASCII)
_FILE = re.compile(r"[^\s=]*(/[^\s=]*|\.[a-z][a-z0-9]{0,6})")
_FLAG = re.compile(r"--[A-Za-z_][\w.-]*|-[A-Za-z]", re.ASCII)


@dataclass(frozen=True)
class Word:
    """A flag with its values as they were typed, or a word that is none (`key` empty); `words`: all of it."""

    key: str
    values: tuple[str, ...]
    words: tuple[str, ...]
    form: Literal["--key value", "--key=value", "key=value", ""] = ""


@dataclass
class Arrived:
    """What came of a command. `kept`: words that stay in the command though they look like settings; `doubtful`: those
    of a flag whose value may be a word of its own.
    """

    name: str
    command: list[str]
    flags: Flags
    values: dict[str, Any]
    variables: dict[str, str]
    words: list[str]
    config: str = ""  # the TOML file it reads already
    replaced: int = 0  # words of which something became a placeholder
    outputs: int = 0
    kept: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)


def arrive(words: list[str]) -> Arrived:
    """Take a command apart.

    Raises:
        UsageError: there is no program in it.
    """
    for word in words:
        if not word.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in word):
            raise UsageError(f"{word!r} is not UTF-8, and a settings file is", "Rename it, or leave it out.")
    at = next((at for at, word in enumerate(words) if not _VARIABLE.fullmatch(word)), len(words))
    variables = dict(word.partition("=")[::2] for word in words[:at])
    if at == len(words):
        raise UsageError("no command behind --", "For example: exptui init -- python train.py --lr 3e-4")
    head, tail = _split(words[at:])
    found = list(_parsed(tail))
    style = _style(found)
    chosen = Flags(style=style, booleans=_booleans(found), lists=_lists(found))
    made = Arrived(_name(head), [*head], chosen, {}, variables, words[at:])
    made.config = next((word.values[0] for word in found if _is_config(word)), "")
    _sort(made, found)
    made.command += [] if made.config else ["{flags}"]
    return made


def seed_key(values: dict[str, Any]) -> str:
    """Which key of a config is its seed, by its name; empty where none is."""
    keys = config.flatten(values)
    return next((key for key in keys if _normal(key.rpartition(".")[2]) in SEEDS), "")


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """The program, with what stands before its own flags: a script, a module, the words before `--`."""
    if "--" in words:
        at = words.index("--") + 1
        return words[:at], words[at:]
    at = next(
        (n for n, word in enumerate(words[1:], 1) if word[:1] == "-" or _OVERRIDE.match(word)), len(words)
    )
    if not _LAUNCHER.fullmatch(Path(words[0]).name):
        return words[:at], words[at:]
    script = next((n for n, word in enumerate(words) if n and _SCRIPT.fullmatch(word)), 0)
    module = words.index("-m") + 1 if "-m" in words[:-1] else 0
    if module and (not script or (module < script and words[module] not in _MODULES_THAT_LAUNCH)):
        script = module
    return (words[: script + 1], words[script + 1 :]) if script else (words[:at], words[at:])


def _parsed(words: list[str]) -> Iterator[Word]:
    """The flags and other words of a command line, in order."""
    at = 0
    while at < len(words):
        word = words[at]
        name, equals, value = word.partition("=")
        if equals and name[:2] == "--" and _FLAG.fullmatch(name):
            yield Word(name[2:], (value,), (word,), "--key=value")
        elif equals and _OVERRIDE.match(word):
            yield Word(name, (value,), (word,), "key=value")
        elif _FLAG.fullmatch(word):
            values = _values(words, at + 1)
            yield Word(word.lstrip("-"), values, (word, *values), "--key value" if values else "")
            at += len(values)
        else:
            yield Word("", (), (word,))
        at += 1


def _values(words: list[str], start: int) -> tuple[str, ...]:
    """What may belong to a flag: the words up to the next one; of an output directory only the first."""
    end, most = start, start + 1 if _normal(words[start - 1].lstrip("-")) in OUTPUTS else len(words)
    while end < min(most, len(words)) and not _begins(words[end]):
        end += 1
    return tuple(words[start:end])


def _begins(word: str) -> bool:
    """Whether something of its own begins with a word."""
    dashed = word.startswith("-") and word != "-" and not NUMBER.fullmatch(word)
    return dashed or _OVERRIDE.match(word) is not None


def _style(found: list[Word]) -> Literal["--key value", "--key=value", "key=value"]:
    forms = [word.form for word in found]
    dashed = [form for form in forms if form in ("--key value", "--key=value")]
    if forms.count("key=value") > len(dashed):
        return "key=value"
    return "--key=value" if dashed.count("--key=value") > len(dashed) / 2 else "--key value"


def _booleans(found: list[Word]) -> Literal["flag", "value"]:
    alone = any(word.key and not word.values for word in found)
    said = any(value in ("true", "false") for word in found for value in word.values)
    return "value" if said and not alone else "flag"


def _lists(found: list[Word]) -> Literal["words", "repeat"]:
    keys = [word.key for word in found if word.key]
    several = any(len(word.values) > 1 for word in found)
    return "repeat" if len(set(keys)) < len(keys) and not several else "words"


def _sort(made: Arrived, found: list[Word]) -> None:
    """Each word into the config or into the command."""
    first = ""
    again = {word.key for word in found if word.key and sum(other.key == word.key for other in found) > 1}
    for word in found:
        if _is_output(word):
            (value,) = word.values
            first = first or value.rstrip("/")
            below = value.removeprefix(first) if value.startswith(f"{first}/") else ""
            place = "{output}" + (below.rstrip("/") or (f"/{Path(value).name}" if Path(value).suffix else ""))
            _replace(made, word, place)
            made.outputs += 1
        elif _is_config(word):
            _replace(made, word, "{config}")
        elif made.config:
            made.command += word.words
        elif not (_fits(word, made.flags) and _put(made, word, again)):
            made.command += word.words
            if word.key:
                made.kept.append(" ".join(word.words))
        elif _doubtful(word):
            made.doubtful.append(" ".join(word.words))


def _fits(word: Word, how: Flags) -> bool:
    """Whether `{flags}` can pass it as it is, and nothing in it may be meant otherwise."""
    if not word.key or (word.form == "key=value") != (how.style == "key=value"):
        return False
    if word.form in ("key=value", "--key=value"):
        return word.form == "key=value" or len(word.key) > 1
    mixed = (
        len({NUMBER.fullmatch(value) is None for value in word.values}) > 1
    )  # `--lr 1 data`: whose is the last?
    return word.words[0] == flags.dashed(word.key) and not mixed


def _doubtful(word: Word) -> bool:
    """Whether it may be a switch with a file behind it: `--amp data.csv`."""
    files = any(map(_FILE.fullmatch, word.values))
    return word.form == "--key value" and files and not PLACES & set(re.split(r"[-.]", _normal(word.key)))


def _replace(made: Arrived, word: Word, placeholder: str) -> None:
    """The flag with a placeholder for its value."""
    (value,) = word.values
    made.command += [*word.words[:-1], word.words[-1].removesuffix(value) + placeholder]
    made.replaced += 1


def _is_config(word: Word) -> bool:
    named = _normal(word.key) in ("config", "cfg", "config-file", "c")
    return named and len(word.values) == 1 and word.values[0].endswith(".toml")


def _is_output(word: Word) -> bool:
    one = word.values[0] if len(word.values) == 1 else ""
    return _normal(word.key) in OUTPUTS and one != "" and not NUMBER.fullmatch(one)


def _put(made: Arrived, word: Word, again: set[str]) -> bool:
    """Into the config, if the config then gives the very same words."""
    table, path = made.values, word.key.split(".")
    if word.key.startswith("+") or not all(path) or not isinstance(table.get(path[0], {}), dict):
        path = [word.key]  # `model=resnet model.layers=5`: a key with a dot in its name
    for name in path[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            return False
    value: Any = [typed(text, made.flags) for text in word.values]
    if word.key in again:
        if made.flags.lists != "repeat" or len(value) != 1:
            return False
        known = table.get(path[-1], [])
        if not isinstance(known, list):
            return False
        value = [*known, *value]
    elif path[-1] in table:
        return False
    else:
        value = value[0] if len(value) == 1 else value or True
    table[path[-1]] = value
    return True


def typed(text: str, how: Flags) -> Any:
    """A word as the TOML value that is passed as that word again; where there is no other as text."""
    if text in ("true", "false"):
        return text == "true" if how.booleans == "value" or how.style == "key=value" else text
    if not NUMBER.fullmatch(text) or len(text) > DIGITS:
        return text
    try:
        value = tomli.loads(f"v = {text}", parse_float=Written)["v"]
    except tomli.TOMLDecodeError:  # `.5`, `007`
        return text
    return value if flags.text(value) == text else text


def _normal(key: str) -> str:
    return key.lower().replace("_", "-")


def _name(head: list[str]) -> str:
    """The first config's name: the script's or the program's."""
    named = (head[at + 1] for at, word in enumerate(head[:-1]) if word in _PACKAGE)
    last = next(named, "") or next((word for word in reversed(head) if not word.startswith("-")), head[0])
    last = "first" if last == "run" else last  # `cargo run`
    stem = Path(last).stem if _SCRIPT.fullmatch(last) else Path(last).name.rpartition(".")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).lstrip("._-")[: config.STEM_BYTES] or "first"
