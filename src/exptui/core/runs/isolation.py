"""What a re-run is kept away from, as far as this kernel allows it: the network, and the original it has to equal.

A user namespace of its own gives the right to make a network namespace (with nothing but `lo`) and a mount
namespace, in which the original is covered: a directory by an empty file system, a file by /dev/null.
See user_namespaces(7), mount_namespaces(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exptui.core.errors import RunError

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MS_NOSUID_NODEV = 0x1000, 0x4000, 0x40000, 0x6
SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41


@dataclass(frozen=True)
class Isolation:
    """What to cover, and whether the network stays.

    Only directories beside the run's own are covered, never one above it: a rename from elsewhere into the run's
    directory would then cross a mount, which a trainer that was not isolated never met.
    """

    masked: tuple[str, ...]
    network: bool

    def enter(self) -> None:
        """Isolate the calling process and all it starts.

        Raises:
            OSError: the kernel does not allow it.
        """
        uid, gid = os.geteuid(), os.getegid()
        _unshare(CLONE_NEWUSER | CLONE_NEWNS | (0 if self.network else CLONE_NEWNET))
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            Path(f"/proc/self/{name}").write_text(text)
        _mount("none", "/", "", MS_REC | MS_PRIVATE)
        for path in self.masked:
            _cover(path)
        if not self.network:
            _loopback_up()

    @property
    def words(self) -> str:
        """For the report."""
        return f"user namespace, {'network not cut' if self.network else 'no network'}, original masked"


def prepare(wanted: str, isolation: Isolation) -> tuple[Callable[[], None] | None, str]:
    """How a child is isolated before it executes its program, and what to say of it.

    `wanted` is "none", "auto" or "required".

    Raises:
        RunError: it is required, and this machine does not allow it.
    """
    if wanted == "none":
        return None, ""
    problem = _probe(isolation)
    if not problem:
        return isolation.enter, isolation.words
    if wanted == "required":
        raise RunError(
            f"the re-run cannot be isolated here: {problem}",
            "Allow user namespaces on this machine, or verify without --isolation required.",
        )
    return None, f"clean environment only ({problem}): network not cut, original readable"


def _probe(isolation: Isolation) -> str:
    """Try it in a child; what is in the way, or nothing. The child does nothing else."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            isolation.enter()
        except OSError as error:
            os.write(writer, f"{error.filename or 'user namespace'}: {error.strerror}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb", buffering=0) as pipe:  # noqa: PTH123
        said = pipe.read(1000) or b""
    os.waitpid(child, 0)
    return said.decode(errors="replace")


def _cover(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # what is gone, or goes just now, needs no cover
        if Path(path).is_dir():
            _mount("tmpfs", path, "tmpfs", MS_NOSUID_NODEV, "size=64k,mode=0700")
        else:
            _mount("/dev/null", path, "", MS_BIND)


def _unshare(flags: int) -> None:
    if _libc().unshare(flags):
        _fail("user namespace")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    words = [word.encode() if word else None for word in (source, target, kind)]
    if _libc().mount(*words, ctypes.c_ulong(flags), data.encode() or None):
        _fail(f"mount namespace, {target}")


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    for name in ("unshare", "mount"):
        if not hasattr(libc, name):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
    return libc


def _fail(what: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), what)


def _loopback_up() -> None:
    """Trainers that talk to themselves need it; where it cannot be had, they do without."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP_RUNNING))
