"""The live expert map: a map of MoE layers by experts, with disk rate and waiting time."""

from __future__ import annotations

import math
import time
from typing import ClassVar

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.color import Color
from textual.containers import Vertical
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from edgemed.engine.process.protocol import StoreState
from edgemed.tui.liveview import Cells, Grid, LiveView, bars, fit
from edgemed.tui.strings import Strings

LABEL_COLUMNS = 3
"""Columns for a layer's number and a space, at the left of the map."""

LABEL_EVERY = 5
LEGEND_COLUMNS = 17

OTHER_LINES = 12
"""Lines of the panel that are not the map: facts, title, legend, figures and the space between them."""

_LOWER, _UPPER = "▄▀"  # half blocks: two half lines in one character, as foreground and background colour
_SWATCH = "██"

KINDS = ("memory", "disk", "hit", "missed")


class ExpertMap(Widget):
    """The map. A square is one expert or a few; a row is a layer. The colour is one of KINDS."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"expert-map--{kind}" for kind in (*KINDS, "label")}

    def __init__(self, view: LiveView, layers: int) -> None:
        super().__init__()
        self._view = view
        self._layers = layers
        self._lines = 0  # lines available to the map
        self._colours: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = np.zeros((0, 0, 3), np.float32)

    @property
    def grid(self) -> Grid:
        """The layout of the map in the space available."""
        return fit(self._view.rows, self._view.experts, self.size.width - LABEL_COLUMNS, self._lines)

    def colour(self, kind: str) -> Color:
        """The theme's colour for one of KINDS."""
        return self.get_component_styles(f"expert-map--{kind}").color

    def draw(self) -> None:
        """Draw the current state of the view."""
        if self._view.rows:
            self._colours = self._pixels(self._view.cells(self.grid), self.grid)
            self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        if self.is_mounted:
            self.draw()

    def on_resize(self) -> None:
        self.draw()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The map's height in lines; at most what the rest of the panel leaves."""
        self._lines = max(1, container.height - OTHER_LINES)
        grid = fit(self._view.rows, self._view.experts, width - LABEL_COLUMNS, self._lines)
        half_lines = math.ceil(self._view.rows / grid.layers) * grid.down
        return math.ceil(half_lines / 2)

    def render_line(self, y: int) -> Strip:
        ground = self.background_colors[1]
        lines = self._colours[2 * y : 2 * y + 2]
        if not len(lines):
            return Strip.blank(self.size.width, Style(bgcolor=ground.rich_color))
        label = self.get_component_styles("expert-map--label").color
        segments = [Segment(f"{self._label(y):>2} ", Style(color=label.rich_color, bgcolor=ground.rich_color))]
        upper = [Color(*rgb).rich_color for rgb in lines[0].astype(int).tolist()]
        if len(lines) > 1:
            lower = [Color(*rgb).rich_color for rgb in lines[1].astype(int).tolist()]
            cells = (
                Segment(_LOWER if above != below else " ", Style.from_color(below, above))
                for above, below in zip(upper, lower, strict=True)
            )
            segments += cells
        else:  # the map's last half line
            segments += [Segment(_UPPER, Style.from_color(above, ground.rich_color)) for above in upper]
        return Strip(segments).adjust_cell_length(self.size.width, Style(bgcolor=ground.rich_color))

    def _label(self, y: int) -> str:
        """The number of the layer that begins on this line; only every fifth is labelled if there are many."""
        grid, first = self.grid, self._layers - self._view.rows
        starting = [row for row in range(self._view.rows) if row // grid.layers * grid.down // 2 == y]
        every = 1 if self._view.rows <= 2 * LABEL_EVERY and grid.down > 1 else LABEL_EVERY
        return next((str(first + row) for row in starting if (first + row) % every == 0), "")

    def _pixels(self, cells: Cells, grid: Grid) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """RGB colours [half line, column, 3] of the whole map, as float32."""
        disk, memory, hit, missed = (
            np.array(self.colour(kind).rgb, np.float32) for kind in ("disk", "memory", "hit", "missed")
        )
        # Residency blends from "disk" to "memory"; the brighter of hit and miss is then blended over it.
        colours = disk + cells.memory[..., None] * (memory - disk)
        glow = np.where(cells.missed >= cells.hit, cells.missed, cells.hit)[..., None]
        colours += glow * (np.where((cells.missed >= cells.hit)[..., None], missed, hit) - colours)
        # Enlarge each cell to its size on the screen, then clear its last column and half line as a gap.
        large = colours.repeat(grid.down, axis=0).repeat(grid.across, axis=1)
        ground = np.array(self.background_colors[1].rgb, np.float32)
        if grid.gap_across:
            large[:, grid.across - 1 :: grid.across] = ground
        if grid.gap_down:
            large[grid.down - 1 :: grid.down] = ground
        return large


class ExpertPanel(Vertical):
    """The map with its title, legend and figures.

    `layers` counts all layers of the model; `experts` is the number of experts in each MoE layer. `facts`: the model in
    a sentence, shown at the top.
    """

    def __init__(self, words: Strings, layers: int, experts: int, facts: str = "") -> None:
        super().__init__()
        self._words = words
        self._facts = facts
        self._view = LiveView(experts)
        self._layers = layers

    def compose(self) -> ComposeResult:
        if self._facts:
            yield Static(self._facts, classes="experts-facts", markup=False)
        yield Static("", classes="experts-title", markup=False)
        yield ExpertMap(self._view, self._layers)
        yield Static("", classes="experts-legend", markup=False)
        yield Static("", classes="experts-figures", markup=False)

    def show(self, state: StoreState) -> None:
        """Show this state of the store."""
        before = self._view.rows
        self._view.take(state, time.monotonic())
        chart = self.query_one(ExpertMap)
        if before != self._view.rows:
            chart.refresh(layout=True)
        chart.draw()
        self.query_one(".experts-title", Static).update(self._title(chart))
        self.query_one(".experts-legend", Static).update(self._legend(chart))
        self.query_one(".experts-figures", Static).update(self._figures())

    def _title(self, chart: ExpertMap) -> str:
        title = self._words.experts_title.format(layers=self._view.rows, experts=self._view.experts)
        together = chart.grid.together
        return self._words.experts_together.format(title=title, count=together) if together > 1 else title

    def _legend(self, chart: ExpertMap) -> Text:
        """The legend: two entries per line, each after a swatch of its colour."""
        words = self._words
        percent = f"{100 * self._view.in_memory:.0f}"
        texts = (words.in_memory.format(percent=percent), words.on_disk, words.hit, words.missed)
        legend = Text(no_wrap=True)
        for number, (kind, text) in enumerate(zip(KINDS, texts, strict=True)):
            legend.append(_SWATCH, Style(color=chart.colour(kind).rich_color))
            wide = LEGEND_COLUMNS if number % 2 == 0 else 0
            legend.append(f" {text}" + " " * max(0, wide - cell_len(text)))
            legend.append("\n" if number == 1 else "")
        return legend

    def _figures(self) -> Text:
        view, words = self._view, self._words
        rate = view.disk_rates[-1] if view.disk_rates else 0.0
        wait = view.waits[-1] if view.waits else 0.0
        lines = (
            (words.disk_rate, f"{rate / 1e9:.2f} GB/s" if rate >= 1e9 else f"{rate / 1e6:.0f} MB/s", view.disk_rates),
            (words.wait, words.wait_value.format(ms=f"{1e3 * wait:.{0 if wait >= 0.01 else 1}f}"), view.waits),
        )
        room = self.size.width - 24
        return Text(
            "\n".join(
                f"{set_cell_size(name, 5)} {set_cell_size(value, 15)} {bars(values, room)}"
                for name, value, values in lines
            )
        )
