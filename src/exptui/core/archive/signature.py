"""SSH signatures over manifests and verdicts. Keys and allowed signers are those of the user's own settings alone."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exptui.core import user
from exptui.core.errors import ArchiveError, ConfigError, CorruptError
from exptui.core.files import open_regular, storage_errors

SECONDS = 30  # how long a key, an agent or a token may take
_MAX = 64 << 10
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Purpose:
    """What is signed: a signature for one purpose is none for another."""

    namespace: str
    of: str
    data: str
    undone: str
    instead: str = ""


ARCHIVES = Purpose(
    "exptui-archive-v1",
    "an archive",
    "the manifest",
    "nothing was archived",
    "; or archive without a signature: --no-sign",
)
VERDICTS = Purpose("exptui-verdict-v1", "a verdict", "the verdict", "no verdict was written")


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signature fits: the key's fingerprint, and the identity the user allows for it ('' where none).

    `refused`: the user says who is allowed, and this key is not.
    """

    key: str
    identity: str = ""
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.identity} ({self.key})" if self.identity else self.key


def signer(*, wanted: bool | None = None, purpose: Purpose = ARCHIVES) -> Sign | None:
    """What signs, with the key of the user's settings; None where there is none, or it is not wanted.

    Raises:
        ConfigError: it is wanted and no key is set, or the settings cannot be read.
    """
    if wanted is False:
        return None
    key = user.load().signing.key
    if wanted and not key:
        raise ConfigError(f"no key to sign with in {user.path()}", '[signing] key = "~/.ssh/id_ed25519"')
    return (lambda data: sign(data, key, purpose)) if key else None


def sign(data: bytes, key: str, purpose: Purpose = ARCHIVES) -> bytes:
    """The signature over these bytes; asks nobody anything.

    Raises:
        ArchiveError: the key is missing or locked, or took too long.
    """
    with storage_errors(f"sign {purpose.of}"), tempfile.TemporaryDirectory(prefix="exptui-") as folder:
        message = Path(folder, "manifest.json")
        message.write_bytes(data)
        done = _keygen("sign", "-f", key, "-n", purpose.namespace, str(message))
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
            raise ArchiveError(
                f"{purpose.undone}: cannot sign with {key} ({said[0]})",
                f"Unlock it first: ssh-add {key}{purpose.instead}",
            )
        made = load(Path(folder, "manifest.json.sig")) or b""
    examine(data, made, purpose)
    return made


def load(path: Path) -> bytes | None:
    """The bytes of a signature; None where there is none."""
    try:
        with open_regular(path) as file:
            return file.read(_MAX + 1)
    except FileNotFoundError:
        return None


def key_of(signature: bytes, purpose: Purpose = ARCHIVES) -> str:
    """The fingerprint of the key a signature says it was made with; `examine` says whether it was.

    Raises:
        CorruptError: it is not one, in the one form that ssh-keygen writes, for our namespace.
    """
    try:
        blob = base64.b64decode(signature[len(_BEGIN) : -len(_END)].replace(b"\n", b""), validate=True)
    except binascii.Error:
        blob = b""
    text = base64.b64encode(blob)
    lines = b"".join(text[at : at + 70] + b"\n" for at in range(0, len(text), 70))
    head, rest = blob[:10], blob[10:]
    key, rest = _string(rest)
    if (
        len(signature) > _MAX
        or signature != _BEGIN + lines + _END
        or head != b"SSHSIG\0\0\0\1"
        or _string(rest)[0] != purpose.namespace.encode()
    ):
        raise CorruptError(f"it is not an SSH signature of {purpose.of}", "Restore it from another copy.")
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _string(data: bytes) -> tuple[bytes, bytes]:
    """An SSH string and what follows it; one that is cut gives what is there."""
    size = int.from_bytes(data[:4], "big")
    return data[4 : 4 + size], data[4 + size :]


def examine(data: bytes, signature: bytes, purpose: Purpose = ARCHIVES) -> Signer:
    """Who signed these bytes.

    Raises:
        CorruptError: the signature is damaged, or does not fit them.
        ArchiveError: it cannot be examined.
        ConfigError: the user's settings, or the allowed signers they name, cannot be read.
    """
    key = key_of(signature, purpose)
    allowed = user.load().signing.allowed_signers
    if allowed and not os.access(allowed, os.R_OK):
        raise ConfigError(f"cannot read {allowed}, which {user.path()} names", "Make that file readable.")
    with storage_errors("examine the signature"), tempfile.NamedTemporaryFile(prefix="exptui-") as file:
        file.write(signature)
        file.flush()
        about = ("-n", purpose.namespace, "-s", file.name)
        names = _keygen("find-principals", "-f", allowed, *about).stdout.decode() if allowed else ""
        for name in names.splitlines():
            if _keygen("verify", "-f", allowed, "-I", name, *about, data=data).returncode == 0:
                return Signer(key, name)
        if _keygen("check-novalidate", *about, data=data).returncode == 0:
            return Signer(key, refused=bool(allowed))
    raise CorruptError(f"the signature does not fit {purpose.data}", "Restore both from another copy.")


def _keygen(what: str, *arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run `ssh-keygen -Y`; without a terminal, an askpass or a wait that has no end."""
    quiet = {k: v for k, v in os.environ.items() if k not in ("SSH_ASKPASS", "DISPLAY", "WAYLAND_DISPLAY")}
    try:
        return subprocess.run(
            ["ssh-keygen", "-Y", what, *arguments],
            stdin=subprocess.DEVNULL if data is None else None,
            input=data,
            capture_output=True,
            check=False,
            timeout=SECONDS,
            start_new_session=True,
            env={**quiet, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise ArchiveError("signatures need ssh-keygen, which is not here", "Install OpenSSH.") from error
    except subprocess.TimeoutExpired as error:
        raise ArchiveError(
            f"ssh-keygen gave no answer within {SECONDS} s", "Unlock the key or token first (ssh-add)."
        ) from error
