"""Sends questions to the engine and shows its events on the screen."""

from __future__ import annotations

import contextlib
import time

from textual import on
from textual._context import NoActiveAppError
from textual.css.query import NoMatches
from textual.events import ScreenResume
from textual.message import Message
from textual.timer import Timer
from textual.widget import MountError

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.lengths import Length
from edgemed.chat.visible import VisibleStream, visible
from edgemed.engine.process.protocol import EngineInfo, Finished, Piece, PromptProgress
from edgemed.tui.driver import EngineDriver
from edgemed.tui.facts import model_line
from edgemed.tui.messages import Answering, EngineFailed, EngineLoading, EngineReady, Opened, StatsChanged
from edgemed.tui.pacing import Pace
from edgemed.tui.reasons import reason_in
from edgemed.tui.room import conversation_tokens
from edgemed.tui.screens.surface import ChatSurface
from edgemed.tui.session import ChatSession
from edgemed.tui.stages import Down, Idle, Loading, Reading, Stage, Stopping, Writing
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.transcript import Transcript

BELL_AFTER_SECONDS = 10.0
"""An answer that took longer than this rings the bell at its end, because its reader may be doing something else."""

CHECK_SECONDS = 1.0
"""The interval at which an idle engine is checked for having died."""

WARNING_SECONDS = 20.0


