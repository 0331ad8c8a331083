"""How runs are started, one or many, and the order in which they wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from exptui.core.compared import Compared
from exptui.core.runs.run import RunView

if TYPE_CHECKING:
    from exptui.core.configs.grid import Grid
    from exptui.core.runs.preview import Preview

NOTHING: Mapping[str, str] = {}


class Launched(Compared):
    """The verbs of launching and of the queue."""

    def run(
        self, name: str, edits: Mapping[str, Any] | None = None, how: Mapping[str, str] = NOTHING
    ) -> Path:
        """Queue a run of a config, or of a clone with edits, which is written first; returns its directory.

        `how`: values of `[launcher]` for this run alone.
        """
        from exptui.core.runs.launch import launch
        from exptui.core.settings import launched_by

        settings = launched_by(self.settings, how)
        stem = self.derive(name, edits) if edits else name
        return launch(self.config(stem), settings, self.places)

    def derive(self, name: str, edits: Mapping[str, Any], stem: str = "") -> str:
        """Clone a config with some keys changed; returns the new one's stem."""
        from exptui.core.configs import derive

        return derive.clone(self.config(name), edits, stem).stem

    def grid(self, name: str, axes: Mapping[str, Sequence[Any]], seeds: Sequence[int] = ()) -> Grid:
        """Every combination of these values, with the runs there are of it already. Nothing is written.

        Raises:
            UsageError: too many, a key that cannot be set, or seeds for a config without its seed's key.
        """
        from exptui.core.runs import combinations

        return combinations.plan(self, name, axes, seeds)

    def run_all(
        self, chosen: Grid, *, again: bool = False, how: Mapping[str, str] = NOTHING
    ) -> Iterator[Path]:
        """Write the configs of a grid and queue a run of each that has none yet, or `again`; yields their directories."""
        from exptui.core.runs import combinations

        return combinations.start(self, chosen, how, again=again)

    def waiting(self) -> list[tuple[str, bool]]:
        """The runs that wait for a slot, the next one first, and whether each is on hold."""
        from exptui.core.runs import queue

        return queue.waiting(queue.lock_directory(self.results))

    def move(self, name: str, how: Literal["first", "hold", "release"]) -> RunView:
        """Let a waiting run be the next one, or let the others go first until it is released."""
        from exptui.core.runs import queue

        view = self.own(name)
        queue.move(queue.lock_directory(self.results), view.run_id, how)
        return view

    def preview(
        self, name: str, edits: dict[str, Any] | None = None, how: Mapping[str, str] = NOTHING
    ) -> Preview:
        """What a run of this config, or of a clone with edits, would be, compared with the last one of it."""
        from exptui.core.runs.preview import preview

        chosen = self.config(name)
        last = next((v for v in reversed(self.list_runs()) if v.stem == chosen.stem), None)
        return preview(chosen, edits or {}, self.settings, self.places, last, how)
