"""What changed: blocks until a file below the watched directories did, or a moment has passed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

DEBOUNCE = 50  # ms within which changes become one
STEP = 10  # ms without a change after which they are given out
BEAT = 1000  # ms after which to look without a change: the release of a lock is not one


def changes(directories: Iterable[Path], stop: threading.Event) -> Iterator[frozenset[Path]]:
    """The paths that changed, again and again; an empty set for a beat. Ends when `stop` is set.

    Only these directories themselves are watched, not what lies below them. Where the kernel gives no more watches
    (OSError, or watchfiles' own error) the beat is all there is.
    """
    from watchfiles import watch

    there = sorted({str(path) for path in directories if path.is_dir()})
    if not there:
        if not stop.wait(BEAT / 1000):
            yield frozenset()
        return
    try:
        for found in watch(
            *there,
            watch_filter=None,
            debounce=DEBOUNCE,
            step=STEP,
            stop_event=stop,
            rust_timeout=BEAT,
            yield_on_timeout=True,
            raise_interrupt=False,
            recursive=False,
        ):
            yield frozenset(Path(path) for _, path in found)
    except (
        OSError,
        RuntimeError,
    ):  # watchfiles' own errors, of a name that is not UTF-8 for one, are RuntimeErrors
        if not stop.wait(BEAT / 1000):
            yield frozenset()
