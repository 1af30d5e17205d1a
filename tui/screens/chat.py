"""What happens in a chat: questions go to the engine, its news to the screen, keys to what they ask for."""

from __future__ import annotations

import contextlib
import time
from typing import ClassVar

from textual import on
from textual._context import NoActiveAppError
from textual.binding import Binding, BindingType
from textual.message import Message

from edgemed.tui.contract import EngineInfo, Finished, Piece, PromptProgress
from edgemed.tui.conversation import Conversation, state_after
from edgemed.tui.driver import EngineDriver
from edgemed.tui.facts import model_facts
from edgemed.tui.messages import (
    Answering,
    EngineFailed,
    EngineLoading,
    EngineReady,
    Opened,
    StatsChanged,
    StoreStateChanged,
)
from edgemed.tui.screens.surface import ChatSurface
from edgemed.tui.session import ChatSession
from edgemed.tui.stages import Down, Idle, Loading, Reading, Stage, Stopping, Writing
from edgemed.tui.visible import VisibleStream, visible
from edgemed.tui.watcher import Watcher
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.experts import ExpertPanel
from edgemed.tui.widgets.transcript import Transcript
from edgemed.tui.widgets.turn import AnswerView

FLUSH_SECONDS = 0.1
"""How often new text is put on the screen: a layout for every token would cost more than the token."""

BELL_AFTER_SECONDS = 10.0
"""An answer that took longer than this ends with a bell: its reader has turned to something else."""

LOOK_SECONDS = 1.0
"""How long the engine's death may go unnoticed while nothing is asked of it."""

WARNING_SECONDS = 20.0


