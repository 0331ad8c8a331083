"""Paints what changed and nothing else: Textual's compositor renders every widget that a change lies in, all of it."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from textual._compositor import ChopsUpdate, Compositor
from textual._context import visible_screen_stack
from textual.screen import Screen
from textual.strip import Strip

from exptui.tui.driver import terminal
from exptui.tui.picture import Patches


class QuickCompositor(Compositor):
    """Textual's, but for what a terminal of ours shows."""

    def render_update(
        self, full: bool = False, screen_stack: list[Screen[Any]] | None = None, simplify: bool = False
    ) -> RenderableType | None:
        """The whole screen is one large change: to cut it up first takes half of a first frame."""
        everything = self.size.region
        if not (full or everything in self._dirty_regions) or not (self.root and terminal(self.root.app)):
            return super().render_update(full, screen_stack, simplify)
        visible_screen_stack.set(screen_stack or [])
        self._dirty_regions = {everything}
        update = self.render_partial_update()
        return Patches(update.pieces, self.size) if isinstance(update, Patches) else None

    def render_partial_update(self) -> ChopsUpdate | None:
        """From each changed region's topmost widget that holds all of it upwards; what others cover is left out."""
        pieces: list[tuple[int, int, Strip]] = []
        layers = list(self.visible_widgets.items())  # what lies above comes first
        for dirty in {region.intersection(self.size.region) for region in self._dirty_regions}:
            over, covered = [], dict.fromkeys(range(dirty.y, dirty.bottom), 0)  # columns by row, as bits
            for widget, (region, clip) in layers if dirty else ():
                part = region.intersection(clip).intersection(dirty)
                bits = ((1 << part.width) - 1) << part.x
                if part and any(covered[y] & bits != bits for y in range(part.y, part.bottom)):
                    over.append((widget, region, part))
                    covered |= {y: covered[y] | bits for y in range(part.y, part.bottom)}
                if part == dirty:
                    break
            for widget, region, part in reversed(over):
                strips = widget.render_lines(part.translate(-region.offset))
                pieces += [(y, part.x, strip) for y, strip in enumerate(strips, part.y)]
        self._dirty_regions.clear()
        return Patches(pieces, None) if pieces else None
