"""`make identity`: one run, archived by every supported Python found here, under another umask, locale and order.

Each Python gets an environment of its own in build/identity/, from the locked requirements. Exit 1 where two
identities differ or a Python failed; an interpreter that is missing is said, not counted.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13")
RUN = "exp_20260101T000000Z"
SETTINGS = ((0o022, "C.UTF-8"), (0o077, "C"), (0o002, "POSIX"))
ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Print an identity a Python; 1 where they are not one."""
    found: dict[str, str] = {}
    for turn, version in enumerate(VERSIONS):
        python = interpreter(version)
        if python is None:
            print(f"{version}: no interpreter here")
            continue
        home = ROOT / "build/identity" / version
        shutil.rmtree(home, ignore_errors=True)
        environment(python, home / "venv")
        make(home, turn)
        for compressor in ("isal", "zlib"):
            shutil.rmtree(home / "experiments/archive", ignore_errors=True)
            found[f"{version} {compressor}"] = archive(home, turn, compressor)
            print(f"{version} {compressor}: {found[f'{version} {compressor}']}")
    same = len(set(found.values())) == 1
    print(f"{len(found)} archives: {'one identity' if same else 'DIFFERENT'}")
    return 0 if same else 1


def interpreter(version: str) -> str | None:
    """An interpreter of that version which really starts: a shim that is on the PATH may not."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for name in (
        shutil.which(f"python{version}"),
        *map(str, pyenv.glob(f"versions/{version}.*/bin/python3")),
    ):
        probe = [name or "false", "-c", "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(probe, capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() == version:
            return name
    return None


def environment(python: str, venv: Path) -> None:
    """The locked packages, by their digests."""
    subprocess.run([python, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements.txt")], check=True)


def make(home: Path, turn: int) -> None:
    """The same files each time, made in another order, with other modes and times."""
    run = home / "experiments/results" / RUN
    (home / "experiments/configs").mkdir(parents=True)
    files = {
        "config.toml": b"x = 1\n",
        "empty": b"",
        "trainer.log": b"hello\n" * 50,
        "sub/\u00e9" + "n" * 120: b"x",
    }
    files |= {f"checkpoints/{n}.ckpt": random.Random(n).randbytes(700_000 * n) for n in range(4)}
    names = sorted(files, reverse=bool(turn % 2))
    for number, name in enumerate(names):
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
        path.chmod(0o600 + (number + turn) % 8)
        os.utime(path, (turn + 1, number))


def archive(home: Path, turn: int, compressor: str) -> str:
    """Seal it and give what was printed as its identity."""
    umask, locale = SETTINGS[turn]
    hide = "import sys; sys.modules['isal'] = None; " if compressor == "zlib" else ""
    code = f"{hide}import sys; from exptui.cli import main; sys.exit(main())"
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "src"),
        "LC_ALL": locale,
        "HOME": str(home),
    }
    words = [str(home / "venv/bin/python"), "-c", code, "archive", "--keep", RUN]
    done = subprocess.run(
        words, cwd=home, env=environ, umask=umask, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.split()[-1]


if __name__ == "__main__":
    sys.exit(main())
