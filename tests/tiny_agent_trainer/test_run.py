"""Whole runs: their files, their identity, their resumption and their refusals."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_agent_trainer.__main__ import main

MLP = '[engine]\nepochs = 2\nbatch_size = 64\n\n[model]\nmodel_type = "DeterministicMLP"\nlayers = 2\nhidden = 16\n'
CNN = '[engine]\nepochs = 1\nbatch_size = 64\n\n[model]\nlayers = 2\nchannels = 4\nactivation = "GELU"\n'


def _write(folder: Path, text: str, name: str = "case.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _digests(output: Path) -> dict[str, str]:
    """The SHA-256 of every file of a run but trainer.log, which is not the trainer's."""
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name != "trainer.log"
    }


def _train(config: Path, output: Path, *more: str) -> int:
    return main(["--config", str(config), "--output", str(output), *more])


def test_two_runs_are_equal_byte_for_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = _write(tmp_path, CNN)
    assert _train(config, tmp_path / "one") == 0
    log = capsys.readouterr().out.splitlines()
    assert log[0].startswith("epoch 1/1 train loss ")
    assert log[1].startswith("epoch 1/1 validate loss ")
    assert log[2].startswith("checkpoint checkpoints/epoch_0001.ckpt ")
    assert _train(config, tmp_path / "two") == 0
    first = _digests(tmp_path / "one")
    assert first == _digests(tmp_path / "two")
    expected = {
        "config.toml",
        "chronicle.cmeta",
        "checkpoints/epoch_0001.ckpt",
        "metrics.json",
        "run_summary.md",
    }
    assert expected <= set(first)
    metrics = json.loads((tmp_path / "one/metrics.json").read_text())
    assert metrics["config_hash"] == hashlib.sha256(CNN.encode()).hexdigest()
    assert metrics["epochs"] == len(metrics["curves"]["train/loss"]) == 1
    line = json.loads((tmp_path / "one/metrics.jsonl").read_text())
    assert line["validate/f1_score"] == metrics["f1_score"]


@pytest.mark.parametrize("text", [MLP, CNN.replace("epochs = 1", "epochs = 2")], ids=["MLP", "CNN"])
def test_a_resumed_run_equals_a_straight_one(tmp_path: Path, text: str) -> None:
    config = _write(tmp_path, text)
    straight, parted = tmp_path / "straight", tmp_path / "parted"
    assert _train(config, straight) == 0
    assert _train(config, parted, "--until-epoch", "1") == 0
    assert not (parted / "metrics.json").exists()
    assert not (parted / "run_summary.md").exists()
    assert _train(config, parted, "--resume", str(parted / "checkpoints/epoch_0001.ckpt")) == 0
    assert _digests(parted) == _digests(straight)


def test_a_slice_starts_in_an_empty_directory(tmp_path: Path) -> None:
    config = _write(tmp_path, MLP)
    straight, part = tmp_path / "straight", tmp_path / "slice"
    assert _train(config, straight) == 0
    assert _train(config, part, "--resume", str(straight / "checkpoints/epoch_0001.ckpt")) == 0
    assert not (part / "checkpoints/epoch_0001.ckpt").exists()
    for name in ("checkpoints/epoch_0002.ckpt", "metrics.json", "run_summary.md"):
        assert (part / name).read_bytes() == (straight / name).read_bytes()


def test_damage_and_strangers_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = _write(tmp_path, MLP)
    assert _train(config, tmp_path / "run", "--until-epoch", "1") == 0
    good = tmp_path / "run/checkpoints/epoch_0001.ckpt"
    content = bytearray(good.read_bytes())
    content[len(content) // 2] ^= 1
    bad = tmp_path / "bad.ckpt"
    for damaged in (bytes(content), good.read_bytes()[:-1], b"", b"TATCKPT1"):
        bad.write_bytes(damaged)
        assert _train(config, tmp_path / "other", "--resume", str(bad)) == 2
        assert "bad.ckpt" in capsys.readouterr().err
    stranger = _write(tmp_path, MLP + "\n", "stranger.toml")
    assert _train(stranger, tmp_path / "other", "--resume", str(good)) == 2
    assert "another config" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    assert _train(config, tmp_path / "run") == 2
    assert "already holds a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[engine]\nepochs = 0\n", "engine.epochs"),
        ('[engine]\nbatch_size = "32"\n', "engine.batch_size"),
        ("[engine]\nbase_seed = true\n", "engine.base_seed"),
        ("[engine]\nlearning_rate = nan\n", "engine.learning_rate"),
        ("[engine]\nlearning_rat = 0.1\n", "engine.learning_rat"),
        ('[model]\nmodel_type = "Transformer"\n', "model.model_type"),
        ("[modle]\nlayers = 3\n", "modle"),
        ("model = 3\n", "model"),
        ("[engine\n", "TOML"),
    ],
)
def test_a_bad_config_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, key: str
) -> None:
    assert _train(_write(tmp_path, text), tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert key in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_default_output_is_new_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = _write(tmp_path, MLP)
    for _ in range(2):
        assert main(["--config", str(config), "--until-epoch", "1"]) == 0
    names = [path.name for path in (tmp_path / "experiments/results").iterdir()]
    assert len(names) == 2
    assert all(name.startswith("case_") for name in names)


def _dispatched() -> list[str]:
    """The CPU features numpy chose code by on this machine: those it lets one disable."""
    core = importlib.import_module("numpy._core._multiarray_umath")
    features: dict[str, bool] = getattr(core, "__cpu_features__", {})
    dispatch: list[str] = getattr(core, "__cpu_dispatch__", [])
    return [name for name in dispatch if features.get(name)]


def _train_apart(config: Path, output: Path, **environment: str) -> dict[str, str]:
    """Train in a process of its own, where a warning (as numpy's of a name it refuses) is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tiny_agent_trainer", "--config", config, "--output", output],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return _digests(output)


def test_another_machine_gives_the_same_bits(tmp_path: Path) -> None:
    config = _write(tmp_path, CNN.replace("layers = 2\nchannels = 4", "layers = 5\nchannels = 8"))
    home = tmp_path / "elsewhere/home"
    home.mkdir(parents=True)
    plain = {"OMP_NUM_THREADS": "1", "TZ": "UTC", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
    usual = _train_apart(config, tmp_path / "usual", **plain)
    other = {
        "OMP_NUM_THREADS": "2",
        "TZ": "Asia/Kathmandu",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "tr_TR.UTF-8",
        "PYTHONHASHSEED": "4711",
        "HOME": str(home),
    }
    assert _train_apart(config, home / "out put", **other) == usual
    names = _dispatched()
    for missing in {" ".join(names[-1:]), " ".join(names)} - {""}:  # the widest alone, and all
        output = home / f"without {missing}"
        assert _train_apart(config, output, NPY_DISABLE_CPU_FEATURES=missing, **other) == usual
