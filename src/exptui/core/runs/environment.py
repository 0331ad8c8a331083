"""The clean environment, built from empty, and the fingerprint of what a run met."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from exptui.core.errors import RunError
from exptui.core.files import sha256_file
from exptui.core.runs import inputs
from exptui.core.runs.run import Recipe

THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "RAYON")
FIXED = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "dumb",
    "SOURCE_DATE_EPOCH": "0",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
    "PYTHONUNBUFFERED": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}
PRESETS: dict[str, dict[str, str]] = {
    "cargo": {"CARGO_HOME": "~/.cargo", "RUSTUP_HOME": "~/.rustup"},
    "venv": {"VIRTUAL_ENV": ""},
    "conda": {"CONDA_PREFIX": "", "CONDA_DEFAULT_ENV": ""},
    "cuda-module": {"CUDA_HOME": "", "LD_LIBRARY_PATH": ""},
    "hf-cache": {"HF_HOME": "~/.cache/huggingface"},
}


def resolve(program: str, project: Path, user: Mapping[str, str], *, built: bool = False) -> Path:
    """Where a command's first word is: a path, the project's own `.venv`, then the user's PATH.

    The bundled trainer is also found beside exptui itself; nothing else is, so `python` is the user's. A path that
    is `built` before the run need not be there yet.

    Raises:
        RunError: there is no such program.
    """
    if "/" in program:
        path = project / Path(program).expanduser()
        if built or (os.access(path, os.X_OK) and path.is_file()):
            return path.absolute()
    else:
        own = Path(sys.prefix).resolve() / "bin"
        places = [
            project / ".venv/bin",
            *(Path(p) for p in user.get("PATH", os.defpath).split(os.pathsep) if p),
        ]
        shared = sys.prefix == sys.base_prefix  # the system's Python: its directory is everybody's
        usable = [p for p in places if shared or p.resolve() != own or p == project / ".venv/bin"]
        if program == "tiny-agent-trainer":
            usable.append(own)
        if found := shutil.which(program, path=os.pathsep.join(map(str, usable))):
            return Path(found).absolute()
    raise RunError(
        f"the trainer's program {program!r} does not exist or cannot be executed",
        "Check [trainer] command in exptui.toml, or install the program so that it is on your PATH.",
    )


def build(recipe: Recipe, scratch: Path, user: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a run; nothing of the caller's comes in but what the recipe names."""
    path = f"{Path(recipe.argv[0]).parent}:/usr/local/bin:/usr/bin:/bin"
    home = {"PATH": path, "HOME": str(scratch), "TMPDIR": str(scratch), "XDG_CACHE_HOME": str(scratch)}
    threads = {f"{name}_NUM_THREADS": str(recipe.threads) for name in THREADS}
    env = {**home, **FIXED, **threads, "CUDA_VISIBLE_DEVICES": user.get("CUDA_VISIBLE_DEVICES", "")}
    for name, default in PRESETS.get(recipe.preset, {}).items():
        if value := user.get(name) or (default and str(Path(default).expanduser())):
            env[name] = str(Path(value).absolute()) if default else value
    env |= {name: user[name] for name in (*recipe.passed, *recipe.secret) if name in user}
    return {**env, **inputs.variables(recipe.inputs), **recipe.set, **extra}


def code_digest(code: tuple[str, ...], project: Path) -> dict[str, str]:
    """Relative path → SHA-256 of every file that counts as "the code".

    Raises:
        RunError: a declared path is not there.
    """
    digests: dict[str, str] = {}
    for entry in code:
        top = project / entry
        if not top.exists():
            raise RunError(f"the code {entry!r} does not exist", "Mend [trainer] code in exptui.toml.")
        found = sorted(p for p in top.rglob("*") if p.is_file()) if top.is_dir() else [top]
        for path in found:
            if "__pycache__" not in path.parts:
                digests[str(path.relative_to(top.parent))] = sha256_file(path)[0]
    return digests


def fingerprint(
    recipe: Recipe, home: Path, on_bytes: Callable[[int], None] | None = None
) -> dict[str, object]:
    """Code, inputs, program, packages and machine, as they are when the trainer starts; no scratch paths.

    `home`: where the code is; that of a snapshot is of the commit it was taken at.
    `on_bytes` gets the length of each block of the inputs that is hashed: they may be large.
    """
    program, snapshot = Path(recipe.argv[0]), recipe.snapshot
    return {
        **({"inputs": inputs.digests(recipe.inputs, on_bytes)} if recipe.inputs else {}),
        **({"snapshot": snapshot.digest} if snapshot else {}),
        **({"python": found[0].parent.name.removeprefix("python")} if (found := sites(program)) else {}),
        "code": code_digest(recipe.code, home),
        "program": sha256_file(program)[0],
        "packages": packages(program),
        "cpu": cpu(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "threads": recipe.threads,
        "git": snapshot.git if snapshot else git(home),
    }


def sites(program: Path) -> list[Path]:
    """The site-packages of the Python environment a program belongs to; none where it is no Python."""
    prefixes = [program.parent.parent]
    head = program.open("rb").readline(512)
    if match := re.match(rb"#!\s*(\S+/python\S*)", head):
        prefixes.append(Path(os.fsdecode(match[1])).parent.parent)
    return [site for prefix in prefixes for site in sorted(prefix.glob("lib/python3.*/site-packages"))]


def packages(program: Path) -> dict[str, str]:
    """Name → version of what is installed in the Python environment a program belongs to."""
    names = (found.name for site in sites(program) for found in site.glob("*.dist-info"))
    return dict(sorted(name.removesuffix(".dist-info").rpartition("-")[::2] for name in names))


def cpu() -> dict[str, str]:
    """Its model and flags."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {"model": platform.processor()}
    found = dict(re.findall(r"^(model name|flags|Features)\s*:\s*(.*)$", text, re.MULTILINE))
    return {"model": found.get("model name", ""), "flags": found.get("flags", found.get("Features", ""))}


def _ask_git(project: Path, *words: str) -> bytes | None:
    """What git prints; None where there is no git, no repository, or no answer in 20 s."""
    try:
        done = subprocess.run(
            ["git", "-C", str(project), *words],
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def git(project: Path) -> dict[str, object] | None:
    """Commit and whether the tree differs from it; None where there is no repository."""
    commit = _ask_git(project, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {
        "commit": commit.decode().strip(),
        "dirty": bool(_ask_git(project, "status", "--porcelain")),
    }


def code_patch(project: Path, seen: Mapping[str, object]) -> bytes:
    """The uncommitted difference of the trainer's repository to its commit; empty where the fingerprint saw none."""
    git = seen["git"]
    if not (isinstance(git, dict) and git["dirty"]):
        return b""
    return _ask_git(project, "diff", "--binary", "--no-ext-diff", "--no-textconv", "HEAD") or b""
