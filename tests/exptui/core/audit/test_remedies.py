"""Settings that would make a trainer deterministic: of what it uses, for what differed, and not what it does already."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from exptui.core.audit.conformity import Row
from exptui.core.audit.remedies import Seen, remedies, seen
from exptui.core.runs.run import Recipe

RECIPE = Recipe(
    trainer="default", command=("train",), argv=("/bin/train",), cwd="/", resume=(), checkpoints="", code=(), passed=(),
    set={}, secret=(), preset="", threads=1, stop_grace=1.0, observational=(), slots=1,
)  # fmt: skip
TWICE = Row(name="twice", what="", status="differs")
CORE = Row(name="one core", what="", status="differs")
TORCH = "import torch\nfrom torch.utils.data import DataLoader\nmodel.cuda()\n"


def of(text: str, *packages: str, rows: tuple[Row, ...] = (TWICE,), recipe: Recipe = RECIPE) -> list[str]:
    return [
        line.partition(" ")[2][:24] for line in remedies(Seen(frozenset(packages), text, ""), rows, recipe)
    ]


def test_what_fits_the_library_and_is_not_done_already() -> None:
    assert of(TORCH, "torch") == [
        "torch.manual_seed(seed)",
        "torch.use_deterministic_",
        "torch.backends.cudnn.ben",
        "DataLoader(…, generator=",
    ]
    assert of("import torch\ntorch.manual_seed(7)", "torch") == ["torch.use_deterministic_"]
    done = "torch.manual_seed(7); torch.use_deterministic_algorithms(True); DataLoader(x, generator=g)"
    assert of(done, "torch") == []
    assert of("import numpy as np\nnp.zeros(3)", "numpy") == []
    assert of("np.random.default_rng()", "numpy") == ["numpy.random.default_rng"]
    assert of("np.random.default_rng(7)", "numpy") == []
    assert of("RandomForest(n_jobs=4)", "sklearn") == ["random_state=seed, of ea"]
    assert of("let m = HashMap::new();", "rust") == ["no HashMap or HashSet wh"]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ((), []),
        ((Row(name="twice", what="", status="same"), Row(name="TZ", what="", status="differs")), []),
        ((CORE,), ["torch.set_num_threads(n)"]),
        ((Row(name="one core", what="", status="not judged", hint="threads"),), ["torch.set_num_threads(n)"]),
        ((Row(name="one core", what="", status="not judged"),), []),
    ],
)
def test_only_for_what_differed(rows: tuple[Row, ...], found: list[str]) -> None:
    assert of("import torch", "torch", rows=rows) == found


def test_what_the_settings_let_go_of_is_said() -> None:
    loose = msgspec.structs.replace(
        RECIPE, set={"PYTHONHASHSEED": "random"}, passed=("OMP_NUM_THREADS",), threads=4
    )
    found = remedies(Seen(frozenset(), "", ""), [TWICE, CORE], loose)
    assert found == (
        "environment: leave PYTHONHASHSEED to exptui, which sets it to 0",
        "environment: leave OMP_NUM_THREADS to exptui, which sets it to the threads of [queue]",
        "environment: threads = 1 in [queue] (OMP_, OPENBLAS_, MKL_, NUMEXPR_, RAYON_NUM_THREADS)",
    )
    assert remedies(Seen(frozenset(), "", ""), [], loose) == ()


def test_the_source_is_the_script_and_what_it_imports_beside_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import os, numpy as np\nfrom net.model import Net\nimport data\n")
    (tmp_path / "net").mkdir()
    (tmp_path / "net/model.py").write_text("from torch import nn  # nothing\n")
    (tmp_path / "data.py").write_text("import data\nimport pandas.io\n")
    (tmp_path / "unused.py").write_text("import jax\n")
    recipe = msgspec.structs.replace(RECIPE, argv=("/bin/python", "train.py", "--x"), cwd=str(tmp_path))
    found = seen(recipe, tmp_path)
    assert found.packages == {"os", "numpy", "net", "data", "torch", "pandas"}
    assert found.how == "in data.py, model.py, train.py"
    module = msgspec.structs.replace(recipe, argv=("/bin/python", "-m", "net.model"))
    assert seen(module, tmp_path).packages == {"torch"}
    code = msgspec.structs.replace(RECIPE, code=(".",))
    assert "jax" in seen(code, tmp_path).packages
    (tmp_path / "Cargo.toml").touch()
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.rs").write_text("use std::collections::HashMap;")
    assert "rust" in seen(RECIPE, tmp_path).packages


def test_without_a_source_what_is_installed_counts(tmp_path: Path) -> None:
    for name in ("torch-2.5.dist-info", "scikit_learn-1.5.dist-info"):
        (tmp_path / "lib/python3.11/site-packages" / name).mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/train").write_text("#!/bin/sh\n")
    found = seen(msgspec.structs.replace(RECIPE, argv=(str(tmp_path / "bin/train"),)), tmp_path)
    assert found == Seen(frozenset({"torch", "sklearn"}), "", "installed; its source was not found")
