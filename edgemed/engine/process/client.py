"""The engine as the chat and the commands use it: a child process behind blocking calls.

    with Engine.start(Path("model.gguf"), EngineSettings(ram_bytes=8 << 30)) as engine:
        for event in engine.generate([Message("user", "What is a fever?")]):
            if isinstance(event, Piece):
                print(event.text, end="")

If the process dies, the call in progress raises EngineDied with the exit reason; `restart` starts a new process.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from edgemed.engine.process.child import Child, Ended, Woken
from edgemed.engine.process.failures import decode_failure
from edgemed.engine.process.identity import FileIdentity, Weights, refuse_other_weights
from edgemed.engine.process.messages import (
    Failed,
    Generate,
    GetPreview,
    GetStats,
    GetStoreState,
    Shrink,
    Start,
    Stop,
    StopWatching,
)
from edgemed.engine.process.protocol import (
    EngineInfo,
    EngineSettings,
    EngineStats,
    Event,
    Finished,
    Message,
    Preview,
    Sampling,
    StoreState,
)
from edgemed.engine.process.replies import OnProgress, require_text, wait_for_preview, wait_until_ready
from edgemed.engine.process.tally import Tally
from edgemed.errors import EngineDied, EngineError, UsageError

STOP_SECONDS = 0.07
"""How long a stopped answer waits for the engine's own `Finished`. Users are promised an end within 100 ms, but one
matmul over a long prompt can take longer than that to stop."""
_ANSWER_SECONDS = 1.0

Answer = TypeVar("Answer", EngineStats, StoreState)


class Engine:
    """A loaded model in a child process. One answer at a time; `stop` and `stats` may be called from any thread."""

    def __init__(self, path: Path, settings: EngineSettings, weights: Weights | None = None) -> None:
        self._path = path
        self._settings = settings
        self._weights = weights  # those that may answer; None until the first start
        self._child: Child | None = None
        self._busy = threading.Lock()
        # Guards _running and _stopped. A stop may come from another thread before, during or after its request.
        self._turn = threading.Lock()
        self._running = ""  # the id of the request in progress
        self._stopped: set[str] = set()  # ids of stopped requests, including those that are not sent yet
        self._asking = threading.Lock()
        self._last_stats: EngineStats | None = None
        self.info: EngineInfo

    @classmethod
    def start(
        cls,
        path: Path | str,
        settings: EngineSettings | None = None,
        on_progress: OnProgress | None = None,
        weights: Weights | None = None,
    ) -> Self:
        """Load the model at `path` in a new process; any file but the one with these `weights` is refused.
        `on_progress` gets a stage's name and the fraction done, 0 to 1.

        Raises what loading raises in the engine (ModelFileError, BudgetError, TemplateError, SetupError, EngineError),
        or EngineDied if the process ended while loading.
        """
        engine = cls(Path(path).absolute(), settings or EngineSettings(), weights)
        engine.restart(on_progress)
        return engine

    def restart(self, on_progress: OnProgress | None = None) -> None:
        """End the old process and start a new one. Raises what `start` raises; ModelFileError if the file changed."""
        self.close()
        file = FileIdentity.of(self._path)
        refuse_other_weights(self._path, self._weights is None or file in (self._weights.file, None))
        child = Child(network=self._settings.offload.rpc is not None)
        try:
            child.send(Start(str(self._path), self._settings))
            info = wait_until_ready(child, on_progress)
            self._weights = self._weights or Weights(file, info.weights_digest)
            refuse_other_weights(self._path, self._weights == Weights(FileIdentity.of(self._path), info.weights_digest))
            self.info = info
        except BaseException:
            child.close()
            raise
        self._child = child

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.death is None

    @property
    def pid(self) -> int:
        """The engine's process id; 0 if there is no process."""
        return self._child.pid if self._child is not None else 0

    def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling | None = None,
        request: str | None = None,
        *,
        reuse: bool | None = None,
        continued: str = "",
    ) -> Iterator[Event]:
        """Answer `messages`. Yields events as they arrive, `Finished` last.

        `sampling` None means the model's defaults. `request` is the id for `stop`; it must never have been used before.
        None is for an answer that no one stops. `reuse` says whether the KV cache may supply part of the prompt; None
        allows it only if `sampling` has no seed. `continued` is the answer so far: the model goes on after it, and only
        the new text is yielded.

        Raises EngineError if another answer is running, the prompt does not fit or the computation fails, UsageError if
        a message is not UTF-8 text, TemplateError, and EngineDied if the process ends.
        """
        require_text([message.content for message in messages] + [continued])
        if not self._busy.acquire(blocking=False):
            raise EngineError("The engine is already answering; stop that answer first.")
        request = request or os.urandom(16).hex()
        try:
            child = self._living_child()
            # Draw the seed here, so that it is known even if the engine dies.
            wanted = sampling or self.info.defaults
            drawn = wanted.seeded()
            tally = Tally(self.info, child.pid, drawn)
            reused = wanted.seed is None if reuse is None else reuse
            question = Generate(tuple(messages), drawn, reused, continued)
            if self._begin(child, question, request):
                yield from self._events(child, request, tally)
            else:
                yield tally.stopped()
        finally:
            with self._turn:
                self._running = ""
                self._stopped.discard(request)
            self._busy.release()

    def preview(self, messages: Sequence[Message], continued: str = "") -> Preview:
        """The prompt that `generate` would send to the model, rendered and tokenised without computing anything.

        Raises what `generate` raises, except that the prompt may be longer than the context.
        """
        require_text([message.content for message in messages] + [continued])
        if not self._busy.acquire(blocking=False):
            raise EngineError("The engine is answering; look at the prompt when the answer is over.")
        try:
            child, request = self._living_child(), os.urandom(16).hex()
            child.send(GetPreview(tuple(messages), continued), request)
            return wait_for_preview(child, request)
        finally:
            self._busy.release()

    def stop(self, request: str) -> None:
        """Stop this answer, from any thread. Its `generate` yields Finished ("stopped") within 100 ms.

        A stop before its `generate` makes that send nothing. A stop after it has no effect.
        """
        with self._turn:
            self._stopped.add(request)
            child = self._child if request == self._running else None
            if child is not None:
                with contextlib.suppress(EngineDied):  # `generate` raises it
                    child.send(Stop(), request)
                child.events.put((request, Woken()))

    def stats(self) -> EngineStats:
        """The engine's statistics now, also during an answer. Raises EngineDied if the process has ended.

        If the engine is too busy to reply, returns the previous statistics; raises EngineError if there are none.
        """
        try:
            self._last_stats = self._ask(GetStats(), lambda child: child.stats)
        except EngineDied:
            raise
        except EngineError:
            if self._last_stats is None:
                raise
        return self._last_stats

    def store_state(self) -> StoreState:
        """The store state now, also during an answer, with each expert's hits and misses since the last call.

        The engine counts from the first call until `stop_watching`. Raises EngineError if the engine is too busy to
        reply, or EngineDied.
        """
        return self._ask(GetStoreState(), lambda child: child.store_states)

    def stop_watching(self) -> None:
        """Tell the engine to stop counting hits and misses."""
        with contextlib.suppress(EngineError):  # there may be no engine
            self._living_child().send(StopWatching())

    def shrink(self, nbytes: int) -> None:
        """Shrink the expert store by `nbytes`, also during an answer; the smaller size holds until `restart`.

        The store keeps room for one token's experts. Raises EngineDied or EngineError if there is no engine, UsageError
        for a negative number.
        """
        if nbytes < 0:
            raise UsageError(f"The cache cannot shrink by {nbytes} bytes; give 0 or more.")
        self._living_child().send(Shrink(nbytes))

    def close(self) -> None:
        """End the process and wait for it."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(
        self, question: GetStats | GetStoreState, answers: Callable[[Child], queue.SimpleQueue[Answer | Ended]]
    ) -> Answer:
        """The reply to a request that the engine answers at any time, even while it computes."""
        with self._asking:
            child = self._living_child()
            while not answers(child).empty():  # a late reply, whose caller has timed out
                answers(child).get()
            child.send(question)
            try:
                answer = answers(child).get(timeout=_ANSWER_SECONDS)
            except queue.Empty:
                raise EngineError("The engine is too busy to report its state; try again.") from None
            if isinstance(answer, Ended):
                raise EngineDied(child.death)
            return answer

    def _living_child(self) -> Child:
        if self._child is None:
            raise EngineError("The engine is not running; start it again.")
        if self._child.death is not None:
            raise EngineDied(self._child.death)
        return self._child

    def _begin(self, child: Child, question: Generate, request: str) -> bool:
        """Send the question; return False if it was already stopped. The lock keeps a stop from overtaking it."""
        with self._turn:
            if request in self._stopped:
                return False
            child.send(question, request)
            self._running = request
            return True

    def _events(self, child: Child, request: str, tally: Tally) -> Iterator[Event]:
        """Yield this request's events. Events of an earlier, abandoned answer are dropped."""
        deadline: float | None = None
        over = False  # the engine has ended this request, so it needs no Stop
        try:
            while not over:
                if deadline is None and request in self._stopped:
                    deadline = time.monotonic() + STOP_SECONDS
                try:
                    timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
                    owner, event = child.events.get(timeout=timeout)
                except queue.Empty:  # stopped, but the engine has not confirmed it in time
                    owner, event = request, tally.stopped()
                if isinstance(event, Ended):
                    over = True
                    raise EngineDied(child.death)
                if owner != request or isinstance(event, Woken):
                    continue
                over = isinstance(event, Failed | Finished)
                if isinstance(event, Failed):
                    raise decode_failure(event.kind, event.message)
                assert isinstance(event, Event)
                tally.take(event)
                yield event
        finally:
            if not over:  # the caller abandoned the iterator, or the engine did not confirm the stop
                with contextlib.suppress(EngineDied):
                    child.send(Stop(), request)