class AnsweringScreen(ChatSurface):
    """One conversation with one engine. Its subclasses add the box, the turns' actions and the keys.

    The driver's thread writes the answer into its turn (`edgemed.chat.service`). The screen only reads turns.
    """

    def __init__(self, session: ChatSession, conversation: Conversation) -> None:
        super().__init__(session)
        self._conversation = conversation
        self.length: Length = session.length  # of the answers to the next questions
        self._previous: Conversation | None = None
        self._driver = EngineDriver(session.start_engine, self._hear, session.hooks)
        self._info: EngineInfo | None = None
        self._engine_ready = False
        self._stage: Stage = Loading()
        self._answered: Turn | None = None  # the turn whose answer is being shown
        self._taken_back: Turn | None = None  # it leaves the conversation when it has ended, if it has no answer
        self._asked_at = 0.0
        self._left = False  # whether the chat is ending
        self._in_cache = ""  # the conversation that the engine's KV cache holds
        self._may_restart = False  # whether a question that waits may restart an engine that has died
        self._stream = VisibleStream()
        self._pace = Pace()
        self._unpainted: list[Piece] = []  # text that has arrived since the answer was last painted
        self._painting: Timer | None = None

    async def on_mount(self) -> None:
        self.set_interval(CHECK_SECONDS, self._check_engine)
        self.show_welcome()
        await self.show_turns()
        self._enter(Loading())
        self.show_queued(self._conversation.queued)
        self._driver.load()
        self.post_message(Opened())

    @property
    def answering(self) -> bool:
        """Whether an answer is being written on the screen."""
        return self._answered is not None

    @property
    def start_error(self) -> Exception | None:
        """Why the engine failed to start; None if it has ever run."""
        return self._driver.start_error

    def close_engine(self) -> None:
        """End the engine's process."""
        self._driver.close()

    def _enter(self, stage: Stage) -> None:
        self._stage = stage
        self.show_stage(stage)

    # --- asking ---

    async def ask(self, question: str) -> None:
        """Ask a question, after those that wait."""
        self._conversation.queue(question, self.length)
        await self.watch_queued(question)
        self._may_restart = True
        await self._ask_queued()

    async def watch_queued(self, question: str) -> None:
        """A question was just queued; it is asked afterwards, unless it was taken back meanwhile."""

    async def _ask_queued(self) -> None:
        """Ask the oldest queued question if the engine is free, otherwise show what is queued.

        An engine that has died is restarted for it, once: an engine that this question kills must not be started for it
        again and again.
        """
        self._check_engine()
        if self._conversation.queued and self._may_restart and isinstance(self._stage, Down):
            self._may_restart = False
            self.notify(self._words.restarting.format(error=self._stage.sentence), markup=False, severity="warning")
            self.restart_engine()
        if self._left:
            return  # while the question was read: it stays queued, and is asked at the next start
        free = self._engine_ready and not self.answering
        queued = self._conversation.next_queued() if free else None
        self.show_queued(self._conversation.queued)
        if queued is None:
            return
        turn = self._conversation.ask(queued.text, queued.length)
        await self.query_one(Transcript).extended()
        await self._send(turn)

    async def begin(self, turn: Turn) -> None:
        """Show a turn that was just opened, which is the last one, and send it. The engine must be free."""
        await self.show_turns()
        await self._send(turn)

    async def _send(self, turn: Turn) -> None:
        self._previous = None
        await self._follow(turn)
        self._enter(Reading(0, 0, 0, 0.0))
        self.send_to_engine(self._conversation, turn)

    def send_to_engine(self, conversation: Conversation, turn: Turn) -> None:
        """Have the engine answer a turn that is on the screen."""
        self._driver.ask(conversation, turn)

    async def show_turns(self) -> None:
        """Show the active branch of the conversation from its end."""
        await self.query_one(Transcript).show(self._conversation.turns)
        tokens = conversation_tokens(self._conversation)
        read = self._in_cache == self._conversation.id
        self.show_figures(context_used=tokens, unread_tokens=0 if read else tokens)

    def read_last(self, conversation: Conversation) -> None:
        """The engine's KV cache holds `conversation` now; the one on the screen would be read anew if it is another."""
        self._in_cache = conversation.id
        tokens = conversation_tokens(self._conversation)
        self.show_figures(unread_tokens=0 if conversation is self._conversation else tokens)

    def put_back_queued(self) -> None:
        """Return the question queued last to the composer. Others stay queued: joined, two patients become one."""
        if queued := self._conversation.take_back():
            self.put_back(queued.text)
            self.show_queued(self._conversation.queued)

    def restart_engine(self) -> None:
        """Start the engine again if it is not running."""
        if isinstance(self._stage, Down):
            self._enter(Loading())
            self._driver.load()

    async def _follow(self, turn: Turn) -> None:
        """Show the last turn's answer while it arrives."""
        self._answered = turn
        self._stream = VisibleStream()
        self._forget_unpainted()
        self._pace.restart()
        self._asked_at = time.monotonic()
        await self.query_one(Transcript).views[-1].answer.open()

    async def _dispatch_message(self, message: Message) -> None:
        """Ignore missing widgets while the chat closes: an answer may end after its widgets and before this screen."""
        try:
            await super()._dispatch_message(message)
        except (NoMatches, MountError):
            if not self.app._exit:
                raise

    # --- the engine's events ---

    def _hear(self, news: Message) -> None:
        """Called on other threads, which may still have messages when the chat has just ended."""
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
        self.show_welcome(model_line(news.info, self._words))
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

    @on(Answering)
    async def _answering(self, news: Answering) -> None:
        if news.turn is not self._answered:
            return
        match news.event:
            case PromptProgress(done=done, total=total, reused=reused):
                fresh = max(0, done - reused)
                self._advance(Reading(done, total, fresh, time.monotonic() - self._asked_at))
            case Piece() as piece:
                self._unpainted.append(piece)
                if self._painting is None and self.is_current:
                    wait = self._pace.wait()
                    self._painting = self.set_timer(wait, self._paint) if wait else None
                    if not wait:
                        await self._paint()
            case Finished() as finished:
                self.read_last(self._conversation)
                self.show_figures(
                    context_used=self._conversation.context_used,
                    tokens_per_s=finished.decode_tokens_per_s,
                    prompt_tokens_per_s=finished.prefill_tokens_per_s or None,
                )
                await self._ended(Idle())

    @on(ScreenResume)
    async def _paint(self) -> None:
        """Show the text that has arrived."""
        self._pace.painted()
        pieces = self._unpainted
        self._forget_unpainted()
        if self._answered is None or not pieces:
            return
        written = self._stage.tokens if isinstance(self._stage, Writing) else 0
        self._advance(Writing(written + sum(piece.tokens for piece in pieces)))
        if shown := self._stream.feed("".join(piece.text for piece in pieces)):
            await self.query_one(Transcript).views[-1].answer.feed(shown)

    def _forget_unpainted(self) -> None:
        """Forget what is not painted: `AnswerView.close` shows all of the text."""
        if self._painting is not None:
            self._painting.stop()
        self._unpainted, self._painting = [], None

    def _advance(self, stage: Stage) -> None:
        """Show a stage of the running answer, unless the user has stopped it."""
        if not isinstance(self._stage, Stopping):
            self._enter(stage)

    @on(EngineFailed)
    async def _failed(self, news: EngineFailed) -> None:
        self._engine_ready = news.alive
        turn, composer = news.turn, self.query_one(Composer)
        if turn is not None and turn is self._answered:
            if not turn.raw and not composer.text and turn is not self._taken_back and not turn.template:
                self.put_back(turn.question)  # so that it can be sent again
            await self._ended(Idle() if news.alive else Down(self._words.engine_gone))
        elif self.start_error is not None and not composer.text and not self._conversation.queued:
            self.app.exit()  # no text is lost, and the command prints the error
        elif not self.answering:
            self._enter(Idle() if news.alive else Down(reason_in(self._session.language, news.sentence)))
        if turn is not None and turn.state != "failed":  # a hook failed after the answer, which is unchanged
            self.notify(news.sentence, markup=False, severity="error", timeout=WARNING_SECONDS)

    async def _ended(self, stage: Stage) -> None:
        """Close the answer, however it ended, and ask the next queued question."""
        turn, self._answered = self._answered, None
        assert turn is not None
        self._forget_unpainted()
        self._enter(stage)
        taken_back, self._taken_back = self._taken_back, None
        if turn is taken_back and not turn.raw:
            self._conversation.withdraw(turn)
            self.turn_withdrawn(turn)
            await self.show_turns()
        else:
            await self.query_one(Transcript).views[-1].answer.close(self.ending_of(turn))
        if time.monotonic() - self._asked_at > BELL_AFTER_SECONDS:
            self.app.bell()
        await self._ask_queued()

    def turn_withdrawn(self, turn: Turn) -> None:
        """A question was taken back and is no longer part of the conversation."""

    def _check_engine(self) -> None:
        if self._engine_ready and not self.answering and not self._driver.alive:
            self._engine_ready = False
            why = reason_in(self._session.language, self._driver.why_down)
            self._enter(Down(why or self._words.engine_gone))
