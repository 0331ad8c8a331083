"""The MANIFEST: what an archive holds, file by file, and which of it is the run's identity."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise, takewhile
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import msgspec

from exptui.core.errors import ArchiveError, CorruptError
from exptui.core.files import Cancel, canonical_json, storage_errors

NAME = "MANIFEST.json"
RECORD = "exptui-attested.json"
"""In a run's directory: what was of the run and is not there any more (`attested`); in a manifest it is `attested`."""
MAX_MANIFEST = 64 << 20
MAX_TOTAL = 1 << 50
MAX_ABOUT = 4 << 20  # bytes of a recipe or a fingerprint: free-form, so parsed it can be 30 times as large
MAX_RUN_ID = 200
_LARGE, _READ = 1 << 20, 1 << 18
OBSERVATIONAL = (
    RECORD,
    "trainer.log",
    "run.json",
    "attempts/**",
    "metrics.jsonl",
    "code.patch",
    "prepare.log",
)

OnBytes = Callable[[int], None]
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DAMAGED = "The archive is damaged or was made by something else; do not trust its contents."


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: its path below the run directory, with '/' between parts."""

    path: str
    size: int
    sha256: str
    file_class: Literal["identity", "observational"] = msgspec.field(name="class")


class Attested(FileEntry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that was of the run and is not kept: what it was, said by whoever let it go. Never called present."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an archive says of itself; nothing of the moment or program that made it.

    Schema 2 is 1 with `attested`, and is only used where something is: all other archives are what they always were.
    """

    schema: Literal[1, 2] = 1
    run_id: str
    config_sha256: str
    settings_digest: str
    recipe: dict[str, Any] | None
    fingerprint: dict[str, Any] | None
    attempts: int
    incomplete: bool
    files: list[FileEntry]
    total_bytes: int
    attested: list[Attested] | msgspec.UnsetType = msgspec.UNSET

    @property
    def absent(self) -> list[Attested]:
        """The files that it lists and does not hold."""
        return self.attested or []


class _About(msgspec.Struct):
    """The free-form parts, unparsed."""

    recipe: msgspec.Raw = msgspec.Raw()
    fingerprint: msgspec.Raw = msgspec.Raw()


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    """'**' crosses directories, '*' and '?' do not."""
    out, i = "", 0
    while i < len(glob):
        if glob.startswith("**", i):
            out, i = out + ".*", i + 2
            continue
        out += {"*": "[^/]*", "?": "[^/]"}.get(glob[i], re.escape(glob[i]))
        i += 1
    return re.compile(out, re.DOTALL)


def classify(path: str, observational: Sequence[str]) -> Literal["identity", "observational"]:
    """The class of a path: identity, unless a built-in or declared pattern makes it observational."""
    return "observational" if matches(path, (*OBSERVATIONAL, *observational)) else "identity"


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path below the run directory is of one of the declared patterns."""
    return any(_pattern(pattern).fullmatch(path) for pattern in patterns)


def path_problem(path: str) -> str:
    """Why a relative path cannot be archived or restored; empty when it can."""
    try:
        raw = path.encode("utf-8")
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in path):
        return "its name has control characters"
    if "\\" in path:
        return "its name has a backslash"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "its path is not plain and relative"
    if len(raw) > 4000 or any(len(part.encode()) > 255 for part in parts):
        return "its name is too long"
    return ""


def safe_path(path: str) -> str:
    """The path itself, when it is relative and plain.

    Raises:
        CorruptError: absolute, with '..', empty parts, control characters, backslashes, or not UTF-8.
    """
    if problem := path_problem(path):
        raise CorruptError(f"unsafe path {path!r}: {problem}", _DAMAGED)
    return path


def run_id_problem(run_id: str) -> str:
    """Why a run id cannot name an archive; empty when it can."""
    if "/" in run_id or run_id.startswith(".") or len(run_id.encode(errors="replace")) > MAX_RUN_ID:
        return f"a run id is one name of at most {MAX_RUN_ID} bytes that does not start with a dot"
    return path_problem(run_id)


def collisions(paths: Sequence[str]) -> str:
    """What is wrong with the paths taken together: a reserved name, duplicates, a file used as a directory."""
    # In this order all that share a folded directory lie side by side, so neighbours are all there is to compare.
    keyed = sorted((fold(path).replace("/", "\0"), path) for path in paths)
    for key, path in keyed:
        if key.partition("\0")[0] == fold(NAME):
            return f"{path!r} takes the name of the manifest"
    for (key, path), (next_key, next_path) in pairwise(keyed):
        if key == next_key:
            return f"{path!r} and {next_path!r} are one name on some file systems"
        if next_key.startswith(key + "\0"):
            return f"{path!r} is both a file and a directory"
        folded = zip(key.split("\0"), next_key.split("\0"), strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], folded))
        one, other = ("/".join(p.split("/")[:same]) for p in (path, next_path))
        if one != other:
            return f"{one!r} and {other!r} are one name on some file systems"
    return ""


def fold(path: str) -> str:
    """The path as a file system that ignores case and normalization sees it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def open_below(root_fd: int, path: str, flags: int, mode: int = 0o666) -> int:
    """Open a file below a directory descriptor; no part of the path may be a link."""
    *parents, name = path.split("/")
    fd = os.dup(root_fd)
    try:
        for parent in parents:
            below = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = below
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=fd)
    finally:
        os.close(fd)


