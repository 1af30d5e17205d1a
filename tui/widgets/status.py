"""The status line: speed, memory and its budget, context, cache hits."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from textual.widget import Widget

from edgemed.tui.strings import Strings

SEPARATOR = " · "


@dataclass(frozen=True, slots=True)
class Figures:
    """What the line shows; None for values that are not known yet."""

    tokens_per_s: float | None = None
    resident_bytes: int | None = None
    budget_bytes: int | None = None
    hit_rate: float | None = None
    context_used: int = 0
    context_size: int | None = None


def share(used: int, whole: int) -> str:
    """Bytes used of a total, in one binary unit: "0.8/4.0 GiB", "310/900 MiB"."""
    if max(used, whole) >= 1 << 30:
        return f"{used / 2**30:.1f}/{whole / 2**30:.1f} GiB"
    return f"{used / 2**20:.0f}/{whole / 2**20:.0f} MiB"


def phrases(figures: Figures, words: Strings, *, short: bool = False) -> list[str]:
    """The known figures as phrases, the most important first."""
    known = []
    if figures.tokens_per_s:
        known.append(words.speed[short].format(value=f"{figures.tokens_per_s:.1f}"))
    if figures.resident_bytes is not None and figures.budget_bytes:
        known.append(words.memory[short].format(share=share(figures.resident_bytes, figures.budget_bytes)))
    if figures.context_size:
        used = min(figures.context_used, figures.context_size)  # the last token is sampled but not decoded
        known.append(words.context[short].format(used=used, total=figures.context_size))
    if figures.hit_rate is not None:
        known.append(words.cache[short].format(percent=f"{figures.hit_rate * 100:.0f}"))
    return known


def status_line(figures: Figures, words: Strings, width: int) -> str:
    """The figures in `width` columns, with the help key at the right.

    Uses the full phrases if they fit, otherwise the short ones, otherwise only the first short ones that fit.
    """
    hint = words.help_hint
    room = width - cell_len(hint) - 2
    shown = phrases(figures, words)
    if cell_len(SEPARATOR.join(shown)) > room:
        shown = phrases(figures, words, short=True)
    while shown and cell_len(SEPARATOR.join(shown)) > room:
        shown.pop()
    left = SEPARATOR.join(shown)
    return left + " " * (width - cell_len(left) - cell_len(hint)) + hint


class StatusLine(Widget):
    """Draws `figures`."""

    def __init__(self, words: Strings) -> None:
        super().__init__()
        self._words = words
        self.figures = Figures()

    def show(self, figures: Figures) -> None:
        """Replace the figures and redraw."""
        self.figures = figures
        self.refresh()

    def render(self) -> str:
        return status_line(self.figures, self._words, self.content_size.width)
