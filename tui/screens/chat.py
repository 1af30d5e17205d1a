"""The chat screen's keys, and the commands that are about the whole conversation."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType

from edgemed.chat.conversation import Conversation
from edgemed.tui.commands import COMMANDS
from edgemed.tui.facts import model_facts
from edgemed.tui.messages import StoreStateChanged
from edgemed.tui.screens.turns import TurnsScreen
from edgemed.tui.session import ChatSession
from edgemed.tui.stages import Idle, Stopping
from edgemed.tui.watcher import Watcher
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.experts import ExpertPanel
from edgemed.tui.widgets.slash_menu import SlashMenu
from edgemed.tui.widgets.transcript import Transcript


class ChatScreen(TurnsScreen):
    """The chat with its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # A priority key overtakes what was typed before it, so only keys that the composer would take have priority.
        *(
            Binding(",".join(command.keys), command.name, show=False, priority=command.name in ("resume", "length"))
            for command in COMMANDS
            if command.keys and command.bound
        ),
        Binding("ctrl+y", "resume_or_redo", show=False, priority=True),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding("escape", "escape", show=False),
        Binding("enter", "turn_menu", show=False),
    ]

    def __init__(self, session: ChatSession, conversation: Conversation) -> None:
        super().__init__(session, conversation)
        self._watcher = Watcher(lambda: self._driver.engine, self._hear)

    def action_escape(self) -> None:
        """Esc: leave or stop whatever is nearest."""
        self.action_stop()

    def action_stop(self) -> None:
        """Close the menu, leave a changed question as it was, or stop the answer and keep its text.

        Also return the newest queued question, or a question that has no answer yet, and dismiss notifications.
        """
        self.app.clear_notifications()
        if self.query_one(SlashMenu).display:
            self.query_one(SlashMenu).show([])
            return
        if self.stop_editing() is not None:
            return
        self.put_back_queued()
        if self._answered is not None and not self._answered.raw:
            self.take_back(self._answered)
        elif self._answered is not None:
            self._enter(Stopping())
            self._driver.stop(self._answered)
        self.query_one(Composer).focus()

    def action_resume_or_redo(self) -> None:
        """Ctrl+Y resumes an answer, or redoes what was undone in the box."""
        composer = self.query_one(Composer)
        if self.focused is composer and (composer.text or composer.history.redo_stack):
            composer.action_redo()
        else:
            self.action_resume()

    def action_interrupt(self) -> None:
        """Ctrl+C: copy selected text, or stop the answer, or say which key quits."""
        composer = self.query_one(Composer)
        if self.get_selected_text():
            self.action_copy_text()
        elif self.focused is composer and composer.selected_text:
            composer.action_copy()
        elif self._answered is not None:
            self.action_stop()
        else:
            self.say(self._asking_words.interrupt)

    # --- conversations ---

    def action_new_chat(self) -> None:
        """Start an empty conversation. The previous one stays in memory until the next question."""
        self.call_later(self._new_chat)

    def action_with_case(self) -> None:
        """Start a conversation with the first question of this one."""
        self.call_later(self._with_case)

    def action_bring_back(self) -> None:
        """Undo `action_new_chat`."""
        self.call_later(self._bring_back)

    @property
    def full(self) -> bool:
        """Whether the last answer was cut because the context was full. A new chat then keeps the case."""
        return bool(self._conversation.turns) and self._conversation.turns[-1].state == "context"

    async def _new_chat(self) -> None:
        if self.full:
            await self._with_case()
        elif self._conversation.turns:
            await self._replace(Conversation(saved=self._conversation.saved))
            self.say(self._words.new_chat)

    async def _with_case(self) -> None:
        if not self._conversation.turns:
            self.say(self._asking_words.no_case)
            return
        fresh = self._conversation.with_case()
        await self._replace(fresh)
        self.put_back(fresh.draft)
        self.say(self._asking_words.with_case)

    async def _replace(self, conversation: Conversation) -> None:
        """Show another conversation; this one can be brought back."""
        await self._abandon()
        self._previous, self._conversation = self._conversation, conversation
        await self._show_conversation()

    async def _bring_back(self) -> None:
        if self._previous is None:
            self.say(self._words.nothing_to_bring_back)
            return
        self.put_back_queued()
        self._conversation, self._previous = self._previous, None
        await self._show_conversation()
        if turn := self._conversation.open_turn:  # abandoned a moment ago; its last events are still to come
            await self._follow(turn)
            self._enter(Stopping())
        self.say(self._words.brought_back)

    async def _abandon(self) -> None:
        """Stop the running answer. Its remaining events still update its turn but are not shown."""
        self.stop_editing()
        turn, self._answered = self._answered, None
        if turn is not None:
            self._driver.stop(turn)
            await self.query_one(Transcript).views[-1].answer.close("")
        self.put_back_queued()

    async def _show_conversation(self) -> None:
        await self.show_turns()
        self._enter(Idle() if self._engine_ready else self._stage)
        self.query_one(Composer).focus()

    # --- the engine ---

    def action_restart_engine(self) -> None:
        """Restart the engine if it is not running."""
        self._may_restart = True
        self.restart_engine()

    def action_where(self) -> None:
        """Say which chat this is, how long it is, and which model answers."""
        turns, words = self._conversation.turns, self._asking_words
        here = turns.index(self.chosen) + 1 if self.chosen in turns else len(turns)
        self.say(
            words.where.format(
                title=self._conversation.heading or words.where_title,
                number=here,
                count=len(turns),
                length=words.lengths[self.length],
                used=self._conversation.context_used,
                total=self._info.n_ctx if self._info else 0,
                model=self._session.model_name,
            )
        )

    async def action_experts(self) -> None:
        """Show or hide the live expert map. The engine counts hits and misses only while it is shown."""
        if self._watcher.watching:
            self._watcher.stop()
            await self.query(ExpertPanel).remove()
        elif self._info is not None:
            panel = ExpertPanel(
                self._words, self._info.n_layers, self._info.n_experts, model_facts(self._info, self._words)
            )
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
