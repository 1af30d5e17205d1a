"""The scrolling conversation. Applies `windowing` to widgets."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from edgemed.chat.conversation import Turn
from edgemed.tui import windowing
from edgemed.tui.heads import Heads
from edgemed.tui.widgets.drawn import Drawn
from edgemed.tui.widgets.turn import TurnView


class Transcript(VerticalScroll, can_focus=False):
    """The turns, oldest first. `heads` makes the lines around them."""

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self._heads = heads
        self._turns: Sequence[Turn] = ()
        self._first = 0

    def compose(self) -> ComposeResult:
        yield Drawn(markdown=False, classes="welcome")
        yield Drawn(markdown=False, classes="welcome examples")

    def welcome(self, text: str, examples: str) -> None:
        """Show `text` above the first turn, and `examples` while there is none."""
        self.query_one(".welcome", Drawn).update(text)
        self.query_one(".examples", Drawn).update(examples)

    @property
    def views(self) -> list[TurnView]:
        """The mounted turns, oldest first."""
        return list(self.query_children(TurnView))

    async def show(self, turns: Sequence[Turn]) -> None:
        """Show this list of turns, scrolled to its end. Call `extended` after appending to the list."""
        self._turns, self._first = turns, 0  # removing turns scrolls to the top, and that must not backfill
        await self.query_children(TurnView).remove()
        self.query_one(".examples").display = not turns
        self._first = windowing.first_mounted(len(turns))
        await self._mount(self._first, len(turns))
        self.anchor()

    async def extended(self) -> TurnView:
        """Mount the turn that was just appended to the list, and keep its end in view as it grows."""
        count = len(self._turns)
        self.query_one(".examples").display = False
        if len(self.views) >= windowing.MOST_MOUNTED:
            self._first = windowing.first_mounted(count)
            for view in self.views[: -windowing.FIRST_MOUNTED + 1]:
                await view.remove()
        await self._mount(count - 1, count)
        self.anchor()
        return self.views[-1]

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        # Only for a reader who has left the end. Removing turns may scroll to the top as well, while an answer grows.
        if new <= 0 < self._first and self._anchor_released:
            self.call_later(self.backfill)

    async def backfill(self) -> bool:
        """Mount older turns above the first one without moving what the reader sees; False if there are none."""
        first = windowing.backfilled(self._first)
        if first == self._first:
            return False
        before = self.virtual_size.height
        until, self._first = self._first, first
        await self._mount(first, until, at_top=True)
        self.call_after_refresh(lambda: self.scroll_to(y=self.virtual_size.height - before, animate=False))
        return True

    async def _mount(self, start: int, stop: int, *, at_top: bool = False) -> None:
        views = [TurnView(turn, self._heads) for turn in self._turns[start:stop]]
        await self.mount_all(views, before=self.views[0] if at_top else None)
