"""Paints what changed and nothing else: Textual's compositor renders every widget that a change lies in, all of it."""

from __future__ import annotations

from rich.console import Console
from textual._compositor import ChopsUpdate, Compositor
from textual.strip import Strip


class Patches(ChopsUpdate):
    """Pieces of rows and where they belong; a later one lies over an earlier one."""

    def __init__(self, pieces: list[tuple[int, int, Strip]]) -> None:
        super().__init__([], [], [])
        self.pieces = pieces

    def render_segments(self, console: Console) -> str:
        return "".join(f"\x1b[{y + 1};{x + 1}H{strip.render(console)}" for y, x, strip in self.pieces)


class QuickCompositor(Compositor):
    """Textual's, but for small changes."""

    def render_partial_update(self) -> ChopsUpdate | None:
        """From each changed region's topmost widget that holds all of it upwards: what lies below is covered."""
        pieces: list[tuple[int, int, Strip]] = []
        layers = list(self.visible_widgets.items())  # what lies above comes first
        for dirty in {region.intersection(self.size.region) for region in self._dirty_regions}:
            over = []
            for widget, (region, clip) in layers if dirty else ():
                part = region.intersection(clip).intersection(dirty)
                if part:
                    over.append((widget, region, part))
                if part == dirty:
                    break
            for widget, region, part in reversed(over):
                strips = widget.render_lines(part.translate(-region.offset))
                pieces += [(y, part.x, strip) for y, strip in enumerate(strips, part.y)]
        self._dirty_regions.clear()
        return Patches(pieces) if pieces else None
