"""The chat on a vault: drafts, switching between chats, answers that go on elsewhere, and what the vault has to say."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Paste
from textual.widgets import Static

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.visible import visible
from edgemed.engine.process.protocol import Finished
from edgemed.errors import VaultError
from edgemed.tui.commands import Command
from edgemed.tui.facts import model_line
from edgemed.tui.kept import Kept
from edgemed.tui.messages import Answering, EngineFailed
from edgemed.tui.screens.chat import ChatScreen
from edgemed.tui.screens.chats import ChatsScreen, Chosen
from edgemed.tui.screens.composing import Action
from edgemed.tui.screens.hidden import HiddenScreen
from edgemed.tui.screens.set_pin import SetPinScreen
from edgemed.tui.session import ChatSession
from edgemed.tui.strings_vault import vault_strings
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.transcript import Transcript

SAVE_SECONDS = 0.5
"""A draft is saved at most this long after it was changed."""
NEWS_SECONDS = 1.0
VAULT_COMMANDS = frozenset({"chats", "find", "unsaved_chat", "set_pin", "lock"})
BEHIND_SECONDS = 2.0
NOTICE_SECONDS = 20.0
LEAVE_SECONDS = 2.0
"""How long leaving waits for a stopped answer to end."""


class KeptScreen(ChatScreen):
    """`ChatScreen` whose conversations come from a vault and go into it. Without a vault, nothing is kept."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+o", "chats", show=False),
        Binding("alt+z", "undo_typing", show=False),  # with a vault, Ctrl+Z locks
    ]

    def __init__(self, session: ChatSession, conversation: Conversation) -> None:
        super().__init__(session, conversation)
        self._kept = session.kept
        self._vault_words = vault_strings(session.language)
        self._opened: list[str] = []
        self._elsewhere: dict[str, Conversation] = {}
        """Chats that were left while an answer was being written, by id."""
        self._saved: object = state_of(conversation)
        self._fault = ""

    def compose(self) -> ComposeResult:
        for number, widget in enumerate(super().compose()):
            yield widget
            if number == 0:
                yield Static("", classes="which", markup=False)

    async def on_mount(self) -> None:
        await self.mount(Static("", classes="news", markup=False), before=self.query_one(Composer))
        self.show_draft(self._conversation.draft)
        self._show_which()
        self._show_news()
        if self._kept is not None:
            self.set_interval(SAVE_SECONDS, self.save)
            self.set_interval(NEWS_SECONDS, self._look)
            self.run_worker(self._prepare(self._kept))

    async def _prepare(self, kept: Kept) -> None:
        for notice in kept.vault.notices(self._session.language):
            self.notify(notice, markup=False, severity="warning", timeout=NOTICE_SECONDS)
        try:
            await kept.prepare()
        except VaultError as error:
            self.notify(str(error), markup=False, severity="error")

    # --- what the application asks ---

    def cover(self, tries: int) -> HiddenScreen:
        """The screen that hides this one. `tries`: how many wrong PINs it still takes."""
        secrets = self._kept.secrets if self._kept else []
        pin = self._kept is not None and self._kept.pin is not None
        return HiddenScreen(self._vault_words, secrets, pin=pin, answering=lambda: self.answering, tries=tries)

    @property
    def answering(self) -> bool:
        """Whether an answer is being written, here or in another chat. The engine answers one at a time."""
        return super().answering or bool(self._elsewhere)

    @property
    def would_lose(self) -> str:
        """Ask before leaving only if nothing keeps the text."""
        return "" if self._kept is not None and self._conversation.saved else super().would_lose

    def action_of(self, command: Command) -> Action | None:
        """Without a vault, its commands are not offered."""
        return None if self._kept is None and command.name in VAULT_COMMANDS else super().action_of(command)

    def paste(self, event: Paste) -> None:
        """Take a paste that was begun on this screen."""
        self.query_one(Composer).take(event.text)

    async def leave(self) -> None:
        """Save the draft, stop the running answer and keep its text, end the engine, close the vault."""
        await self.save()
        turns = [self._answered, *(chat.open_turn for chat in self._elsewhere.values())]
        for turn in filter(None, turns):
            self._driver.stop(turn)
        for _ in range(int(LEAVE_SECONDS / 0.02)):
            if all(turn is None or turn.state != "open" for turn in turns):
                break
            await asyncio.sleep(0.02)
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """End the engine and close the vault. Blocks."""
        self.close_engine()
        if self._kept is not None:
            self._kept.close()

    # --- drafts ---

    async def save(self) -> None:
        """Store the draft, the questions that wait and the branch that is shown, if any of them has changed."""
        conversation = self._conversation
        conversation.draft = self._set_aside or self.query_one(Composer).text
        if self._kept is None or not conversation.saved or (state := state_of(conversation)) == self._saved:
            return
        self._saved = state
        try:
            await self._kept.keep(conversation)
            self._fault = ""
        except VaultError as error:
            self._fault, self._saved = str(error), None

    def show_draft(self, draft: str) -> None:
        """Put a draft into the box."""
        composer = self.query_one(Composer)
        composer.text = draft
        composer.move_cursor(composer.document.end)

    @property
    def where_kept(self) -> str:
        kept = self._kept is not None and self._conversation.saved
        return self._vault_words.kept if kept else self._words.nothing_stored

    def action_undo_typing(self) -> None:
        """Undo the last change in the box."""
        self.query_one(Composer).action_undo()

    # --- switching ---

    def action_chats(self) -> None:
        """Show the list of chats."""
        self.call_later(self._list_chats)

    action_find = action_chats

    async def _list_chats(self) -> None:
        if self._kept is None:
            self.notify(self._vault_words.unsaved_header, markup=False)
            return
        await self.save()
        answering = {*self._elsewhere, *([self._conversation.id] if self._answered else [])}
        screen = ChatsScreen(self._session, self._kept, self._conversation.id, self._opened, answering)
        self.app.push_screen(screen, self._choose)

    def _choose(self, chosen: Chosen | None) -> None:
        self.call_later(self._open, chosen)

    async def _open(self, chosen: Chosen | None) -> None:
        """Open a chat from the list, at a turn if a search found one."""
        assert self._kept is not None
        try:
            if chosen is not None and chosen.chat_id != self._conversation.id:
                running = self._elsewhere.pop(chosen.chat_id, None)
                await self.switch(running or await self._kept.load(chosen.chat_id))
            elif not await self._kept.update(self._conversation):
                await self.switch(Conversation())  # it was deleted in the list
        except VaultError as error:
            self.notify(str(error), markup=False, severity="error")
        self._show_which()
        self._kept.stale = 0  # the list has told
        if chosen is not None and chosen.turn_id is not None:
            self.call_after_refresh(self._show_turn, chosen.turn_id)  # after the composer got the focus

    async def switch(self, conversation: Conversation, draft: str | None = None) -> None:
        """Show another conversation, with its draft or another one. A running answer goes on in the one that is left.

        An unsaved chat that is left is gone.
        """
        self.stop_editing()
        await self.save()
        left, self._conversation = self._conversation, conversation
        turn, self._answered = self._answered, None
        if turn is not None:
            self._elsewhere[left.id] = left
            await self.query_one(Transcript).views[-1].answer.close("")
        self._previous = None
        self._opened.append(left.id)
        self._saved = state_of(conversation)
        self.show_draft(conversation.draft if draft is None else draft)
        await self._show_conversation()
        if open_turn := conversation.open_turn:
            await self._follow(open_turn)
        self.show_queued(conversation.queued)
        self.show_welcome(model_line(self._info, self._words) if self._info else "")
        self._show_which()

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
        elif self._opened:
            await self._open(Chosen(self._opened[-1]))

    def action_set_pin(self) -> None:
        """Set, change or remove the PIN of the hidden screen."""
        if self._kept is not None:
            self.app.push_screen(SetPinScreen(self._session.header, self._vault_words, self._kept))

    def action_unsaved_chat(self) -> None:
        """Start a chat of which nothing is kept."""
        self.call_later(self._unsaved_chat)

    async def _unsaved_chat(self) -> None:
        if self._conversation.saved:
            await self.switch(Conversation(saved=False))
            self.notify(self._vault_words.unsaved_kept, markup=False)

    def turn_withdrawn(self, turn: Turn) -> None:
        """Erase a question that was taken back."""
        if self._kept is not None and self._conversation.saved:
            self.run_worker(self._kept.erase(self._conversation.id, turn.id))

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
                await self._ask_queued()

    # --- lines ---

    def _look(self) -> None:
        self._show_which()
        self._show_news()

    def _show_which(self) -> None:
        """Say which case and chat this is."""
        line, conversation = self.query_one(".which", Static), self._conversation
        line.display = self._kept is not None or not conversation.saved
        line.set_class(not conversation.saved, "-unsaved")
        case = self._kept.cases.get(conversation.case_id or "", "") if self._kept else ""
        named = " · ".join(filter(None, [case, conversation.heading]))
        line.update(visible(named) if conversation.saved else self._vault_words.unsaved_header)

    def _show_news(self) -> None:
        """The most urgent thing about the vault; nothing if all is well."""
        line, news = self.query_one(".news", Static), self._news()
        line.update(news)
        line.display = bool(news)

    def _news(self) -> str:
        if self._kept is None:
            return ""
        words = self._vault_words
        behind = self._kept.journal.behind
        if behind >= BEHIND_SECONDS:
            return words.behind.format(seconds=f"{behind:.0f}")
        if self._kept.journal.fault or self._fault:
            return words.not_saved.format(error=self._kept.journal.fault or self._fault)
        if low := self._kept.low_disk(self._session.language):
            return low
        if self._elsewhere and self._conversation.queued:
            return words.engine_elsewhere
        return words.stale.format(count=self._kept.stale) if self._kept.stale else ""


def state_of(conversation: Conversation) -> object:
    """What `KeptScreen.save` watches for changes."""
    return conversation.id, conversation.draft, tuple(conversation.queued), frozenset(conversation.shown_ids)
