"""The engine as the chat and the commands see it: a process of its own behind blocking calls.

    with Engine.start(Path("model.gguf"), EngineSettings(ram_bytes=8 << 30)) as engine:
        for event in engine.generate([Message("user", "What is a fever?")]):
            if isinstance(event, Piece):
                print(event.text, end="")

When the process dies, the call in progress raises EngineDied with the reason and `restart` brings up another.
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
from edgemed.engine.process.protocol import (
    EngineInfo,
    EngineSettings,
    EngineStats,
    Event,
    Failed,
    Finished,
    Generate,
    GetStats,
    GetStoreState,
    Message,
    Progress,
    Ready,
    Sampling,
    Shrink,
    Start,
    Stop,
    StopWatching,
    StoreState,
)
from edgemed.engine.process.tally import Tally
from edgemed.errors import EngineDied, EngineError, UsageError

STOP_SECONDS = 0.07
"""How long a stopped answer waits for the engine's own last word. Users are promised an end within 100 ms, and one
matmul over a long prompt can take longer than that to let go."""
_ANSWER_SECONDS = 1.0

OnProgress = Callable[[str, float], None]
Answer = TypeVar("Answer", EngineStats, StoreState)


class Engine:
    """A loaded model in a child process. One answer at a time; `stop` and `stats` may be called from any thread."""

    def __init__(self, path: Path, settings: EngineSettings) -> None:
        self._path = path
        self._settings = settings
        self._child: Child | None = None
        self._busy = threading.Lock()
        # Guards the two below: a stop may come from another thread before its request, during it or after it.
        self._turn = threading.Lock()
        self._running = ""  # the request that was sent and is not over
        self._stopped: set[str] = set()  # those not sent yet included
        self._asking = threading.Lock()
        self._last_stats: EngineStats | None = None
        self.info: EngineInfo

    @classmethod
    def start(
        cls, path: Path | str, settings: EngineSettings | None = None, on_progress: OnProgress | None = None
    ) -> Self:
        """Load the model at `path` in a new process. `on_progress` is called with a stage and its share done, 0 to 1.

        Raises what loading raises there: ModelFileError, BudgetError, TemplateError, SetupError, EngineError, or
        EngineDied when the process did not survive it.
        """
        engine = cls(Path(path).absolute(), settings or EngineSettings())
        engine.restart(on_progress)
        return engine

    def restart(self, on_progress: OnProgress | None = None) -> None:
        """Start a fresh process, ending the old one if it still lives. Raises as `start` does."""
        self.close()
        child = Child()
        try:
            child.send(Start(str(self._path), self._settings))
            self.info = _wait_until_ready(child, on_progress)
        except BaseException:
            child.close()
            raise
        self._child = child

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.death is None

    @property
    def pid(self) -> int:
        """The engine's process; 0 when there is none."""
        return self._child.pid if self._child is not None else 0

    def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling | None = None,
        request: str | None = None,
        *,
        reuse: bool | None = None,
    ) -> Iterator[Event]:
        """Answer `messages`; yields events as they come, `Finished` last.

        `sampling` None means the model's own defaults. `request` is the id to `stop` the answer by, one that was never
        used before; None for an answer that is not stopped from outside. `reuse` says whether the KV cache may supply
        part of the prompt; None means only where `sampling` has no seed. Raises EngineError when another answer is
        running, the prompt does not fit or the computation failed, UsageError for what is no text, TemplateError, and
        EngineDied when the process ended meanwhile.
        """
        _refuse_what_is_no_text(messages)
        if not self._busy.acquire(blocking=False):
            raise EngineError("The engine is answering already; stop that answer first.")
        request = request or os.urandom(16).hex()
        try:
            child = self._living_child()
            # Drawn here, so that the seed of an answer is known even if the engine cannot tell it any more.
            wanted = sampling or self.info.defaults
            drawn = wanted.seeded()
            tally = Tally(self.info, child.pid, drawn)
            question = Generate(tuple(messages), drawn, wanted.seed is None if reuse is None else reuse)
            if self._begin(child, question, request):
                yield from self._events(child, request, tally)
            else:
                yield tally.stopped()
        finally:
            with self._turn:
                self._running = ""
                self._stopped.discard(request)
            self._busy.release()

    def stop(self, request: str) -> None:
        """End this answer, from any thread; its `generate` yields Finished ("stopped") within 100 ms.

        A stop may come before its `generate`, which then sends nothing. One that comes after it changes nothing.
        """
        with self._turn:
            self._stopped.add(request)
            child = self._child if request == self._running else None
            if child is not None:
                with contextlib.suppress(EngineDied):  # `generate` will say so itself
                    child.send(Stop(), request)
                child.events.put((request, Woken()))

    def stats(self) -> EngineStats:
        """The engine at this moment, also while it answers. Raises EngineDied when there is none any more."""
        try:
            self._last_stats = self._ask(GetStats(), lambda child: child.stats)
        except EngineDied:
            raise
        except EngineError:
            if self._last_stats is None:
                raise
        return self._last_stats

    def store_state(self) -> StoreState:
        """The expert store now, also while the engine answers, with each expert's hits and misses since the last call.

        The engine counts from the first call until `stop_watching`. Raises EngineError when it is too busy to answer,
        or EngineDied."""
        return self._ask(GetStoreState(), lambda child: child.store_states)

    def stop_watching(self) -> None:
        """The engine need not count hits and misses any more."""
        with contextlib.suppress(EngineError):  # there may be none
            self._living_child().send(StopWatching())

    def shrink(self, nbytes: int) -> None:
        """Give so many bytes of cached experts back to the machine, also in the middle of an answer.

        Never more than leaves room for a token's experts; until `restart`. Raises EngineDied or EngineError when there
        is no engine, UsageError for a negative number.
        """
        if nbytes < 0:
            raise UsageError(f"The cache can shrink by 0 bytes or more, not by {nbytes}.")
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
        """The answer to a question that the engine answers whatever else it does."""
        with self._asking:
            child = self._living_child()
            while not answers(child).empty():  # an answer that came after its caller had given up
                answers(child).get()
            child.send(question)
            try:
                answer = answers(child).get(timeout=_ANSWER_SECONDS)
            except queue.Empty:
                raise EngineError("The engine is too busy to say how it is doing.") from None
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
        """Send the question, unless it is to be stopped already. Under the lock: a stop follows its question."""
        with self._turn:
            if request in self._stopped:
                return False
            child.send(question, request)
            self._running = request
            return True

    def _events(self, child: Child, request: str, tally: Tally) -> Iterator[Event]:
        """This request's events; what an earlier, abandoned answer still sends is dropped."""
        deadline: float | None = None
        over = False  # whether the engine needs no word that this request is over
        try:
            while not over:
                if deadline is None and request in self._stopped:
                    deadline = time.monotonic() + STOP_SECONDS
                try:
                    timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
                    owner, event = child.events.get(timeout=timeout)
                except queue.Empty:  # stopped, and the engine has not let go yet
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
            if not over:  # the caller lost interest
                with contextlib.suppress(EngineDied):
                    child.send(Stop(), request)


def _refuse_what_is_no_text(messages: Sequence[Message]) -> None:
    """Bytes that are not UTF-8 come from the command line and standard input as halves of surrogate pairs. Left out,
    the µ of a dose would be."""
    try:
        "\n".join(message.content for message in messages).encode()
    except UnicodeEncodeError:
        raise UsageError("The question is not UTF-8 text; convert it to UTF-8 and ask again.") from None


def _wait_until_ready(child: Child, on_progress: OnProgress | None) -> EngineInfo:
    while True:
        match child.events.get()[1]:
            case Progress(stage, fraction):
                if on_progress is not None:
                    on_progress(stage, fraction)
            case Ready(info):
                return info
            case Failed() as failed:
                raise decode_failure(failed.kind, failed.message)
            case Ended():
                raise EngineDied(child.death)
            case message:
                raise EngineError(f"The engine sent {type(message).__name__} before it was ready; start it again.")
