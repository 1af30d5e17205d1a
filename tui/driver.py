"""Runs the engine's blocking calls on a dedicated thread and reports their results as messages."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from textual.message import Message as News

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.engine import ChatEngine, StartEngine
from edgemed.chat.service import Hook, ask, failure_of
from edgemed.engine.process.protocol import Finished, Message
from edgemed.errors import EdgemedError, EngineError
from edgemed.tui.messages import Answering, EngineFailed, EngineLoading, EngineReady, Previewed, StatsChanged

STATS_SECONDS = 0.5

Post = Callable[[News], object]


class EngineDriver:
    """Owns one engine, created by `start`. Calls `post` with messages, from its own thread."""

    def __init__(self, start: StartEngine, post: Post, hooks: Sequence[Hook] = ()) -> None:
        self._start = start
        self._post = post
        self._hooks = hooks
        self._engine: ChatEngine | None = None
        self.start_error: Exception | None = None
        """Why the first start failed; None once an engine has run or while one is being started."""
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._stats_at = 0.0
        # A daemon thread, so that quitting does not wait for a model that is still loading.
        threading.Thread(target=self._work, name="engine", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the engine is running; False while it is loaded for the first time."""
        return self._engine is not None and self._engine.alive

    @property
    def why_down(self) -> str:
        """Why the engine's process ended; empty if it is running or has never run."""
        try:
            if self._engine is not None:
                self._engine.stats()
        except EngineError as error:
            return failure_of(error)
        return ""

    @property
    def engine(self) -> ChatEngine | None:
        """The engine; None until the first start succeeds."""
        return self._engine

    def load(self) -> None:
        """Start the engine, or restart it after its process has ended."""
        self._jobs.put(self._load)

    def ask(self, conversation: Conversation, turn: Turn) -> None:
        """Answer `turn` once all earlier calls are done."""
        self._jobs.put(lambda: self._answer(conversation, turn))

    def preview(self, messages: Sequence[Message], key: object, continued: str = "") -> None:
        """Render and count a prompt once all earlier calls are done, and post `Previewed`."""
        self._jobs.put(lambda: self._preview(messages, key, continued))

    def stop(self, turn: Turn) -> None:
        """Stop this answer, whether it has begun or not. Its events still end with `Finished`."""
        if self._engine is not None:
            self._engine.stop(turn.request)

    def close(self) -> None:
        """End the engine. Blocks until its process has ended."""
        self._jobs.put(None)
        if self._engine is not None:
            self._engine.close()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _load(self) -> None:
        try:
            if self._engine is None:
                self._engine = self._start(self._report_progress)
            else:
                self._engine.restart(self._report_progress)
        except Exception as error:
            self.start_error = error if self._engine is None else None
            self._post(EngineFailed(failure_of(error), alive=False))
            return
        self.start_error = None
        self._post(EngineReady(self._engine.info))
        self._report_stats(at_once=True)

    def _answer(self, conversation: Conversation, turn: Turn) -> None:
        engine = self._engine
        assert engine is not None, "a question is sent only to an engine that said it is ready"
        try:
            for event in ask(engine, conversation, turn, hooks=self._hooks):
                self._post(Answering(turn, event))
                self._report_stats(at_once=isinstance(event, Finished))
        except Exception as error:
            self._post(EngineFailed(failure_of(error), alive=engine.alive, turn=turn))

    def _preview(self, messages: Sequence[Message], key: object, continued: str) -> None:
        preview = None
        with contextlib.suppress(EdgemedError):
            if self._engine is not None and self._engine.alive:
                preview = self._engine.preview(messages, continued)
        self._post(Previewed(key, preview))

    def _report_progress(self, stage: str, fraction: float) -> None:
        self._post(EngineLoading(stage, fraction))

    def _report_stats(self, *, at_once: bool) -> None:
        now = time.monotonic()
        if self._engine is not None and (at_once or now - self._stats_at >= STATS_SECONDS):
            self._stats_at = now
            with contextlib.suppress(EngineError):  # too busy or dead; a dead engine is reported elsewhere
                self._post(StatsChanged(self._engine.stats()))
