"""The box: commands typed into it, the length of answers, the room that is left, questions that are changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, ClassVar

from textual import on
from textual.timer import Timer
from textual.widgets import Static, TextArea

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.lengths import Length, with_instruction
from edgemed.chat.visible import visible
from edgemed.tui import room
from edgemed.tui.commands import BY_WORD, COMMANDS, Command, is_command, matching
from edgemed.tui.messages import Previewed
from edgemed.tui.screens.answering import AnsweringScreen
from edgemed.tui.screens.choice import LeaveScreen
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.asking import asking_strings
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.slash_menu import SlashMenu
from edgemed.tui.widgets.typing_area import TypingArea

PREVIEW_SECONDS = 0.6
"""The room for an answer is computed this long after the last key. Until then it is estimated."""
NEWS_SECONDS = 3.0
TYPING_SECONDS = 2.0
"""How long leaving waits for typed text to arrive."""

Action = Callable[..., Any]


class ComposingScreen(AnsweringScreen):
    """`AnsweringScreen` with everything that the box does before a question is sent."""

    LENGTHS: ClassVar[tuple[Length, ...]] = ("brief", "standard", "full")

    def __init__(self, session: ChatSession, conversation: Conversation) -> None:
        super().__init__(session, conversation)
        self._asking_words = asking_strings(session.language)
        self._editing: Turn | None = None  # the turn whose question is in the box
        self._set_aside = ""  # what was in the box before
        self._previewing: Timer | None = None
        self._prompt: tuple[str, int] = ("", 0)  # a text and the tokens of the prompt with it, as the engine counts

    def say(self, text: str) -> None:
        """Show a short notice in place of earlier ones."""
        self.app.clear_notifications()
        self.notify(text, markup=False, timeout=NEWS_SECONDS)

    # --- commands ---

    def action_of(self, command: Command) -> Action | None:
        """What a command does here; None if it is not offered."""
        action: Action | None = getattr(self, f"action_{command.name}", None) or getattr(
            self.app, f"action_{command.name}", None
        )
        return action

    @on(Composer.Called)
    def _called(self, called: Composer.Called) -> None:
        command, composer = BY_WORD.get(called.word), self.query_one(Composer)
        action = self.action_of(command) if command else None
        if action is None:
            said = self._asking_words.no_command if command is None else self._asking_words.not_here
            self.say(said.format(word=called.word))
            return
        composer.clear()
        self.call_later(action, *([called.argument] if command and command.takes else []))

    # --- what is shown about the text in the box ---

    @on(TextArea.Changed)
    def _changed(self) -> None:
        text = self.query_one(Composer).text
        typed = text if is_command(text) or text == "/" else ""
        offered = [command for command in COMMANDS if self.action_of(command)] if typed else []
        self.query_one(SlashMenu).show(matching(typed, offered))
        self.show_box_line()
        if self._previewing is not None:
            self._previewing.stop()
        self._previewing = self.set_timer(PREVIEW_SECONDS, self._preview) if text else None

    def show_box_line(self) -> None:
        """Say how long the answer will be, and how much room there is, if that is little."""
        words, line, draft = self._asking_words, self.query_one(".box-line", Static), self.query_one(Composer).text
        asks = bool(draft.strip()) and draft != "/" and not is_command(draft)
        asked = with_instruction(draft, self.length) if asks else ""
        self.show_figures(draft_tokens=room.estimated_tokens(asked))
        left = self._room() if asks else None
        parts = [words.editing] if self._editing else []
        if asks:
            header, region = self._conversation.header, self._conversation.region
            parts += [visible(header.short(self._session.language)), region.shown()]
        if asks or self.length != self._session.length:
            parts.append(words.lengths[self.length])
        if left is not None:
            parts.append(room.room_left(left, self._session.language, words))
        text = " · ".join(filter(None, parts))
        if text != line.content:  # an update costs a layout, and this is called at every key
            line.update(text)
        line.display = bool(parts)
        line.set_class(left is not None and left <= 0, "-full")

    def _room(self) -> int | None:
        """The tokens left for an answer to the text in the box; None before the model is loaded."""
        if self._info is None:
            return None
        draft = self.query_one(Composer).text.strip()
        known, tokens = self._prompt
        if known != self._key(draft):
            tokens = room.estimated_prompt(self._conversation, draft, self.length)
        return self._info.n_ctx - tokens

    def _key(self, draft: str) -> str:
        return f"{self._conversation.id} {len(self._conversation.turns)} {self.length} {draft}"

    def _preview(self) -> None:
        """Have the engine count the prompt's tokens if room is short. Rendering a prompt starts a process."""
        draft, left = self.query_one(Composer).text.strip(), self._room()
        short = left is not None and left * room.WORDS_PER_TOKEN[self._session.language] < 2 * room.WORTH_SAYING
        if draft and short and self.free and not is_command(draft):
            messages = room.prompt_with(self._conversation, draft, self.length)
            self._driver.preview(messages, self._key(draft))

    @on(Previewed)
    def _previewed(self, news: Previewed) -> None:
        if isinstance(news.key, str) and news.preview is not None:
            self._prompt = (news.key, news.preview.tokens)
            self.show_box_line()

    # --- the length of answers ---

    def action_brief(self) -> None:
        self._set_length("brief")

    def action_standard(self) -> None:
        self._set_length("standard")

    def action_full(self) -> None:
        self._set_length("full")

    def action_length(self) -> None:
        """The next length: brief, standard, full, in turn."""
        self._set_length(self.LENGTHS[(self.LENGTHS.index(self.length) + 1) % len(self.LENGTHS)])

    def _set_length(self, length: Length) -> None:
        self.length = length
        self.show_box_line()
        self.say(self._asking_words.lengths[length])

    # --- changing a question ---

    @on(Composer.Recalled)
    def _recalled(self) -> None:
        """Put the last question into the empty box, to be asked anew."""
        if self._conversation.turns:
            self.put_back(self._conversation.turns[-1].question)

    def edit_turn(self, turn: Turn) -> None:
        """Put a question into the box. Sent, it becomes another version; the text in the box is kept meanwhile."""
        composer = self.query_one(Composer)
        if self._editing is None:
            self._set_aside = composer.text
        self._editing = turn
        composer.text = turn.question
        composer.move_cursor(composer.document.end)
        self.focus_composer()
        self.show_box_line()

    def stop_editing(self) -> Turn | None:
        """Put back what was in the box before; return the turn that was being changed."""
        turn, self._editing = self._editing, None
        if turn is not None:
            composer = self.query_one(Composer)
            composer.text, self._set_aside = self._set_aside, ""
            composer.move_cursor(composer.document.end)
            self.show_box_line()
        return turn

    @property
    def unsent(self) -> str:
        """Everything that was typed and is not sent."""
        composer = self.query_one(Composer)
        unchanged = self._editing is not None and composer.text == self._editing.question
        return "\n".join(filter(None, (composer.sending, self._set_aside, "" if unchanged else composer.text)))

    @on(Composer.Sent)
    async def _sent(self, sent: Composer.Sent) -> None:
        try:
            await self._send_typed(sent)
        finally:
            self.query_one(Composer).sending = ""

    async def _send_typed(self, sent: Composer.Sent) -> None:
        turn = self._editing
        if not await self.fits(sent.text):
            self.put_back(sent.text)
        elif turn is None:
            await self.ask(sent.text)
        elif self.free:
            self.stop_editing()
            edited = self._conversation.edit(turn, sent.text)
            edited.length = self.length
            await self.begin(edited)
        else:
            self.put_back(sent.text)
            self.say(self.why_not_free())

    async def watch_queued(self, question: str) -> None:
        self.query_one(Composer).sending = ""  # it is kept with the questions that wait
        await super().watch_queued(question)

    async def fits(self, text: str) -> bool:
        """Whether a text may be sent, as far as the case is concerned."""
        return True

    @property
    def free(self) -> bool:
        """Whether a question could be sent now."""
        return self._engine_ready and not self.answering

    def why_not_free(self) -> str:
        """A sentence for an action that has to wait."""
        return self._asking_words.busy if self.answering else self._asking_words.not_ready

    # --- leaving ---

    @property
    def box(self) -> TypingArea:
        """Where typed text goes."""
        return self.query_one(Composer)

    @property
    def keeps_text(self) -> bool:
        """Whether the text of this chat outlives the program."""
        return False

    def would_lose(self, *, lock: bool) -> str:
        """What leaving now would lose, as a question; empty if nothing. A lock, unlike quitting, ends no conversation:
        one that is not saved is asked about as well.
        """
        words = self._asking_words
        typed = bool(self.query_one(Composer).text.strip() or self._conversation.queued)
        if self.answering:
            return words.leave_both if typed else words.leave_answer
        if lock and self._conversation.turns:
            return words.leave_unsaved
        return words.leave_draft if typed else ""

    async def ask_to_leave(self, leave: Callable[[], Any], *, lock: bool = False) -> None:
        """Call `leave`, but ask first if text would be lost."""
        if not self.keeps_text:
            await self.let_typing_arrive()
        question = "" if self.keeps_text else self.would_lose(lock=lock)
        if not question:
            leave()
            return
        words = self._asking_words
        way = words.lock if lock else words.quit
        screen = LeaveScreen(self._session, question.format(leave=way), [("stay", words.stay), ("leave", way)])
        self.app.push_screen(screen, lambda name: leave() if name == "leave" else None)

    async def let_typing_arrive(self) -> None:
        """Wait until the box has taken what was typed: the key that leaves overtakes it."""
        arrived = asyncio.Event()
        self.box.call_later(arrived.set)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(arrived.wait(), TYPING_SECONDS)
