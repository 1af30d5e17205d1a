"""The data of the live expert map: glowing cells and rates over the last seconds. Pure logic.

It is never stored, because which experts were used reveals a little about the text.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed.engine.process.protocol import RESIDENT, EngineStats, StoreState

Shares = NDArray[np.float32]

FADE = 0.35
"""The factor by which a glow fades with each state; a use stays visible for about half a second."""

WINDOW_SECONDS = 3.0
"""Rates are averaged over this window, because a large model computes only a few tokens per second."""

HISTORY = 120
"""Number of rates kept for the small curves: half a minute."""

_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Cells:
    """Three arrays [layer, cell] with values from 0 to 1: residency, and the brightness of hits and misses."""

    memory: Shares
    hit: Shares
    missed: Shares


class LiveView:
    """Accumulates successive store states of a model with `experts` experts per MoE layer."""

    def __init__(self, experts: int) -> None:
        self.experts = experts
        self.rows = 0
        self.disk_rates: deque[float] = deque(maxlen=HISTORY)
        self.waits: deque[float] = deque(maxlen=HISTORY)
        self.stats: EngineStats | None = None
        self._samples: deque[tuple[float, EngineStats]] = deque()
        self._memory = self._hit = self._missed = np.zeros((0, experts), np.float32)

    def take(self, state: StoreState, now: float) -> None:
        """Take the next state. `now`: seconds of any monotonic clock."""
        states, hits, misses = (np.frombuffer(part, np.uint8).reshape(state.rows, -1) for part in state.parts)
        if state.rows != self.rows:
            self.rows = state.rows
            self._hit = self._missed = np.zeros(states.shape, np.float32)
        self._memory = (states == RESIDENT).astype(np.float32)
        self._hit = np.maximum(self._hit * FADE, _glow(hits))
        self._missed = np.maximum(self._missed * FADE, _glow(misses))
        self._note(state.stats, now)

    def cells(self, grid: Grid) -> Cells:
        """The map on this grid. A cell shows the residency of its experts and the brightest of their glows."""
        down, across = np.arange(0, self.rows, grid.layers), np.arange(0, self.experts, grid.together)

        def merge(what: np.ufunc, values: Shares) -> Shares:
            merged: Shares = what.reduceat(what.reduceat(values, down, axis=0), across, axis=1)
            return merged

        return Cells(
            memory=merge(np.add, self._memory) / merge(np.add, np.ones_like(self._memory)),
            hit=merge(np.maximum, self._hit),
            missed=merge(np.maximum, self._missed),
        )

    @property
    def in_memory(self) -> float:
        """The fraction of all experts that is in memory."""
        return float(self._memory.mean()) if self._memory.size else 0.0

    def _note(self, stats: EngineStats, now: float) -> None:
        """Append the rates over the window. The wait is per token computed in the window."""
        self.stats = stats
        self._samples.append((now, stats))
        while len(self._samples) > 2 and now - self._samples[1][0] >= WINDOW_SECONDS:
            self._samples.popleft()
        (since, first), seconds = self._samples[0], now - self._samples[0][0]
        if since < now:
            self.disk_rates.append((stats.bytes_read - first.bytes_read) / seconds)
            tokens = stats.tokens - first.tokens
            self.waits.append((stats.wait_s - first.wait_s) / tokens if tokens > 0 else 0.0)


def _glow(counts: NDArray[np.uint8]) -> Shares:
    """Brightness from 0 to 1. The most used expert gets 1; a single use gets at least 0.35, so that it is visible."""
    most = int(counts.max(initial=0))
    if not most:
        return np.zeros(counts.shape, np.float32)
    glow: Shares = np.where(counts > 0, 0.35 + 0.65 * np.sqrt(counts / most, dtype=np.float32), 0).astype(np.float32)
    return glow


@dataclass(frozen=True, slots=True)
class Grid:
    """How the map is laid out: a cell stands for `together` experts of `layers` layers.

    A cell is `across` columns wide and `down` half lines high. If it is large enough, its last column and its last half
    line are left empty as a gap.
    """

    together: int
    layers: int
    across: int
    down: int

    @property
    def gap_across(self) -> bool:
        return self.across > 2

    @property
    def gap_down(self) -> bool:
        return self.down > 2


def fit(rows: int, experts: int, columns: int, lines: int) -> Grid:
    """The grid with the largest cells, as square as the terminal allows, for `rows` MoE layers of `experts` experts."""
    together = max(1, -(-experts // max(1, columns)))
    layers = max(1, -(-rows // max(1, 2 * lines)))
    across = max(1, min(4, columns // -(-experts // together)))
    down = max(1, min(2 * lines // max(1, -(-rows // layers)), max(2, across)))
    return Grid(together, layers, across, down)


def bars(values: deque[float], width: int) -> str:
    """The last `width` values as a small curve, scaled to the largest of them."""
    shown = list(values)[-width:] if width > 0 else []
    top = max(shown, default=0.0)
    if top <= 0:
        return _BARS[0] * len(shown)
    return "".join(_BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))] for value in shown)