def open_source(root_fd: int, path: str) -> int:
    """Open a regular file of a run for reading.

    Raises:
        ArchiveError: it is no longer a regular file, or no longer there.
    """
    try:
        fd = open_below(root_fd, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise ArchiveError(
            f"cannot read {path}: {error.strerror}", "Check that file, then archive again."
        ) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ArchiveError(f"{path} is not a regular file any more", "Remove it, then archive again.")
    return fd


def listing(run_dir: Path) -> list[tuple[str, int]]:
    """Every file below a run directory with its size, sorted by the bytes of the path.

    Raises:
        ArchiveError: a link, FIFO, device, socket or a name that cannot be represented; it is named.
        StorageError: the directory cannot be read.
    """
    found: list[tuple[str, int]] = []
    pending = [""]
    with storage_errors("read the run directory"):
        if run_dir.is_symlink() or not run_dir.is_dir():
            raise ArchiveError(f"{run_dir} is not a directory", "Choose a directory below results/.")
        while pending:
            prefix = pending.pop()
            with os.scandir(run_dir / prefix) as entries:
                for entry in entries:
                    path = prefix + entry.name
                    mode = entry.stat(follow_symlinks=False).st_mode
                    _refuse(path, mode)
                    if stat.S_ISDIR(mode):
                        pending.append(path + "/")
                    else:
                        found.append((path, entry.stat(follow_symlinks=False).st_size))
    found.sort(key=lambda item: item[0].encode())
    if problem := collisions([path for path, _ in found]):
        raise ArchiveError(f"cannot archive {run_dir.name}: {problem}", "Rename one of them first.")
    return found


def empty_directories(run_dir: Path) -> tuple[str, ...]:
    """The directories below a run that hold nothing, sorted: a manifest lists files, so these are not in it."""
    found = (
        Path(where).relative_to(run_dir) for where, below, files in os.walk(run_dir) if not below + files
    )
    return tuple(sorted(str(path) for path in found))


def _refuse(path: str, mode: int) -> None:
    kind = ""
    if stat.S_ISLNK(mode):
        kind = "it is a symbolic link"
    elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = "it is a FIFO, socket or device"
    if problem := path_problem(path) or kind:
        raise ArchiveError(f"cannot archive {path!r}: {problem}", "Remove or rename it, then archive again.")


def scan(
    run_dir: Path,
    observational: Sequence[str] = (),
    on_bytes: OnBytes | None = None,
    cancel: Cancel | None = None,
) -> list[FileEntry]:
    """Hash every file of a run, sorted by the bytes of its path.

    Raises:
        ArchiveError: something in it cannot be archived; it is named.
        Cancelled: somebody asked.
    """
    return hashed(
        run_dir, [one for one in listing(run_dir) if one[0] != RECORD], observational, on_bytes, cancel
    )


def hashed(
    run_dir: Path,
    names: list[tuple[str, int]],
    observational: Sequence[str] = (),
    on_bytes: OnBytes | None = None,
    cancel: Cancel | None = None,
) -> list[FileEntry]:
    """The same of these files alone, in their order; a name comes with its size."""
    with storage_errors("read the run"):
        root = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = _entries(root, names, observational, on_bytes, cancel)
        finally:
            os.close(root)
    return [found[path] for path, _ in names]


def workers() -> int:
    """How many threads hash or compress: more would not make a disk faster, and each has its buffers."""
    return min(os.cpu_count() or 1, 4)


def _entries(
    root: int,
    names: list[tuple[str, int]],
    observational: Sequence[str],
    on_bytes: OnBytes | None,
    cancel: Cancel | None,
) -> dict[str, FileEntry]:
    """Every file, by its path: the large ones are hashed in threads, the small ones meanwhile in this one."""
    stop = Cancel()
    news: SimpleQueue[int | Future[FileEntry]] = SimpleQueue()

    def tell(count: int) -> None:
        if cancel is not None:
            cancel.check()
        if on_bytes is not None:
            on_bytes(count)

    def report(count: int) -> None:
        stop.check()
        news.put(count)

    with ThreadPoolExecutor(workers()) as pool:
        try:
            for path, size in names:
                if size >= _LARGE:
                    pool.submit(_hashed, root, path, observational, report).add_done_callback(news.put)
            small = (path for path, size in names if size < _LARGE)
            found = {path: _hashed(root, path, observational, tell) for path in small}
            while len(found) < len(names):
                item = news.get()
                if isinstance(item, Future):
                    found[item.result().path] = item.result()
                else:
                    tell(item)
        except BaseException:
            stop.ask()
            pool.shutdown(cancel_futures=True)
            raise
    return found


def _hashed(root: int, path: str, observational: Sequence[str], tell: OnBytes) -> FileEntry:
    digest, size = hashlib.sha256(), 0
    with open(open_source(root, path), "rb", buffering=0) as file:
        while block := file.read(_READ):
            tell(len(block))
            digest.update(block)
            size += len(block)
    cls = classify(path, observational)
    return FileEntry(path=path, size=size, sha256=digest.hexdigest(), file_class=cls)


def encode(manifest: Manifest) -> bytes:
    """The one byte form of a manifest."""
    return canonical_json(manifest)


def decode(data: bytes) -> Manifest:
    """Read a manifest, trusting nothing.

    Raises:
        CorruptError: not canonical, of another shape, or with a path that must not be restored.
    """
    if len(data) > MAX_MANIFEST:
        raise CorruptError(f"the manifest is larger than {MAX_MANIFEST} bytes", _DAMAGED)
    try:
        about = msgspec.json.decode(data, type=_About)
        if max(len(bytes(about.recipe)), len(bytes(about.fingerprint))) > MAX_ABOUT:
            raise CorruptError(f"its recipe or fingerprint is larger than {MAX_ABOUT} bytes", _DAMAGED)
        manifest = msgspec.json.decode(data, type=Manifest)
        canonical = encode(manifest) == data
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as error:
        raise CorruptError(f"the manifest does not parse: {error}", _DAMAGED) from error
    if problem := run_id_problem(manifest.run_id) or _problem(manifest):
        raise CorruptError(f"bad manifest: {problem}", _DAMAGED)
    if not canonical:
        raise CorruptError("the manifest is not in its canonical form", _DAMAGED)
    return manifest


def _problem(manifest: Manifest) -> str:
    if (manifest.schema == 2) != bool(manifest.attested) or manifest.attested == []:
        return "schema 2 is for what is attested, and for nothing else"
    if problem := entries_problem(manifest.files) or entries_problem(manifest.absent):
        return problem
    paths = [entry.path for entry in (*manifest.files, *manifest.absent)]
    if problem := collisions(paths):
        return problem
    if any(fold(path) == RECORD for path in paths):
        return f"{RECORD} is the name of a record of ours"
    if (
        manifest.total_bytes != sum(entry.size for entry in manifest.files)
        or manifest.total_bytes > MAX_TOTAL
    ):
        return "the total size is wrong"
    return "a count of attempts below zero" if manifest.attempts < 0 else ""


def entries_problem(entries: Sequence[FileEntry]) -> str:
    """What is wrong with a list of files, each for itself and their order; raises CorruptError for an unsafe path."""
    paths = [safe_path(entry.path) for entry in entries]
    if paths != sorted(paths, key=str.encode):
        return "the files are not in order"
    if any(entry.size < 0 or not _DIGEST.fullmatch(entry.sha256) for entry in entries):
        return "a size or digest is not one"
    return ""
