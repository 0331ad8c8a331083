"""CPU in ms of a frame of a plotting widget, by its name, with three curves of 2,000 points: plots.py textual-plot"""

import asyncio
import math
import sys
from collections.abc import Callable

from textual.widget import Widget

from benchmarks.apps.frames import frames

XS = [float(x) for x in range(2_000)]
CURVES = [[math.sin(x / 50 + number) + 1 / (x + 1) for x in XS] for number in range(3)]
Made = tuple[Widget, Callable[[], None], Callable[[int], None]]


def textual_plot() -> Made:
    """Pans."""
    from textual_plot import HiResMode, PlotWidget

    widget = PlotWidget()

    def fill() -> None:
        for number, ys in enumerate(CURVES):
            widget.plot(XS, ys, line_style=("cyan", "yellow", "green")[number], hires_mode=HiResMode.BRAILLE)

    return widget, fill, lambda number: widget.action_pan_left() if number % 2 else widget.action_pan_right()


def textual_plotext() -> Made:
    """Moves its limits."""
    from textual_plotext import PlotextPlot

    widget = PlotextPlot()

    def fill() -> None:
        for ys in CURVES:
            widget.plt.plot(XS, ys, marker="braille")

    def act(number: int) -> None:
        widget.plt.xlim(number, 2_000 - number)
        widget.refresh()

    return widget, fill, act


widget, fill, act = {"textual-plot": textual_plot, "textual-plotext": textual_plotext}[sys.argv[1]]()
print(asyncio.run(frames(widget, fill, act)) * 1e3)
