"""The scrolling conversation. Applies `windowing` to widgets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from edgemed.chat.conversation import Turn
from edgemed.tui import windowing
from edgemed.tui.widgets.turn import AnswerView, TurnView


class Transcript(VerticalScroll, can_focus=False):
    """The turns, oldest first. `ending` returns the line that says how a turn ended."""

    def __init__(self, *, you: str, notice: str | None, ending: Callable[[Turn], str]) -> None:
        super().__init__()
        self._you = you
        self._notice = notice
        self._ending = ending
        self._turns: Sequence[Turn] = ()
        self._first = 0
        self._promoted: int | None = None

    def compose(self) -> ComposeResult:
        yield Static("", classes="welcome", markup=False)

    def welcome(self, text: str) -> None:
        """Show `text` above the first turn."""
        self.query_one(".welcome", Static).update(text)

    @property
    def views(self) -> list[TurnView]:
        """The mounted turns, oldest first."""
        return list(self.query_children(TurnView))

    async def show(self, turns: Sequence[Turn]) -> None:
        """Show this list of turns, scrolled to its end. Call `extended` after appending to the list."""
        await self.query_children(TurnView).remove()
        self._turns = turns
        self._first = windowing.first_mounted(len(turns))
        self._promoted = None
        await self._mount(self._first, len(turns))
        self.anchor()

    async def extended(self) -> TurnView:
        """Mount the turn that was just appended to the list, and keep its end in view as it grows."""
        count = len(self._turns)
        self._promoted = None
        await self._mount(count - 1, count)
        self.anchor()
        return self.views[-1]

    async def choose(self, view: AnswerView) -> None:
        """Promote the answer that got the focus to live Markdown."""
        index = next((i for i, turn in enumerate(self._turns) if turn is view.turn), None)
        if index != self._promoted:
            self._promoted = index
            await self._apply_window()

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        if new <= 0 < self._first:
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
        views = [TurnView(turn, self._you, self._notice) for turn in self._turns[start:stop]]
        await self.mount_all(views, before=self.views[0] if at_top else None)
        for view in views:
            view.answer.show_ending(self._ending(view.turn))
        await self._apply_window()

    async def _apply_window(self) -> None:
        live = windowing.live_answers(len(self._turns), self._promoted)
        for index, view in enumerate(self.views, self._first):
            await (view.answer.thaw() if index in live else view.answer.freeze())
