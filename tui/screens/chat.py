"""The chat screen's keys and palette commands."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType

from edgemed.chat.conversation import Conversation
from edgemed.tui.messages import StoreStateChanged
from edgemed.tui.screens.answering import AnsweringScreen
from edgemed.tui.session import ChatSession
from edgemed.tui.stages import Idle, Stopping
from edgemed.tui.watcher import Watcher
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.experts import ExpertPanel
from edgemed.tui.widgets.transcript import Transcript
from edgemed.tui.widgets.turn import AnswerView


class ChatScreen(AnsweringScreen):
    """The chat with its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", show=False),
        Binding("f2", "copy_answer", show=False),
        Binding("f3", "experts", show=False),
        Binding("ctrl+n", "new_chat", show=False),
        Binding("ctrl+r", "restart_engine", show=False),
    ]

    def __init__(self, session: ChatSession, conversation: Conversation) -> None:
        super().__init__(session, conversation)
        self._watcher = Watcher(lambda: self._driver.engine, self._hear)

    def action_stop(self) -> None:
        """Stop the answer and keep its text. Also return the newest queued question and dismiss notifications."""
        self.app.clear_notifications()
        self._put_back_queued()
        if self._answered is not None:
            self._enter(Stopping())
            self._driver.stop(self._answered)
        self.query_one(Composer).focus()

    def _put_back_queued(self) -> None:
        """Return the question queued last to the composer. Others stay queued: joined, two patients become one."""
        if queued := self._conversation.take_back():
            self.put_back(queued.text)
            self.show_queued(self._conversation.queued)

    # Textual runs actions concurrently with the screen's message handlers. An action that replaces the conversation is
    # queued as a message, so that it cannot run while a handler is mounting a question.

    def action_new_chat(self) -> None:
        """Start an empty conversation. The previous one stays in memory until the next question."""
        self.call_later(self._new_chat)

    def action_bring_back(self) -> None:
        """Undo `action_new_chat`."""
        self.call_later(self._bring_back)

    async def _new_chat(self) -> None:
        if not self._conversation.turns:
            return
        await self._abandon()
        self._previous, self._conversation = self._conversation, Conversation()
        await self._show_conversation()
        self.notify(self._words.new_chat, markup=False)

    async def _bring_back(self) -> None:
        if self._previous is None:
            self.notify(self._words.nothing_to_bring_back, markup=False)
            return
        self._put_back_queued()
        self._conversation, self._previous = self._previous, None
        await self._show_conversation()
        if turn := self._conversation.open_turn:  # abandoned a moment ago; its last events are still to come
            await self._follow(turn)
            self._enter(Stopping())
        self.notify(self._words.brought_back, markup=False)

    async def _abandon(self) -> None:
        """Stop the running answer. Its remaining events still update its turn but are not shown."""
        turn, self._answered = self._answered, None
        if turn is not None:
            self._driver.stop(turn)
            await self.query_one(Transcript).views[-1].answer.close("")
        self._put_back_queued()

    async def _show_conversation(self) -> None:
        await self.query_one(Transcript).show(self._conversation.turns)
        self.show_figures(context_used=self._conversation.context_used)
        self._enter(Idle() if self._engine_ready else self._stage)
        self.query_one(Composer).focus()

    def action_restart_engine(self) -> None:
        """Restart the engine if it is not running."""
        self._may_restart = True
        self.restart_engine()

    def action_copy_answer(self) -> None:
        """Copy the selected answer, or the last one. Ask for confirmation if it is incomplete."""
        chosen = self.focused.turn if isinstance(self.focused, AnswerView) else None
        answered = [turn for turn in self._conversation.turns if turn.raw]
        turn = chosen or (answered[-1] if answered else None)
        if turn is None or not turn.raw:
            self.notify(self._words.nothing_to_copy, markup=False)
        else:
            self.copy_turn(turn)

    async def action_experts(self) -> None:
        """Show or hide the live expert map. The engine counts hits and misses only while it is shown."""
        if self._watcher.watching:
            self._watcher.stop()
            await self.query(ExpertPanel).remove()
        elif self._info is not None:
            panel = ExpertPanel(self._words, self._info.n_layers, self._info.n_experts)
            await self.query_one(".conversation").mount(panel)
            self._watcher.start()

    @on(StoreStateChanged)
    def _store_state(self, news: StoreStateChanged) -> None:
        for panel in self.query(ExpertPanel):
            panel.show(news.state)

    def close_engine(self) -> None:
        """End the engine's process."""
        self._watcher.stop()
        super().close_engine()
