"""Keeping house: what takes the space, the trash, and archives kept elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exptui.core.errors import RunError
from exptui.core.files import storage_errors
from exptui.core.launched import Launched
from exptui.core.runs.run import RunView

if TYPE_CHECKING:
    from exptui.core.archive.remote import Store, Stored
    from exptui.core.files import Cancel
    from exptui.core.house.usage import Report
    from exptui.core.runs.trash import Trashed


class Kept(Launched):
    """The verbs of keeping house."""

    @contextlib.contextmanager
    def _alone(self, name: str) -> Iterator[RunView]:
        """A run, with all other commands kept away from it."""
        from exptui.core.runs.alone import alone

        path = self.own(name).path
        with alone(self.archives, path.name):
            yield self.show(path.name)

    def usage(self) -> Report:
        """What takes the space of this workspace."""
        from exptui.core.house import usage

        with storage_errors("look what takes the space"):
            return usage.report(self)

    def remove(self, name: str) -> Path:
        """Move a run into the trash; returns where it is.

        Raises:
            RunError: it is still at work.
        """
        from exptui.core.runs import trash

        with self._alone(name) as view:
            if view.state.live or view.leftovers:
                raise RunError(f"{view.run_id} is still at work", "Stop it first: exptui stop RUN")
            return trash.put(view.path)

    def undo_remove(self, name: str = "") -> Path:
        """Take a run back out of the trash; without a name the one removed last."""
        from exptui.core.runs import trash

        return trash.take_back(self.results, name)

    def trashed(self, older_than: float = 0.0) -> list[Trashed]:
        """The runs in the trash that were removed so many seconds ago or more, the last one at the end."""
        from exptui.core.runs import trash

        return [one for one in trash.listed(self.results) if time.time() - one.removed >= older_than]

    def trash_sizes(self, chosen: Sequence[Trashed]) -> list[int]:
        """The bytes that each of these takes; of a file with several names the first one counts."""
        from exptui.core.house.usage import Links, kinds, measure

        links = Links()
        with storage_errors("look into the trash"):
            return [measure(one.path, kinds(""), links, []).bytes for one in chosen]

    def empty_trash(self, chosen: Sequence[Trashed]) -> Iterator[Trashed]:
        """Remove these from the trash, for good; yields each when it is gone."""
        from exptui.core.runs import trash

        return trash.empty(self.results, chosen)

    @property
    def store(self) -> Store:
        """Where archives are kept besides, by the settings."""
        from exptui.core.archive.remote import Store

        return Store(self.settings.archive.remote, self.root)

    def push(self, name: str, *, drop: bool = False, cancel: Cancel | None = None) -> Stored:
        """Keep an archive elsewhere too; with `drop` only there, once it was read back."""
        from exptui.core.archive import remote

        run_id = self.archived(name).name.removesuffix(".tar.gz")
        return remote.push(self.store, self.archives, run_id, drop=drop, cancel=cancel)

    def fetch(self, name: str, *, cancel: Cancel | None = None) -> Path:
        """The file of an archive, brought back where it is only kept elsewhere."""
        from exptui.core.archive import remote

        path = self.archived(name)
        if not path.exists():
            remote.fetch(self.store, self.archives, path.name.removesuffix(".tar.gz"), cancel=cancel)
        return path
