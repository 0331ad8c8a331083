"""A command people already use: what becomes of it, and that nothing of it is lost or changed."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from exptui.cli import main
from exptui.core.arrive import Arrived, arrive
from exptui.core.configs import config, flags
from exptui.core.errors import RunError, UsageError
from exptui.core.settings import load
from exptui.core.workspace import Workspace
from support import until


def taken(line: str) -> Arrived:
    return arrive(shlex.split(line))


def passed(made: Arrived) -> list[str]:
    """The words a run would get, by way of the file."""
    written = config.parse(Path("a.toml"), tomli_w.dumps(made.values).encode())
    at = made.command.index("{flags}")
    return [*made.command[:at], *flags.words(written, made.flags), *made.command[at + 1 :]]


@pytest.mark.parametrize(
    ("line", "command", "values"),
    [
        (
            "python train.py --lr 3e-4 --epochs=10 -b 32 --amp --seed 1 --name a --layers 64 32",
            "python train.py {flags}",
            {"lr": 3e-4, "epochs": 10, "b": 32, "amp": True, "seed": 1, "name": "a", "layers": [64, 32]},
        ),
        (
            "python -u train.py --output_dir runs/1 --logging_dir runs/1/logs --lr 1",
            "python -u train.py --output_dir {output} --logging_dir {output}/logs {flags}",
            {"lr": 1},
        ),
        (
            "python train.py model=resnet model.layers=5 opt.lr=.5 +x.y=true hydra.run.dir=out",
            "python train.py hydra.run.dir={output} {flags}",
            {"model": "resnet", "model.layers": 5, "opt": {"lr": ".5"}, "+x.y": True},
        ),
        (
            "torchrun --nproc_per_node=4 train.py --model.size 3 -o model.pt data",
            "torchrun --nproc_per_node=4 train.py -o {output}/model.pt data {flags}",
            {"model": {"size": 3}},
        ),
        ("cargo run --release -- --lr 1", "cargo run --release -- {flags}", {"lr": 1}),
        ("python -m pkg.train --use true", "python -m pkg.train {flags}", {"use": True}),
        ("yolo train --cb a --cb b", "yolo train {flags}", {"cb": ["a", "b"]}),
        ("./train -lr 0.1 --k 2 --x 1 data", "./train -lr 0.1 --k 2 --x 1 data {flags}", {}),
        ("python train.py --lr 1 data", "python train.py --lr 1 data {flags}", {}),
        ("./train", "./train {flags}", {}),
    ],
)
def test_what_becomes_of_a_command(line: str, command: str, values: dict[str, Any]) -> None:
    made = taken(line)
    assert (" ".join(made.command), made.values) == (command, values)


def test_a_number_is_passed_as_it_was_typed() -> None:
    assert passed(taken("t --a 1e-4 --b 1.50 --c 007 --d -5 --e 1_000")) == shlex.split(
        "t --a 1e-4 --b 1.50 --c 007 --d -5 --e 1_000"
    )


def test_no_command_is_said() -> None:
    for words in ([], ["A=1"]):
        with pytest.raises(UsageError, match="no command"):
            arrive(words)


KEYS = st.sampled_from(["lr", "epochs", "model.size", "model", "a-b", "x", "seed", "k_k"])
NUMBERS = st.sampled_from(["1", "-2", "3e-4", "0.50", ".5", "007", "+1", "1" * 60])
TEXTS = st.sampled_from(["a", "true", "b c", "", "false", "ü", "x/y", '"q"', "nan", "-", "a#b"]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0=-{"), max_size=5
)
VALUES = st.lists(NUMBERS, max_size=3) | st.lists(TEXTS, max_size=2) | st.lists(NUMBERS | TEXTS, max_size=3)


@st.composite
def items(draw: st.DrawFn) -> list[str]:
    """The words of one setting, in one of the ways there are."""
    key, values = draw(KEYS), draw(VALUES)
    match draw(st.sampled_from(["words", "equals", "override", "plain"])):
        case "equals":
            return [f"--{key}={draw(NUMBERS | TEXTS)}"]
        case "override":
            return [f"{key}={draw(NUMBERS | TEXTS)}"]
        case "plain":
            return [draw(TEXTS)]
    return [f"-{key}" if len(key) == 1 and draw(st.booleans()) else f"--{key}", *values]


def split(words: list[str]) -> list[str]:
    """`--key=value` as two words."""
    return [part for word in words for part in (word.split("=", 1) if word[:2] == "--" else [word])]


@given(st.lists(items(), max_size=8))
def test_every_setting_is_passed_whole_and_nothing_else(found: list[list[str]]) -> None:
    made = arrive(["python", "train.py", *(word for one in found for word in one)])
    assert not made.outputs
    after = split(passed(made))
    assert sorted(after) == sorted(split(["python", "train.py", *(w for one in found for w in one)]))
    for one in map(split, found):  # its words still stand one after the other
        assert any(after[at : at + len(one)] == one for at in range(len(after))), (one, after)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0{"), max_size=6)))
def test_no_word_of_any_command_is_lost(words: list[str]) -> None:
    given = ["./train", *words]
    made = arrive(given)
    if not made.outputs:
        assert sorted(split(passed(made))) == sorted(split(given))


@pytest.mark.parametrize("form", ["--config mine.toml", "--config=mine.toml", "-c mine.toml"])
def test_a_program_that_reads_toml_gets_the_config_itself(tmp_path: Path, form: str) -> None:
    text = b"# mine\n[engine]\nrandom_seed = 3\n"
    (tmp_path / "mine.toml").write_bytes(text)
    root, made, argv = Workspace.arrive(tmp_path, shlex.split(f"sh --lr 1 {form} -v -o out"))
    config_word = form.replace("mine.toml", "{config}")
    assert " ".join(made.command) == f"sh --lr 1 {config_word} -v -o {{output}}"
    assert (root / "configs/mine.toml").read_bytes() == text
    assert load(root / "exptui.toml").trainer.seed_key == "engine.random_seed"
    assert argv[-1] == str(root / "results/mine_TIME")
    with pytest.raises(UsageError, match="no config"):
        Workspace.arrive(tmp_path / "elsewhere", shlex.split(f"sh {form}"))


SCRIPT = """import sys, pathlib
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
(out / "argv").write_text(" ".join(sys.argv[1:]))
"""


def test_a_workspace_whose_first_run_is_the_command(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    words = shlex.split("WANDB_MODE=off HF_TOKEN=hush python3 train.py --lr 3e-4 --out runs/1 --seed 3")
    root, made, argv = Workspace.arrive(tmp_path, words)
    assert argv[1:2] + argv[4:] == ("train.py", "--lr", "3e-4", "--seed", "3")
    text = (root / "exptui.toml").read_text()
    assert "hush" not in text
    trainer = load(root / "exptui.toml").trainer
    assert (list(trainer.command), trainer.flags, trainer.code) == (made.command, made.flags, ("train.py",))
    assert (trainer.environment.set, trainer.environment.secret) == ({"WANDB_MODE": "off"}, ("HF_TOKEN",))
    space = Workspace(root)
    directory = space.run("train")
    until(lambda: not space.view(directory).state.live)
    assert (directory / "argv").read_text() == f"--out {directory} --lr 3e-4 --seed 3"
    assert space.config("train").flat == {"lr": 3e-4, "seed": 3}


def test_a_seed_that_there_is_not_is_not_made_up(tmp_path: Path) -> None:
    root, _, _ = Workspace.arrive(tmp_path, shlex.split("sh --lr 3e-4"))
    assert '# seed_key = "seed"' in (root / "exptui.toml").read_text()
    with pytest.raises(UsageError, match="where its seed should be"):
        Workspace(root).grid("sh", {}, (1, 2))


@pytest.mark.parametrize(
    ("line", "doubtful"),
    [
        ("python train.py --lr 1 --amp data.csv", ["--amp data.csv"]),
        ("python train.py -v runs/a b --lr 1", ["-v runs/a b"]),
        ("python train.py --train-data data.csv --act ReLU --lr 0.5 --amp --data_dir=x/y -d a.csv", []),
    ],
)
def test_a_value_that_may_be_a_word_of_its_own_is_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    doubtful: list[str],
) -> None:
    assert taken(line).doubtful == doubtful
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--", *shlex.split(line.replace("python", "sh"))]) == 0
    assert capsys.readouterr().out.count("is taken for the value of") == len(doubtful)


@pytest.mark.parametrize(
    ("manifest", "name"),
    [
        ('[package]\nname = "moons"\n', "moons"),
        ("[workspace]\n", "first"),
        ("[package]\nname = 3\n", "first"),
        ("", "first"),
    ],
)
def test_a_crate_gives_its_name(tmp_path: Path, manifest: str, name: str) -> None:
    cargo = tmp_path / "bin/cargo"
    cargo.parent.mkdir()
    cargo.write_text("#!/bin/sh\n")
    cargo.chmod(0o755)
    (tmp_path / "Cargo.toml").write_text(manifest)
    root, made, _ = Workspace.arrive(tmp_path, [str(cargo), "run", "--", "--lr", "1"])
    assert made.name == name
    assert (root / f"configs/{name}.toml").is_file()
    assert load(root / "exptui.toml").trainer.environment.preset == "cargo"


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("no-such-program --lr 1", RunError, "no-such-program"),
        ("python3 train.py {epoch}", UsageError, "unknown placeholder"),
        ("python3 train.py --name \udcff", UsageError, "not UTF-8"),
    ],
)
def test_nothing_is_written_of_what_cannot_be_driven(line: str, error: type[Exception], said: str) -> None:
    with tempfile.TemporaryDirectory() as here:
        with pytest.raises(error, match=said):
            Workspace.arrive(Path(here), shlex.split(line))
        assert not list(Path(here).iterdir())


@pytest.mark.parametrize("there", ["configs/mine.toml", "exptui.toml"])
def test_a_workspace_is_never_overwritten(tmp_path: Path, there: str) -> None:
    path = tmp_path / "experiments" / there
    path.parent.mkdir(parents=True)
    path.write_text("a = 1")
    for make in (lambda: Workspace.init(tmp_path), lambda: Workspace.arrive(tmp_path, ["sh", "--lr", "1"])):
        with pytest.raises(UsageError, match="there is a workspace already"):
            make()
    assert path.read_text() == "a = 1"
    assert [p for p in (tmp_path / "experiments").rglob("*") if p.is_file()] == [path]
