"""CPU of a frame of any Textual widget on the whole of a 120 × 40 screen."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.app import App, ComposeResult
from textual.widget import Widget

FRAMES = 30


async def frames(widget: Widget, fill: Callable[[], None], act: Callable[[int], None]) -> float:
    """Seconds, the median over many frames: each another view, from the change until nothing is left to do."""

    class Host(App[None]):
        def compose(self) -> ComposeResult:
            yield widget

    took = []
    async with Host().run_test(size=(120, 40)) as pilot:
        fill()
        await pilot.pause()
        for number in range(FRAMES):
            begun = time.process_time()
            act(number)
            await pilot.pause()
            took.append(time.process_time() - begun)
    return sorted(took)[FRAMES // 2]
