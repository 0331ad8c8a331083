"""The one module that publishes files: atomic replacement, durable renames, digests, locks.

A published file is either the old one or the new one, whole, after a crash at any point:
temporary file in the same directory → write → fsync → rename → fsync of the directory.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec

from exptui.core.errors import Cancelled, CorruptError, StorageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BLOCK = 1 << 20
LOW_DISK = 1 << 30  # bytes free: less is a warning
PARTIAL = ".partial"
_TEMPORARY = re.compile(rf"\..+\.(\d+){re.escape(PARTIAL)}")

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Called with (done, total), in the unit the operation works in: bytes or cycles."""


@contextlib.contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn an OSError into a StorageError that says what was being done and what to do next.

    Raises:
        StorageError: for every OSError raised inside.
    """
    try:
        yield
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise StorageError(f"cannot {what}:{where} {error.strerror or error}", _hint(error)) from error


def _hint(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return (
                "Free some space on that disk (archived runs can be removed from results/), then try again."
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "Check who owns that directory and whether you may write there (ls -ld)."
        case errno.ENOENT:
            return "Something removed it meanwhile; list again and retry."
        case errno.ENOLCK | errno.ENOSYS | errno.ENOTSUP:
            return "A file system without locks cannot be used: mount it with them (NFS: local_lock=flock), or move."
        case _:
            return ""


def fsync_dir(path: Path) -> None:
    """Make the names in a directory durable. File systems that cannot (EINVAL) are left as they are."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Replace `path` by `data`: all of it or nothing, durable on return. `mode` is subject to the umask.

    Raises:
        OSError: nothing was replaced and no temporary file is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        publish(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def replace_quickly(path: Path, pieces: Iterable[ReadableBuffer]) -> None:
    """Replace a file that can be made again: whoever reads sees the old or the new one, but a crash may damage it.

    Raises:
        OSError: nothing was replaced and no temporary file is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with temporary.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_abandoned(directory: Path) -> list[str]:
    """Remove the temporary files of `write_atomic` whose process is gone; a message each. Not below it."""
    messages = []
    for name in sorted(os.listdir(directory)):  # noqa: PTH208
        match = _TEMPORARY.fullmatch(name)
        if match and not Path(f"/proc/{match[1]}").exists():
            (directory / name).unlink(missing_ok=True)
            messages.append(f"removed the unfinished {name}")
    return messages


def write_all(fd: int, data: bytes) -> None:
    """Write every byte, however often the kernel takes less."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextlib.contextmanager
def locked_directory(path: Path) -> Iterator[int]:
    """A new private directory, its locked descriptor, and nothing of it afterwards unless it was renamed.

    Whoever finds it with its lock free finds what a crash left.
    """
    fd = None
    while fd is None:  # until no recovery took it for a left-over before it was locked
        path.mkdir(mode=0o700)
        fd = lock_directory(path)
    try:
        yield fd
    finally:
        import shutil

        try:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(path)
        finally:
            os.close(fd)


def lock_directory(path: Path, *, wait: bool = True) -> int | None:
    """The locked descriptor of a directory; None where it goes meanwhile, or without `wait` where another holds it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.samestat(os.fstat(fd), path.lstat()):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def publish(temporary: Path, path: Path) -> None:
    """Rename a file that was already fsynced to its final name, durably."""
    rename(temporary, path)
    fsync_dir(path.parent)


def rename(source: Path, target: Path) -> None:
    """Rename; that a server says "not there" to a repeated request whose first answer was lost is success."""
    moved = source.lstat()
    try:
        source.rename(target)
    except FileNotFoundError:
        if not (os.path.lexists(target) and os.path.samestat(moved, target.lstat())):
            raise


def append_durable(path: Path, data: bytes) -> None:
    """Append in one write, fsynced; a new file's name is made durable too."""
    existed = path.exists()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    if not existed:
        fsync_dir(path.parent)


def sha256_bytes(data: bytes) -> str:
    """Lower-case hexadecimal SHA-256."""
    import hashlib

    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path, on_bytes: Callable[[int], None] | None = None) -> tuple[str, int]:
    """SHA-256 in hexadecimal and the size in bytes of a regular file; `on_bytes` gets each block's length."""
    import hashlib

    digest, size = hashlib.sha256(), 0
    with open_regular(path) as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
            if on_bytes is not None:
                on_bytes(len(block))
    return digest.hexdigest(), size


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys, no spaces and a final newline: equal values give equal bytes."""
    return msgspec.json.encode(msgspec.to_builtins(value), order="sorted") + b"\n"


def pretty_json(value: object) -> bytes:
    """JSON for a file that people open: sorted keys, two spaces, a final newline."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"


