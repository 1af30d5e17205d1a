"""The chat on a vault: switching between chats, answers that go on elsewhere, hiding, and leaving."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import ClassVar, cast

from textual import on
from textual.binding import Binding, BindingType
from textual.events import Paste

from edgemed.chat.conversation import Conversation, Turn
from edgemed.engine.process.protocol import Finished
from edgemed.errors import VaultError
from edgemed.tui.facts import model_line
from edgemed.tui.messages import Answering, EngineFailed
from edgemed.tui.private_app import PrivateApp
from edgemed.tui.reasons import reason_in
from edgemed.tui.screens.chats import ChatsScreen, Chosen
from edgemed.tui.screens.hidden import HiddenScreen
from edgemed.tui.screens.keeping import state_of
from edgemed.tui.screens.noting import NotingScreen
from edgemed.tui.session import ChatSession
from edgemed.tui.widgets.transcript import Transcript

LEAVE_SECONDS = 2.0
"""How long leaving waits for a stopped answer to end."""


class KeptScreen(NotingScreen):
    """`NotingScreen` that switches between the vault's chats. A running answer goes on in the chat that is left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+o", "chats", show=False)]

    def __init__(self, session: ChatSession, conversation: Conversation) -> None:
        super().__init__(session, conversation)
        self._opened: list[str] = []
        self._elsewhere: dict[str, Conversation] = {}
        """Chats that were left while an answer was being written, by id."""

    # --- what the application asks ---

    def cover(self, tries: int) -> HiddenScreen:
        """The screen that hides this one. `tries`: how many wrong PINs it still takes."""
        secrets = self._kept.secrets if self._kept else []
        pin = self._kept is not None and self._kept.pin is not None
        told = self._session.demonstration
        return HiddenScreen(
            self._vault_words,
            secrets,
            pin=pin,
            answering=lambda: self.answering,
            tries=tries,
            header=self._session.headers[-1] if told else "",
            told=told,
        )

    @property
    def answering(self) -> bool:
        """Whether an answer is being written, here or in another chat. The engine answers one at a time."""
        return super().answering or bool(self._elsewhere)

    def paste(self, event: Paste) -> None:
        """Take a paste that was begun on this screen."""
        self.box.take(event.text)

    async def leave(self, event: str) -> None:
        """Save the draft, stop the running answer and keep its text, end the engine, close the vault.

        `event` is recorded: "closed", "locked" or "suspended".
        """
        self._left = True
        await self.let_typing_arrive()
        await self.save()
        turns = [self._answered, *(chat.open_turn for chat in self._elsewhere.values())]
        for turn in filter(None, turns):
            self._driver.stop(turn)
        for _ in range(int(LEAVE_SECONDS / 0.02)):
            if all(turn is None or turn.state != "open" for turn in turns):
                break
            await asyncio.sleep(0.02)
        self.record(event)
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """End the engine and close the vault. Blocks."""
        self.close_engine()
        if self._kept is not None:
            self._kept.close()

    # --- switching ---

    def action_chats(self) -> None:
        """Show the list of chats. What is typed from now on is for the list."""
        if self._kept is None:
            self.notify(self._vault_words.unsaved_header, markup=False)
            return
        cast(PrivateApp, self.app).pause_input()
        self.call_later(self._list_chats)

    action_find = action_chats

    async def _list_chats(self) -> None:
        assert self._kept is not None
        await self.save()
        answering = {*self._elsewhere, *([self._conversation.id] if self._answered else [])}
        screen = ChatsScreen(self._session, self._kept, self._conversation.id, self._opened, answering)
        self.app.push_screen(screen, self._choose)

    def _choose(self, chosen: Chosen | None) -> None:
        self._switch_soon(self._open(chosen))

    def _switch_soon(self, switching: Coroutine[None, None, None]) -> None:
        """Switch after the messages that wait. What is typed from now on is for the other chat: a question that is
        typed at once must not go to the patient before."""
        app = cast(PrivateApp, self.app)
        app.pause_input()

        async def switch() -> None:
            try:
                await switching
            finally:
                await app.resume_input()

        self.call_later(switch)

    async def _open(self, chosen: Chosen | None) -> None:
        """Open a chat from the list, at a turn if a search found one."""
        assert self._kept is not None
        try:
            if chosen is not None and chosen.chat_id != self._conversation.id:
                running = self._elsewhere.pop(chosen.chat_id, None)
                if running is not None:
                    await self._kept.update(running)  # the header of its case may have been changed in another chat
                await self.switch(running or await self._kept.load(chosen.chat_id))
            elif not await self._kept.update(self._conversation):
                await self.switch(Conversation())  # it was deleted in the list
        except VaultError as error:
            self.notify(reason_in(self._session.language, str(error)), markup=False, severity="error")
        self.show_which()
        self._kept.stale = 0  # the list has told
        if chosen is not None and chosen.turn_id is not None:
            self.call_after_refresh(self._show_turn, chosen.turn_id)  # after the composer got the focus

    async def switch(self, conversation: Conversation, draft: str | None = None) -> None:
        """Show another conversation, with its draft or another one. A running answer goes on in the one that is left.

        An unsaved chat is gone once a second one is left; until then it can be brought back.
        """
        self.stop_editing()
        await self.save()
        left, self._conversation = self._conversation, conversation
        turn, self._answered = self._answered, None
        if turn is not None:
            await self.query_one(Transcript).views[-1].answer.close("")
        if turn is not None and left.saved:
            self._elsewhere[left.id] = left
        elif turn is not None:
            self._driver.stop(turn)
        self._previous = None if left.saved else left
        if left.saved:
            self._opened.append(left.id)
        self._saved = state_of(conversation)
        self.show_draft(conversation.draft if draft is None else draft)
        await self._show_conversation()
        if open_turn := conversation.open_turn:
            await self._follow(open_turn)
        self.show_queued(conversation.queued)
        self.show_welcome(model_line(self._info, self._words) if self._info else "")
        self.show_which()

    async def _show_turn(self, turn_id: str) -> None:
        turn = next((turn for turn in self._conversation.all_turns if turn.id == turn_id), None)
        if turn is None:
            return
        if turn not in self._conversation.turns:
            self._conversation.show(turn)
            await self._show_conversation()
        await self._reveal(turn)

    async def _reveal(self, turn: Turn) -> None:
        """Scroll to a turn, and select its answer, so that the copy key copies it."""
        transcript = self.query_one(Transcript)
        while True:
            for view in transcript.views:
                if view.turn is turn:
                    self.set_focus(view.answer, scroll_visible=False)
                    transcript.call_after_refresh(transcript.scroll_to_widget, view, top=True, animate=False)
                    return
            if not await transcript.backfill():
                return

    def action_new_chat(self) -> None:
        """Start an empty conversation."""
        self._switch_soon(self._new_chat())

    def action_with_case(self) -> None:
        """Start a conversation with the first question of this one."""
        self._switch_soon(self._with_case())

    def action_bring_back(self) -> None:
        """Undo `action_new_chat`."""
        self._switch_soon(self._bring_back())

    async def _new_chat(self) -> None:
        if self._kept is not None and not self.full:
            await self.switch(Conversation())
        else:
            await super()._new_chat()

    async def _replace(self, conversation: Conversation) -> None:
        """Show another conversation. With a vault, this one is kept, and its answer goes on."""
        if self._kept is None:
            await super()._replace(conversation)
        else:
            await self.switch(conversation, draft="")

    async def _bring_back(self) -> None:
        if self._kept is None:
            await super()._bring_back()
        elif self._previous is not None:
            await self.switch(self._previous)
        elif self._opened:
            await self._open(Chosen(self._opened[-1]))

    def action_unsaved_chat(self) -> None:
        """Start a chat of which nothing is kept."""
        self._switch_soon(self._unsaved_chat())

    async def _unsaved_chat(self) -> None:
        if self._conversation.saved:
            await self.switch(Conversation(saved=False))
            self.notify(self._vault_words.unsaved_kept, markup=False)

    @on(Answering)
    async def _answered_elsewhere(self, news: Answering) -> None:
        if isinstance(news.event, Finished) and news.turn is not self._answered:
            await self._ended_elsewhere(news.turn)

    @on(EngineFailed)
    async def _failed_elsewhere(self, news: EngineFailed) -> None:
        if news.turn is not None and news.turn is not self._answered:
            await self._ended_elsewhere(news.turn)

    async def _ended_elsewhere(self, turn: Turn) -> None:
        """An answer in another chat has ended: the engine is free for this one."""
        for chat_id, chat in list(self._elsewhere.items()):
            if turn in chat.all_turns:
                del self._elsewhere[chat_id]
                self.read_last(chat)
                await self._ask_queued()

    def news(self) -> str:
        if self._kept is None:
            return ""
        if self._elsewhere and self._conversation.queued:
            return super().news() or self._vault_words.engine_elsewhere
        return super().news() or (self._vault_words.stale.format(count=self._kept.stale) if self._kept.stale else "")
