"""The status line: how much room the conversation has left, and when an answer would begin.

While the live expert map is open (F3), the line shows the engine's figures as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from textual.widget import Widget

from edgemed.tui.room import TEMPLATE_TOKENS
from edgemed.tui.strings import Strings

SEPARATOR = " · "


@dataclass(frozen=True, slots=True)
class Figures:
    """What the line shows; None for values that are not known yet.

    `draft_tokens`: the length of the text in the composer. `unread_tokens`: the length of the conversation if the
    KV cache holds another one. `prompt_tokens_per_s`: the speed of the last prefill.
    """

    tokens_per_s: float | None = None
    resident_bytes: int | None = None
    budget_bytes: int | None = None
    hit_rate: float | None = None
    context_used: int = 0
    context_size: int | None = None
    draft_tokens: int = 0
    unread_tokens: int = 0
    prompt_tokens_per_s: float | None = None


def share(used: int, whole: int) -> str:
    """Bytes used of a total, in one binary unit: "0.8/4.0 GiB", "310/900 MiB"."""
    if max(used, whole) >= 1 << 30:
        return f"{used / 2**30:.1f}/{whole / 2**30:.1f} GiB"
    return f"{used / 2**20:.0f}/{whole / 2**20:.0f} MiB"


def phrases(figures: Figures, words: Strings, *, detailed: bool) -> list[str]:
    """The known figures as phrases, the most important first."""
    known = []
    if figures.context_size:
        used = figures.context_used + figures.draft_tokens
        left = 100 * max(0.0, 1 - used / figures.context_size)
        known.append(words.room_left.format(percent=f"{left:.0f}"))
    if figures.prompt_tokens_per_s:
        seconds = (figures.unread_tokens + figures.draft_tokens + TEMPLATE_TOKENS) / figures.prompt_tokens_per_s
        known.append(words.first_word.format(time=words.duration(seconds)))
    if detailed and figures.tokens_per_s:
        known.append(words.speed.format(value=f"{figures.tokens_per_s:.1f}"))
    if detailed and figures.resident_bytes is not None and figures.budget_bytes:
        known.append(words.memory.format(share=share(figures.resident_bytes, figures.budget_bytes)))
    if detailed and figures.hit_rate is not None:
        known.append(words.cache.format(percent=f"{figures.hit_rate * 100:.0f}"))
    return known


def status_line(figures: Figures, words: Strings, width: int, *, detailed: bool = False) -> str:
    """The first figures that fit in `width` columns, with the help key at the right."""
    hint = words.help_hint
    room = width - cell_len(hint) - 2
    shown = phrases(figures, words, detailed=detailed)
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
        if figures != self.figures:
            self.figures = figures
            self.refresh()

    def render(self) -> str:
        detailed = bool(self.screen.query("ExpertPanel"))
        return status_line(self.figures, self._words, self.content_size.width, detailed=detailed)