def open_regular(path: Path) -> BufferedReader:
    """A file, to be read; what stands in its place is an error: a FIFO would be waited for without end.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    return open(path, "rb", opener=_open_regular)


def _open_regular(path: str, flags: int) -> int:
    fd = os.open(path, flags | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "is not a regular file", str(path))


def read_json(path: Path, kind: type[T]) -> T:
    """Decode a JSON file into a msgspec type.

    Raises:
        CorruptError: the bytes are not JSON of that shape; the message names the file and the place.
        OSError: the file cannot be read.
    """
    try:
        with open_regular(path) as file:
            return msgspec.json.decode(file.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptError(
            f"{path}: {error}", "The file is damaged or was written by something else."
        ) from error


def one_name(name: str) -> bool:
    """Whether it can be the name of one file here, and no path out of here."""
    return "/" not in name and "\0" not in name and name not in ("", ".", "..")


def free_bytes(path: Path) -> int:
    """Bytes an ordinary user can still write on the file system of `path`."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


class Cancel:
    """A flag that a long operation looks at between blocks; set from any thread."""

    def __init__(self) -> None:
        self._asked = False

    def ask(self) -> None:
        """Ask the operation to stop at its next block."""
        self._asked = True

    def check(self) -> None:
        """Raises Cancelled when somebody asked."""
        if self._asked:
            raise Cancelled("cancelled", "Nothing was changed.")


class LockId(msgspec.Struct, frozen=True):
    """Which file a lock is: survives a rename or a re-creation of the path, as a different lock."""

    path: str
    device: int
    inode: int


class Lock:
    """An flock held through an open descriptor; shared with every process that inherits it."""

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self.path = path

    @classmethod
    def take(cls, path: Path, *, wait: bool = True) -> Lock | None:
        """Take the exclusive lock, creating the file; None when `wait` is off and it is held.

        The file taken is the one the path names on return, also when somebody removed it meanwhile.

        Raises:
            OSError: it cannot be opened, or its file system has no locks.
        """
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                if (stat := os.fstat(fd)).st_uid == os.geteuid() and stat.st_mode & 0o777 != 0o666:
                    os.fchmod(fd, 0o666)  # empty: whoever may enter the directory may take it
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                if _same_file(fd, path):
                    return cls(fd, path)
            except BlockingIOError:
                os.close(fd)
                return None
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def identity(self) -> LockId:
        """Path, device and inode, for whoever wants to ask later whether it is still held."""
        stat = os.fstat(self.fd)
        return LockId(str(self.path), stat.st_dev, stat.st_ino)

    def release(self) -> None:
        """Close our descriptor; the lock is free once no other process holds a copy."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # it is closed whatever is said
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def is_held(lock: LockId) -> bool:
    """Whether some process holds that very lock. Never takes it exclusively, so two readers do not meet.

    Raises:
        OSError: it cannot be asked: it lies in somebody else's directory, or its file system has no locks.
    """
    try:
        fd = os.open(lock.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, ValueError):  # a path with a NUL names nothing
        return False
    try:
        stat = os.fstat(fd)
        if (stat.st_dev, stat.st_ino) != (lock.device, lock.inode):
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
    finally:
        os.close(fd)