class ChatScreen(ChatSurface):
    """One conversation with one engine."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", show=False),
        Binding("f2", "copy_answer", show=False),
        Binding("f3", "experts", show=False),
        Binding("ctrl+n", "new_chat", show=False),
        Binding("ctrl+r", "restart_engine", show=False),
    ]

    def __init__(self, session: ChatSession) -> None:
        super().__init__(session)
        self._conversation = Conversation()
        self._previous: Conversation | None = None
        self._driver = EngineDriver(session.start_engine, self._hear)
        self._watcher = Watcher(lambda: self._driver.engine, self._hear)
        self._info: EngineInfo | None = None
        self._engine_ready = False
        self._stage: Stage = Loading()
        self._ticket: int | None = None
        self._asked_at = 0.0
        self._unflushed = ""
        self._stream = VisibleStream()

    async def on_mount(self) -> None:
        self._flush_timer = self.set_interval(FLUSH_SECONDS, self._flush, pause=True)
        self.set_interval(LOOK_SECONDS, self._look_after_engine)
        self.show_welcome()
        await self.query_one(Transcript).show(self._conversation.turns)
        self._enter(Loading())
        self.show_queued(self._conversation.queued)
        self._driver.load()
        self.post_message(Opened())

    def _enter(self, stage: Stage) -> None:
        self._stage = stage
        self.show_stage(stage)

    # --- asking ---

    @on(Composer.Sent)
    async def _sent(self, sent: Composer.Sent) -> None:
        self._conversation.queue(sent.text)
        await self._ask_queued()

    async def _ask_queued(self) -> None:
        """Ask the waiting question if the engine is free, else show that it waits."""
        free = self._engine_ready and self._ticket is None
        question = self._conversation.take_queued() if free else ""
        self.show_queued(self._conversation.queued)
        if not question:
            return
        self._previous = None
        self._conversation.ask(question)
        self._stream = VisibleStream()
        self._unflushed = ""
        self._asked_at = time.monotonic()
        messages = self._conversation.messages()
        view = await self.query_one(Transcript).extended()
        await view.answer.open()
        self._enter(Reading(0, 0, 0, 0.0))
        self._ticket = self._driver.ask(messages)
        self._flush_timer.resume()

    # --- what the engine says ---

    def _hear(self, news: Message) -> None:
        """Called on the engine's threads, which may have news when the chat has just ended."""
        with contextlib.suppress(NoActiveAppError):
            self.post_message(news)

    @on(EngineLoading)
    def _loading(self, news: EngineLoading) -> None:
        self._enter(Loading(news.stage, news.fraction))

    @on(EngineReady)
    async def _ready(self, news: EngineReady) -> None:
        self._engine_ready = True
        self._info = news.info
        self.show_figures(context_size=news.info.n_ctx)
        self.show_welcome(model_facts(news.info, self._words))
        self._enter(Idle())
        if news.info.warning:
            self.notify(visible(news.info.warning), markup=False, severity="warning", timeout=WARNING_SECONDS)
        await self._ask_queued()

    @on(StatsChanged)
    def _stats(self, news: StatsChanged) -> None:
        stats = news.stats
        self.show_figures(
            tokens_per_s=stats.tokens_per_s,
            resident_bytes=stats.resident_bytes,
            budget_bytes=stats.budget_bytes,
            hit_rate=stats.hit_rate,
        )

    @on(StoreStateChanged)
    def _store_state(self, news: StoreStateChanged) -> None:
        for panel in self.query(ExpertPanel):
            panel.show(news.state)

    @on(Answering)
    async def _answering(self, news: Answering) -> None:
        if news.ticket != self._ticket:
            return
        match news.event:
            case PromptProgress(done=done, total=total, reused=reused):
                fresh = max(0, done - reused)
                self._advance(Reading(done, total, fresh, time.monotonic() - self._asked_at))
            case Piece(text=text, tokens=tokens):
                self._conversation.turns[-1].raw += text
                self._unflushed += self._stream.feed(text)
                written = self._stage.tokens if isinstance(self._stage, Writing) else 0
                self._advance(Writing(written + tokens))
            case Finished() as finished:
                used = self._conversation.context_used = finished.prompt_tokens + finished.tokens
                self.show_figures(context_used=used, tokens_per_s=finished.decode_tokens_per_s)
                turn = self._conversation.turns[-1]
                turn.state = state_after(finished)
                await self._ended()

    @on(EngineFailed)
    async def _failed(self, news: EngineFailed) -> None:
        self._engine_ready = news.alive
        sentence = visible(news.sentence)
        if news.ticket is not None and news.ticket == self._ticket:
            turn = self._conversation.turns[-1]
            turn.state, turn.reason = "failed", sentence
            if not turn.raw and not self.query_one(Composer).text:
                self.put_back(turn.question)  # to be sent again without being typed again
            await self._ended(Idle() if news.alive else Down(self._words.engine_gone))
        elif self.start_error is not None and not self.query_one(Composer).text and not self._conversation.queued:
            self.app.exit()  # nothing would be lost, and a mistake in the command is mended outside
        else:
            self._enter(Idle() if news.alive else Down(sentence))

    @property
    def start_error(self) -> Exception | None:
        """Why the chat has never had an engine."""
        return self._driver.start_error

    def _look_after_engine(self) -> None:
        if self._engine_ready and self._ticket is None and not self._driver.alive:
            self._engine_ready = False
            self._enter(Down(self._words.engine_gone))

    def _advance(self, stage: Stage) -> None:
        """Note a stage of the running answer, unless the user has asked it to stop; the next flush shows it."""
        if not isinstance(self._stage, Stopping):
            self._stage = stage

    async def _flush(self) -> None:
        """Put on the screen what has come since the last time."""
        self._enter(self._stage)
        if isinstance(self._stage, Stopping):
            self._driver.stop()
        text, self._unflushed = self._unflushed, ""
        if text and self._ticket is not None:
            await self.query_one(Transcript).views[-1].answer.feed(text)

    async def _ended(self, stage: Stage | None = None) -> None:
        """The running answer is over, however it ended."""
        self._ticket = None
        self._flush_timer.pause()
        self._unflushed = ""
        self._enter(stage or Idle())
        await self.query_one(Transcript).views[-1].answer.close(self.ending_of(self._conversation.turns[-1]))
        if time.monotonic() - self._asked_at > BELL_AFTER_SECONDS:
            self.app.bell()
        await self._ask_queued()

    # --- what the user can do ---

    def action_stop(self) -> None:
        """Stop the answer and keep its text; a waiting question goes back into the composer, and news are dismissed."""
        self.app.clear_notifications()
        self._put_back_queued()
        if self._ticket is not None:
            self._enter(Stopping())
            self._driver.stop()
        self.query_one(Composer).focus()

    def _put_back_queued(self) -> None:
        if queued := self._conversation.take_queued():
            self.put_back(queued)
            self.show_queued(self._conversation.queued)

    # Textual runs actions beside the screen's own messages: what exchanges the conversation waits for its turn among
    # them, or it would do so under a question that is just being put on the screen.

    def action_new_chat(self) -> None:
        """Start again. The old conversation stays in memory until the next question."""
        self.call_later(self._new_chat)

    def action_bring_back(self) -> None:
        """Undo `new_chat`."""
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
        self.notify(self._words.brought_back, markup=False)

    async def _abandon(self) -> None:
        """Close the running answer here and now; what the engine still says about it is not heard."""
        turn = self._conversation.open_turn
        if turn is not None:
            self._driver.abandon()
            turn.state = "stopped"
            await self.query_one(Transcript).views[-1].answer.close(self.ending_of(turn))
        self._put_back_queued()
        self._ticket = None
        self._flush_timer.pause()

    async def _show_conversation(self) -> None:
        await self.query_one(Transcript).show(self._conversation.turns)
        self.show_figures(context_used=self._conversation.context_used)
        self._enter(Idle() if self._engine_ready else self._stage)
        self.query_one(Composer).focus()

    def action_restart_engine(self) -> None:
        """Start the engine again if it is not running."""
        if isinstance(self._stage, Down):
            self._enter(Loading())
            self._driver.load()

    def action_copy_answer(self) -> None:
        """Copy the chosen answer, or the last one; an incomplete one after a yes."""
        chosen = self.focused.turn if isinstance(self.focused, AnswerView) else None
        answered = [turn for turn in self._conversation.turns if turn.raw]
        turn = chosen or (answered[-1] if answered else None)
        if turn is None or not turn.raw:
            self.notify(self._words.nothing_to_copy, markup=False)
        else:
            self.copy_turn(turn)

    async def action_experts(self) -> None:
        """Show the experts beside the conversation, or hide them; nobody counts them while they are hidden."""
        if self._watcher.watching:
            self._watcher.stop()
            await self.query(ExpertPanel).remove()
        elif self._info is not None:
            panel = ExpertPanel(self._words, self._info.n_layers, self._info.n_experts)
            await self.query_one(".conversation").mount(panel)
            self._watcher.start()

    def close_engine(self) -> None:
        """End the engine's process."""
        self._watcher.stop()
        self._driver.close()
